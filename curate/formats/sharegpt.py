"""ShareGPT: conversations of `{from, value}`, as axolotl and LLaMA-Factory read them."""

import json
from typing import ClassVar, Literal

from pydantic import Field

from curate.formats.dialect import Dialect, Row, column, is_turns, optional, with_system
from curate.formats.laws import Fields
from curate.formats.turns import CALL, TAGS, Refused, Turn, tools_of, turns_of

Role = Literal["system", "user", "assistant", "tool", "function_call"]

_WRITTEN = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


class ShareGpt(Dialect):
    """`conversations` (or `messages`) of human, gpt, system, function_call and observation, with `system` and `tools`."""

    version: ClassVar[int] = 2
    use: Literal["sharegpt"] = "sharegpt"
    shape: ClassVar[str] = "conversation"
    needs: ClassVar[tuple[str, ...]] = ("conversations",)
    takes: ClassVar[tuple[str, ...]] = ("system", "tools")

    tags: dict[str, Role] = Field({}, description="Role for each tag of the file that is none of the common ones: `{USER: user}`.")

    def renamed(self, row: Row) -> Row:
        row = super().renamed(row)
        return turns_column(row, "from", "value") if "conversations" not in row else row

    def fits(self, row: Row) -> bool:
        return is_turns(row.get("conversations"), "from", "value")

    def to_rows(self, row: Row) -> list[Fields]:
        turns = turns_of(column(row, "conversations"), {**TAGS, **self.tags} if self.tags else TAGS, learnt=True)
        return [{"messages": with_system(optional(row, "system"), turns), "tools": tools_of(row.get("tools"))}]

    def from_row(self, fields: Fields) -> Row:
        row: Row = {"conversations": [_written(one) for one in fields["messages"]]}
        return {**row, "tools": fields["tools"]} if fields["tools"] else row


def turns_column(row: Row, role: str, content: str) -> Row:
    """The row with its turns under `conversations`, where another usual column holds them."""
    for name in ("messages", "conversation", "dialog"):
        if is_turns(row.get(name), role, content):
            return {("conversations" if key == name else key): value for key, value in row.items()}
    return row


def _written(one: Turn) -> Row:
    """A turn in ShareGPT's spelling, in which a turn either says something or calls. Raises Refused for one that does both."""
    if one["tool_calls"]:
        if one["content"] or one["name"]:
            raise Refused("not_in_dialect")
        calls = [{key: call[key] for key in ("id",) if key in call} | call["function"] for call in json.loads(one["tool_calls"])]
        return {"from": CALL, "value": json.dumps(calls if len(calls) > 1 else calls[0], ensure_ascii=False)}
    named = {"name": one["name"]} if one["name"] else {}
    return {"from": _WRITTEN[one["role"]], "value": one["content"], **named}
