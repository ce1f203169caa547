"""The ablation in miniature: its arms are built as said, its pairs are fair, and its verdicts follow the intervals."""

import gzip
import json
from pathlib import Path

import pytest
from conftest import cut_sample

pytest.importorskip("trl", reason="TRL is an extra")

import polars as pl
from judge_stages import table

from benchmarks import ablation, ablation_labels, ablation_text

BRIEF = ablation_text.SIZES["small"]._replace(steps=2)
SENTENCES = "The harbour lay still in the morning. Nobody had seen the ferry leave, and the clerk wrote down the hour in a green book. "


def held_out(folder: Path) -> dict[str, Path]:
    path = folder / "held.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"text": f"{number} {SENTENCES * 9}"}) + "\n" for number in range(4))
    return {"book": path}


def test_each_arm_has_the_steps_of_the_one_before_it_and_none_has_the_languages_of_the_chain() -> None:
    chains = [[step["use"] for step in ablation_text.recipe(arm, [], {})["stages"][0]["web"]["steps"]] for arm in ablation_text.ADDED]
    for shorter, longer in zip(chains, chains[1:], strict=False):
        assert longer[: len(shorter)] == shorter and len(longer) > len(shorter)
    assert chains[0] == ["extract", "decontaminate"]
    assert "languages" not in ablation_text.recipe("curated", [], {})["stages"][0]["web"]["steps"][0]


def test_all_arms_learn_from_as_many_tokens_and_are_measured_on_the_same_texts(tmp_path: Path) -> None:
    cut_sample(tmp_path / "pages")
    home, arms = tmp_path / "home", ("raw", "curated")
    home.mkdir()
    found = ablation_text.measures(0, home, [tmp_path / "pages" / "part-0.warc.gz"], held_out(tmp_path), BRIEF, arms)
    assert found["raw"]["documents"] == 8 > found["curated"]["documents"] > 0
    assert found["raw"]["times read"] < found["curated"]["times read"]
    assert all(1 < values["bits a byte, book"] < 16 for values in found.values())
    blocks = [pl.read_parquet(home / f"{arm}-0.parquet")["input_ids"].list.len().to_list() for arm in arms]
    assert blocks == [[BRIEF.length] * 2 * BRIEF.batch] * 2


def test_held_out_pieces_are_drawn_by_the_seed_and_are_parts_of_the_texts(tmp_path: Path) -> None:
    [path] = held_out(tmp_path).values()
    drawn = ablation_text.pieces(path, 1)
    assert drawn == ablation_text.pieces(path, 1) != ablation_text.pieces(path, 2)
    whole = "\n".join(f"{number} {SENTENCES * 9}" for number in range(4))
    assert all(piece["text"] in whole and len(piece["text"]) <= ablation_text.PIECE for piece in drawn)


def test_both_orders_bring_back_the_gold_that_a_lean_to_the_first_place_hides(tmp_path: Path) -> None:
    world = ablation_labels.Drawn(5)
    rows = world.gold("gold", 60)
    made = ablation_labels.labelled(table(tmp_path, "pairs", rows, "preference"), world, {"position": 2.0}, 5, tmp_path / "judged")
    better = {row["chosen"][0]["content"] for row in rows}
    right = {}
    for asked, path in made.items():
        labels = pl.read_parquet(path / "data" / "*.parquet")
        assert len(labels) == len(rows)
        right[asked] = sum(turns[0]["content"] in better for turns in labels["chosen"]) / len(rows)
    assert right["both orders"] == 1.0 and right["one order"] < 0.9


def test_the_longer_of_two_answers_of_equal_worth_is_worth_nothing_more() -> None:
    world = ablation_labels.Drawn(5)
    for row in world.alike(20):
        long, short = (row[side][0]["content"] for side in ("chosen", "rejected"))
        assert world.of(long) == pytest.approx(world.of(short)) and len(long.split()) > len(short.split())


def test_a_model_aligned_on_gold_labels_is_measured_on_gold_and_on_length(tmp_path: Path) -> None:
    size = ablation_labels.SIZES["small"]._replace(labelled=16)
    found = ablation_labels.measures(0, tmp_path, size, judges={})
    values = found[ablation_labels.GOLD]
    assert list(found) == [ablation_labels.GOLD] and values["lean to length"] == 0
    assert 0 <= values["accuracy on gold"] <= 1 and 0 <= values["longer preferred"] <= 1
    assert ablation_labels.measures(0, tmp_path, size, judges={}) == found  # the second time nothing is trained


FOUNDS = [{"a": {"m": 0.1 + seed / 100}, "b": {"m": 0.5}, "c": {"m": 0.4 if seed else 0.7}} for seed in range(3)]


@pytest.mark.parametrize(
    ("arm", "least_is_best", "said"), [("a", True, "win"), ("a", False, "loss"), ("c", True, "undecided"), ("c", False, "undecided")]
)
def test_a_verdict_is_a_win_or_a_loss_only_where_the_interval_excludes_zero(arm: str, least_is_best: bool, said: str) -> None:
    assert ablation.verdict(ablation.difference(FOUNDS, arm, "b", "m"), least_is_best) == said


def test_every_arm_and_every_named_comparison_has_a_line() -> None:
    assert [line.split(" | ")[0] for line in ablation.levels(FOUNDS)][1:] == ["| a", "| b", "| c"]
    lines = list(ablation.comparisons(FOUNDS, [("a", "b"), ("c", "b")], {"m": True}))
    assert [line.split(" | ")[-1] for line in lines[1:]] == ["win |", "undecided |"]


def test_both_comparisons_have_every_size_and_the_larger_model_learns_from_more() -> None:
    assert set(ablation_text.SIZES) == set(ablation_labels.SIZES) == {"small", "medium"}
    small, medium = (ablation_text.SIZES[name] for name in ("small", "medium"))
    assert medium.steps * medium.batch * medium.length > 20 * small.steps * small.batch * small.length


def test_the_comparisons_name_arms_that_there_are() -> None:
    assert {arm for pair in ablation_text.PAIRS for arm in pair} <= set(ablation_text.ADDED)
    arms = {f"{judge}: {arm}" for judge in ablation_labels.JUDGES for arm in ablation_labels.ARMS}
    assert {arm for pair in ablation_labels.PAIRS for arm in pair} <= arms
