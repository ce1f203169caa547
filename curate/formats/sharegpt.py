"""ShareGPT: conversations of `{from, value}`, as axolotl and LLaMA-Factory read them."""

import json
from typing import ClassVar, Literal

from pydantic import Field

from curate.formats.dialect import Dialect, Row, column, is_turns, system_of, turns_column, with_system, without_repeats
from curate.formats.laws import Fields
from curate.formats.turns import CALL, TAGS, Refused, Thoughts, Turn, tools_of, turns_of

Role = Literal["system", "user", "assistant", "tool", "function_call"]

_WRITTEN = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


class ShareGpt(Dialect):
    """`conversations` (or `messages`) of human, gpt, system, function_call and observation, with `system` and `tools`."""

    version: ClassVar[int] = 3
    use: Literal["sharegpt"] = "sharegpt"
    shape: ClassVar[str] = "conversation"
    needs: ClassVar[tuple[str, ...]] = ("conversations",)
    takes: ClassVar[tuple[str, ...]] = ("system", "system_prompt", "tools")
    refines: ClassVar[tuple[str, ...]] = ("transcript", "document")

    tags: dict[str, Role] = Field({}, description="Role for each tag of the file that is none of the common ones: `{BOT: assistant}`.")
    thoughts: Thoughts = Field(
        "refuse",
        description="A thought in a key beside an answer's text (`reasoning_content`, `thinking`): refuse the row, "
        "write it before the text in <think> tags, or leave it out.",
    )

    def renamed(self, row: Row) -> Row:
        return turns_column(super().renamed(row), "conversations", "from", "value")

    def fits(self, row: Row) -> bool:
        return is_turns(row.get("conversations"), "from", "value")

    def to_rows(self, row: Row) -> list[Fields]:
        turns = turns_of(column(row, "conversations"), {**TAGS, **self.tags} if self.tags else TAGS, learnt=True, thoughts=self.thoughts)
        return [{"messages": with_system(system_of(row), turns), "tools": tools_of(row.get("tools"))}]

    def left(self, row: Row) -> Row:
        return without_repeats(super().left(row), row.get("conversations"), "value")

    def from_row(self, fields: Fields) -> Row:
        row: Row = {"conversations": [_written(one) for one in fields["messages"]]}
        return {**row, "tools": fields["tools"]} if fields["tools"] else row


def _written(one: Turn) -> Row:
    """A turn in ShareGPT's spelling, in which a turn either says something or calls. Raises Refused for one that does both."""
    if one["tool_calls"]:
        if one["content"] or one["name"]:
            raise Refused("not_in_dialect")
        calls = [{key: call[key] for key in ("id",) if key in call} | call["function"] for call in json.loads(one["tool_calls"])]
        return {"from": CALL, "value": json.dumps(calls if len(calls) > 1 else calls[0], ensure_ascii=False)}
    named = {"name": one["name"]} if one["name"] else {}
    return {"from": _WRITTEN[one["role"]], "value": one["content"], **named}
