"""Buckets in, twins out, unverified: whoever shares a bucket is linked, and links make chains.

This is what datatrove and most peers do. It over-deletes: the ends of a chain need not
resemble each other, so the similarity of each document with its twin is measured all the same.
"""

import numpy as np

from curate.steps.dedup.buckets import Buckets
from curate.steps.dedup.leaders import Found, sorted_pairs
from curate.steps.dedup.similarity import jaccard
from curate.steps.dedup.store import Sets


def linked_twins(sets: Sets, buckets: Buckets, order: np.ndarray) -> Found:
    """Connected components of the buckets; the preferred document of each stays."""
    twin = np.full(len(sets.counts), -1, np.int64)
    value = np.full(len(sets.counts), np.nan, np.float32)
    pairs = []
    for position, root in _roots(buckets, order).items():
        if root != position:
            similarity = jaccard(sets.shingles(root), sets.shingles(position))
            twin[position], value[position] = root, similarity
            pairs.append((root, position, similarity))
    return Found(twin, value, sorted_pairs(pairs), len(pairs), 0)


def _roots(buckets: Buckets, order: np.ndarray) -> dict[int, int]:
    """The preferred document of each one's component."""
    linked = order[np.diff(buckets.first)[order] > 0].tolist()
    parent = list(range(len(linked)))
    first = [-1] * buckets.count
    for number, position in enumerate(linked):
        for bucket in buckets.of(position).tolist():
            if first[bucket] < 0:
                first[bucket] = number
            _join(parent, first[bucket], number)
    return {position: linked[_root(parent, number)] for number, position in enumerate(linked)}


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        parent[number] = parent[parent[number]]
        number = parent[number]
    return number


def _join(parent: list[int], left: int, right: int) -> None:
    left, right = _root(parent, left), _root(parent, right)
    parent[max(left, right)] = min(left, right)
