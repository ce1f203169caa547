"""The bytes of a page and its declared charset in; text out, with the charset that it turned out to have.

Order: byte order mark, valid UTF-8, HTTP header, the page's own declaration, detection.
The WHATWG standard puts UTF-8 behind the declarations; a page that is valid UTF-8 by
accident is far rarer than one whose server declares a default that it does not have.
"""

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

MAX_UNREADABLE = 0.01
"""Share of characters (replacement and control characters) above which a page is undecodable."""
PRESCAN = 1 << 14
"""Bytes in which a page's declaration is looked for; the standard says 1,024, authors do not keep to it."""
DETECTED = 1 << 17
"""Bytes of text, markup left out, that the detector sees."""
SAMPLE = 1 << 20
"""Characters in which control characters are counted."""

BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
WIDER = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs",
    "koi8-r": "koi8-u", "utf-16": "utf-8", "utf-16-le": "utf-8", "utf-16-be": "utf-8",
}  # fmt: skip
"""Python's codec for what a label means on the web: mostly a superset. UTF-16 without its mark is UTF-8 there."""
ALIASES = {
    "utf_8": "utf-8", "utf-8859-1": "utf-8", "win1251": "windows-1251", "win-1251": "windows-1251",
    "cp-1251": "windows-1251", "cp-1252": "windows-1252", "ansi": "windows-1252", "cp932": "shift_jis", "cp936": "gbk", "cp949": "euc-kr",
    "cp950": "big5",
}  # fmt: skip
PYTHON_ONLY = {"x-mac-cyrillic": "mac-cyrillic", "iso-2022-kr": "iso2022_kr"}
STATEFUL = frozenset({"iso2022_jp", "iso2022_kr"})
LATIN = ("cp1252", "cp1250", "iso8859-2", "cp1254", "cp1257")
GUESSED_LATIN = re.compile(r"(?:cp(?:437|850|852|857|858|86[0135]|125[0247])|iso8859-(?:[1-4]|9|1[03456])|mac-.*)$")
"""What the detector says of Latin letters, and is least sure of: DOS code pages for English with curly quotes."""
PLAUSIBLE = 0.5
"""Least plausibility, -1 to 1, of a Latin encoding that nothing declares."""
GUESS_BONUS = 0.1
"""For the detector's own guess: letters such as those of Hungarian stand in two encodings."""
COMMON = {
    "cp1252": frozenset("áàâãäåæçéèêëíìîïñóòôõöøœúùûüßÁÀÂÃÄÅÆÇÉÈÊËÍÓÔÕÖØÚÜ’‘“”„«»–—…•°©®€ºª¿¡·\xa0"),
    "cp1250": frozenset("ąćčďęěłńňóőřśšťůűźżžáéíúýôäöüßđăâîşţľĺôÁČĎÉĚŁŃŇÓÖŐŘŚŠŤŮŰŹŻŽĐ’‘“”„«»–—…•°©®€·\xa0"),
    "cp1254": frozenset("çğıöşüÇĞİÖŞÜâîû’‘“”–—…•°©®€·\xa0"),
    "cp1257": frozenset("āčēģīķļņšūžąęėįųõäöüĀČĒĢĪĶĻŅŠŪŽĄĘĖĮŲÕÄÖÜ’‘“”„–—…•°©®€·\xa0"),
}
"""Letters and marks that the languages of an encoding really use; iso8859-2 has those of cp1250."""

COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.S)
META = re.compile(rb"<meta\s[^>]{0,512}?charset\s{0,8}=\s{0,8}[\"']?\s{0,8}([\w.:+\-]{2,40})", re.I)
XML_DECLARATION = re.compile(rb"\s{0,64}<\?xml\s[^>]{0,256}?encoding\s{0,8}=\s{0,8}[\"']\s{0,8}([\w.:+\-]{2,40})", re.I)
HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:+\-]{2,40})", re.I)
CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
HIGH_BYTES = bytes(range(0x80, 0x100))


class Decoded(NamedTuple):
    """A page's text, without NUL characters and surrogates."""

    text: str
    charset: str
    unreadable: float
    """Share of its characters that are no text: over MAX_UNREADABLE the page is undecodable."""


def decode(body: bytes, content_type: str | None) -> Decoded:
    """The text of a page under the most likely charset; `content_type` is the HTTP header's value."""
    for mark, charset in BOMS:
        if body.startswith(mark):
            return _decoded(body[len(mark) :], charset)
    if b"\0" in body[:1024] and (utf16 := wide(body)):
        return _decoded(body, utf16)
    if b"\x1b" in body and body.isascii() and (escaped := _escaped(body, content_type)):
        return escaped
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return _legacy(body, content_type)
    return Decoded(text.replace("\0", "") if b"\0" in body else text, "utf-8", 0.0)


