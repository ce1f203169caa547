"""HTML in UTF-8 in, the reason out why parsing it would hang or crash; linear in the page.

HTML5 tree builders search the stack of open elements at every tag, so time grows with
tags x depth, merge attributes pairwise, and free or copy trees by recursion. The shapes
that trigger this are counted here before any parser sees the page.
"""

import re
from collections import Counter
from typing import NamedTuple

import numpy as np


class Oversize(NamedTuple):
    """A limit that a page breaks."""

    reason: str
    value: float
    threshold: float


MAX_ATTRIBUTES = 5_000
"""Of one element; repeated <html> and <body> tags merge theirs into one."""

MAX_STEPS = 20_000_000
"""Tags x depth: what a parser may have to walk. A page of 20,000 tags may be 1,000 deep, one of 200,000 only 100."""

_TAG = re.compile(r"<(/?[a-zA-Z][^\s/>]*)")
_LONG = 20_000
_ATTRIBUTE = re.compile(r"""[^\s"'=]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"']+))?""")
_OPAQUE = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style|textarea|title|xmp)\b.*?(?:</\1|\Z)", re.I | re.S)

_FLAT = frozenset(
    "area base br col embed hr img input link meta param source track wbr "  # never hold anything
    "p li dt dd tr td th thead tbody tfoot colgroup option optgroup rp rt a nobr html head body".split()  # close each other
)


_CODE = np.zeros(256, dtype=np.int32)
_CODE[ord("A") : ord("Z") + 1] = _CODE[ord("a") : ord("z") + 1] = np.arange(1, 27)
_CODE[ord("0") : ord("9") + 1] = np.arange(27, 37)
_DIGIT = 27
"""Letters are 1 to 26 whatever their case, digits 27 to 36, what ends a name is 0."""


def _key(name: str) -> int:
    """The first three letters of a tag name as one number below 2^18."""
    first, second, third = _CODE[list(name.ljust(3)[:3].encode())]
    return int(first << 12 | second << 6 | third)


def _table(names: frozenset[str]) -> np.ndarray:
    table = np.zeros(1 << 18, dtype=bool)
    table[[_key(name) for name in names]] = True
    return table


_IS_FLAT = _table(_FLAT)
_IS_ROOT = _table(frozenset({"html", "body"}))


class Tags(NamedTuple):
    """Every `<` of a page that begins a tag, one row each."""

    at: np.ndarray
    """Offset of the `<` in bytes."""
    length: np.ndarray
    """Bytes until the next `<`."""
    closing: np.ndarray
    """True for `</...`."""
    key: np.ndarray
    """First three letters of the name, see `_key`."""


def scan(source: bytes) -> Tags:
    """The tags of a page at the price of a few passes over its bytes."""
    page = np.frombuffer(source + b"<\0\0\0\0", dtype=np.uint8)
    position = np.flatnonzero(page == ord("<"))
    closing = page[position[:-1] + 1] == ord("/")
    start = position[:-1] + 1 + closing
    first, second = _CODE[page[start]], _CODE[page[start + 1]]
    third = np.where(second == 0, 0, _CODE[page[start + 2]])
    tag = (first > 0) & (first < _DIGIT)
    key = first << 12 | second << 6 | third
    return Tags(position[:-1][tag], np.diff(position)[tag], closing[tag], key[tag])


def oversize(source: bytes, max_depth: int, max_tags: int) -> Oversize | None:
    """The first broken limit of a page in UTF-8: `too_many_tags`, `too_many_attributes` or `too_deep`, with its value."""
    opened = source.count(b"<")
    if opened > max_tags:
        return Oversize("too_many_tags", opened, max_tags)
    tags = scan(source)
    attributes = most_attributes(source, tags)
    if attributes > MAX_ATTRIBUTES:
        return Oversize("too_many_attributes", attributes, MAX_ATTRIBUTES)
    allowed = min(max_depth, max(100, MAX_STEPS // max(len(tags.key), 1)))
    deepest = depth(source, tags, allowed)
    return Oversize("too_deep", deepest, allowed) if deepest > allowed else None


def most_attributes(source: bytes, tags: Tags) -> int:
    """Upper bound of the attributes of one element; elements under 20,000 bytes count as 0."""
    most = int(_IS_ROOT[tags.key].sum())
    for row in np.flatnonzero(tags.length > _LONG):
        start, end = int(tags.at[row]), int(tags.at[row] + tags.length[row])
        if source.find(b">", start, start + _LONG) < 0:
            tag = source[start:end].partition(b">")[0].decode("utf-8", "replace")
            most = max(most, len(_ATTRIBUTE.findall(tag)))
    return most


def depth(source: bytes, tags: Tags, enough: int) -> int:
    """How deep elements nest, leaving out those that HTML closes by itself.

    Cheap where a bound shows that it is below `enough` (most pages), else each tag is
    matched with its own opening. Unclosed formatting elements count, as parsers reopen them.
    """
    bound = _bound(tags)
    return bound if bound <= enough else _matched(_TAG.findall(_OPAQUE.sub(" ", source.decode())))


def _bound(tags: Tags) -> int:
    """Largest running sum of openings less closings, plus the closings that close nothing."""
    nests = ~_IS_FLAT[tags.key]
    if not nests.any():
        return 0
    change = np.where(tags.closing[nests], -1, 1)
    _, names = np.unique(tags.key[nests], return_inverse=True)
    stray = -np.minimum(np.bincount(names, weights=change), 0).sum()
    return int(max(np.cumsum(change).max(), 0) + stray)


def _matched(tags: list[str]) -> int:
    """Largest number of open elements; a closing tag counts only where its name is open."""
    still_open, now, deepest = Counter[str](), 0, 0
    for tag in tags:
        name = tag.lower().removeprefix("/")
        step = 0 if name in _FLAT else -1 if tag.startswith("/") else 1
        if step > 0 or (step < 0 and still_open[name] > 0):
            still_open[name] += step
            now += step
            deepest = max(deepest, now)
    return deepest
