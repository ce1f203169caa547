"""Calls of functions: Glaive's transcripts and xLAM's single requests in, conversations with `tool_calls` and `tools` out."""

import json
import re
from typing import ClassVar, Literal

from curate.formats.dialect import Dialect, Row, column, system_of, text, with_system
from curate.formats.laws import Fields
from curate.formats.turns import Refused, Turn, calls_of, tools_of, turn

_SPEAKER = re.compile(r"(?:\A|\n)[ \t]*(USER|ASSISTANT|FUNCTION RESPONSE):")
_ROLES = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}
_END = "<|endoftext|>"
_CALL = "<functioncall>"
_QUOTED = re.compile(r"""\s*\{\s*"name"\s*:\s*(?P<name>"[^"]*")\s*,\s*"arguments"\s*:\s*'(?P<arguments>.*)'\s*\}\s*\Z""", re.DOTALL)
"""A call whose arguments stand as JSON between single quotes, which no JSON is."""


class Glaive(Dialect):
    """`system` with definitions of functions and `chat`, a transcript of USER, ASSISTANT and FUNCTION RESPONSE (glaive-function-calling-v2)."""

    use: Literal["glaive"] = "glaive"
    shape: ClassVar[str] = "conversation"
    needs: ClassVar[tuple[str, ...]] = ("system", "chat")

    def fits(self, row: Row) -> bool:
        return all(isinstance(row.get(name), str) for name in self.needs) and _SPEAKER.match(row["chat"].lstrip()) is not None

    def to_rows(self, row: Row) -> list[Fields]:
        said, tools = _defined(text(row, "system"))
        before, *parts = _SPEAKER.split(text(row, "chat").strip())
        if before.strip() or not parts:
            raise Refused("broken_turns")
        turns = [_spoken(_ROLES[speaker], words) for speaker, words in zip(parts[::2], parts[1::2], strict=True)]
        return [{"messages": with_system(said or None, turns), "tools": tools}]


def _defined(system: str) -> tuple[str, str | None]:
    """The system text before the functions, and the functions, which stand after one another as JSON."""
    said, brace, rest = system.strip().removeprefix("SYSTEM:").partition("{")
    decoder, tools, rest = json.JSONDecoder(), [], brace + rest
    while rest.strip():
        try:
            tool, end = decoder.raw_decode(rest.lstrip())
        except (ValueError, RecursionError):
            raise Refused("broken_tools") from None
        tools.append(tool)
        rest = rest.lstrip()[end:].lstrip().removeprefix(",")
    return said.strip().removesuffix("-").rstrip(), tools_of(tools)


def _spoken(role: str, words: str) -> Turn:
    said = words.replace(_END, "").strip()
    before, tag, called = said.partition(_CALL)
    return turn(role, before.strip(), _called(called.removesuffix("</functioncall>"))) if tag and role == "assistant" else turn(role, said)


def _called(given: str) -> str:
    quoted = _QUOTED.match(given)
    if quoted is None:
        return calls_of(given)
    arguments = quoted["arguments"].replace("\\'", "'")
    return calls_of(f'{{"name": {quoted["name"]}, "arguments": {arguments.strip() or "{}"}}}')


class Xlam(Dialect):
    """`query`, `answers`, the calls that answer it, and `tools`, as values or as JSON (xlam-function-calling-60k: Liu et al. 2024)."""

    use: Literal["xlam"] = "xlam"
    shape: ClassVar[str] = "conversation"
    needs: ClassVar[tuple[str, ...]] = ("query", "answers", "tools")
    takes: ClassVar[tuple[str, ...]] = ("system", "system_prompt")

    def to_rows(self, row: Row) -> list[Fields]:
        called = turn("assistant", "", calls_of(column(row, "answers")))
        turns = [turn("user", text(row, "query")), called]
        return [{"messages": with_system(system_of(row), turns), "tools": tools_of(column(row, "tools"))}]
