"""The turns of a row in, the messages of a chat request out, each answer of a tool joined to its call by an id."""

import json

from curate.judges.calls import Message
from curate.judges.endpoint import ChatModel
from curate.stages.asked import Row, metadata_of
from curate.steps.step import Drop


def prompt_of(shape: str, row: Row) -> list[Row] | Drop:
    """The turns that a model is to answer: they end with a user's or a tool's, and every call in them is answered."""
    asked = {"document": lambda: [_user(row["text"])], "conversation": lambda: row["messages"]}
    turns = asked.get(shape, lambda: row["prompt"])()
    while turns and turns[-1]["role"] == "assistant":
        turns = turns[:-1]
    if not turns or turns[-1]["role"] not in ("user", "tool") or not turns[-1]["content"].strip():
        return Drop("no_prompt")
    return Drop("unmatched_tool_turns") if messages(turns) is None else turns


def _user(text: str) -> Row:
    return {"role": "user", "content": text, "tool_calls": None, "name": None}


def messages(turns: list[Row]) -> list[Message] | None:
    """The turns as an OpenAI-compatible endpoint takes them; None where a call and an answer do not belong together."""
    made: list[Message] = []
    open_calls: dict[str, str] = {}
    for place, turn in enumerate(turns):
        message: Message = {"role": turn["role"], "content": turn["content"]}
        if turn["role"] == "tool":
            called = _called(open_calls, turn.get("name"))
            if called is None:
                return None
            del open_calls[called]
            made.append({**message, "tool_call_id": called})
            continue
        if open_calls:
            return None
        if turn.get("tool_calls"):
            calls = _calls(turn["tool_calls"], place)
            if calls is None:
                return None
            open_calls = {call["id"]: call["function"]["name"] for call in calls}
            message["tool_calls"] = calls
        made.append(message)
    return None if open_calls else made


def _called(open_calls: dict[str, str], name: str | None) -> str | None:
    """The id of the call that a tool answers: the first of its name, or the first of all where it has no name."""
    return next((id_ for id_, called in open_calls.items() if name in (None, called)), None)


def _calls(text: str, place: int) -> list[dict] | None:
    """Calls with an id each, and their arguments as JSON text; None where they are no calls."""
    try:
        return [
            {
                "id": call.get("id") or f"call_{place}_{number}",
                "type": "function",
                "function": {"name": call["function"]["name"], "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False)},
            }
            for number, call in enumerate(json.loads(text))
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def tools_of(row: Row) -> list[dict]:
    """Definitions of the tools that the turns may call: a conversation's own, or those that an answered one left in its metadata."""
    tools = json.loads(row["tools"]) if row.get("tools") else metadata_of(row).get("tools") or []
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]


def shown_tools(model: ChatModel, tools: list[dict]) -> ChatModel:
    """The model with these tools before its eyes; it is to answer in words."""
    return model.model_copy(update={"extra": {"tools": tools, "tool_choice": "none", **model.extra}}) if tools else model
