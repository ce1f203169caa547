"""What may be read by everyone: receipts' values in; the same without local folders, passwords and personal data out."""

import os
import re
from functools import cache

from curate.config import UsageError
from curate.steps.scrub import Scrub
from curate.steps.sources.files import shown

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://[^\s'\"<>]+")
_NAME = r"[^\s/'\":;,()\[\]{}]+"
_LOCAL = re.compile(rf"(?<![\w.:/~])~?/(?:{_NAME}/)+(?:{_NAME})?|(?:\.\./)+{_NAME}(?:/{_NAME})*")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|ACCESS_KEY", re.IGNORECASE)
_SHORTEST_SECRET = 8
_ADDRESSES = ("host", "base_url")
"""Keys under which a report says where an endpoint was; published, it is known by its name alone."""


@cache
def _scrubber() -> Scrub:
    return Scrub(use="pii")


def scrubbed(text: str, language: str | None = None) -> str:
    """The text with placeholders for personal data."""
    return _scrubber().scrub(text, language)[0]


def redacted(value: object) -> object:
    """A receipt's value as it may be published, without the addresses of endpoints; what broke in a file may quote its text, and is scrubbed."""
    if isinstance(value, dict):
        shown = {key: inner for key, inner in value.items() if key not in _ADDRESSES}
        return {key: scrubbed(str(redacted(inner))) if key == "what" else redacted(inner) for key, inner in shown.items()}
    if isinstance(value, list):
        return [redacted(inner) for inner in value]
    return _redacted_text(value) if isinstance(value, str) else value


def _redacted_text(text: str) -> str:
    """The text without users, passwords and queries of URLs, and with paths outside the recipe's folder cut to their names."""
    pieces, end = [], 0
    for match in _URL.finditer(text):
        pieces += [_without_folders(text[end : match.start()]), _shown(match[0])]
        end = match.end()
    return "".join([*pieces, _without_folders(text[end:])])


def _shown(url: str) -> str:
    if url.startswith("file:"):
        return url.rstrip("/").rpartition("/")[2]
    try:
        return shown(url)
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2]


def _without_folders(text: str) -> str:
    return _LOCAL.sub(lambda match: match[0].rstrip("/").rpartition("/")[2], text)


def refuse_secrets(texts: dict[str, str]) -> None:
    """UsageError where a text holds the value of a token, key or password of this environment."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            where = next((path for path, text in texts.items() if value in text), None)
            if where:
                raise UsageError(f"{where}: holds the value of ${name}; take it out of the recipe or its words, and push again")
