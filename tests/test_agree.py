"""`agree`: real artifacts and files of labelled pairs in, the coefficients that are computed apart out."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.agree import AGREEMENT, agree, write
from curate.artifact import Artifact, Counts, Receipt, write_receipt
from curate.card.judging import judging
from curate.card.lineage import lineage
from curate.errors import UsageError
from curate.judges.verdicts import SCHEMA
from curate.rows import Candidates, Preference, arrow_schema, content_id

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "pref"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/pref is not here")


def turns(text: str, role: str = "user") -> list[dict]:
    return [{"role": role, "content": text, "tool_calls": None, "name": None}]


def common(place: int) -> dict:
    return {"id": f"r{place}", "content_id": "", "origins": [], "source": "x", "licence": None, "group": None, "metadata": "{}"}


def preference(place: int, better: int, probability: float | None = None) -> dict:
    """Two answers to question `place`; `better` says which one is chosen."""
    answers = [turns(f"answer {k} to {place}" + " at length" * k, "assistant") for k in (0, 1)]
    return {
        **common(place), "prompt": turns(f"question {place}"), "chosen": answers[better], "rejected": answers[1 - better],
        "probability": probability, "margin": None, "weight": 1.0,
    }  # fmt: skip


def parquet(path: Path, rows: list[dict], schema: pa.Schema) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


def preferences(path: Path, better: list[int], probability: list[float] | None = None) -> Path:
    rows = [preference(place, one, probability[place] if probability else None) for place, one in enumerate(better)]
    return parquet(path, rows, arrow_schema(Preference))


def artifact(path: Path, stage: str = "judge") -> Path:
    counts = Counts(read=1, kept=1, dropped={}, ignored={}, written=1)
    path.mkdir(parents=True, exist_ok=True)
    empty = {"config": {}, "inputs": [], "steps": [], "files": [], "damage": []}
    write_receipt(path, Receipt(recipe="r", stage=stage, fingerprint="f", counts=counts, **empty))
    return path


def verdict(place: int, order: int, label: str, logit: float | None = None, judge: str = "one") -> dict:
    return {
        "row_id": f"r{place}", "judge": judge, "kind": "pairwise", "order": order, "draw": 0, "a": f"r{place}-0", "b": f"r{place}-1",
        "label": label, "logit": logit, "missing_mass": None, "model": "m", "simulated": True,
    }  # fmt: skip


def judged(path: Path, verdicts: list[dict], places: int) -> Path:
    """An artifact of Candidates, two answers each, with these verdicts."""
    fixed = {"parent": None, "kind": "answer", "ratings": [], "rank": None}
    answers = [
        [{"id": f"r{place}-{k}", "text": f"answer {k} to {place}" + " at length" * k, "model": f"m{k}", **fixed} for k in (0, 1)]
        for place in range(places)
    ]
    rows = [{**common(place), "prompt": turns(f"question {place}"), "candidates": answers[place]} for place in range(places)]
    parquet(path / "data/train-00000.parquet", rows, arrow_schema(Candidates))
    parquet(path / "verdicts/00000.parquet", verdicts, SCHEMA)
    return artifact(path)


def test_preference_rows_are_joined_by_content_and_kappa_is_the_one_computed_apart(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    first = chance.integers(2, size=200)
    second = np.where(chance.random(200) < 0.3, 1 - first, first)
    found = agree(preferences(tmp_path / "a.parquet", first.tolist()), preferences(tmp_path / "b.parquet", second.tolist()))
    same = float((first == second).mean())
    assert found.pairs["both"] == 200
    assert found.coefficients["percent"].value == pytest.approx(same)
    assert found.coefficients["percent"].low < same < found.coefficients["percent"].high
    flipped = np.array([content_id(f"answer 0 to {place}") < content_id(f"answer 1 to {place} at length") for place in range(200)])
    metrics = pytest.importorskip("sklearn.metrics", reason="the oracle of Cohen's kappa: pip install scikit-learn")
    assert found.coefficients["cohen_kappa"].value == pytest.approx(metrics.cohen_kappa_score(first ^ flipped, second ^ flipped), abs=1e-9)


def test_rows_that_only_one_side_has_are_counted_apart(tmp_path: Path) -> None:
    found = agree(preferences(tmp_path / "a.parquet", [0] * 30), preferences(tmp_path / "b.parquet", [0] * 20))
    assert (found.pairs["a"], found.pairs["b"], found.pairs["both"]) == (30, 20, 20)


def test_files_with_nothing_in_common_are_the_users_mistake(tmp_path: Path) -> None:
    other = [{**preference(place, 0), "prompt": turns("another")} for place in range(3)]
    with pytest.raises(UsageError, match="no pair in common"):
        agree(preferences(tmp_path / "a.parquet", [0] * 3), parquet(tmp_path / "b.parquet", other, arrow_schema(Preference)))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", b""), ("a.jsonl", b"not json\n"), ("a.parquet", b"PAR1"), ("a.jsonl", b"[1]\n"), ("a.jsonl.gz", b"\x1f\x8b broken")],
)
def test_files_that_hold_no_labelled_pairs_are_the_users_mistake(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    good = preferences(tmp_path / "b.parquet", [0])
    with pytest.raises(UsageError, match=name):
        agree(tmp_path / name, good)
    with pytest.raises(UsageError, match="no such file"):
        agree(tmp_path / "absent.jsonl", good)


def test_verdicts_of_both_orders_meet_gold_by_the_text_of_the_answers(tmp_path: Path) -> None:
    """A judge of bias 2 that is right in its averaged logits, though its labels say `first` every time."""
    gold = [place % 2 for place in range(40)]
    verdicts = [
        verdict(place, order, "first", 2.0 + (1 if (gold[place] == 0) == (order == 0) else -1)) for place in range(40) for order in (0, 1)
    ]  # fmt: skip
    found = agree(judged(tmp_path / "a", verdicts, 40), preferences(tmp_path / "b.parquet", gold))
    assert found.coefficients["cohen_kappa"].value == 1
    judge = found.judges[0]
    assert (judge.bias.value, judge.places.first.value, judge.consistency.value) == (pytest.approx(2), 1, 0)
    assert found.table == [[20, 0, 0], [0, 0, 0], [0, 0, 20]]
    assert found.calibration is not None
    (told,) = json.loads(write(found, tmp_path / "a").read_text())["comparisons"]
    assert told["judges"][0]["bias"]["value"] == pytest.approx(2)
    assert all(isinstance(check["holds"], bool) for check in told["judges"][0]["checks"])
    assert "position bias 2.000" in found.as_text()


def test_rows_that_break_their_own_schema_are_counted_and_never_crash(tmp_path: Path) -> None:
    good = [preference(place, 0) for place in range(3)]
    good[0]["prompt"] = [{"role": "user", "content": "question 0"}]
    broken = [{**good[0], "chosen": []}, {**good[0], "chosen": "text"}, {**good[0], "prompt": None}, {**good[0], "probability": 0.2}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in good + broken))
    found = agree(path, preferences(tmp_path / "b.parquet", [0] * 3))
    assert (found.pairs["both"], found.pairs["a_unread"]) == (3, 4)


def test_verdicts_of_wrong_types_are_the_users_mistake_and_odd_numbers_and_labels_are_none(tmp_path: Path) -> None:
    rows = [verdict(place, order, ("first", "second")[order], 1.0) for place in range(5) for order in (0, 1)]
    gold = preferences(tmp_path / "b.parquet", [0] * 5)
    odd = judged(tmp_path / "odd", [{**rows[0], "logit": float("nan")}, {**rows[2], "logit": float("inf")}, {**rows[4], "label": "A"}, *rows[6:]], 5)
    assert agree(odd, gold).pairs["a"] == 4
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({**row, "order": "as given"}) + "\n" for row in rows))
    with pytest.raises(UsageError, match="not a table of verdicts"):
        agree(tmp_path / "a.jsonl", gold)


def test_verdicts_name_answers_of_preference_rows_by_the_hash_of_their_text(tmp_path: Path) -> None:
    rows = [preference(place, 0) for place in range(5)]
    verdicts = [
        {**verdict(place, 0, "first", 3.0), "a": content_id(row["chosen"][0]["content"]), "b": content_id(row["rejected"][0]["content"])}
        for place, row in enumerate(rows)
    ]
    parquet(tmp_path / "a/data/train-00000.parquet", rows, arrow_schema(Preference))
    parquet(tmp_path / "a/verdicts/00000.parquet", verdicts, SCHEMA)
    assert agree(artifact(tmp_path / "a"), preferences(tmp_path / "b.parquet", [0] * 5)).coefficients["percent"].value == 1


def test_recorded_verdict_tables_alone_meet_by_their_ids_and_unreadable_ones_are_counted(tmp_path: Path) -> None:
    columns = ("row_id", "judge", "order", "a", "b", "label")
    rows = [verdict(place, 0, "first" if place else "unreadable") for place in range(10)]
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({column: row[column] for column in columns}) + "\n" for row in rows))
    found = agree(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert (found.pairs["both"], found.pairs["a_unread"]) == (9, 1)
    assert found.judges[0].places.unreadable.value == 0.1


def test_fleiss_kappa_is_over_every_judge(tmp_path: Path) -> None:
    said = [(place, judge, "first" if place % 2 or judge == "two" else "second") for place in range(30) for judge in ("one", "two")]
    verdicts = [verdict(place, 0, label, judge=judge) for place, judge, label in said]
    found = agree(judged(tmp_path / "a", verdicts, 30), preferences(tmp_path / "b.parquet", [1 - place % 2 for place in range(30)]))
    assert [judge.judge for judge in found.judges] == ["one", "two"]
    lone = agree(judged(tmp_path / "c", [one for one in verdicts if one["judge"] == "one"], 30), tmp_path / "b.parquet")
    assert found.coefficients["fleiss_kappa"].value < lone.coefficients["fleiss_kappa"].value == 1


def test_a_tie_is_a_label_of_its_own(tmp_path: Path) -> None:
    verdicts = [verdict(place, order, "tie" if place % 2 else ("first", "second")[order]) for place in range(20) for order in (0, 1)]
    found = agree(judged(tmp_path / "a", verdicts, 20), preferences(tmp_path / "b.parquet", [0] * 20))
    assert found.table[0][0] == 10
    assert found.table[1][0] == 10


def test_soft_labels_are_held_against_the_truth_and_hard_ones_are_not(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    p = 0.5 + chance.random(400) / 2
    truth = (chance.random(400) > p).astype(int).tolist()
    gold = preferences(tmp_path / "b.parquet", truth)
    found = agree(preferences(tmp_path / "a.parquet", [0] * 400, p.tolist()), gold)
    assert found.calibration is not None
    assert found.calibration.ece.value < 0.12
    assert found.calibration.brier.value == pytest.approx(np.mean((p - (np.array(truth) == 0)) ** 2), abs=1e-9)
    assert agree(gold, gold).calibration is None


def test_a_tie_of_the_truth_calibrates_nothing_and_surrounding_space_parts_no_pair(tmp_path: Path) -> None:
    def rows(space: str, ranks: list[int]) -> list[dict]:
        fixed = {"model": None, "parent": None, "kind": "answer", "ratings": []}
        answers = [{"id": f"x-{k}", "text": f"answer {k}{space}", "rank": rank, **fixed} for k, rank in enumerate(ranks)]
        tied = [{**one, "rank": 1} for one in answers]
        return [{**common(k), "prompt": turns(f"{space}question {k}"), "candidates": tied if k % 2 else answers} for k in range(40)]

    said = [verdict(k, order, ("first", "second")[order], (2.0, -2.0)[order]) for k in range(40) for order in (0, 1)]
    parquet(tmp_path / "a/verdicts/00000.parquet", [{**one, "a": "x-0", "b": "x-1"} for one in said], SCHEMA)
    parquet(tmp_path / "a/data/train-00000.parquet", rows("", [1, 2]), arrow_schema(Candidates))
    found = agree(artifact(tmp_path / "a"), parquet(tmp_path / "b.parquet", rows("\n", [1, 2]), arrow_schema(Candidates)))
    assert found.table == [[20, 20, 0], [0, 0, 0], [0, 0, 0]]
    assert found.calibration.ece.n == 20


def test_two_answers_of_the_same_text_are_no_pair(tmp_path: Path) -> None:
    fixed = {"model": None, "parent": None, "kind": "answer", "ratings": []}
    answers = [{"id": f"r0-{k}", "text": text, "rank": k + 1, **fixed} for k, text in enumerate(("same", "same ", "other"))]
    rows = [{**common(0), "prompt": turns("question"), "candidates": answers}]
    path = parquet(tmp_path / "a/data/train-00000.parquet", rows, arrow_schema(Candidates))
    parquet(tmp_path / "a/verdicts/00000.parquet", [verdict(0, 0, "first"), {**verdict(0, 0, "first"), "b": "r0-2"}], SCHEMA)
    found = agree(artifact(tmp_path / "a"), path)
    assert (found.pairs["a"], found.pairs["a_unread"], found.pairs["b"], found.pairs["b_repeated"]) == (1, 1, 1, 1)


def test_the_longer_answer_wins_as_often_as_it_is_said_to(tmp_path: Path) -> None:
    found = agree(preferences(tmp_path / "a.parquet", [1] * 30), preferences(tmp_path / "b.parquet", [0] * 15 + [1] * 15))
    assert found.coefficients["length_only_a"].value == 1
    assert found.coefficients["length_only_b"].value == 0.5


def test_it_is_written_beside_the_receipt_and_nothing_else_is_touched(tmp_path: Path) -> None:
    a = artifact(preferences(tmp_path / "a/data/train-00000.parquet", [0, 1] * 10).parents[1])
    b = preferences(tmp_path / "b.parquet", [0, 1] * 10)
    before = {path: path.read_bytes() for path in a.rglob("*") if path.is_file()}
    found = agree(a, b)
    assert write(found, a) == a / AGREEMENT
    assert {path: path.read_bytes() for path in a.rglob("*") if path.is_file() and path.name != AGREEMENT} == before
    (told,) = json.loads((a / AGREEMENT).read_text())["comparisons"]
    assert told["coefficients"]["percent"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 20}
    assert str(tmp_path) not in (a / AGREEMENT).read_text()
    assert write(found, b) is None


def test_every_set_of_labels_that_it_was_compared_with_stays_in_the_file(tmp_path: Path) -> None:
    a = artifact(preferences(tmp_path / "a/data/train-00000.parquet", [0, 1] * 10).parents[1])
    people, crowd = preferences(tmp_path / "people.parquet", [0, 1] * 10), preferences(tmp_path / "crowd.parquet", [1, 1] * 10)
    for other in (people, crowd, people):
        write(agree(a, other), a)
    whole = (a / AGREEMENT).read_bytes()
    told = json.loads(whole)["comparisons"]
    assert [(one["b"], one["coefficients"]["percent"]["value"]) for one in told] == [("crowd.parquet", 0.5), ("people.parquet", 1.0)]
    (a / AGREEMENT).unlink()
    for other in (people, crowd):
        write(agree(a, other), a)
    assert (a / AGREEMENT).read_bytes() == whole
    preferences(people, [1, 0] * 10)  # the same name, other labels
    write(agree(a, people), a)
    assert [one["b"] for one in json.loads((a / AGREEMENT).read_text())["comparisons"]] == ["crowd.parquet", "people.parquet", "people.parquet"]


def test_the_card_tells_every_comparison(tmp_path: Path) -> None:
    a = artifact(preferences(tmp_path / "a/data/train-00000.parquet", [0, 1] * 10).parents[1])
    for name, better in (("people", [0, 1] * 10), ("crowd", [1, 1] * 10)):
        write(agree(a, preferences(tmp_path / f"{name}.parquet", better)), a)
    told = judging(lineage(Artifact(a)))
    assert "with crowd.parquet (`" in told and "with people.parquet (`" in told and told.count("Pairs: a 20, b 20, both 20") == 2


def test_a_file_of_another_hand_is_not_written_over(tmp_path: Path) -> None:
    a = artifact(preferences(tmp_path / "a/data/train-00000.parquet", [0, 1] * 10).parents[1])
    (a / AGREEMENT).write_text("[1]")
    with pytest.raises(UsageError, match="move it away"):
        write(agree(a, preferences(tmp_path / "b.parquet", [0, 1] * 10)), a)


def test_the_same_labels_give_the_same_bytes(tmp_path: Path) -> None:
    a = artifact(preferences(tmp_path / "a/data/train-00000.parquet", [0, 1, 1] * 10).parents[1])
    b = preferences(tmp_path / "b.parquet", [0, 1, 0] * 10)
    written: Callable[[], bytes] = lambda: write(agree(a, b), a).read_bytes()  # noqa: E731
    assert written() == written()


def lines(name: str) -> list[dict]:
    with gzip.open(SHARED / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@needs_shared
def test_real_labels_against_themselves_flipped_and_swapped_agree_as_computed_apart(tmp_path: Path) -> None:
    chance = random.Random(0)
    rows = lines("llmbar_419.jsonl.gz")
    flips = [chance.random() < 0.2 for _ in rows]
    other = []
    for row, flip in zip(rows, flips, strict=True):
        label = 3 - row["label"] if flip else row["label"]
        swapped = {**row, "output_1": row["output_2"], "output_2": row["output_1"], "label": 3 - label}
        other.append(swapped if chance.random() < 0.5 else {**row, "label": label})
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in other))
    found = agree(SHARED / "llmbar_419.jsonl.gz", tmp_path / "b.jsonl")
    truth = [row["label"] for row in rows]
    metrics = pytest.importorskip("sklearn.metrics", reason="the oracle of Cohen's kappa: pip install scikit-learn")
    expected = metrics.cohen_kappa_score(truth, [3 - label if flip else label for label, flip in zip(truth, flips, strict=True)])
    assert found.pairs["both"] == 419
    assert found.coefficients["percent"].value == pytest.approx(1 - np.mean(flips))
    assert found.coefficients["cohen_kappa"].value == pytest.approx(expected, abs=1e-9)


@needs_shared
def test_real_preferences_in_a_judges_prompts_agree_with_themselves() -> None:
    path = SHARED / "hhh_alignment_221.jsonl.gz"
    found = agree(path, path)
    assert found.pairs["both"] == 221
    assert found.coefficients["krippendorff_nominal"].value == 1
    longer = [len(row["chosen_instruction"]) > len(row["rejected_instruction"]) for row in lines(path.name)]
    assert found.coefficients["length_only_a"].value == pytest.approx(np.mean(longer), abs=0.02)
