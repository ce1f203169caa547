"""Chosen blocks in, the same out without what readers wrote under an article; where they wrote all of it, as in a forum, it stays."""

import re
from collections.abc import Sequence

from curate.steps.extraction.blocks import Page

_NAMED = re.compile(r' (?:class|id|itemprop)="[^"]*(?:comment(?!ary)|kommentar|disqus|leserbrief|coment[aá]rio)', re.I)
LEAST_ARTICLE = 500
"""Characters beside the comments: with fewer these are the page's main text."""


def without_comments(page: Page, chosen: Sequence[int]) -> list[int]:
    """The chosen blocks outside of containers that are named as comments, if they make an article; else all."""
    within: dict[int, bool] = {}
    others = [block for block in chosen if not _is_within(page, page.container[block], within)]
    return others if sum(len(page.text[block]) for block in others) >= LEAST_ARTICLE else list(chosen)


def _is_within(page: Page, container: int, known: dict[int, bool]) -> bool:
    """True where the container or one around it is named as comments; what `body` is named says nothing."""
    pending = []
    while container not in known and container != page.parent[container]:
        pending.append(container)
        container = page.parent[container]
    found = known.get(container, False)
    for inner in reversed(pending):
        found = found or (page.tag[inner] != "body" and _NAMED.search(page.attributes[inner]) is not None)
        known[inner] = found
    return found
