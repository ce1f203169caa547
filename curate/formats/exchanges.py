"""Conversations without roles: texts of user and assistant in turn, or exchanges of a question and its answer.

LIMA's and UltraChat's lists of texts (Zhou et al. 2023, Ding et al. 2023), Capybara's `{input, output}`,
UltrachatBR's `{humano, assistente}` as the text of a Python list.
"""

import ast
import json
import warnings
from typing import ClassVar, Literal

from curate.formats.dialect import Dialect, Row, column, system_of, with_system
from curate.formats.laws import Fields
from curate.formats.turns import Refused, Turn, turn

_COLUMNS = ("conversations", "messages", "conversa", "data")
_PAIRS = (
    ("input", "output"), ("human", "assistant"), ("humano", "assistente"), ("user", "assistant"), ("question", "answer"),
    ("prompt", "response"),
)  # fmt: skip

_LONGEST = 1_000_000
"""Characters of a Python list that is still read: its syntax tree takes some hundred times as much."""


class Exchanges(Dialect):
    """`conversation` (or `conversations`, `data` ...): texts that alternate, or exchanges of `{input, output}` or two texts."""

    use: Literal["exchanges"] = "exchanges"
    shape: ClassVar[str] = "conversation"
    needs: ClassVar[tuple[str, ...]] = ("conversation",)
    takes: ClassVar[tuple[str, ...]] = ("system", "system_prompt")
    refines: ClassVar[tuple[str, ...]] = ("transcript", "document")

    def renamed(self, row: Row) -> Row:
        row = super().renamed(row)
        if "conversation" in row:
            return row
        there = [name for name in _COLUMNS if name in row]
        found = next((name for name in there if len(there) == 1 or _are_exchanges(row[name])), None)
        return row if found is None else {("conversation" if name == found else name): value for name, value in row.items()}

    def fits(self, row: Row) -> bool:
        return _are_exchanges(row.get("conversation")) and "chosen" not in row

    def to_rows(self, row: Row) -> list[Fields]:
        given = _opened(column(row, "conversation"))
        if not isinstance(given, list):
            raise Refused("no_turns" if given is None else "broken_turns")
        texts = given if all(isinstance(one, str) for one in given) else [text for one in given for text in _exchange(one)]
        turns: list[Turn] = [turn("assistant" if place % 2 else "user", text) for place, text in enumerate(texts)]
        return [{"messages": with_system(system_of(row), turns), "tools": None}]


def _are_exchanges(value: object) -> bool:
    value = _opened(value)
    return isinstance(value, list) and bool(value) and (all(isinstance(one, str) for one in value) or all(_pair(one) for one in value))


def _pair(one: object) -> tuple[object, object] | None:
    """The question and the answer of an exchange; None where it is none."""
    if isinstance(one, dict):
        names = next((names for names in _PAIRS if all(name in one for name in names)), None)
        return None if names is None or "role" in one or "from" in one else (one[names[0]], one[names[1]])
    return (one[0], one[1]) if isinstance(one, list | tuple) and len(one) == 2 and all(isinstance(text, str) for text in one) else None


def _exchange(one: object) -> tuple[object, object]:
    found = _pair(one)
    if found is None:
        raise Refused("broken_turn")
    return found


def _opened(value: object) -> object:
    """The list that a text of JSON, or of Python, holds; any other value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    if len(value) > _LONGEST:
        return value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape that Python does not know stays as it is written
            return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
