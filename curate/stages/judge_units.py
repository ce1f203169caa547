"""A row of any shape in, what a judge sees of it out: the conversation as one text and the answers to compare."""

from collections.abc import Iterable
from typing import NamedTuple

from curate.judges.shown import conversation_text, turn_text
from curate.rows import content_id
from curate.stages.asked import Read, Row


class Answer(NamedTuple):
    """An answer by its id in verdicts; of a pair's side that is the hash of its text."""

    id: str
    text: str
    model: str | None


class Judged(NamedTuple):
    """A row as judges see it."""

    id: str
    prompt: str
    answers: list[Answer]
    """Each text once: two answers that say the same cannot be compared."""
    row: Row


def judged(shape: str, read: Read) -> Judged:
    """The row with its answers; those of a pair stand by the hashes of their texts, so that their order tells no label."""
    row = read.row
    if shape == "document":
        return Judged(row["id"], "", [Answer(row["id"], row["text"], None)], row)
    if shape == "preference":
        answers = sorted(side_answer(row, name) for name in ("chosen", "rejected"))
    else:
        answers = [Answer(one["id"], one["text"], one["model"]) for one in row["candidates"] if one["kind"] != "critique"]
    return Judged(row["id"], conversation_text(row["prompt"]), list(_distinct(answers)), row)


def side_answer(row: Row, name: str) -> Answer:
    """The chosen or the rejected answer of a pair."""
    text = turn_text(row[name][0])
    return Answer(content_id(text), text, None)


def _distinct(answers: Iterable[Answer]) -> Iterable[Answer]:
    first: dict[str, Answer] = {}
    for answer in answers:
        first.setdefault(answer.text.strip(), answer)
    return first.values()
