"""From a judge that is asked in one order to the places on the pairs, by which `shortcuts` finds its lean."""

import json
from pathlib import Path

import pytest
from judge_server import running
from judge_stages import JUDGE, run, table, verdicts
from mix_artifacts import Row, preference
from test_judge_stage import prompts, utilities

from curate.artifact import Artifact
from curate.pairs import AllPairs
from curate.stages.judge_units import side_answer

WRITTEN = {"endpoint": "judge", "model": "judge-a", "max_tokens": 300}


def told(row: Row, *names: str) -> list[object]:
    metadata = json.loads(row["metadata"])
    return [metadata.get(name) for name in names]


def rows_of(artifact: Artifact) -> list[Row]:
    return artifact.data().collect().to_dicts()


def first_shown(artifact: Artifact) -> dict[tuple[str, frozenset[str]], str]:
    """By row and pair of answers, the one that the judge saw first."""
    found = verdicts(artifact).select("row_id", "a", "b", "order").rows()
    return {(row, frozenset((a, b))): (b if order else a) for row, a, b, order in found}


@pytest.mark.parametrize("answers", [2, 4])
def test_every_pair_tells_the_places_at_which_the_judge_saw_its_sides(tmp_path: Path, answers: int) -> None:
    rows = prompts(12, answers)
    with running(tmp_path / "s", utilities=utilities(rows)) as server:
        block = {"use": "pairwise", "judges": [JUDGE], "orders": "one"}
        made = run("judge", block, table(tmp_path, "p", rows, "candidates"), tmp_path / "j", server.url)
    first = first_shown(made)
    assert {first[key] in sorted(key[1])[:1] for key in first} == {True, False}  # both answers are shown first now and then
    for row in rows_of(made):
        ids = {one["text"]: one["id"] for one in row["candidates"]}
        for pair in AllPairs().rows(row):
            sides = [ids[pair[side][0]["content"]] for side in ("chosen", "rejected")]
            leads = first[row["id"], frozenset(sides)] == sides[0]
            assert told(pair, "chosen_position", "rejected_position") == ([1, 2] if leads else [2, 1])


def test_a_ranking_in_one_order_tells_the_place_of_each_answer(tmp_path: Path) -> None:
    rows = prompts(6, 4)
    with running(tmp_path / "s", utilities=utilities(rows)) as server:
        block = {"use": "ranking", "judges": [WRITTEN], "orders": "one"}
        made = run("judge", block, table(tmp_path, "p", rows, "candidates"), tmp_path / "j", server.url)
    shown = verdicts(made).group_by("row_id", maintain_order=True).agg("a")
    for row_id, ids in shown.rows():
        row = next(row for row in rows_of(made) if row["id"] == row_id)
        ((listed,),) = told(row, "shown")
        assert [row["candidates"][number]["id"] for number in listed] == ids


def test_the_places_of_a_judged_pair_go_with_its_sides_when_it_is_turned(tmp_path: Path) -> None:
    rows = [preference("p", number, metadata=json.dumps({"chosen_model": "m", "rejected_model": "n"})) for number in range(16)]
    truth = {side_answer(row, side).text: float(number % 2 == (side == "chosen")) * 4 for number, row in enumerate(rows) for side in ("chosen", "rejected")}
    with running(tmp_path / "s", utilities=truth) as server:
        block = {"use": "pairwise", "judges": [JUDGE], "orders": "one"}
        made = run("judge", block, table(tmp_path, "p", rows, "preference"), tmp_path / "j", server.url)
    first, seen = first_shown(made), set()
    for row in rows_of(made):
        sides = [side_answer(row, side).id for side in ("chosen", "rejected")]
        leads, (turned,) = first[row["id"], frozenset(sides)] == sides[0], told(row, "turned")
        assert told(row, "chosen_position", "rejected_position") == ([1, 2] if leads else [2, 1])
        assert told(row, "chosen_model", "rejected_model") == (["n", "m"] if turned else ["m", "n"])
        seen.add((turned, leads))
    assert {turned for turned, _ in seen} == {True, False}


def test_both_orders_leave_no_place_and_take_an_older_one_away(tmp_path: Path) -> None:
    rows = [{**row, "metadata": '{"positions":[1,2],"kept":1}'} for row in prompts(4, 2)]
    with running(tmp_path / "s", utilities=utilities(rows)) as server:
        made = run("judge", {"use": "pairwise", "judges": [JUDGE]}, table(tmp_path, "p", rows, "candidates"), tmp_path / "j", server.url)
    assert {row["metadata"] for row in rows_of(made)} == {'{"kept":1}'}
