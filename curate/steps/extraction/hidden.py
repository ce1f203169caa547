"""A page's source in, the text out that it keeps from a reader without scripts: hidden markup and stated bodies.

Blogs put posts into templates, news sites state the body of an article for search engines, and old pages
keep it in frames; all of it is looked for only where the visible page has next to no main text.
"""

import json
import re
from collections.abc import Iterator
from html import unescape

from selectolax.lexbor import LexborHTMLParser

from curate.steps.extraction.guard import oversize

_TEMPLATE = re.compile(
    r"""<script\b[^>]{0,500}?\btype=["']?text/(?:template|html|x-template)\b[^>]{0,500}>(.*?)(?:</script>|\Z)""", re.I | re.S
)
_CURTAIN = re.compile(r"<(/?)(?:noscript|template|dialog|frameset|noframes)\b[^>]{0,1000}>", re.I)
_BODY = "articleBody"
_TAG = re.compile(r"<[a-zA-Z/][^>]{0,1000}>")
_BREAK = re.compile(r"<(?:br|/p|/div|/li|/h\d)\b[^>]{0,100}>", re.I)
_BLANK = re.compile(r"\n\s*\n")
MAX_NESTING, MAX_TAGS = 1000, 500_000
"""Of the uncovered page; a guard before the parser takes what is inside of templates for text."""
MAX_DEPTH = 8
"""How deep the statements of a page are searched."""


def uncovered(html: str) -> list[str]:
    """The page with its templates visible, and with its other hidden markup: many pages hide the same text in both.

    Left out is what the page does not have, and what holds more than a parser stands.
    """
    found = _TEMPLATE.subn(lambda match: f"<div>{match[1]}</div>", html), _CURTAIN.subn(lambda match: f"<{match[1]}div>", html)
    return [bare for bare, count in found if count and not oversize(bare.encode("utf-8", "replace"), MAX_NESTING, MAX_TAGS)]


def stated_body(html: str) -> str:
    """The longest `articleBody` of the page's JSON-LD (schema.org), paragraphs apart; empty where none is stated."""
    if _BODY not in html:
        return ""
    scripts = LexborHTMLParser(html).css("script[type='application/ld+json']")
    bodies = [body for script in scripts for body in _bodies(_statements(script.text(deep=True)), MAX_DEPTH)]
    return max(map(_plain, bodies), key=len, default="")


def _statements(source: str) -> object:
    """What a script states; None where it is no JSON."""
    try:
        return json.loads(source, strict=False)
    except (ValueError, RecursionError):
        return None


def _bodies(stated: object, depth: int) -> Iterator[str]:
    """Every body of an article in nested statements."""
    inner = list(stated.values()) if isinstance(stated, dict) else stated if isinstance(stated, list) else []
    if isinstance(stated, dict) and isinstance(stated.get(_BODY), str):
        yield stated[_BODY]
    if depth:
        for value in inner:
            yield from _bodies(value, depth - 1)


def _plain(body: str) -> str:
    """Without the markup and references that many sites leave in; a line end where the body has one, or a paragraph ends."""
    text = unescape(_TAG.sub("", _BREAK.sub("\n\n", unescape(body))))
    paragraphs = ("\n".join(" ".join(line.split()) for line in part.strip().splitlines()) for part in _BLANK.split(text))
    return "\n\n".join(part for part in paragraphs if part)
