"""What a run will ask and cost, told before it: against what it then asks of a simulated server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from judge_server import running
from judge_stages import JUDGE, as_given, run, table
from mix_artifacts import Row, conversation, document
from pydantic import TypeAdapter

from curate.judges.endpoint import Endpoint, Price
from curate.stages.asked import Read, rows
from curate.stages.calls_ahead import calls, estimated, rows_ahead
from curate.stages.generate import Generate
from curate.stages.judge import Judge

WRITER = {"endpoint": "judge", "model": "writer", "max_tokens": 100}
PRICED = {"judge": Endpoint(prices={"writer": Price(input=1, output=2), "judge-a": Price(input=1, output=2)})}


def stage(kind: object, block: Row) -> object:
    return TypeAdapter(kind).validate_python(block)


def test_the_estimate_of_a_chain_has_the_calls_of_the_run_and_at_least_its_cost(tmp_path: Path) -> None:
    source = table(tmp_path, "c", [conversation("c", number) for number in range(5)], "conversation")
    blocks = {"use": "answers", "models": [WRITER], "answers": 3}, {"use": "pairwise", "judges": [JUDGE]}
    answers, pairwise = stage(Generate, blocks[0]), stage(Judge, blocks[1])

    def given() -> Iterator[Read]:
        return rows(source, None)

    journal = tmp_path / "calls.sqlite"
    ahead = [
        estimated(answers, "conversation", given, PRICED, journal),
        estimated(pairwise, "candidates", rows_ahead(answers, "conversation", given), PRICED, journal),
    ]
    with running(tmp_path / "s") as server:
        written = run("generate", blocks[0], source, tmp_path / "g", server.url)
        made = run("judge", blocks[1], as_given(written), tmp_path / "j", server.url)
        again = estimated(pairwise, "candidates", lambda: rows(as_given(written), None), PRICED, journal)
    bills = [one.receipt.report["bill"]["judge"] for one in (written, made)]
    assert [one.calls for one in ahead] == [bill["calls"] for bill in bills] == [15, 30]
    for one, bill in zip(ahead, bills, strict=True):
        assert one.tokens_in >= bill["tokens_in"] and one.tokens_out >= bill["tokens_out"] and one.cost > 0
    assert (again.calls, again.cached) == (0, 30)


@pytest.mark.parametrize(
    ("block", "count"),
    [
        ({"use": "pairwise", "judges": [JUDGE], "active": 0.5}, 6),
        ({"use": "pairwise", "judges": [{**JUDGE, "logprobs": 0, "temperature": 1.0}], "calls_per_pair": 6}, 36),
        ({"use": "rubric", "judges": [JUDGE]}, 20),
        ({"use": "ranking", "judges": [JUDGE]}, 2),
    ],
)
def test_every_way_of_judging_tells_its_calls(tmp_path: Path, block: Row, count: int) -> None:
    source = table(tmp_path, "c", [conversation("c", 1)], "conversation")
    answers = stage(Generate, {"use": "answers", "models": [WRITER], "answers": 4})
    assert len(list(calls(stage(Judge, block), "candidates", rows_ahead(answers, "conversation", lambda: rows(source, None))))) == count


def test_revisions_and_texts_tell_their_calls(tmp_path: Path) -> None:
    source = table(tmp_path, "d", [document("d", 1)], "document")
    write = stage(Generate, {"use": "write", "models": [WRITER], "texts": 2})
    answers = stage(Generate, {"use": "answers", "models": [WRITER], "answers": 2})
    revise = stage(Generate, {"use": "revise", "models": [WRITER], "rounds": 3})
    given = rows_ahead(write, "document", lambda: rows(source, None))
    assert len(list(calls(write, "document", lambda: rows(source, None)))) == 2
    assert len(list(calls(revise, "candidates", rows_ahead(answers, "document", given)))) == 2 * 2 * 3 * 2
    revisions = rows_ahead(revise, "candidates", rows_ahead(answers, "document", given))
    pairwise = stage(Judge, {"use": "pairwise", "judges": [JUDGE]})
    assert len(list(calls(pairwise, "candidates", revisions))) == 2 * (8 * 7 // 2) * 2  # two answers with three revisions each
