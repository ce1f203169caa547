"""What a stage would ask, before anybody is asked: rows in; the calls of the run out, and the rows that later stages will read.

A text that is not written yet stands in with the most tokens that it may have, so that an
estimate is rather too high than too low.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from math import ceil
from pathlib import Path
from typing import NamedTuple

from curate.judges.budget import Estimate, estimate
from curate.judges.calls import Call
from curate.judges.endpoint import ChatModel, Endpoint
from curate.judges.prompts import load_prompt, prompt_path
from curate.judges.shown import conversation_text
from curate.stages.asked import Read, Row, with_metadata
from curate.stages.generate import Answers, Generate, Revise, Write
from curate.stages.generate_answers import answer_calls, write_calls
from curate.stages.generate_chat import prompt_of
from curate.stages.judge import Judge, Pairwise, Recorded
from curate.stages.judge_questions import pair_question, pair_questions, pairs, questions
from curate.stages.judge_units import Judged, judged
from curate.steps.step import Drop

Rows = Callable[[], Iterator[Read]]
_CHARACTERS = 4
"""Of a token, in what stands in for a text (curate.judges.calls.estimated_tokens)."""


class Ahead(NamedTuple):
    """Rows that a stage will read, as far as they can be known."""

    shape: str
    rows: Rows
    times: float = 1.0
    """How many of the real rows stand behind each of them."""
    basis: str = ""
    """What `times` rests on where the real rows may be more."""


def estimated(stage: Generate | Judge, shape: str, rows: Rows, endpoints: dict[str, Endpoint], journal: Path) -> Estimate:
    """Calls, tokens and cost of what the journal does not know yet, at most; asks nobody and needs no address."""
    known = {model.endpoint: endpoints.get(model.endpoint, Endpoint()) for model in stage.asked}
    return estimate(calls(stage, shape, rows), known, journal)


def calls(stage: Generate | Judge, shape: str, rows: Rows) -> Iterator[Call]:
    """The calls of the stage."""
    for read in rows():
        if isinstance(stage, Answers):
            prompt = prompt_of(shape, read.row)
            yield from () if isinstance(prompt, Drop) else (call for call, _ in answer_calls(stage, read.row, prompt))
        elif isinstance(stage, Write):
            yield from write_calls(stage, read.row)
        elif isinstance(stage, Revise):
            yield from _revisions(stage, read.row)
        elif not isinstance(stage, Recorded):
            yield from _judgements(stage, judged(shape, read))


def _revisions(stage: Revise, row: Row) -> Iterator[Call]:
    asked, model = conversation_text(row["prompt"]), max(stage.models, key=lambda one: one.max_tokens)
    for answer in (one for one in row["candidates"] if one["kind"] == "answer"):
        for number in range(stage.rounds):
            data = {"prompt": asked, "draft": answer["text"] if number == 0 else _text(model)}
            for name, more in ((stage.critique, {}), (stage.revision, {"critique": _text(model)})):
                prompt = load_prompt(prompt_path(name))
                yield Call(model, prompt.messages({**data, **more}, {"principle": "x" * 200}), prompt.hash, draw=number)


def _judgements(stage: Judge, unit: Judged) -> Iterator[Call]:
    if not isinstance(stage, Pairwise):
        yield from (question.call for question in questions(stage, unit))
        return
    asked = pair_questions(stage, unit)
    if stage.active:
        each = len(stage.judges) * 2
        asked = asked[: max(len(unit.answers) - 1, ceil(stage.active * len(pairs(unit)) - 1e-9)) * each]
    yield from (question.call for question in asked)
    for draw in range(1, ceil(stage.calls_per_pair / 2)):
        for pair in pairs(unit):
            for judge in (one for one in stage.judges if not one.logprobs):
                yield from (pair_question(stage, unit, judge, pair, order, draw).call for order in (0, 1))


def _text(model: ChatModel) -> str:
    return "x" * (_CHARACTERS * model.max_tokens)


def rows_ahead(stage: Generate, shape: str, rows: Rows) -> Rows:
    """What the stage will write at most, for the estimates of those that read it."""
    return lambda: (read._replace(row=row) for read in rows() for row in _made(stage, shape, read.row))


def _made(stage: Generate, shape: str, row: Row) -> list[Row]:
    longest = max(stage.models, key=lambda model: model.max_tokens)
    if isinstance(stage, Write):
        return [with_metadata({**row, "text": _text(longest)}, snippet=row["text"][: stage.document_chars])] * stage.texts
    prompt = prompt_of(shape, row)
    if isinstance(prompt, Drop):
        return []
    before = row["candidates"] if isinstance(stage, Revise) else []
    count = len(before) * stage.rounds if isinstance(stage, Revise) else stage.answers
    made = {"id": row["id"], "prompt": prompt, "metadata": row["metadata"]}
    return [{**made, "candidates": [*before, *islice(_stand_ins(row, longest, len(before)), count)]}]


def _stand_ins(row: Row, model: ChatModel, number: int) -> Iterator[Row]:
    """Answers of the greatest length, no two alike; `number` there are already."""
    while True:
        number += 1
        text = f"{number}{_text(model)}"
        yield {"id": f"{row['id']}-{number}", "text": text, "model": model.model, "kind": "answer", "parent": None, "ratings": [], "rank": None}
