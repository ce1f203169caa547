"""Turns of a conversation: a list in any of the common spellings in, turns in ours out.

Two spellings are met in public data: `{role, content}` (OpenAI, TRL, Tulu) and
`{from, value}` (ShareGPT), each with its own names for the roles and for tool calls.
"""

import json
import re
from collections.abc import Mapping
from typing import Literal, TypedDict

from curate.formats.json_text import DuplicateKey, loaded


class Refused(Exception):
    """A row that cannot be read: the snake_case name of the law that it breaks (curate.formats.laws)."""

    @property
    def reason(self) -> str:
        return self.args[0]


class Turn(TypedDict):
    """One message, as `curate.rows.Message` has it."""

    role: str
    content: str
    tool_calls: str | None
    name: str | None


CALL = "function_call"
"""The tag of a turn that is nothing but a tool call: an assistant turn here."""

TAGS: dict[str, str] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "ipython": "tool",
    "function_call": CALL,
    "tool_call": CALL,
    "sistema": "system",
    "usuário": "user",
    "usuario": "user",
    "humano": "user",
    "assistente": "assistant",
}
"""Our role for each name of a role in public data, in small letters."""

Thoughts = Literal["refuse", "tags", "leave_out"]
"""What becomes of a thought that stands beside an answer's text, in a key that none of our rows has."""
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")

_LISTED_CALLS = re.compile(r"\s*\[[^\[\]()\n]+\(.*\)\s*\]\s*\Z", re.DOTALL)


def writes_call(text: str) -> bool:
    """True where a call is written into the text, as a system text may ask for: Hermes's tags, ToolACE's `[name(argument=1)]`."""
    return any(tag in text for tag in ("<tool_call>", "<functioncall>")) or _LISTED_CALLS.match(text) is not None


def turn(role: str, content: object, tool_calls: str | None = None, name: str | None = None) -> Turn:
    """A turn whose content is checked to be text."""
    return {"role": role, "content": text_of(content), "tool_calls": tool_calls, "name": name}


def text_of(content: object) -> str:
    """A content as one text; OpenAI's list of parts is joined where all are texts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content and all(_is_text_part(part) for part in content):
        return "".join(part["text"] for part in content)
    raise Refused("empty_turn" if content is None or content == [] else "not_text")


def _is_text_part(part: object) -> bool:
    return isinstance(part, dict) and part.get("type", "text") == "text" and isinstance(part.get("text"), str)


def given_text(value: object) -> str | None:
    """A column that may be absent: its text, or None where it is null or blank."""
    if value is None:
        return None
    text = text_of(value)
    return text if text.strip() else None


def turns_of(value: object, tags: Mapping[str, str] = TAGS, learnt: bool = False, thoughts: Thoughts = "refuse") -> list[Turn]:
    """The turns of a list (or of its JSON text); a single turn may stand for a list of one.

    `learnt` says that every answer among them will be trained on: Refused where one is marked as not to be.
    """
    if isinstance(value, str):
        value = _json(value, "broken_turns")
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise Refused("no_turns" if value is None else "broken_turns")
    if not value:
        raise Refused("no_turns")
    turns = _named([_turn(item, tags, thoughts) for item in value])
    if learnt and any(one["role"] == "assistant" and _masked(item) for item, one in zip(value, turns, strict=True)):
        raise Refused("masked_turn")
    return turns


def _masked(item: dict) -> bool:
    """True where the data say that a turn is not to be learnt: OpenAI's `weight: 0`, axolotl's `train: false`."""
    return item.get("weight") == 0 or item.get("train") is False


def _turn(item: object, tags: Mapping[str, str], thoughts: Thoughts) -> tuple[Turn, str | None]:
    """A turn, and the id of the call that it answers."""
    if not isinstance(item, dict):
        raise Refused("broken_turn")
    tag = item.get("role") if item.get("role") is not None else item.get("from")
    content = item.get("content") if item.get("content") is not None else item.get("value")
    role = (tags.get(tag) or tags.get(tag.lower())) if isinstance(tag, str) else None
    if role is None:
        raise Refused("unknown_role")
    if role == CALL:
        return turn("assistant", "", calls_of(content)), None
    calls = _calls_in(item) if role == "assistant" else None
    if role == "assistant":
        content = _with_thought(item, content, thoughts)
    answered = item.get("tool_call_id")
    name = item.get("name")
    made = turn(role, "" if content is None and calls else content, calls, name if isinstance(name, str) and name else None)
    return made, answered if isinstance(answered, str) and answered else None


def _with_thought(item: dict, content: object, thoughts: Thoughts) -> object:
    """The content with the thought that stands in a key of its own, or without it, as asked for. Raises Refused where nothing is."""
    said = content if isinstance(content, str) else ""
    thought = next((item[key] for key in _THOUGHTS if isinstance(item.get(key), str) and item[key].strip()), None)
    if thought is None or thought.strip() in said or thoughts == "leave_out":
        return content
    if thoughts == "refuse" or not isinstance(content, str | None):
        raise Refused("thought_beside_text")
    return f"<think>\n{thought.strip()}\n</think>\n\n{said.lstrip()}"


def _calls_in(item: dict) -> str | None:
    """The calls beside a turn's text: `tool_calls`, or the older `function_call`."""
    given = item.get("tool_calls") or item.get("function_call")
    return calls_of(given) if given else None


