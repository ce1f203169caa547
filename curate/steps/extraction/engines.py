"""HTML in, main text out: the extractors that a recipe can name.

Segments found on 687 gold pages, CPU beside it: `python -m benchmarks.extraction`.
"""

import logging
from collections import Counter
from collections.abc import Callable

from selectolax.lexbor import LexborHTMLParser

from curate.steps.extraction.blocks import read_blocks
from curate.steps.extraction.density import dense_blocks
from curate.steps.extraction.hidden import stated_body, uncovered
from curate.steps.extraction.model import load_model, main_blocks
from curate.steps.extraction.render import render

Engine = Callable[[str, LexborHTMLParser], str]
"""A page's source and its tree, which the engine may take apart, to text."""

SHORT = 250
"""Characters of main text below which a page may hide the rest."""

AGREEMENT = 0.85
"""Dice overlap of word 4-grams from which two extractors are taken to agree."""


def trafilatura_engine(markdown: bool = False) -> Engine:
    """Trafilatura in fast mode, without comments, never deduplicating across pages (Barbaresi 2021)."""
    from trafilatura import extract

    for name in ("trafilatura", "htmldate", "courlan", "justext"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    form = "markdown" if markdown else "txt"

    def run(html: str, tree: LexborHTMLParser) -> str:
        return extract(html, fast=True, include_comments=False, deduplicate=False, output_format=form) or ""

    return run


def resiliparse_engine(markdown: bool = False) -> Engine:
    """Resiliparse's main content, without comments (Bevendorff et al. 2018)."""
    from resiliparse.extract.html2text import extract_plain_text

    def run(html: str, tree: LexborHTMLParser) -> str:
        return extract_plain_text(html, main_content=True, comments=False, alt_texts=False)

    return run


def agree_engine(markdown: bool = False) -> Engine:
    """The shorter of resiliparse's and the density scorer's text where they agree, else trafilatura's."""
    resiliparse, trafilatura = resiliparse_engine(), trafilatura_engine()

    def run(html: str, tree: LexborHTMLParser) -> str:
        page = read_blocks(tree)
        first, second = resiliparse(html, tree), render(page, dense_blocks(page))
        if dice(first, second) >= AGREEMENT:
            return min(first, second, key=len)
        return trafilatura(html, tree)

    return run


def blocks_engine(markdown: bool = False) -> Engine:
    """Our own: a small learned classifier over the page's blocks, see model.py.

    Where it finds less than `SHORT` the page is read again with what surrounds text, then with what is hidden.
    """
    model = load_model()

    def main_text(tree: LexborHTMLParser, furniture: bool = False) -> str:
        page = read_blocks(tree, furniture)
        return render(page, main_blocks(page, model), markdown)

    def run(html: str, tree: LexborHTMLParser) -> str:
        text = main_text(tree) or main_text(LexborHTMLParser(html), furniture=True)
        if len(text) >= SHORT:
            return text
        hidden = [main_text(LexborHTMLParser(bare)) for bare in uncovered(html)]
        longest = max([*hidden, stated_body(html)], key=len)
        return longest if len(longest) > max(2 * len(text), SHORT) else text or longest or _densest(html, markdown)

    return run


def _densest(html: str, markdown: bool) -> str:
    """The densest running text of a page in which the model sees none."""
    page = read_blocks(LexborHTMLParser(html))
    return render(page, dense_blocks(page), markdown)


def dice(first: str, second: str) -> float:
    """Overlap of the word 4-grams of two texts, 0 to 1; empty texts overlap with nothing."""
    one, other = _grams(first), _grams(second)
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 0.0


def _grams(text: str) -> Counter[tuple[str, ...]]:
    words = [word for word in text.split() if word not in ("•", "-", "|")]
    return Counter(zip(words, words[1:], words[2:], words[3:], strict=False))


ENGINES: dict[str, Callable[[bool], Engine]] = {
    "blocks": blocks_engine,
    "trafilatura": trafilatura_engine,
    "resiliparse": resiliparse_engine,
    "agree": agree_engine,
}
"""By name; the argument asks for Markdown, which those in `MARKDOWN` can write."""

MARKDOWN = ("blocks", "trafilatura")
