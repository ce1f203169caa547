"""A parsed page in, what it says about itself out: title, publication date, licence."""

import json
import re
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser, LexborNode

from curate.steps.extraction.licence import LINKS, licence_claim


class PageMetadata(NamedTuple):
    """What a page states about itself; None where it states nothing."""

    title: str | None = None
    published: str | None = None
    """ISO date."""
    licence: str | None = None
    """SPDX-like id, `CC-BY-SA` without a version where none is given."""
    licence_url: str | None = None


_DATED = "[itemprop=datePublished], time[pubdate], article time[datetime], main time[datetime]"
_STATEMENTS = f'meta[content], script[type="application/ld+json"], {LINKS}, {_DATED}'
"""All in one walk over the tree."""


def read_metadata(tree: LexborHTMLParser, url: str | None) -> PageMetadata:
    """Title, date and licence of a page; `url` makes a relative licence link absolute."""
    found: dict[str, list[LexborNode]] = {"meta": [], "script": [], "link": [], "a": []}
    nodes = tree.css(_STATEMENTS)
    for node in nodes:
        found.setdefault(node.tag, []).append(node)
    meta = _meta(found["meta"])
    objects = list(_json_objects(found["script"]))
    claim = licence_claim(found["link"] + found["a"], meta, objects)
    return PageMetadata(
        title=_title(tree, meta),
        published=_published(nodes, meta, objects),
        licence=claim.licence if claim else None,
        licence_url=_link(claim.evidence, url) if claim else None,
    )


def _link(evidence: str, url: str | None) -> str | None:
    """The licence's address; None where it was stated in words."""
    if not re.match(r"(?:[a-z][a-z0-9+.-]*:)?/|\.", evidence, re.I):
        return None
    try:
        return urljoin(url or "https:", evidence)
    except ValueError:
        return None


def _meta(nodes: list[LexborNode]) -> dict[str, str]:
    """`content` of the meta elements by name, property or itemprop in lower case; the first one counts."""
    found: dict[str, str] = {}
    for node in nodes:
        attributes = node.attributes
        name = attributes.get("property") or attributes.get("name") or attributes.get("itemprop")
        content = (attributes.get("content") or "").strip()
        if name and content:
            found.setdefault(name.strip().lower(), content)
    return found


MAX_JSON_CHARACTERS = 1_000_000
MAX_JSON_OBJECTS = 10_000


def _json_objects(nodes: list[LexborNode]) -> Iterator[dict[str, object]]:
    """Every object of the page's JSON-LD, outermost first; broken JSON yields nothing."""
    for node in nodes:
        source = node.text(deep=True).strip()
        if not source or len(source) > MAX_JSON_CHARACTERS:
            continue
        try:
            pending = [json.loads(source, strict=False)]
        except (ValueError, RecursionError):
            continue
        for _ in range(MAX_JSON_OBJECTS):
            if not pending:
                break
            item = pending.pop(0)
            if isinstance(item, dict):
                yield item
                pending.extend(item.values())
            elif isinstance(item, list):
                pending.extend(item)


def _words(text: str) -> str:
    return " ".join(text.replace("\0", " ").split())


def _first_words(tree: LexborHTMLParser, tag: str) -> str | None:
    """The text of the first element of that name; None where it has none."""
    node = tree.css_first(tag)
    return _words(node.text()) or None if node else None


def _title(tree: LexborHTMLParser, meta: dict[str, str]) -> str | None:
    """The page's own name: OpenGraph's, else <title>, else the first h1; the site's name is cut off its end."""
    title = _words(meta.get("og:title", "")) or _first_words(tree, "title") or _first_words(tree, "h1")
    site = _words(meta.get("og:site_name", ""))
    if title and site and title.endswith(site):
        shorter = title[: -len(site)].rstrip()
        return shorter.rstrip("-–—|·•:»").rstrip() if shorter[-1:] in "-–—|·•:»" and len(shorter) > 2 else title
    return title


_DATE_NAMES = (
    "article:published_time", "datepublished", "date", "pubdate", "publishdate", "publish-date", "publish_date",
    "dc.date.issued", "dc.date", "dcterms.issued", "dcterms.date", "dcterms.created", "dc.date.created",
    "citation_publication_date", "citation_date", "sailthru.date", "parsely-pub-date", "og:published_time",
    "article.published", "published_time", "date.created", "last-modified-original",
)  # fmt: skip
_DATE = re.compile(r"\s*(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})(?!\d)")


def iso_date(text: str) -> str | None:
    """The ISO date that a text begins with, if it is a real one from 1990 to 2099."""
    found = _DATE.match(text)
    if not found or not 1990 <= int(found[1]) < 2100:
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3])).isoformat()
    except ValueError:
        return None


def _published(nodes: list[LexborNode], meta: dict[str, str], objects: list[dict[str, object]]) -> str | None:
    """The first readable date of publication: meta, JSON-LD, microdata, the article's <time>."""
    for name in _DATE_NAMES[:2]:
        if name in meta and (found := iso_date(meta[name])):
            return found
    for item in objects:
        value = item.get("datePublished")
        if isinstance(value, str) and (found := iso_date(value)):
            return found
    stated = [meta[name] for name in _DATE_NAMES[2:] if name in meta]
    dated = [node.attributes for node in nodes if node.tag == "time" or node.attributes.get("itemprop") == "datePublished"]
    stated += [attributes.get("datetime") or attributes.get("content") or "" for attributes in dated]
    return next((found for text in stated if (found := iso_date(text))), None)
