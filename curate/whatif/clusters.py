"""Clusters formed anew: all pairs of documents that are alike, and who is there now, in; who of them stays, out.

What a deduplication by leaders makes of a cluster hangs on the pairs inside it alone, as long as
all of them are known: documents are taken in order, and each falls to one that stays before it.
"""

from typing import NamedTuple

import numpy as np


class Pairs(NamedTuple):
    """Rows of documents that are alike, the preferred one as `kept`, and how like they are."""

    kept: np.ndarray
    dropped: np.ndarray
    jaccard: np.ndarray

    def where(self, mask: np.ndarray) -> "Pairs":
        return Pairs(*(column[mask] for column in self))


class Reformed(NamedTuple):
    """bool, an element a unit."""

    known: np.ndarray
    """Of its cluster every pair is known, and who is there is certain."""
    stays: np.ndarray
    """Of these, the ones that remain."""


def reformed(found: Pairs, unclear: np.ndarray, there: np.ndarray) -> Reformed:
    """Take the documents that are `there` in the order of their rows; `unclear` ones spoil what is known of their cluster."""
    found = found.where(there[found.kept] & there[found.dropped] & (found.kept != found.dropped))
    label = _components(found, len(there))
    spoilt = np.zeros(len(there), bool)
    spoilt[label[unclear & there]] = True
    known = there & ~spoilt[label]
    found = found.where(known[found.dropped])
    stays = known.copy()
    order = np.lexsort((found.kept, found.dropped))
    for kept, dropped in zip(found.kept[order].tolist(), found.dropped[order].tolist(), strict=True):
        if stays[kept]:
            stays[dropped] = False
    return Reformed(known, stays)


def _components(found: Pairs, count: int) -> np.ndarray:
    """The first row that each row is joined to, over any number of pairs."""
    label = np.arange(count)
    while True:
        least = np.minimum(label[found.kept], label[found.dropped])
        if np.array_equal(least, label[found.kept]) and np.array_equal(least, label[found.dropped]):
            return label
        for side in (found.kept, found.dropped):
            np.minimum.at(label, side, least)
        label = label[label]
