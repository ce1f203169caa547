"""Messages: conversations of `{role, content}` with tool calls, as OpenAI, TRL, Tulu 3 and no_robots write them."""

import json
from typing import ClassVar, Literal

from pydantic import Field

from curate.formats.dialect import Dialect, Row, column, is_turns, optional, system_of, turns_column, with_system, without_repeats
from curate.formats.laws import Fields
from curate.formats.sharegpt import Role
from curate.formats.turns import TAGS, Refused, Thoughts, Turn, tools_of, turns_of


class Messages(Dialect):
    """`messages` (or `conversations`, `conversation` ...) of system, user, assistant and tool, with `tools`."""

    version: ClassVar[int] = 3
    use: Literal["messages"] = "messages"
    shape: ClassVar[str] = "conversation"
    needs: ClassVar[tuple[str, ...]] = ("messages",)
    takes: ClassVar[tuple[str, ...]] = ("system", "system_prompt", "tools", "functions")
    refines: ClassVar[tuple[str, ...]] = ("transcript", "document")

    tags: dict[str, Role] = Field({}, description="Role for each role of the file that is none of the common ones: `{BOT: assistant}`.")
    thoughts: Thoughts = Field(
        "refuse",
        description="A thought in a key beside an answer's text (`reasoning_content`, `thinking`): refuse the row, "
        "write it before the text in <think> tags, or leave it out.",
    )

    def renamed(self, row: Row) -> Row:
        return turns_column(super().renamed(row), "messages", "role", "content")

    def fits(self, row: Row) -> bool:
        return super().fits(row) and is_turns(row["messages"], "role", "content")

    def to_rows(self, row: Row) -> list[Fields]:
        turns = turns_of(column(row, "messages"), {**TAGS, **self.tags} if self.tags else TAGS, learnt=True, thoughts=self.thoughts)
        tools = tools_of(row.get("tools") or row.get("functions"))
        return [{"messages": with_system(_system(row), turns), "tools": tools}]

    def left(self, row: Row) -> Row:
        return without_repeats(super().left(row), row.get("messages"), "content")

    def from_row(self, fields: Fields) -> Row:
        row: Row = {"messages": [message(one) for one in fields["messages"]]}
        return {**row, "tools": json.loads(fields["tools"])} if fields["tools"] else row


class Tulu3(Messages):
    """`id`, `messages` and the `source` they were taken from (Lambert et al. 2024)."""

    use: Literal["tulu3"] = "tulu3"
    needs: ClassVar[tuple[str, ...]] = ("id", "messages", "source")
    refines: ClassVar[tuple[str, ...]] = ("messages", "transcript", "document")


class NoRobots(Messages):
    """`prompt`, `prompt_id`, `messages` and a `category`; the prompt repeats the first message (Rajani et al. 2023)."""

    use: Literal["no_robots"] = "no_robots"
    needs: ClassVar[tuple[str, ...]] = ("prompt", "prompt_id", "messages", "category")
    refines: ClassVar[tuple[str, ...]] = ("messages", "transcript", "document")

    def left(self, row: Row) -> Row:
        return {**super().left(row), **{name: row[name] for name in ("prompt_id", "category") if row.get(name) is not None}}


def _system(row: Row) -> str | None:
    """The system text beside the turns, which may stand among the arguments of a chat template."""
    given = row.get("chat_template_kwargs")
    return system_of(row) or (optional(given, "custom_instructions") if isinstance(given, dict) else None)


def message(one: Turn) -> Row:
    """A turn as OpenAI and TRL write it: keys without a value are left out."""
    row: Row = {"role": one["role"], "content": one["content"]}
    if one["tool_calls"]:
        row["tool_calls"] = json.loads(one["tool_calls"])
    return {**row, "name": one["name"]} if one["name"] else row


def as_turns(value: object, role: str) -> list[Turn]:
    """A column that holds either one text, which is a turn of `role`, or a list of turns."""
    if isinstance(value, str):
        return [{"role": role, "content": value, "tool_calls": None, "name": None}]
    if not isinstance(value, list | dict | None):
        raise Refused("not_text")
    return turns_of(value)