def calls_of(value: object) -> str:
    """Tool calls as a JSON list of `{type, function: {name, arguments}}`, arguments an object."""
    if isinstance(value, str):
        value = _json(value, "broken_tool_call")
    calls = value if isinstance(value, list) else [value]
    if not calls:
        raise Refused("broken_tool_call")
    return _text([_call(call) for call in calls], "broken_tool_call")


def _call(call: object) -> dict[str, object]:
    if not isinstance(call, dict):
        raise Refused("broken_tool_call")
    inner = call.get("function") if isinstance(call.get("function"), dict) else call
    name, arguments = inner.get("name"), inner.get("arguments", inner.get("parameters"))
    if isinstance(arguments, str):
        arguments = _json(arguments, "broken_tool_call") if arguments.strip() else {}
    arguments = {} if arguments is None else arguments
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        raise Refused("broken_tool_call")
    made: dict[str, object] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {"id": call["id"], **made} if isinstance(call.get("id"), str) and call["id"] else made


def call_names(calls: str | None) -> dict[str | int, str]:
    """Names of the called tools, by the call's id, or by its place where it has none."""
    if calls is None:
        return {}
    return {call.get("id", place): call["function"]["name"] for place, call in enumerate(json.loads(calls))}


def _named(turns: list[tuple[Turn, str | None]]) -> list[Turn]:
    """The turns, each answer of a tool under the tool's name where it names its call by id."""
    names: dict[str | int, str] = {}
    for one, answered in turns:
        if one["role"] == "assistant":
            names = call_names(one["tool_calls"])
        elif answered is not None and any(isinstance(key, str) for key in names):
            if answered not in names:
                raise Refused("tool_result_without_call")
            one["name"] = one["name"] or names[answered]
    return [one for one, _ in turns]


def tools_of(value: object) -> str | None:
    """Tool definitions as a JSON list; None where there are none."""
    if isinstance(value, str):
        value = _json(value, "broken_tools") if value.strip() else None
    if value is None or value == []:
        return None
    tools = value if isinstance(value, list) else [value]
    tools = [_json(tool, "broken_tools") if isinstance(tool, str) else tool for tool in tools]
    if not all(_is_tool(tool) for tool in tools):
        raise Refused("broken_tools")
    return _text(tools, "broken_tools")


def _is_tool(tool: object) -> bool:
    inner = tool.get("function", tool) if isinstance(tool, dict) else None
    return isinstance(inner, dict) and isinstance(inner.get("name"), str) and bool(inner["name"])


def _json(text: str, reason: str) -> object:
    try:
        return loaded(text)
    except DuplicateKey:
        raise Refused("duplicate_key") from None
    except (ValueError, RecursionError):
        raise Refused(reason) from None


def _text(value: object, reason: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise Refused(reason) from None
