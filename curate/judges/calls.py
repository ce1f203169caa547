"""A call and its reply: what is asked, under which key it is kept, and what came of it."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import orjson

from curate.judges.endpoint import ChatModel

Message = dict[str, object]
"""`role` and `content`; where tools are called also `tool_calls`, and in their answers `tool_call_id`."""


class Position(NamedTuple):
    """A token of a reply with what might have stood there, as (token, natural log of its probability)."""

    token: str
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Call:
    """One question to one model. Two draws of the same question are two calls."""

    model: ChatModel
    messages: list[Message]
    prompt_hash: str
    """sha256 of the prompt's file."""
    draw: int = 0
    schema: dict | None = field(default=None)
    """JSON schema of the reply, used where the model is `structured`."""

    @cached_property
    def request(self) -> dict[str, object]:
        """The body of a chat completion request."""
        return {"model": self.model.model, "messages": self.messages, **self.model.parameters(self.schema, self.draw)}

    @cached_property
    def key(self) -> bytes:
        """32 bytes: sha256 of the endpoint's name, model, parameters, prompt, messages and draw number."""
        named = [self.model.endpoint, self.request, self.prompt_hash, self.draw]
        return hashlib.sha256(orjson.dumps(named, option=orjson.OPT_SORT_KEYS)).digest()

    @cached_property
    def tokens_in(self) -> int:
        """Estimated prompt tokens; nobody's tokenizer is at hand."""
        beside = [message["tool_calls"] for message in self.messages if "tool_calls" in message]
        beside += [self.model.extra["tools"]] if "tools" in self.model.extra else []
        said = sum(estimated_tokens(message["content"]) + 4 for message in self.messages)
        return said + sum(estimated_tokens(orjson.dumps(value).decode()) for value in beside)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a call: a text, or the reason why there is none."""

    text: str | None
    failed: str | None = None
    """snake_case reason; null where there is a text."""
    detail: str = ""
    """What the endpoint said of it, at most 200 characters, without any key."""
    finish: str | None = None
    """`stop`, or `length` where the text was cut at max_tokens."""
    positions: tuple[Position, ...] = ()
    model: str = ""
    """The model's name as the endpoint gives it."""
    tokens_in: int = 0
    tokens_out: int = 0
    """Of the last attempt; what earlier ones cost stands in the caller's account."""
    cost: float = 0.0
    simulated: bool = False
    """The endpoint calls itself a simulation."""
    cached: bool = False


def estimated_tokens(text: str) -> int:
    """About how many tokens a text is: a rule of thumb, since nobody's tokenizer is at hand.

    Four ASCII characters to a token and one of any other, which for texts in Latin and CJK script is
    meant to be rather too many than too few, so that a budget or a ceiling holds.
    """
    plain = len(text.encode("ascii", "ignore"))
    return plain // 4 + (len(text) - plain) + 1
