"""How long to wait before a call is tried again: the endpoint's own wish, else a seeded, jittered doubling."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MOST_S = 60.0
"""Longest wait of our own choosing."""
MOST_ASKED_S = 600.0
"""Longest wait that an endpoint may ask for."""
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_DELAY = re.compile(r'"retryDelay":\s*"(\d+(?:\.\d+)?)s"')
"""What Google's endpoints say in the body, and in no header (google.rpc.RetryInfo)."""
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def backoff(tried: int, base_s: float, key: bytes, asked_s: float | None) -> float:
    """Seconds to wait after `tried` attempts (1 or more); the jitter comes from the call's key, not from a clock.

    Half of the doubling stays and half is drawn ("equal jitter"), so that calls that failed together part.
    """
    draw = int.from_bytes(key[(tried * 2) % 28 : (tried * 2) % 28 + 4], "big") / 2**32
    own = min(MOST_S, base_s * 2 ** (tried - 1)) * (0.5 + draw / 2)
    return own if asked_s is None else asked_s + min(own, base_s) * draw


def asked_wait(headers: Mapping[str, str], now: datetime | None = None, body: str = "") -> float | None:
    """Seconds that the endpoint asks for by Retry-After (seconds or a date), x-ratelimit-reset or in its body; None: it does not."""
    given = headers.get("retry-after-ms")
    if given and given.strip().isdecimal():
        return min(MOST_ASKED_S, float(given) / 1000)
    given = (headers.get("retry-after") or "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", given):
        return min(MOST_ASKED_S, float(given))
    if given:
        return _until(given, now or datetime.now(UTC))
    used_up = [what for what in ("requests", "tokens") if headers.get(f"x-ratelimit-remaining-{what}") == "0"]
    names = ["x-ratelimit-reset", *(f"x-ratelimit-reset-{what}" for what in used_up)]
    spans = [_span(text) for name in names if (text := headers.get(name))]
    spans += [_span(text) for text in _DELAY.findall(body)]
    return max((span for span in spans if span is not None), default=None)


def _until(date: str, now: datetime) -> float | None:
    try:
        when = parsedate_to_datetime(date)
    except ValueError:
        return None
    return min(MOST_ASKED_S, max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds()))


def _span(text: str) -> float | None:
    """Seconds of `6m0s`, `20ms` or a bare number; None where it is neither, or a moment and not a span."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return min(MOST_ASKED_S, float(text)) if float(text) < 1e6 else None
    parts = _SPAN.findall(text)
    return min(MOST_ASKED_S, sum(float(number) * _SECONDS[unit] for number, unit in parts)) if parts else None
