"""Alpaca: an instruction, an input and an output, with a system text and earlier turns where there are any.

Taori et al. 2023; `system` and `history` as LLaMA-Factory has them.
"""

import json
from typing import ClassVar, Literal

from pydantic import Field

from curate.formats.dialect import Dialect, Row, optional, plain, text, with_system
from curate.formats.laws import Fields
from curate.formats.turns import Refused, Turn, turn


class Alpaca(Dialect):
    """`instruction`, `input`, `output`, and `system` and `history` where they are."""

    version: ClassVar[int] = 2
    use: Literal["alpaca"] = "alpaca"
    shape: ClassVar[str] = "conversation"
    needs: ClassVar[tuple[str, ...]] = ("instruction", "output")
    takes: ClassVar[tuple[str, ...]] = ("input", "system", "history", "text")
    refines: ClassVar[tuple[str, ...]] = ("transcript", "document")

    joiner: str = Field("\n\n", description="What stands between instruction and input in the user's turn.")

    def to_rows(self, row: Row) -> list[Fields]:
        asked = joined(text(row, "instruction"), optional(row, "input"), self.joiner)
        turns = [*_history(row.get("history")), turn("user", asked), turn("assistant", text(row, "output"))]
        return [{"messages": with_system(optional(row, "system"), turns), "tools": None}]

    def from_row(self, fields: Fields) -> Row:
        if fields["tools"]:
            raise Refused("not_in_dialect")
        turns = plain(fields["messages"])
        system = turns[0]["content"] if turns[0]["role"] == "system" else ""
        said = [one["content"] for one in turns if one["role"] != "system"]
        *earlier, asked, answer = said
        history = [list(pair) for pair in zip(earlier[::2], earlier[1::2], strict=True)]
        return {"instruction": asked, "input": "", "output": answer, "system": system, "history": history}


def joined(first: str, second: str | None, joiner: str) -> str:
    """Two texts as one; the second may be absent."""
    return first if second is None else f"{first}{joiner}{second}"


def _history(value: object) -> list[Turn]:
    """Earlier pairs of question and answer, as turns."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except ValueError:
            raise Refused("broken_turns") from None
    if not isinstance(value, list | None):
        raise Refused("broken_turns")
    turns: list[Turn] = []
    for pair in value or []:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Refused("broken_turns")
        turns += [turn("user", pair[0]), turn("assistant", pair[1])]
    return turns
