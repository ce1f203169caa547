"""A row as a file holds it in; its columns as a trainer's first step sees them out.

TRL reads a row by the names of its columns and by whether they hold texts or lists of turns.
"""

import json

TURNS = ("messages", "prompt", "completion", "chosen", "rejected")
"""Columns that hold either a text or a list of turns."""


class Stops(Exception):
    """TRL stops at such a row, or reads it by chance: the name of the trap, and what the template said."""

    def __init__(self, trap: str, detail: str = "") -> None:
        super().__init__(trap, detail)
        self.trap = trap
        self.detail = detail


def opened(row: dict) -> dict:
    """The row with JSON texts of tools and tool calls read, and without null columns; Stops where it has no turns."""
    row = {name: value for name, value in row.items() if value is not None}
    if isinstance(row.get("conversations"), list):
        row["messages"] = [_renamed(turn) for turn in row.pop("conversations")]
    for name in TURNS:
        if isinstance(row.get(name), list):
            row[name] = [_turn(turn) for turn in row[name]]
    if isinstance(row.get("tools"), str):
        row["tools"] = _json(row["tools"], "broken_tools")
    if not isinstance(row.get("tools", []), list) or not all(isinstance(tool, dict) for tool in row.get("tools", [])):
        raise Stops("broken_tools")
    return row


def _renamed(turn: object) -> object:
    """A turn of the ShareGPT spelling under TRL's names of the keys; the roles stay as they are."""
    names = {"from": "role", "value": "content"}
    return {names.get(key, key): value for key, value in turn.items()} if isinstance(turn, dict) else turn


def _turn(turn: object) -> dict:
    if not isinstance(turn, dict) or turn.get("role") is None:
        raise Stops("unknown_role", "a turn without a role")
    turn = {key: value for key, value in turn.items() if value is not None}
    if isinstance(turn.get("tool_calls"), str):
        turn["tool_calls"] = _json(turn["tool_calls"], "broken_tools")
    return turn


def _json(text: str, trap: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise Stops(trap, "not JSON") from None


def is_chat(row: dict, *columns: str) -> bool:
    """True for lists of turns, False for texts; Stops where a column is missing or the columns mix both."""
    if any(name not in row for name in columns):
        raise Stops("wrong_columns", ", ".join(columns))
    kinds = {type(row[name]) for name in columns}
    if kinds not in ({list}, {str}):
        raise Stops("mixed_shapes")
    if kinds == {list} and not all(row[name] for name in columns):
        raise Stops("no_turns")
    return kinds == {list}
