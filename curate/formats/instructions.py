"""Single questions with one answer: Dolly, and plain prompt and completion."""

from typing import ClassVar, Literal

from pydantic import Field

from curate.formats.alpaca import joined
from curate.formats.dialect import Dialect, Row, column, optional, text, with_system
from curate.formats.laws import Fields
from curate.formats.messages import as_turns, message
from curate.formats.transcripts import prompt_turns
from curate.formats.turns import Refused, tools_of, turn


class Dolly(Dialect):
    """`instruction`, `context`, `response` and a `category` (Conover et al. 2023)."""

    use: Literal["dolly"] = "dolly"
    shape: ClassVar[str] = "conversation"
    needs: ClassVar[tuple[str, ...]] = ("instruction", "context", "response")

    joiner: str = Field("\n\n", description="What stands between instruction and context in the user's turn.")

    def to_rows(self, row: Row) -> list[Fields]:
        asked = joined(text(row, "instruction"), optional(row, "context"), self.joiner)
        return [{"messages": [turn("user", asked), turn("assistant", text(row, "response"))], "tools": None}]


class PromptCompletion(Dialect):
    """`prompt` and `completion`, each a text or a list of turns."""

    version: ClassVar[int] = 2
    use: Literal["prompt_completion"] = "prompt_completion"
    shape: ClassVar[str] = "conversation"
    needs: ClassVar[tuple[str, ...]] = ("prompt", "completion")
    takes: ClassVar[tuple[str, ...]] = ("system", "tools")

    def to_rows(self, row: Row) -> list[Fields]:
        turns = [*prompt_turns(column(row, "prompt")), *as_turns(column(row, "completion"), "assistant")]
        return [{"messages": with_system(optional(row, "system"), turns), "tools": tools_of(row.get("tools"))}]

    def from_row(self, fields: Fields) -> Row:
        if fields["tools"]:
            raise Refused("not_in_dialect")
        *prompt, answer = (message(one) for one in fields["messages"])
        return {"prompt": prompt, "completion": [answer]}
