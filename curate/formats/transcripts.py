"""hh-rlhf: two transcripts of Human and Assistant, the chosen one and the rejected one (Bai et al. 2022).

Prompts of other datasets are such transcripts too, up to the answer (Nectar: Zhu et al. 2023).
"""

import re
from typing import ClassVar, Literal

from curate.formats.dialect import Dialect, Row, column
from curate.formats.laws import Fields
from curate.formats.messages import as_turns
from curate.formats.pairs import common_prompt, pair
from curate.formats.turns import Refused, Turn, turn

TRANSCRIPT = re.compile(r"\s*Human:")
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


class HhRlhf(Dialect):
    """`chosen` and `rejected`, each a whole transcript of `Human:` and `Assistant:`."""

    use: Literal["hh_rlhf"] = "hh_rlhf"
    shape: ClassVar[str] = "preference"
    needs: ClassVar[tuple[str, ...]] = ("chosen", "rejected")

    def fits(self, row: Row) -> bool:
        return super().fits(row) and all(isinstance(row[name], str) and TRANSCRIPT.match(row[name]) for name in self.needs)

    def to_rows(self, row: Row) -> list[Fields]:
        chosen, rejected = (transcript(column(row, name)) for name in self.needs)
        return [pair(*common_prompt([], chosen, rejected))]


def transcript(text: object) -> list[Turn]:
    """The turns of a transcript; the space around a turn is layout and no part of it."""
    if not isinstance(text, str):
        raise Refused("missing_answer" if text is None else "not_text")
    before, *parts = _SPEAKER.split("\n\n" + text.lstrip())
    if before.strip() or not parts:
        raise Refused("broken_turns")
    return [turn(_ROLES[speaker], said.strip()) for speaker, said in zip(parts[::2], parts[1::2], strict=True)]


def prompt_turns(value: object) -> list[Turn]:
    """A prompt as turns: a text, a list of turns, or a transcript that stops where the assistant is to speak."""
    if value is None:
        raise Refused("no_prompt")
    if isinstance(value, str) and TRANSCRIPT.match(value) and value.rstrip().endswith("\n\nAssistant:"):
        return transcript(value)[:-1]
    return as_turns(value, "user")
