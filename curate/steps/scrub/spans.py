"""What the finders share: a place in a text, plain characters, the nearest context word."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """A personal item: `text[start:end]` is of `type` (`email`, `phone` ...)."""

    start: int
    end: int
    type: str


Range = tuple[int, int]

_COVER = "\x00"
_OPEN = re.compile(rf"[^\s{_COVER}](?:[^{_COVER}]*[^\s{_COVER}])?")
_SPACES = "\u00a0\u2002\u2003\u2007\u2008\u2009\u202f\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"
_DASHES = "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
_DIGITS = ["\uff10", "\u0660", "\u06f0", "\u0966", "\u09e6"]
_PLAIN = dict.fromkeys(_SPACES, " ") | dict.fromkeys(_DASHES, "-") | {"\uff0b": "+", "\uff0e": ".", "\uff20": "@"}
_PLAIN |= {chr(ord(zero) + value): str(value) for zero in _DIGITS for value in range(10)}
_ODD = re.compile("[" + "".join(map(re.escape, _PLAIN)) + "]")


def plain(text: str) -> str:
    """The text with typographic spaces, dashes and digits made ASCII, one character for one, so that places hold."""
    return text if text.isascii() else _ODD.sub(lambda match: _PLAIN[match[0]], text)


def covered(text: str, spans: Iterable[Span]) -> str:
    """The text with the items covered by NULs, one for each character, so that a later look sees an edge there."""
    pieces, position = [], 0
    for start, end, _ in sorted(spans):
        pieces += [text[position:start], _COVER * (end - max(start, position))]
        position = max(position, end)
    return "".join(pieces) + text[position:]


def uncovered(text: str, ranges: Iterable[Range]) -> Iterator[Range]:
    """What of the places in a covered text lies open: each part that has a letter or a digit, without the spaces around it."""
    for start, end in ranges:
        for part in _OPEN.finditer(text, start, end):
            if any(character.isalnum() for character in part[0]):
                yield part.span()


def words(yes: str, no: str = "") -> re.Pattern[str]:
    """A pattern for `nearest` from two lists of regex words; none counts inside a placeholder such as `<PHONE>`."""
    groups = [f"(?P<{name}>{'|'.join(listed.split())})" for name, listed in (("yes", yes), ("no", no)) if listed]
    return re.compile(rf"(?<![\w<\[{{])(?=[^\W\d])(?:{'|'.join(groups)})(?![^\W_])", re.IGNORECASE)


def nearest(pattern: re.Pattern[str], text: str, start: int, width: int) -> bool | None:
    """True where the last context word in the `width` characters before a place speaks for it, False against, else None."""
    last = None
    for last in pattern.finditer(text, max(0, start - width), start):
        pass
    return None if last is None else last.lastgroup == "yes"


def before(text: str, start: int, width: int) -> str:
    """Up to `width` characters before a place."""
    return text[max(0, start - width) : start]


def glued(text: str, start: int, end: int) -> bool:
    """True where the item is a part of something longer: an identifier, a decimal, a longer run of digits."""
    head, tail = text[max(0, start - 2) : start], text[end : end + 2]
    if head and (head[-1].isalnum() or head[-1] == "_"):
        return True
    if len(head) == 2 and head[-1] in ".,-/" and head[0].isdigit():
        return True
    if tail and (tail[0].isalnum() or tail[0] == "_"):
        return True
    return len(tail) == 2 and tail[0] in ".,-/" and tail[1].isdigit()


_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://|www\.|/)[^\s<>\"]*$", re.IGNORECASE)


def in_url(text: str, start: int) -> bool:
    """True where the place lies inside a web address or a path."""
    head = before(text, start, 120)
    return _URL.search(head[head.rfind(" ") + 1 :]) is not None


def luhn(digits: str) -> bool:
    """The check digit of cards (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
