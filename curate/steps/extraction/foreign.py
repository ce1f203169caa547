"""A page's source in, how likely its text is in a wanted language out, at a tenth of the price of extraction.

Nothing is parsed: long runs of text between two tags are what a reader reads on most pages, and
a few of them tell a language. Where they do not tell it, the page is extracted as any other.
"""

import re
from collections.abc import Collection
from html import unescape

from curate.steps.language import first_opinion, one_line

LEAST_RUN = 80
"""Characters of running text: menus and captions are shorter, and often in another language than the page."""
PIECES, FEWEST_PIECES = 4, 2
PIECE = 150
CLEAR = 0.6
"""A piece with a weaker best label says nothing."""
UNLIKELY = 0.05
"""Probability below which a piece is not in a language.

All of a page's pieces must say so. Of 1,092 pages in over 26 languages, and for each of 17 languages that could be
wanted, not one page was lost that is in the wanted language once extracted, and 86 % of the others were told.
"""
_CODE = re.compile(r"""[{}\\=|]|\)[;:.,(]|":|';""")
"""What stands in scripts, whose strings may hold tags, and seldom in prose."""
_OPAQUE = ("script", "style", "!--", "noscript", "textarea", "title", "option", "SCRIPT", "STYLE", "Script", "Style")
_RUN = re.compile(rf">([^<]{{{LEAST_RUN},}})")


def running_text(html: str) -> list[str]:
    """The long runs of text between two tags, scripts and styles left out."""
    found = (match for match in _RUN.finditer(html) if not html.startswith(_OPAQUE, html.rfind("<", 0, match.start()) + 1))
    runs = (match[1].strip() for match in found)
    return [run for run in runs if len(run) >= LEAST_RUN and not _CODE.search(run, 0, PIECE)]


def likeliest(html: str, wanted: Collection[str]) -> float | None:
    """The highest probability that any piece of a page gives to a wanted language; None where the page is not surely foreign."""
    runs = running_text(html)
    if len(runs) < FEWEST_PIECES:
        return None
    highest, step = 0.0, max(len(runs) / PIECES, 1)
    for place in range(min(PIECES, len(runs))):
        guesses = dict(first_opinion(one_line(unescape(runs[int(place * step)][:PIECE]))))
        highest = max(highest, *(guesses.get(language, 0.0) for language in wanted))
        if highest >= UNLIKELY or max(guesses.values(), default=0.0) < CLEAR:
            return None
    return highest
