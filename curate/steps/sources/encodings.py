"""Files of text in any encoding: pieces of a file in, its beginning and all of its pieces in UTF-8 out.

A byte order mark tells the encoding, else the source's `encoding`; a file that is valid UTF-8 is
never taken for another, whatever the source says, so that a folder may hold both.
"""

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

from curate.config import UsageError
from curate.steps.sources.lines import Broken
from curate.steps.sources.patience import RemoteChanged
from curate.steps.sources.payload_charset import likely, wide

HEAD_BYTES = 2**18
"""Of a file looked at to tell its encoding and its layout."""
_WRONG = 0.9
"""Share of the parts beyond ASCII that are no UTF-8, above which a file is in another encoding and not damaged here and there."""
_FEW = 0.001
"""Share of all parts, up to which they are damage in any case: a thousand good rows are not refused for one."""
_UTF8 = "utf-8"
_MARKS = {
    _UTF8: codecs.BOM_UTF8, "utf-32-le": codecs.BOM_UTF32_LE, "utf-32-be": codecs.BOM_UTF32_BE,
    "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE,
}  # fmt: skip
"""Byte order marks; UTF-32's begins with UTF-16's, so it is looked for first."""


class Text(NamedTuple):
    """A file of text in UTF-8, without its mark."""

    head: bytes
    """Its beginning, HEAD_BYTES or all of it."""
    pieces: Iterator[bytes]
    """All of it, the beginning too."""


def text_of(pieces: Iterator[bytes], label: str, given: str | None) -> Text:
    """The text of a file. UsageError for one that is neither UTF-8 nor marked where no encoding is `given`."""
    raw = ahead(pieces)
    said = marked(raw.head)
    bare = raw if said is None else _without(_MARKS[said], raw)
    encoding = said or _unmarked(raw.head, label, given)
    return bare if encoding == _UTF8 else ahead(_in_utf8(bare.pieces, encoding))


def marked(head: bytes) -> str | None:
    """The encoding that a byte order mark tells; None where there is no mark."""
    return next((name for name, mark in _MARKS.items() if head.startswith(mark)), None)


def ahead(pieces: Iterator[bytes]) -> Text:
    """A file's beginning, as it stands, and all of the pieces; what goes wrong there is met when the pieces before it have been read."""
    taken = bytearray()
    damage: Exception | None = None
    try:
        while len(taken) < HEAD_BYTES and (piece := next(pieces, None)) is not None:
            taken += piece
    except (Broken, OSError, RemoteChanged) as error:
        damage = error
    head = bytes(taken)

    def whole() -> Iterator[bytes]:
        yield head
        if damage is not None:
            raise damage
        yield from pieces

    return Text(head, whole())


def _without(mark: bytes, text: Text) -> Text:
    def rest() -> Iterator[bytes]:
        yield next(text.pieces)[len(mark) :]
        yield from text.pieces

    return Text(text.head[len(mark) :], rest())


def _unmarked(head: bytes, label: str, given: str | None) -> str:
    """The encoding of a file without a mark: UTF-8 where it is that, else the one that is given."""
    cut = len(head) >= HEAD_BYTES
    double = wide(head) if b"\0" in head else None
    if double is None and _is_utf8(head, cut):
        return given if given and head.isascii() and "a".encode(given) == b"a" else _UTF8
    parts = re.split(rb'[\n"]', head)[: -1 if cut else None]
    foreign = [part for part in parts if not part.isascii()]
    wrong = [part for part in foreign if not _is_utf8(part)]
    if double is None and len(wrong) <= max(_WRONG * len(foreign), _FEW * len(parts)):
        return _UTF8
    found = double or likely(b"\n".join(wrong))
    if given is None and found is not None:
        options = f"`encoding: {found}` in its `source:` or `convert --encoding {found}`"
        raise UsageError(f"{label}: is not UTF-8 but, it seems, {found}; say so by {options}, or write it again as UTF-8")
    return given or _UTF8


def _is_utf8(text: bytes, cut: bool = False) -> bool:
    """True for valid UTF-8; the last character of a text that was cut may be half of one."""
    try:
        text.decode(_UTF8)
    except UnicodeDecodeError as error:
        return cut and error.start >= len(text) - 3
    return True


def _in_utf8(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The text in UTF-8. What is no text in its encoding is none in UTF-8 either, so that its row is dropped by name."""
    errors = "surrogatepass" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    try:
        for piece in pieces:
            yield decoder.decode(piece).encode(_UTF8, errors)
        yield decoder.decode(b"", final=True).encode(_UTF8, errors)
    except UnicodeError as error:
        raise Broken(f"is not {encoding}, or ends in the middle of a character: {error}") from None
