"""What a raw answer of an endpoint means: status and body come in, a reading with a reason goes out.

Total functions: whatever a server sends, the answer is a reading, never an error.
"""

from typing import NamedTuple

import orjson

from curate.judges.calls import Position

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


ANSWERS = (None, "refused", "content_filter", "cut_before_text")
"""What a paid reply can be for good; any other failure may be otherwise in the next run."""
STOPS = ("key_refused", "quota_used_up")
"""Failures that end the whole run: every further call would meet them too."""


def read(raw: Raw) -> Reading:
    """The reading of an attempt."""
    if raw.status in (UNHEARD, UNREACHED):
        return Reading(raw.reason or "timed_out", False)
    try:
        body = orjson.loads(raw.body)
    except orjson.JSONDecodeError:
        body = None
    body = body if isinstance(body, dict) else {}
    if raw.status == 200 and not isinstance(body.get("error"), dict):
        return _completion(body)
    return _error(raw, body)


def _error(raw: Raw, body: dict) -> Reading:
    error = body.get("error") if isinstance(body.get("error"), dict) else body
    code, message = str(error.get("code") or ""), str(error.get("message") or "")
    # Gateways wrap a status of their providers' into a reply of status 200.
    status = int(code) if raw.status == 200 and code.isdecimal() and len(code) == 3 else raw.status
    reason, final = _reason(status, code, message.lower())
    usage = _usage(body)
    told = message or ("no such model, or no such address: a base URL mostly ends in /v1" if status == 404 else "")
    return Reading(reason, final, detail=f"{status} {told}"[:200], tokens_in=usage[0], tokens_out=usage[1])


def _reason(status: int, code: str, message: str) -> tuple[str, bool]:
    """The reason of an error status, and whether it is final."""
    if status in (401, 403):
        return "key_refused", True
    if status == 402 or code in ("insufficient_quota", "billing_hard_limit_reached"):
        return "quota_used_up", True
    if status == 404:
        return "model_not_found", True
    if code in ("content_filter", "content_policy_violation"):
        return "content_filter", True
    if status == 413 or code == "context_length_exceeded" or "context length" in message or "context size" in message:
        return "context_too_long", True
    if status == 429:
        return "rate_limited", False
    if status == 200:
        return "malformed_reply", False
    return ("server_error", False) if status >= 500 or status in (408, 409, 425) else ("bad_request", True)


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
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return Reading("malformed_reply", False, **known)
    text, finish = message.get("content"), choice.get("finish_reason")
    known["finish"] = finish if isinstance(finish, str) else None
    if message.get("refusal"):
        return Reading("refused", True, detail=str(message["refusal"])[:200], **known)
    if finish == "content_filter":
        return Reading("content_filter", True, **known)
    if not isinstance(text, str) or not text.strip():
        return Reading("cut_before_text", True, **known) if finish == "length" else Reading("empty_reply", False, **known)
    return Reading(None, True, text=text, positions=_positions(choice.get("logprobs")), **known)


def _usage(body: dict) -> tuple[int, int]:
    usage = body.get("usage") if isinstance(body.get("usage"), dict) else {}
    return _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _positions(logprobs: object) -> tuple[Position, ...]:
    """The tokens' alternatives; none where they are absent or not as they should be."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    try:
        return tuple(
            Position(str(token["token"]), tuple((str(one["token"]), float(one["logprob"])) for one in token["top_logprobs"]))
            for token in content or []
        )
    except (KeyError, TypeError, ValueError):
        return ()
