"""Chosen and rejected answers: texts, turns or whole conversations, with or without a prompt beside them.

The layouts of TRL (implicit and explicit prompt), LLaMA-Factory, UltraFeedback binarised,
truthy-dpo, preference_700K and their like.
"""

import math
from typing import ClassVar, Literal

from curate.formats.alpaca import joined
from curate.formats.dialect import Dialect, Row, column, optional, with_system
from curate.formats.laws import Fields
from curate.formats.messages import as_turns, message
from curate.formats.pairs import common_prompt, pair
from curate.formats.transcripts import TRANSCRIPT, prompt_turns
from curate.formats.turns import Refused, Turn, turn, turns_of

_SCORES = (("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"), ("chosen-rating", "rejected-rating"))


class ChosenRejected(Dialect):
    """`chosen` and `rejected`, and `prompt` (or `question`, `instruction` and `input`, `conversations`), `system`."""

    use: Literal["chosen_rejected"] = "chosen_rejected"
    shape: ClassVar[str] = "preference"
    needs: ClassVar[tuple[str, ...]] = ("chosen", "rejected")
    takes: ClassVar[tuple[str, ...]] = ("prompt", "question", "instruction", "input", "conversations", "messages", "system")

    def fits(self, row: Row) -> bool:
        return super().fits(row) and not all(_is_transcript(row[name]) for name in ("chosen", "rejected"))

    def to_rows(self, row: Row) -> list[Fields]:
        answers = (_answer(row, name) for name in ("chosen", "rejected"))
        prompt, chosen, rejected = common_prompt(_prompt(row), *answers)
        return [pair(with_system(optional(row, "system"), prompt), chosen, rejected, _margin(row))]

    def from_row(self, fields: Fields) -> Row:
        return {name: [message(one) for one in fields[name]] for name in ("prompt", "chosen", "rejected")}


def _is_transcript(value: object) -> bool:
    return isinstance(value, str) and TRANSCRIPT.match(value) is not None


def _answer(row: Row, name: str) -> list[Turn]:
    if column(row, name) is None:
        raise Refused("missing_answer")
    return as_turns(row[name], "assistant")


def _prompt(row: Row) -> list[Turn]:
    """The prompt that stands beside the answers; none where the answers repeat it."""
    for name in ("prompt", "question"):
        if row.get(name) is not None:
            return prompt_turns(row[name])
    if optional(row, "instruction"):
        return [turn("user", joined(row["instruction"], optional(row, "input"), "\n\n"))]
    return turns_of(row["conversations"]) if row.get("conversations") is not None else []


def _margin(row: Row) -> float | None:
    """How much better the chosen answer was scored, where both have a score."""
    for chosen, rejected in _SCORES:
        scores = (row.get(chosen), row.get(rejected))
        if all(isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score) for score in scores):
            return float(scores[0] - scores[1])
    return None
