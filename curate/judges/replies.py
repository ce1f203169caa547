"""What a raw answer of an endpoint means: status and body come in, a reading with a reason goes out.

Total functions: whatever a server sends, the answer is a reading, never an error.
"""

import re
from typing import NamedTuple

import orjson

from curate.judges.calls import Position
from curate.judges.complaints import complaint

UNHEARD = 0
"""Status of an attempt that was sent and brought no whole reply: it may have been billed."""
UNREACHED = -1
"""Status of an attempt that never arrived."""


class Raw(NamedTuple):
    """An attempt's end as it came over the wire; `reason` where there was no HTTP reply."""

    status: int
    body: str
    reason: str = ""
    wait_s: float | None = None
    """How long the endpoint asks us to wait."""


class Reading(NamedTuple):
    """What an attempt brought; `final`: another try would not help."""

    failed: str | None
    final: bool
    text: str | None = None
    detail: str = ""
    finish: str | None = None
    positions: tuple[Position, ...] = ()
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    simulated: bool = False


ANSWERS = (None, "refused", "content_filter", "cut_before_text", "called_a_tool")
"""What a paid reply can be for good; any other failure may be otherwise in the next run."""
STOPS = ("key_refused", "quota_used_up")
"""Failures that end the whole run: every further call would meet them too."""
_THOUGHT = re.compile(r"<think(?:ing)?>|\[THINK\]")
_THOUGHT_ENDS = re.compile(r"</think(?:ing)?>|\[/THINK\]")
_ENDINGS = {
    **dict.fromkeys(("model_length", "max_tokens"), "length"),
    **dict.fromkeys(("safety", "recitation", "blocklist", "prohibited_content", "spii", "sensitive"), "content_filter"),
    **dict.fromkeys(("network_error", "insufficient_system_resource", "abort"), "error"),
}
"""What Mistral, Gemini, Zhipu, DeepSeek, vLLM and SGLang call the ends of replies, in OpenAI's words and OpenRouter's `error`."""


def read(raw: Raw) -> Reading:
    """The reading of an attempt."""
    if raw.status in (UNHEARD, UNREACHED):
        return Reading(raw.reason or "timed_out", False)
    body = _object(raw.body)
    if raw.status == 200 and body is None:
        return Reading("malformed_reply", False, detail=f"200 no chat completion (a base URL mostly ends in /v1): {_line(raw.body)}"[:200])
    body = {"message": _line(raw.body)} if body is None else body
    if raw.status == 200 and not (body.get("error") and isinstance(body["error"], dict | str)):
        return _completion(body)
    tokens_in, tokens_out = _usage(body)
    said = complaint(raw.status, body)
    return Reading(said.reason, said.final, detail=said.detail, tokens_in=tokens_in, tokens_out=tokens_out)


def _line(text: str) -> str:
    """The beginning of a page or a plain text, on one line."""
    return " ".join(text[:1000].split())


def _object(text: str) -> dict | None:
    """The JSON object that a body is, or the only one of a list, as Google's endpoints send errors; None where it is none."""
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    alone = body[0] if isinstance(body, list) and len(body) == 1 else body
    return alone if isinstance(alone, dict) else None


def _completion(body: dict) -> Reading:
    """The reading of a chat completion; one that breaks the format is malformed, and may be tried again."""
    tokens_in, tokens_out = _usage(body)
    known = {
        "model": str(body.get("model") or ""),
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        "simulated": body.get("system_fingerprint") == "simulated",
    }
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message, finish = choice.get("message"), _finish(choice)
    known["finish"] = finish
    if choice.get("error") or finish == "error":
        broken = f"200 the reply broke off: finish_reason is {choice.get('finish_reason')}"
        return Reading("server_error", False, detail=complaint(200, choice).detail if choice.get("error") else broken, **known)
    if finish == "content_filter":
        return Reading("content_filter", True, **known)
    if not isinstance(message, dict):
        if finish == "length":
            return _wordless({}, known)
        return Reading("malformed_reply", False, detail="200 no chat completion: it has no choices[0].message", **known)
    if message.get("refusal"):
        return Reading("refused", True, detail=_line(str(message["refusal"]))[:200], **known)
    text = _said(message.get("content"))
    if not text.strip():
        return _wordless(message, known)
    return Reading(None, True, text=text, positions=_spoken(_positions(choice.get("logprobs")), message, text), **known)


