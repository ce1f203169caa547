"""A chat template in; what it leaves out of a conversation with tools, without a word, out.

A template that knows no tools mostly does not stop at them: it prints the turns as if there were none, and a model
learns to answer as if it had called. So a conversation with words that stand nowhere else is rendered, and they are looked for.
"""

from collections.abc import Callable, Iterator

from jinja2 import TemplateError

from curate.contract.columns import TURNS

Turns = list[dict]

_ASKED, _END = {"role": "user", "content": "Hm?"}, {"role": "assistant", "content": "End."}
_TOOL = {"type": "function", "function": {"name": "zqtool", "description": "zqtool", "parameters": {"type": "object", "properties": {}}}}


def _calling(*names: str, content: str = "") -> Turns:
    """A question, calls of these names, an answer to each, and an end."""
    calls = [{"type": "function", "function": {"name": name, "arguments": {"zqkey": f"{name}value"}}} for name in names]
    answers = [{"role": "tool", "name": name, "content": f"{name}answer"} for name in names]
    return [_ASKED, {"role": "assistant", "content": content, "tool_calls": calls}, *answers, _END]


_PROBES: dict[str, tuple[Turns, tuple[str, ...]]] = {
    "definitions": ([_ASKED, _END], ("zqtool",)),
    "calls": (_calling("zqcall"), ("zqcall", "zqcallvalue")),
    "further calls of a turn": (_calling("zqcall", "zqother"), ("zqother", "zqothervalue")),
    "words beside a call": (_calling("zqcall", content="zqwords"), ("zqwords",)),
    "answers of tools": (_calling("zqcall"), ("zqcallanswer",)),
}
"""Turns and the words that a template has to print of them, by what a row may hold."""


def unsaid_by(render: Callable[[Turns, list[dict] | None], str], defined: bool) -> frozenset[str]:
    """Names of `_PROBES` that a template prints without their words; what it stops at is said, and no part of it.

    `defined`: the conversation comes with definitions of tools.
    """
    return frozenset(name for name, (turns, words) in _PROBES.items() if (defined or name != "definitions") and _silent(render, turns, words, defined))


def _silent(render: Callable[[Turns, list[dict] | None], str], turns: Turns, words: tuple[str, ...], defined: bool) -> bool:
    try:
        text = render(turns, [_TOOL] if defined else None)
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError):
        return False
    return not all(word in text for word in words)


def held(row: dict) -> frozenset[str]:
    """What of `_PROBES` an opened row holds."""
    turns = [turn for name in TURNS if isinstance(row.get(name), list) for turn in row[name]]
    return frozenset(_held(row, turns))


def _held(row: dict, turns: Turns) -> Iterator[str]:
    calling = [turn for turn in turns if turn.get("tool_calls")]
    if row.get("tools"):
        yield "definitions"
    if calling:
        yield "calls"
    if any(isinstance(turn["tool_calls"], list) and len(turn["tool_calls"]) > 1 for turn in calling):
        yield "further calls of a turn"
    if any(str(turn.get("content") or "").strip() for turn in calling):
        yield "words beside a call"
    if any(turn["role"] == "tool" for turn in turns):
        yield "answers of tools"
