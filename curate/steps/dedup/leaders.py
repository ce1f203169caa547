"""Buckets and shingle sets in, twins out: a document falls only to a kept one that it truly resembles.

Documents are taken in order of preference. Each is compared, by exact Jaccard similarity, with
the kept ones that share a bucket. The most similar one that reaches the threshold is its twin;
where there is none, the document is kept. So the far end of a chain is never dropped.
"""

from typing import NamedTuple

import numpy as np

from curate.steps.barrier import Pairs
from curate.steps.dedup.buckets import Buckets, Members
from curate.steps.dedup.similarity import find_similar
from curate.steps.dedup.store import Sets

MOST_COMPARED = 512
"""Kept documents that one document is compared with at most.

A boilerplate text can put thousands of kept documents in one bucket, and all of them against all
is quadratic. A true twin shares other buckets too, smaller ones; so the smallest are read first.
"""


class Found(NamedTuple):
    """What comparing led to; `compared` counts candidate pairs, `capped` documents whose candidates were cut."""

    twin: np.ndarray
    value: np.ndarray
    pairs: Pairs
    compared: int
    capped: int


def verified_twins(sets: Sets, buckets: Buckets, order: np.ndarray, threshold: float) -> Found:
    """Greedy leader clustering; `order` holds the eligible positions, the preferred first."""
    twin = np.full(len(sets.counts), -1, np.int64)
    value = np.full(len(sets.counts), np.nan, np.float32)
    place = np.empty(len(sets.counts), np.int64)
    place[order] = np.arange(len(order))
    kept = Members(buckets)
    pairs: list[tuple[int, int, float]] = []
    compared = capped = 0
    for position in order[np.diff(buckets.first)[order] > 0].tolist():
        own = buckets.of(position)
        candidates, cut = _candidates(own, kept)
        compared, capped = compared + len(candidates), capped + cut
        hits = [(candidates[n], j) for n, j in _similar(sets, position, candidates, threshold)]
        if hits:
            twin[position], value[position] = min(hits, key=lambda hit: (-hit[1], place[hit[0]]))
            pairs.extend((leader, position, jaccard) for leader, jaccard in hits)
        else:
            kept.add(position, own)
    return Found(twin, value, sorted_pairs(pairs), compared, capped)


def _similar(sets: Sets, position: int, candidates: list[int], threshold: float) -> list[tuple[int, float]]:
    if not candidates:
        return []
    return find_similar(sets.shingles(position), [sets.shingles(candidate) for candidate in candidates], threshold)


def _candidates(own: np.ndarray, kept: Members) -> tuple[list[int], bool]:
    """Kept documents of these buckets, of the smallest buckets first, and whether some were left out."""
    sizes = kept.sizes[own]
    filled = np.flatnonzero(sizes)
    found: dict[int, None] = {}
    for place in filled[np.lexsort((own[filled], sizes[filled]))].tolist() if len(filled) else ():
        room = MOST_COMPARED - len(found)
        found.update(dict.fromkeys(kept.of(own[place], room)))
        if sizes[place] > room:
            return list(found), True
    return list(found), False


def sorted_pairs(pairs: list[tuple[int, int, float]]) -> Pairs:
    """Columns of the pairs, ordered by dropped, then kept."""
    ordered = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
    kept, dropped, jaccard = zip(*ordered, strict=True) if ordered else ((), (), ())
    return Pairs(np.array(kept, np.int64), np.array(dropped, np.int64), np.array(jaccard, np.float32))
