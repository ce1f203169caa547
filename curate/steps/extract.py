"""Decoded HTML in; its main text, title, date and licence out, or the reason why there is none.

A page that would hang, crash or exhaust the parser costs that page only.
"""

import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator
from selectolax.lexbor import LexborHTMLParser

from curate.steps.clock import CpuTimeout, cpu_limit
from curate.steps.extraction.engines import ENGINES, MARKDOWN, Engine
from curate.steps.extraction.foreign import UNLIKELY, likeliest
from curate.steps.extraction.guard import oversize
from curate.steps.extraction.model import MODEL
from curate.steps.language import MODEL as LANGUAGE_MODEL
from curate.steps.language import Languages, checked, first_opinion, refuse_unknown
from curate.steps.metadata import PageMetadata, read_metadata
from curate.steps.step import Drop, Step, Unit

_WARM_UP = "<html><head><title>One</title></head><body><main><p>One sentence of text.</p></main></body></html>"
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f\xad\ufeff]")
_BLANK_LINES = re.compile(r"\n{4,}")


Run = Callable[[str, bytes, str | None], tuple[PageMetadata, str]]
"""Metadata and text of a page, given as text and as UTF-8, and of its URL."""


class Extract(Step):
    """Turn a page into its main text; units without HTML pass untouched.

    Reasons: too_large, other_language, too_many_tags, too_many_attributes, too_deep (before parsing),
    extractor_timeout, extractor_failed, empty_text. The text depends on this page alone.

    `blocks` is the default: segment F1 .933 on 687 gold pages, each judged by a model that
    never saw its site, against .917 for trafilatura 2.3.1 in fast mode and .922 as it ships,
    .860 for resiliparse (benchmarks/train_extractor.py and extraction.py). Where a page shows
    next to no text, what it hides from readers without scripts is looked at too.
    """

    version: ClassVar[int] = 5

    use: Literal["extract"]
    engine: Literal["blocks", "trafilatura", "resiliparse", "agree"] = Field(
        "blocks", description="Which extractor finds the main text."
    )
    format: Literal["text", "markdown"] = Field(
        "text",
        description="Plain text (a blank line between paragraphs, a tab between table cells), or Markdown: "
        "headings, lists, tables, fenced code. Only the engines blocks and trafilatura write Markdown.",
    )
    languages: Languages = Field(
        (),
        description="Skip a page that is surely in none of these languages before it is parsed, as the `language` step "
        "takes them; that step judges the rest. With none every page is extracted.",
    )
    max_cpu_s: float = Field(10, gt=0, le=3600, description="CPU seconds that one page may use.")
    max_html_chars: int = Field(20_971_520, ge=1, description="Characters of HTML; a longer page is dropped.")
    max_tags: int = Field(500_000, ge=1, description="Tags of a page; more are dropped.")
    max_depth: int = Field(
        1000, ge=10, le=2000, description="Nesting of elements; a deeper page is dropped, and one of over 20,000 tags sooner."
    )

    @field_validator("languages")
    @classmethod
    def _known(cls, given: Languages) -> tuple[str, ...] | dict[str, float]:
        languages = checked(given)
        refuse_unknown(languages)
        return languages

    @model_validator(mode="after")
    def _format_is_offered(self) -> Self:
        if self.format == "markdown" and self.engine not in MARKDOWN:
            raise ValueError(f"engine '{self.engine}' writes no Markdown; use {' or '.join(MARKDOWN)}, or `format: text`")
        return self

    @cached_property
    def _run(self) -> Run:
        """Made once, imports and first use included, before any clock runs."""
        engine: Engine = ENGINES[self.engine](self.format == "markdown")

        def run(html: str, source: bytes, url: str | None) -> tuple[PageMetadata, str]:
            tree = LexborHTMLParser(source)
            metadata = read_metadata(tree, url)
            return metadata, normalise(engine(html, tree))

        run(_WARM_UP, _WARM_UP.encode(), None)
        return run

    def reads(self) -> list[Path]:
        return ([MODEL] if self.engine == "blocks" else []) + ([LANGUAGE_MODEL] if self.languages else [])

    def warm_up(self) -> None:
        _ = self._run
        if self.languages:
            first_opinion("warm")

    def apply(self, unit: Unit) -> Drop | None:
        if unit.html is None:
            return None
        unit.values[f"{self.name}.html_chars"] = len(unit.html)
        if len(unit.html) > self.max_html_chars:
            return Drop("too_large", len(unit.html), self.max_html_chars)
        chance = likeliest(unit.html, self.languages) if self.languages else None
        if chance is not None:
            return Drop("other_language", chance, UNLIKELY)
        html, source = encoded(unit.html)
        broken = oversize(source, self.max_depth, self.max_tags)
        return Drop(*broken) if broken else self._extract(unit, html, source)

    def _extract(self, unit: Unit, html: str, source: bytes) -> Drop | None:
        """Fill the unit in, on the clock."""
        run = self._run
        try:
            with cpu_limit(self.max_cpu_s):
                metadata, text = run(html, source, unit.url)
        except CpuTimeout:
            return Drop("extractor_timeout", self.max_cpu_s, self.max_cpu_s)
        except Exception:  # whatever a library makes of one bad page is that page's reason
            return Drop("extractor_failed")
        unit.values[f"{self.name}.text_chars"] = len(text)
        if not text:
            return Drop("empty_text", 0, 1)
        fill(unit, metadata, text)
        return None


def encoded(html: str) -> tuple[str, bytes]:
    """A page and its UTF-8, halves of surrogate pairs replaced in both."""
    try:
        return html, html.encode()
    except UnicodeEncodeError:
        source = html.encode("utf-8", "replace")
        return source.decode(), source


def fill(unit: Unit, metadata: PageMetadata, text: str) -> None:
    """Text and metadata on the unit, whose HTML is let go; what the source knew already stays where the page is silent."""
    unit.text, unit.html = text, None
    unit.title = metadata.title or unit.title
    unit.licence = metadata.licence or unit.licence
    if metadata.published:
        unit.metadata["published"] = metadata.published
    if metadata.licence_url:
        unit.metadata["licence_url"] = metadata.licence_url


def normalise(text: str) -> str:
    """Lines end in `\\n` and not in spaces, never three blank ones in a row, no control characters; indentation stays."""
    lines = "\n".join(line.rstrip() for line in _CONTROLS.sub("", text).splitlines())
    return _BLANK_LINES.sub("\n\n\n", lines).strip("\n")
