"""What a dialect is: a row of a foreign dataset comes in, the columns of our rows go out, and back.

A dialect is the block of a recipe that names it, so its options are checked like any other's.
"""

import json
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from curate.config import Model
from curate.formats.laws import Fields
from curate.formats.turns import Refused, Turn, given_text, text_of, turn

Row = dict[str, object]
"""A row as a file holds it."""

TURN_COLUMNS = ("messages", "conversations", "conversation", "dialogue", "dialog", "conversa")
"""Usual names of a column of turns."""

REPEATS = ("prompt", "instruction", "question", "query", "problem", "response", "output")
"""Columns that may say a turn again, which stands in the column of turns."""


class Dialect(Model):
    """A way to write training data down; raise `version` when rows are read differently."""

    version: ClassVar[int] = 1
    shape: ClassVar[str]
    """Name of the shape (curate.rows.SHAPES) of the rows that it makes."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Columns that it is known by."""
    takes: ClassVar[tuple[str, ...]] = ()
    """Further columns that it reads, or that repeat what it reads; any other goes to the metadata."""
    refines: ClassVar[tuple[str, ...]] = ()
    """Dialects that its rows look like too, and that it outranks in a guess."""
    surplus: ClassVar[str] = "rows_of_one"
    """Name under which a receipt explains rows beyond, or below, one for each row read."""

    columns: dict[str, str] = Field(
        {}, description="Column of the file for a column of the dialect, where its name is another: `{prompt: question}`."
    )

    @property
    def name(self) -> str:
        return self.use  # type: ignore[attr-defined]

    @property
    def makes(self) -> str:
        """The shape of the rows that come out; an option may choose it."""
        return self.shape

    def reads(self) -> list[Path]:
        """Files whose content enters the identity: a dialect has none."""
        return []

    def renamed(self, row: Row) -> Row:
        """The row with the dialect's own names of columns."""
        if not self.columns:
            return row
        theirs = set(self.columns.values())
        kept = {name: value for name, value in row.items() if name not in theirs}
        return {**kept, **{ours: row[name] for ours, name in self.columns.items() if name in row}}

    def fits(self, row: Row) -> bool:
        """True where a row looks like this dialect: by its columns, and what sort of value they hold."""
        return all(name in row for name in self.needs)

    def key(self, row: Row) -> str | None:
        """What rows that belong together, and stand together, have in common; None: each stands alone."""
        return None

    def gathered(self, rows: list[Row]) -> Row:
        """Rows of one key as one row that `to_rows` takes."""
        return rows[0]

    def to_rows(self, row: Row) -> list[Fields]:
        """The columns of our rows, laws not yet checked. Raises Refused where the row cannot be read."""
        raise NotImplementedError

    def from_row(self, fields: Fields) -> Row:
        """One of our rows as the dialect writes it. Raises Refused where the dialect cannot say all of it."""
        raise Refused("not_in_dialect")

    def left(self, row: Row) -> Row:
        """The columns that the dialect has no place for."""
        used = {*self.needs, *self.takes}
        return {name: value for name, value in row.items() if name not in used and value is not None}


def column(row: Row, name: str) -> object:
    """A column that must be there, whatever it holds."""
    if name not in row:
        raise Refused("missing_column")
    return row[name]


def text(row: Row, name: str) -> str:
    """A column that must be there and hold text."""
    return text_of(column(row, name))


def optional(row: Row, name: str) -> str | None:
    """The text of a column that may be absent or blank."""
    return given_text(row.get(name))


def with_system(system: str | None, turns: list[Turn]) -> list[Turn]:
    """The turns under a system text that stands in a column of its own; the same text twice is one."""
    if system is None or (turns and turns[0]["role"] == "system" and turns[0]["content"] == system):
        return turns
    return [turn("system", system), *turns]


def system_of(row: Row) -> str | None:
    """The system text in a column of its own."""
    return optional(row, "system") or optional(row, "system_prompt")


def is_turns(value: object, role: str, content: str) -> bool:
    """True for a list (or its JSON text) whose items have these two keys, as `role` and `content`, or `from` and `value`."""
    value = opened(value)
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and role in item for item in value) and (
        any(content in item for item in value)
    )


def turns_column(row: Row, ours: str, role: str, content: str) -> Row:
    """The row with its turns under the dialect's name for them, where another usual column holds them."""
    if ours in row:
        return row
    found = next((name for name in TURN_COLUMNS if is_turns(row.get(name), role, content)), None)
    return row if found is None else {(ours if name == found else name): value for name, value in row.items()}


def without_repeats(left: Row, turns: object, content: str) -> Row:
    """What the turns leave, without a column that says one of them again, where no step that reads the turns would see it."""
    if not any(name in left for name in REPEATS):
        return left
    turns = opened(turns)
    said = [one.get(content) for one in turns if isinstance(one, dict)] if isinstance(turns, list) else []
    return {name: value for name, value in left.items() if name not in REPEATS or value not in said}


def opened(value: object) -> object:
    """The list that a text of JSON holds, as tables of text have them; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def plain(turns: list[Turn]) -> list[Turn]:
    """The turns, none of which calls or is a tool; Refused otherwise."""
    if any(one["role"] == "tool" or one["tool_calls"] for one in turns):
        raise Refused("not_in_dialect")
    return turns


def labelled(value: object) -> bool:
    """A truth value, strictly read: true, false, 1, 0 and their spellings; -1 or 2 is none."""
    if value is None or value == "":
        raise Refused("missing_label")
    word = str(value).strip().lower()
    if word not in ("true", "false", "1", "0", "1.0", "0.0"):
        raise Refused("unreadable_label")
    return word in ("true", "1", "1.0")
