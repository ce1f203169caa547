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
_FLAGGED = re.compile(
    r"content management policy|content.?policy.?violation|responsibleaipolicy|content filtering policy|(?:input|prompt) was flagged"
    r"|violates usage guidelines|content exists risk|inappropriate content|considered high risk"
)
"""What filters of Azure, Anthropic, OpenRouter, xAI, DeepSeek, Alibaba and Moonshot say; some with the status of a refused key."""
_BAD_KEY = re.compile(r"api key (?:not (?:valid|found)|expired)")
"""Google's endpoints say so with status 400."""
_NOT_THERE = re.compile(r"unexpected endpoint|invalid model name|no models? loaded")
"""What LM Studio says with status 200 or 400, LiteLLM with 400."""
_TRANSIENT = (408, 409, 424, 425, 498)
"""Statuses below 500 that another try may not meet: 424 is a generation of text-generation-inference that failed, 498 Groq's want of capacity."""
_CODES = {
    "model_not_found": ("model_not_found", True),
    "context_length_exceeded": ("context_too_long", True),
    "json_validate_failed": ("malformed_reply", False),
    "tool_use_failed": ("called_a_tool", True),
    **dict.fromkeys(("content_filter", "content_policy_violation", "invalid_prompt"), ("content_filter", True)),
    **dict.fromkeys(
        ("insufficient_quota", "exceeded_current_quota_error", "billing_hard_limit_reached", "budget_exceeded"), ("quota_used_up", True)
    ),
}
"""Codes or types of errors that say more than their status: the reason, and whether it is final."""
_STREAMS = "`extra: {stream: true, stream_options: {include_usage: true}}`"
_INSTEAD = (
    (r"max_tokens\b.*not supported.*max_completion_tokens|use\W+max_completion_tokens", "`max_tokens_name: max_completion_tokens`"),
    (r"system (?:role|message|prompt|instruction)|developer instruction|role\W+system", "`principles: null`, and no `system` in the prompt's file"),
    (r"(?:extra|unknown|unrecogni).*max_completion_tokens|max_completion_tokens\W.*(?:unknown|not supported)", "`max_tokens_name: max_tokens`"),
    (r"max_(?:completion_)?tokens", "a smaller `max_tokens`"),
    (r"temperature", "`temperature: null`"),
    (r"top_p", "`top_p: null`"),
    (r"logprobs", "fewer `logprobs`, or 0"),
    (r"response_format|json_schema|structured output", "`structured: false`"),
    (r"\bseed\b", "`seed: null`"),
    (r"non.?stream|only supports?\W+stream|stream\W+(?:must be|to) true|stream=false", _STREAMS),
)
"""What a model that refuses a field is asked without; the first that fits is named."""


def complaint(status: int, body: dict) -> Complaint:
    """The complaint that a body of an error is. Gateways wrap a status of their providers' into a reply of status 200."""
    error = body.get("error") if isinstance(body.get("error"), dict) else body
    code, kind, message = str(error.get("code") or ""), str(error.get("type") or ""), _message(body)
    status = int(code) if status == 200 and code.isdecimal() and len(code) == 3 else status
    reason, final = _CODES.get(code) or _CODES.get(kind) or _reason(status, message.lower())
    if reason == "model_not_found" and "model" not in message.lower():
        message = f"no such model, or no such address: a base URL mostly ends in /v1; {message}".removesuffix("; ")
    instead = next((said for sign, said in _INSTEAD if re.search(sign, message, re.IGNORECASE)), None) if reason == "bad_request" else None
    told = f"set {instead}: {message}" if instead else message
    return Complaint(reason, final, f"{status} {told}"[:200])


def _message(body: dict) -> str:
    """What an error says, in the shapes that servers give it: `{error: {message}}`, `{error: text}`, `{message}`, `{detail}`; on one line."""
    error = body.get("error")
    told = error.get("message") if isinstance(error, dict) else error or body.get("message") or body.get("detail")
    beside = error.get("metadata") if isinstance(error, dict) else None
    # OpenRouter says "Provider returned error", and here what it was.
    raw = beside.get("raw") if isinstance(beside, dict) else None
    return "; ".join(" ".join(one.split()) if isinstance(one, str) else orjson.dumps(one).decode() for one in (told, raw) if one)


def _reason(status: int, message: str) -> tuple[str, bool]:
    """The reason of an error status, and whether it is final."""
    if status == 404 or _NOT_THERE.search(message):
        return "model_not_found", True
    if status < 429 and _FLAGGED.search(message):
        return "content_filter", True
    if status in (401, 403) or (status == 400 and _BAD_KEY.search(message)):
        return "key_refused", True
    if status == 402:
        return "quota_used_up", True
    if status == 413 or (status < 429 and _TOO_LONG.search(message)):
        return "context_too_long", True
    if status == 429:
        return "rate_limited", False
    if status == 200:
        return "malformed_reply", False
    return ("server_error", False) if status >= 500 or status in _TRANSIENT else ("bad_request", True)
