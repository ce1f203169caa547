"""What an endpoint complains of: an error's status and body come in; the reason, and what to set instead, go out."""

import re
from typing import NamedTuple

import orjson


class Complaint(NamedTuple):
    """An error; `final`: another try would not help."""

    reason: str
    final: bool
    detail: str
    """At most 200 characters: the status, what to set instead where that is known, and what the endpoint said."""


_TOO_LONG = re.compile(
    r"context (?:length|size|window)|prompt is too long|input is too long|input token count|too many (?:input )?tokens|max_new_tokens"
)
_INSTEAD = (
    (r"max_tokens\b.*not supported.*max_completion_tokens|use\W+max_completion_tokens", "`max_tokens_name: max_completion_tokens`"),
    (r"system (?:role|message|prompt|instruction)|developer instruction|role\W+system", "`principles: null`, and no `system` in the prompt's file"),
    (r"max_(?:completion_)?tokens", "a smaller `max_tokens`"),
    (r"temperature", "`temperature: null`"),
    (r"top_p", "`top_p: null`"),
    (r"logprobs", "fewer `logprobs`, or 0"),
    (r"response_format|json_schema|structured output", "`structured: false`"),
    (r"\bseed\b", "`seed: null`"),
    (r"\bstream", "`extra: {stream: false}`"),
)
"""What a model that refuses a field is asked without; the first that fits is named."""


def complaint(status: int, body: dict) -> Complaint:
    """The complaint that a body of an error is. Gateways wrap a status of their providers' into a reply of status 200."""
    error = body.get("error") if isinstance(body.get("error"), dict) else body
    code, message = str(error.get("code") or ""), _message(body)
    status = int(code) if status == 200 and code.isdecimal() and len(code) == 3 else status
    reason, final = _reason(status, code, message.lower())
    if status == 404 and "model" not in message.lower():
        message = f"no such model, or no such address: a base URL mostly ends in /v1; {message}".removesuffix("; ")
    instead = next((said for sign, said in _INSTEAD if re.search(sign, message, re.IGNORECASE)), None) if reason == "bad_request" else None
    told = f"set {instead}: {message}" if instead else message
    return Complaint(reason, final, f"{status} {told}"[:200])


def _message(body: dict) -> str:
    """What an error says, in the shapes that servers give it: `{error: {message}}`, `{error: text}`, `{message}`, `{detail}`."""
    error = body.get("error")
    told = error.get("message") if isinstance(error, dict) else error or body.get("message") or body.get("detail")
    return told if isinstance(told, str) else orjson.dumps(told).decode() if told else ""


def _reason(status: int, code: str, message: str) -> tuple[str, bool]:
    """The reason of an error status, and whether it is final."""
    if status == 404 or code == "model_not_found":
        return "model_not_found", True
    if status in (401, 403):
        return "key_refused", True
    if status == 402 or code in ("insufficient_quota", "billing_hard_limit_reached"):
        return "quota_used_up", True
    if code in ("content_filter", "content_policy_violation"):
        return "content_filter", True
    if status == 413 or code == "context_length_exceeded" or (status < 429 and _TOO_LONG.search(message)):
        return "context_too_long", True
    if status == 429:
        return "rate_limited", False
    if status == 200:
        return "malformed_reply", False
    return ("server_error", False) if status >= 500 or status in (408, 409, 425) else ("bad_request", True)