def _finish(choice: dict) -> str | None:
    """Why a reply ended; `error` where it broke off through no fault of the request."""
    said = choice.get("finish_reason")
    name = said.lower().partition(":")[0] if isinstance(said, str) else None
    return _ENDINGS.get(name, name) if name else None


def _said(content: object) -> str:
    """The text of a message, whole or in parts, without what a model thought to itself before it."""
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict) and part.get("type") == "text")
    text = content if isinstance(content, str) else ""
    end, begun = _THOUGHT_ENDS.search(text), _THOUGHT.match(text.lstrip())
    if end and (begun or not _THOUGHT.search(text[: end.start()])):  # a chat template may have opened the thought
        return text[end.end() :].lstrip()
    return "" if begun else text


def _wordless(message: dict, known: dict) -> Reading:
    """A message without a text: cut while it thought, a call of a tool, or nothing at all, which may be otherwise next time."""
    if known["finish"] == "length":
        return Reading("cut_before_text", True, detail="200 no text within `max_tokens`; raise it", **known)
    if message.get("tool_calls"):
        return Reading("called_a_tool", True, detail="200 a tool was called, and no text came", **known)
    return Reading("empty_reply", False, **known)


def _usage(body: dict) -> tuple[int, int]:
    """Tokens in and out; what a model thought is in some endpoints' sum alone (Google's, xAI's), and billed as its reply is."""
    usage = body.get("usage") if isinstance(body.get("usage"), dict) else {}
    tokens_in, tokens_out, total = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    return tokens_in, max(tokens_out, total - tokens_in)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _positions(logprobs: object) -> tuple[Position, ...]:
    """The tokens' alternatives, at least the token itself; none where they are absent or not as they should be."""
    if not isinstance(logprobs, dict):
        return ()
    try:
        return tuple(Position(str(token["token"]), _alternatives(token)) for token in logprobs.get("content") or _side_by_side(logprobs))
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()


def _side_by_side(logprobs: dict) -> list[dict]:
    """Tokens in the form of the older completions, three lists in step, which Together and others keep for chats."""
    tokens = logprobs.get("tokens") or []
    tops = [*(logprobs.get("top_logprobs") or []), *[None] * len(tokens)]
    told = zip(tokens, logprobs.get("token_logprobs") or [], tops, strict=False)
    listed = ((token, value, [{"token": one, "logprob": odds} for one, odds in (top or {}).items()]) for token, value, top in told)
    return [{"token": token, "logprob": value, "top_logprobs": top} for token, value, top in listed]


def _alternatives(token: dict) -> tuple[tuple[str, float], ...]:
    """What might have stood there; a log-probability of null is one of nothing."""
    listed = token.get("top_logprobs") or [token]
    return tuple((str(one["token"]), float(one["logprob"])) for one in listed if one["logprob"] is not None)


def _spoken(positions: tuple[Position, ...], message: dict, text: str) -> tuple[Position, ...]:
    """The positions from where the text begins: servers that set a thought apart tell its tokens all the same."""
    joined = "".join(one.token for one in positions)
    ends = [match.end() for match in _THOUGHT_ENDS.finditer(joined)]
    start = ends[0] if ends else 0
    if not ends and (message.get("reasoning_content") or message.get("reasoning")):
        start = joined.rfind(text.strip())
    if start < 0:
        return ()
    kept, place = [], 0
    for one in positions:
        place += len(one.token)
        if place > start:
            kept.append(one)
    return tuple(kept)
