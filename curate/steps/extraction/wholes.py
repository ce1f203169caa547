"""Chosen blocks in, the same out with tables of data and code taken as a whole or not at all, lists and paragraphs completed.

A row without some of its cells stands under the wrong headings, half a listing does not run, a recipe
without its last step fails, and an article has a first and a last paragraph.
"""

from collections.abc import Sequence

from curate.steps.extraction.blocks import Page
from curate.steps.extraction.places import Places
from curate.steps.extraction.tables import table_rows

SHARE = 0.5
"""Of the characters of a table or listing: with fewer chosen none is kept, else all."""
LIST_SHARE = 0.8
"""Of the characters of a list, from which the rest is kept with them."""
_LISTS = frozenset({"ul", "ol", "dl"})
SIBLING_SHARE = 0.5
"""Of the characters in elements of one kind in one container, from which the others with running text are kept too."""
LEAST_SIBLING, MAX_LINKED = 60, 0.2
"""Characters of such a block, and the share of them that may be links; items may be shorter."""
_ITEMS = frozenset({"li", "dt", "dd"})


def with_whole_parts(page: Page, chosen: Sequence[int]) -> list[int]:
    """The chosen blocks in reading order, where tables and listings are complete or absent, and lists have no gaps."""
    kept = set(chosen)
    for container, tag in enumerate(page.tag):
        if tag in _LISTS and _share(page, range(page.first[container], page.end[container]), kept) >= LIST_SHARE:
            kept.update(range(page.first[container], page.end[container]))
    for part in _parts(page, kept):
        if _share(page, part, kept) >= SHARE:
            kept.update(part)
        else:
            kept.difference_update(part)
    return sorted(kept)


def with_siblings(page: Page, chosen: Sequence[int], possible: Sequence[bool]) -> list[int]:
    """The chosen blocks and those like most of what is chosen around them, as far as they are possible."""
    kept, begun = set(chosen), set(chosen)
    kinds = [(page.parent[container], page.tag[container]) for container in page.container]
    rows: dict[tuple[int, str], list[int]] = {kinds[block]: [] for block in chosen}
    for block, kind in enumerate(kinds):
        if kind in rows:
            rows[kind].append(block)
    for (_, tag), row in rows.items():
        if len(row) > 1 and _share(page, row, begun) >= SIBLING_SHARE:
            least = 1 if tag in _ITEMS else LEAST_SIBLING
            kept.update(block for block in row if possible[block] and _runs(page, block, least))
    return sorted(kept)


def with_headings(page: Page, chosen: Sequence[int], possible: Sequence[bool]) -> list[int]:
    """The chosen blocks and the possible headings right above one: a section keeps its title, an answer its question."""
    kept, places = set(chosen), Places(page)
    for block in range(chosen[-1] - 1, -1, -1) if chosen else ():
        if possible[block] and block not in kept and block + 1 in kept:
            level, below = (places.of(page.container[number]).heading for number in (block, block + 1))
            if level and not 0 < below <= level:
                kept.add(block)
    return sorted(kept)


def _runs(page: Page, block: int, least: int) -> bool:
    """True for running text."""
    size = len(page.text[block])
    return size >= least and page.linked[block] <= MAX_LINKED * size


def _share(page: Page, part: Sequence[int], kept: set[int]) -> float:
    """How much of the text of a part is kept."""
    held = [len(page.text[block]) for block in part if block in kept]
    return sum(held) / sum(len(page.text[block]) for block in part) if held else 0.0


def _parts(page: Page, kept: set[int]) -> list[range]:
    """The blocks of each table of data and of each listing that is chosen in part."""
    parts: list[range] = []
    places, behind = Places(page), len(page.tag)
    for container in range(len(page.tag) - 1, -1, -1):
        tag = page.tag[container]
        if tag != "table" and tag != "pre":
            continue
        part = range(page.first[container], page.end[container])
        holds_another, behind = behind < page.last[container], container
        if holds_another or len(part) < 2:
            continue
        count = sum(block in kept for block in part)
        if 0 < count < len(part) and (tag == "pre" or _is_data(page, places, part)):
            parts.append(part)
    return parts


def _is_data(page: Page, places: Places, part: range) -> bool:
    """True for a table of data; its caption may stand outside of the rows."""
    rows = [block for block in part if places.of(page.container[block]).row >= 0]
    return table_rows(page, places, rows, page.text.__getitem__) is not None
