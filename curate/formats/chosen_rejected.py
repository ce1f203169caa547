"""Chosen and rejected answers: texts, turns or whole conversations, with or without a prompt beside them.

The layouts of TRL (implicit and explicit prompt), LLaMA-Factory, UltraFeedback binarised,
truthy-dpo, preference_700K and their like.
"""

import math
from typing import ClassVar, Literal

from curate.formats.alpaca import joined
from curate.formats.answers import number_of
from curate.formats.dialect import Dialect, Row, column, optional, system_of, with_system
from curate.formats.laws import Fields
from curate.formats.messages import as_turns, message
from curate.formats.pairs import common_prompt, pair
from curate.formats.transcripts import TRANSCRIPT, prompt_turns
from curate.formats.turns import Refused, Turn, turn, turns_of

_ANSWERS = (("chosen_response", "rejected_response"), ("response_j", "response_k"), ("preferred_output", "non_preferred_output"))
"""Other names of the chosen and the rejected answer: Argilla's, StackExchange's and OpenAI's."""
_SCORES = ("score_{}", "{}_score", "{}-rating", "{}_rating", "rating_{}", "{}_avg_rating")


class ChosenRejected(Dialect):
    """`chosen` and `rejected`, and `prompt` (or `question`, `instruction` and `input`, `conversations` ...), `system`."""

    version: ClassVar[int] = 3
    use: Literal["chosen_rejected"] = "chosen_rejected"
    shape: ClassVar[str] = "preference"
    needs: ClassVar[tuple[str, ...]] = ("chosen", "rejected")
    takes: ClassVar[tuple[str, ...]] = (
        "prompt", "question", "instruction", "input", "conversations", "trajectory", "messages", "system", "system_prompt",
    )  # fmt: skip

    def renamed(self, row: Row) -> Row:
        row = super().renamed(row)
        if "chosen" in row or "rejected" in row:
            return row
        found = next((names for names in _ANSWERS if all(name in row for name in names)), ())
        ours = dict(zip(found, self.needs, strict=False))
        return {ours.get(name, name): value for name, value in row.items()}

    def fits(self, row: Row) -> bool:
        return super().fits(row) and not all(_is_transcript(row[name]) for name in ("chosen", "rejected"))

    def to_rows(self, row: Row) -> list[Fields]:
        if row.get("status") == "tie":
            raise Refused("undecided")
        answers = (_answer(row, name) for name in ("chosen", "rejected"))
        prompt, chosen, rejected = common_prompt(_prompt(row), *answers)
        return [pair(with_system(system_of(row), prompt), chosen, rejected, _margin(row))]

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
    if row.get("input"):
        return turns_of(row["input"].get("messages")) if isinstance(row["input"], dict) else prompt_turns(row["input"])
    earlier = next((row[name] for name in ("conversations", "trajectory") if row.get(name) is not None), None)
    return [] if earlier is None else turns_of(earlier)


def _margin(row: Row) -> float | None:
    """How much better the chosen answer was scored, where both have a score."""
    for name in _SCORES:
        chosen, rejected = (number_of(row.get(name.format(side))) for side in ("chosen", "rejected"))
        if math.isfinite(chosen) and math.isfinite(rejected):
            return chosen - rejected
    return None
