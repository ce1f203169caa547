"""What a row asks and what it answers: a row in, its prompt, each of its answers and its metadata out."""

import orjson

from curate.steps.rows.parts import joined, texts
from curate.steps.rows.unit import RowUnit

JUDGED = ("candidates", "preference", "feedback")
"""Shapes whose rows say that one answer is better, or not good: a bad answer belongs there."""


def answers_of(unit: RowUnit) -> dict[str, str]:
    """Each answer by its side: `chosen` and `rejected` of a pair, `1`, `2` ... of candidates, else `answer`.

    The assistant's turns of a conversation are one answer, since a trainer reads them together.
    """
    if unit.shape == "preference":
        return {side: "\n\n".join(turn["content"] for turn in unit.row[side]) for side in ("chosen", "rejected")}
    if unit.shape == "candidates":
        return {str(number): text for number, text in enumerate(texts(unit.shape, unit.row, "answer"), 1)}
    return {"answer": joined(unit.shape, unit.row, "answer")}


def prompt_of(unit: RowUnit) -> str:
    return joined(unit.shape, unit.row, "prompt")


def metadata_of(row: dict) -> dict:
    """The fields of the row's metadata; none where they are no JSON object."""
    try:
        found = orjson.loads(row.get("metadata") or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def key_of(unit: RowUnit, by: str) -> str | None:
    """What a row has under a name: a column of text (`source`, `licence`, `group`), its language, or a field of its metadata.

    `metadata.source` is the field where a column has the name too. None where there is nothing.
    """
    if by == "language" and unit.language:
        return unit.language
    value = None if by.startswith("metadata.") else unit.row.get(by)
    if value is None:
        value = metadata_of(unit.row).get(by.removeprefix("metadata."))
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
