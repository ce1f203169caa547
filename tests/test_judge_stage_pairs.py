"""Every way of judging on pairs that have a label already: which answer it leaves chosen, and what it makes of calls in them."""

import json
from pathlib import Path

import pytest
from judge_server import running
from judge_stages import JUDGE, run, table, verdicts
from mix_artifacts import Row, preference, said

from curate.config import UsageError
from curate.judges.labelled import labelled
from curate.stages.asked import Read
from curate.stages.judge import Pairwise
from curate.stages.judge_questions import questions
from curate.stages.judge_units import judged

WRITTEN = {**JUDGE, "logprobs": 0}


def pairs(count: int) -> list[Row]:
    return [preference("h", number, metadata=json.dumps({"snippet": f"Fact {number}.", "language": "en"})) for number in range(count)]


def worth(rows: list[Row], *values: tuple[float, float]) -> dict[str, float]:
    """Utilities of the chosen and the rejected answer of each row."""
    return {row[side][0]["content"]: value for row, both in zip(rows, values, strict=True) for side, value in zip(("chosen", "rejected"), both, strict=True)}


@pytest.mark.parametrize("use", ["pairwise", "constitutional", "pointwise", "rubric", "ranking"])
def test_the_better_answer_is_chosen_whichever_it_was_before(tmp_path: Path, use: str) -> None:
    rows = pairs(2)
    with running(tmp_path / "s", utilities=worth(rows, (2.0, -2.0), (-2.0, 2.0))) as server:
        made = run("judge", {"use": use, "judges": [WRITTEN]}, table(tmp_path, "h", rows, "preference"), tmp_path / "j", server.url)
    found = made.data().collect().to_dicts()
    assert [row["chosen"][0]["content"].split()[1] for row in found] == ["chosen", "rejected"]
    assert [json.loads(row["metadata"])["turned"] for row in found] == [False, True]
    assert all(row["margin"] > 0 and row["content_id"] for row in found)
    assert all((row["probability"] is None) == (use not in ("pairwise", "constitutional")) for row in found)


def test_ratings_of_both_sides_stand_in_the_metadata(tmp_path: Path) -> None:
    rows = pairs(1)
    with running(tmp_path / "s", utilities=worth(rows, (-9.0, 9.0))) as server:
        made = run("judge", {"use": "pointwise", "judges": [WRITTEN]}, table(tmp_path, "h", rows, "preference"), tmp_path / "j", server.url)
    row = made.data().collect().to_dicts()[0]
    assert json.loads(row["metadata"])["ratings"] == {"chosen": {"overall": 10.0}, "rejected": {"overall": 1.0}} and row["margin"] == 9.0


def test_equal_numbers_are_a_tie_and_an_earlier_probability_does_not_outlive_its_label(tmp_path: Path) -> None:
    rows = [{**row, "probability": 0.9, "margin": 2.0} for row in pairs(2)]
    with running(tmp_path / "s", utilities=worth(rows, (9.0, 9.0), (9.0, -9.0))) as server:
        made = run("judge", {"use": "pointwise", "judges": [WRITTEN]}, table(tmp_path, "h", rows, "preference"), tmp_path / "j", server.url)
    assert made.receipt.counts.dropped == {"judge.tie": 1}
    assert made.data().collect()["probability"].to_list() == [None]


def test_a_pair_of_which_one_side_cannot_be_read_is_dropped_by_name(tmp_path: Path) -> None:
    rows = pairs(12)
    with running(tmp_path / "s", faults={"refusal": 0.4}) as server:
        made = run("judge", {"use": "pointwise", "judges": [WRITTEN]}, table(tmp_path, "h", rows, "preference"), tmp_path / "j", server.url)
    lost = set(verdicts(made).filter(verdicts(made)["failed"] == "refused")["row_id"])
    assert 0 < made.receipt.counts.dropped["judge.refused"] == len(lost)


def test_facts_turn_a_pair_and_what_is_wrong_twice_stands_below_a_refusal(tmp_path: Path) -> None:
    rows = pairs(5)
    rows[4]["metadata"] = "{}"
    truth = worth(rows, (1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, 1.0))
    with running(tmp_path / "s", utilities=truth) as server:
        made = run("judge", {"use": "factuality", "judges": [WRITTEN]}, table(tmp_path, "f", rows, "preference"), tmp_path / "j", server.url)
    found = made.data().collect().to_dicts()
    assert made.receipt.counts.dropped == {"judge.no_snippet": 1}
    chosen = [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in found]
    sides = [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows]
    assert chosen[:3] == [sides[0], sides[1], sides[2][::-1]]
    assert chosen[3][0] not in sides[3] and chosen[3][1] == sides[3][0]
    assert [json.loads(row["metadata"])["known"] for row in found] == [1.0, 0.5, 0.5, 0.0]


def test_documents_are_refused_by_every_way_that_compares_answers_and_pairs_by_the_one_that_rates_documents(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="works on document rows, and these are preference rows"):
        run("judge", {"use": "documents", "judges": [WRITTEN]}, table(tmp_path, "h", pairs(1), "preference"), tmp_path / "j", "http://127.0.0.1:9/v1")


CALL = json.dumps([{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}])


def calling() -> Row:
    """A pair of which both answers say the same and only one calls."""
    row = preference("h", 1)
    prompt = [said("user", "Add."), {**said("assistant", ""), "tool_calls": CALL}, {**said("tool", "2"), "name": "add"}, said("user", "Again.")]
    return {**row, "prompt": prompt, "chosen": [{**said("assistant", "Yes."), "tool_calls": CALL}], "rejected": [said("assistant", "Yes.")]}


def test_judges_are_shown_every_call_and_every_answer_of_a_tool() -> None:
    unit = judged("preference", Read(calling(), 0, "f", 0))
    asked = questions(Pairwise(judges=[WRITTEN]), unit)
    shown = asked[0].call.messages[-1]["content"]
    assert f"user: Add.\n\nassistant: tool_calls: {CALL}\n\ntool add: 2\n\nuser: Again." in shown
    assert f"Yes.\ntool_calls: {CALL}\n" in shown


def test_a_pair_that_differs_in_a_call_alone_is_judged_turned_and_found_again(tmp_path: Path) -> None:
    row = calling()
    with running(tmp_path / "s", utilities={f"Yes.\ntool_calls: {CALL}": -2.0, "Yes.": 2.0}) as server:
        block = {"use": "pairwise", "judges": [JUDGE]}
        made = run("judge", block, table(tmp_path, "h", [row], "preference"), tmp_path / "j", server.url)
    kept = made.data().collect().to_dicts()[0]
    assert (kept["chosen"], kept["rejected"]) == (row["rejected"], row["chosen"])
    label = labelled(made.path).labels[0]
    assert {label.one.length, label.other.length} == {4, 4 + len(f"\ntool_calls: {CALL}")}
