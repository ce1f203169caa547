"""Gold pages in, scores out: what share of the segments an extractor gets right, with intervals by site."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
from selectolax.lexbor import LexborHTMLParser

from curate.steps.extraction.blocks import read_blocks
from curate.steps.extraction.hidden import stated_body

WEB = Path(__file__).resolve().parents[2] / "shared" / "data" / "web"


class GoldPage(NamedTuple):
    """A page and what is known of its main text."""

    html: str
    url: str
    wanted: list[str]
    """Segments that the main text contains."""
    unwanted: list[str]
    """Segments of boilerplate."""
    expected_html: str | None

    @property
    def site(self) -> str:
        return (urlsplit(self.url).hostname or self.url).removeprefix("www.")


class Score(NamedTuple):
    """Of segments, 0 to 1."""

    precision: float
    recall: float
    f1: float


def read_gold(name: str) -> list[GoldPage]:
    """The pages of `<name>.warc.gz` that `<name>.gold.jsonl.gz` speaks about, decoded by their bytes."""
    return [
        GoldPage(html, row["url"], row.get("with", []), row.get("without", []), row.get("expected_html"))
        for html, row in _read(name, "gold")
    ]


def read_unlabelled(name: str, per_family: int) -> list[GoldPage]:
    """A seeded few pages of each family in `<name>.manifest.jsonl.gz`, without segments; the family is the site."""
    families: dict[str, list[GoldPage]] = {}
    for html, row in _read(name, "manifest"):
        families.setdefault(row["family"], []).append(GoldPage(html, f"http://{row['family']}", [], [], None))
    random, drawn = Random(0), []
    for _, pages in sorted(families.items()):
        random.shuffle(pages)
        drawn += pages[:per_family]
    return drawn


def _read(name: str, kind: str) -> Iterator[tuple[str, dict]]:
    """Decoded pages of an archive with their rows in `<name>.<kind>.jsonl.gz`."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    with gzip.open(WEB / f"{name}.{kind}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = {row["record_id"]: row for row in map(json.loads, lines)}
    with open(WEB / f"{name}.warc.gz", "rb") as archive:
        for record in ArchiveIterator(archive, record_types=WarcRecordType.response, parse_http=True):
            if record.record_id in rows:
                body = record.reader.read()
                yield bytes_to_str(body, detect_encoding(body)), rows[record.record_id]


def one_line(text: str) -> str:
    """Whitespace collapsed and soft hyphens left out, so that neither inside a segment hides it."""
    return " ".join(text.replace("\xad", "").split())


def outcomes(page: GoldPage, text: str) -> tuple[int, int, int]:
    """(wanted found, wanted missed, unwanted found) of one page's text."""
    flat = one_line(text)
    found = sum(one_line(segment) in flat for segment in page.wanted)
    return found, len(page.wanted) - found, sum(one_line(segment) in flat for segment in page.unwanted)


def score(counts: np.ndarray) -> Score:
    """Over all segments of pages; `counts` has one row of `outcomes` a page."""
    found, missed, false = counts.sum(axis=0)
    precision, recall = found / max(found + false, 1), found / max(found + missed, 1)
    return Score(precision, recall, 2 * precision * recall / max(precision + recall, 1e-9))


SHORTEST_BODY, LEAST_SHOWN = 600, 0.8


def body_of(page: GoldPage) -> str:
    """The whole article as the page states it for search engines; empty where it states none or does not show it to readers too."""
    body = stated_body(page.html)
    shown = "\n".join(read_blocks(LexborHTMLParser(page.html)).text) if len(body) >= SHORTEST_BODY else ""
    return body if shown and overlap(shown, body).recall >= LEAST_SHOWN else ""


def overlap(text: str, body: str) -> Score:
    """How much of a text is the body's and of the body the text's, in runs of four words."""
    found, wanted = _runs(text), _runs(body)
    both = (found & wanted).total()
    precision, recall = both / max(found.total(), 1), both / max(wanted.total(), 1)
    return Score(precision, recall, 2 * precision * recall / max(precision + recall, 1e-9))


def _runs(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return Counter(zip(words, words[1:], words[2:], words[3:], strict=False))


def interval(counts: np.ndarray, sites: list[str], draws: int = 1000) -> tuple[Score, Score]:
    """95 % bounds from resampling whole sites, seeded."""
    _, site = np.unique(sites, return_inverse=True)
    by_site = np.zeros((site.max() + 1, 3))
    np.add.at(by_site, site, counts)
    random = np.random.default_rng(0)
    drawn = np.array([score(by_site[random.integers(0, len(by_site), len(by_site))]) for _ in range(draws)])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return Score(*low), Score(*high)
