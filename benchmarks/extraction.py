"""Every extractor on the gold pages: what it finds, what it lets in, what it costs.

    python -m benchmarks.extraction [--pages extraction_dev] [--every 1] [--engines blocks,trafilatura]

Ours run as the recipe runs them, without the guard and the metadata that are shared by all;
trafilatura stands beside them as it ships and as datatrove calls it. The extractors take
turns on each page, in one process. A second table scores whole articles on the pages that
state theirs for search engines (`articleBody` in JSON-LD) and show it to readers, in runs
of four words. `blocks` was trained on `extraction_dev`: its score by
sites it never saw is what `python -m benchmarks.train_extractor` prints.
"""

import argparse
import logging
from collections.abc import Callable
from time import process_time
from typing import NamedTuple

import numpy as np
from selectolax.lexbor import LexborHTMLParser

from benchmarks.gold import GoldPage, Score, body_of, interval, outcomes, overlap, read_gold, score
from curate.steps.extract import normalise
from curate.steps.extraction.engines import ENGINES

Extractor = Callable[[str], str]


class Measured(NamedTuple):
    """What one extractor did."""

    counts: np.ndarray
    """Outcomes of each page's segments."""
    seconds: np.ndarray
    """CPU of each page."""
    bodies: np.ndarray
    """Precision, recall and F1 of each whole article."""
    empty: int


TURN = 50
"""Pages that one extractor reads before the next has its turn."""


def ours(name: str) -> Extractor:
    """An engine with the parsing that it needs."""
    engine = ENGINES[name](False)
    parses = name in ("blocks", "agree")

    def run(html: str) -> str:
        return normalise(engine(html, LexborHTMLParser(html) if parses else LexborHTMLParser("")))

    return run


def peers() -> dict[str, Extractor]:
    """Trafilatura's own defaults, and datatrove's call of it."""
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL + 1)
    return {
        "trafilatura as shipped": lambda html: trafilatura.extract(html) or "",
        "trafilatura by datatrove": lambda html: (
            trafilatura.extract(html, favor_precision=True, include_comments=False, deduplicate=True) or ""
        ),
    }


def floor(html: str) -> str:
    """Parsing alone."""
    LexborHTMLParser(html)
    return ""


def measure(extractors: dict[str, Extractor], pages: list[GoldPage]) -> dict[str, Measured]:
    """Every extractor on every page, in turns of `TURN` pages: whoever extracts runs one of them on page after page."""
    counts = {name: np.zeros((len(pages), 3)) for name in extractors}
    seconds = {name: np.zeros(len(pages)) for name in extractors}
    bodies: dict[str, list[Score]] = {name: [] for name in extractors}
    empty, stated = dict.fromkeys(extractors, 0), [body_of(page) for page in pages]
    for begin in range(0, len(pages), TURN):
        for name, extract in extractors.items():
            for index, page in enumerate(pages[begin : begin + TURN], begin):
                start = process_time()
                text = extract(page.html)
                seconds[name][index] = process_time() - start
                counts[name][index] = outcomes(page, text)
                bodies[name] += [overlap(text, stated[index])] if stated[index] else []
                empty[name] += not text.strip()
    return {name: Measured(counts[name], seconds[name], np.array(bodies[name]), empty[name]) for name in extractors}


def report(measured: dict[str, Measured], pages: list[GoldPage]) -> list[str]:
    """A Markdown table of segments; 95 % intervals from resampling sites."""
    sites = [page.site for page in pages]
    lines = ["| extractor | precision | recall | F1 | CPU ms/page | documents/s | empty |", "|---|---|---|---|---|---|---|"]
    for name, (counts, seconds, _, empty) in measured.items():
        found, (low, high) = score(counts), interval(counts, sites)
        cells = [f"{a:.3f} [{b:.3f}, {c:.3f}]" for a, b, c in zip(found, low, high, strict=True)]
        cost = seconds.mean()
        lines.append(f"| {name} | {' | '.join(cells)} | {cost * 1000:.2f} | {1 / cost:.0f} | {empty} |")
    return lines


def report_bodies(measured: dict[str, Measured]) -> list[str]:
    """A Markdown table of whole articles, if any page states one: means over pages."""
    if not any(len(found.bodies) for found in measured.values()):
        return []
    lines = ["| extractor | articles | precision | recall | F1 |", "|---|---|---|---|---|"]
    for name, (_, _, bodies, _) in measured.items():
        lines.append(f"| {name} | {len(bodies)} | {' | '.join(f'{mean:.3f}' for mean in bodies.mean(axis=0))} |")
    return lines


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pages", default="extraction_dev", choices=("extraction_dev", "shared_gold"))
    arguments.add_argument("--every", type=int, default=1, help="take every n-th page")
    arguments.add_argument("--engines", default=",".join(ENGINES))
    given = arguments.parse_args()
    extractors = {"parsing alone": floor} | {name: ours(name) for name in given.engines.split(",")} | peers()
    for extract in extractors.values():
        extract("<html><body><p>One.</p><p>Two.</p></body></html>")
    pages = [page for page in read_gold(given.pages) if page.wanted or page.unwanted][:: given.every]
    measured = measure(extractors, pages)
    print("\n".join([*report(measured, pages), "", *report_bodies(measured)]))


if __name__ == "__main__":
    main()