def _escaped(body: bytes, content_type: str | None) -> Decoded | None:
    """Text in an encoding that switches by escape sequences: ASCII to the eye."""
    charsets = [charset for charset in declared(body, content_type) if charset in STATEFUL]
    if not charsets and b"\x1b$B" not in body and b"\x1b$@" not in body:
        return None
    candidate = _decoded(body, (charsets or ["iso2022_jp"])[0])
    return candidate if candidate.unreadable <= MAX_UNREADABLE else None


def _legacy(body: bytes, content_type: str | None) -> Decoded:
    """The first candidate without a fault, else the one with the fewest."""
    best = _decoded(body, "utf-8")
    if _mostly_utf8(body, best.text):
        return best
    # Mostly ASCII with some wrong bytes: only where no other charset can read them.
    best = best._replace(unreadable=max(best.unreadable, MAX_UNREADABLE))
    for charset in _candidates(body, content_type):
        candidate = _decoded(body, charset)
        if candidate.unreadable < best.unreadable:
            best = candidate
        if not best.unreadable:
            break
    return best


def _candidates(body: bytes, content_type: str | None) -> Iterator[str]:
    charsets = [charset for charset in declared(body, content_type) if charset != "utf-8"]
    if len(charsets) > 1:  # header and page disagree: where the bytes side with the page, so do we
        guess = detected(body)
        charsets.sort(key=lambda charset: charset != guess)
    yield from charsets
    yield detected(body)


def _decoded(body: bytes, charset: str) -> Decoded:
    text = body.decode(charset, "replace").replace("\0", "")
    sample = text[:SAMPLE]
    controls = sum(1 for _ in CONTROL.finditer(sample)) / max(len(sample), 1)
    unreadable = text.count("\ufffd") / max(len(text), 1) + controls
    return Decoded(text, charset, unreadable)


def _mostly_utf8(body: bytes, text: str) -> bool:
    """True where all but a few of the non-ASCII characters are UTF-8: a damaged page, or one with foreign parts."""
    wrong = text.count("\ufffd")
    foreign = len(text) - len(body.translate(None, HIGH_BYTES))
    return 10 * wrong <= foreign - wrong


def wide(body: bytes) -> str | None:
    """UTF-16 without its mark: every other byte of markup is zero."""
    head = body[:1024]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) * 10 < len(head) or min(even, odd) * 4 > max(even, odd):
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def declared(body: bytes, content_type: str | None) -> list[str]:
    """Python's codecs for what the header says, then the page; without repetitions and unknown labels."""
    head = body[:PRESCAN]
    header = HEADER.search(content_type or "")
    meta = META.search(COMMENT.sub(b"", head))
    xml = XML_DECLARATION.match(head)
    labels = [header[1] if header else "", *(match[1].decode("latin-1") for match in (meta, xml) if match)]
    return list(dict.fromkeys(charset for label in labels if (charset := codec(label))))


def codec(label: str) -> str | None:
    """The Python codec for a charset label as the web uses it: latin-1 means windows-1252, gb2312 means gb18030."""
    label = label.strip().lower()
    name = PYTHON_ONLY.get(label) or map_encoding_to_html5(ALIASES.get(label, label), fallback_utf8=False)
    return _python(name) if name else None


def _python(name: str) -> str | None:
    try:
        found = codecs.lookup(name).name
    except LookupError:
        return None
    return WIDER.get(found, found)


def detected(body: bytes) -> str:
    """The codec that the bytes look like, markup and ASCII left out (uchardet's models, by resiliparse)."""
    pieces, size = [], 0
    for piece in re.split(rb"[<>\n\"]", body[: 8 * DETECTED]):
        if size < DETECTED and not piece.isascii():
            pieces.append(piece)
            size += len(piece)
    sample = b" \n".join(pieces)[:DETECTED] or body[:DETECTED]
    name = (detect_encoding(sample, max_len=DETECTED, html5_compatible=False) or "cp1252").lower()
    charset = _python(name) or "cp1252"
    if charset in ("ascii", "utf-8"):
        charset = "cp1252"
    if not GUESSED_LATIN.match(charset):
        return charset
    charset = "cp1257" if charset == "iso8859-13" else charset
    return max(LATIN, key=lambda latin: _plausible(sample, latin) + GUESS_BONUS * (latin == charset))


def likely(text: bytes) -> str | None:
    """The codec of text that is no UTF-8; None where no codec reads all of it as what its languages write."""
    charset = detected(text)
    try:
        read = text.decode(charset)
    except UnicodeDecodeError:
        return None
    if charset in LATIN and _plausible(text, charset) < PLAUSIBLE:
        return None
    return LATIN[0] if text.decode(LATIN[0], "replace") == read else charset


def _plausible(sample: bytes, charset: str) -> float:
    """How far the non-ASCII characters are those that this encoding's languages write: -1 to 1."""
    common = COMMON.get(charset, COMMON["cp1250"])
    foreign = re.findall(r"[^\x00-\x7f]", sample.decode(charset, "replace"))
    return sum(1 if character in common else -1 for character in foreign) / max(len(foreign), 1)
