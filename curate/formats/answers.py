"""Several answers to one prompt: what the dialects of votes, ratings and rankings share."""

import math
import re
from collections.abc import Mapping

from curate.formats.laws import Fields
from curate.formats.turns import Refused, Turn

MISSING = ("", "n/a", "na", "none", "null")
"""How a rating says that it is none."""

_DECIMAL_COMMA = re.compile(r"\s*[+-]?(?:\d+,(?:\d{1,2}|\d{4,})|0,\d+)\s*", re.ASCII)

SHOWN = {"positions": [1, 2]}
"""Metadata of two answers that were judged side by side: the place, from 1, at which each was seen."""


def answer(text: str, model: str | None = None, rank: int | None = None, ratings: Mapping[str, float | None] | None = None) -> Fields:
    """One answer as a candidate; its id is given where its row gets one."""
    judged = [{"aspect": aspect, "value": value} for aspect, value in (ratings or {}).items()]
    return {"id": "", "text": text, "model": model, "parent": None, "kind": "answer", "ratings": judged, "rank": rank}


def candidates(prompt: list[Turn], answers: list[Fields], metadata: Mapping[str, object] | None = None) -> Fields:
    """A row of several answers, with what the dialect says beyond them."""
    fields: Fields = {"prompt": prompt, "candidates": answers}
    return {**fields, "metadata": dict(metadata)} if metadata else fields


def only_text(turns: list[Turn]) -> str:
    """The text of an answer that is one turn of plain text."""
    if len(turns) != 1 or turns[0]["role"] != "assistant" or turns[0]["tool_calls"]:
        raise Refused("answer_not_one_turn")
    return turns[0]["content"]


def rating(value: object, low: float = -math.inf, high: float = math.inf) -> float | None:
    """A number on the scale; None where the dialect says that there is none. Raises Refused for anything else."""
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        return None
    number = number_of(value)
    if not math.isfinite(number) or not low <= number <= high:
        raise Refused("broken_rating")
    return number


def number_of(value: object) -> float:
    """A number, also where a table has it as text; NaN for anything else. A comma is a decimal one where it cannot part thousands."""
    if isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value):
        value = value.replace(",", ".")
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return math.nan


def ranks_of(better: int | None) -> tuple[int, int]:
    """Ranks of two answers: the place of the better one (0 or 1), or None for a tie."""
    return (1, 1) if better is None else (1, 2) if better == 0 else (2, 1)


def whole(value: object, reason: str) -> int:
    """A whole number, also where a table made it a float or a text."""
    number = number_of(value)
    if not number.is_integer():
        raise Refused(reason)
    return int(number)
