"""Band hashes in, buckets out: which documents share a band with at least one other."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class Buckets(NamedTuple):
    """Each document's buckets, end to end: document d has `bucket[first[d]:first[d + 1]]`, int32."""

    bucket: np.ndarray
    first: np.ndarray
    count: int
    """Buckets in all."""

    def of(self, position: int) -> np.ndarray:
        return self.bucket[self.first[position] : self.first[position + 1]]


class Members:
    """The documents of each bucket that were added so far, in the order in which they came."""

    def __init__(self, buckets: Buckets) -> None:
        sizes = np.bincount(buckets.bucket, minlength=buckets.count)
        self.first = np.cumsum(sizes) - sizes
        self.sizes = np.zeros(buckets.count, np.int32)
        self._members = np.empty(len(buckets.bucket), np.int32)

    def add(self, position: int, own: np.ndarray) -> None:
        """Put a document into its buckets, of which it has each once."""
        self._members[self.first[own] + self.sizes[own]] = position
        self.sizes[own] += 1

    def of_any(self, own: np.ndarray, most: int) -> np.ndarray:
        """The first `most` documents of each of these buckets, each once."""
        number = np.arange(most)
        places = self.first[own][:, None] + number
        return np.unique(self._members[places[number < self.sizes[own][:, None]]])

    def of(self, bucket: int, most: int) -> list[int]:
        """The first `most` documents of a bucket."""
        start = self.first[bucket]
        return self._members[start : start + min(self.sizes[bucket], most)].tolist()


def shared_buckets(bands: Iterable[np.ndarray], eligible: np.ndarray, documents: int) -> Buckets:
    """Number the buckets that hold two or more of the `eligible` positions; lone documents have none.

    Each of the `bands` is an array of `documents` hashes; it is let go before the next one is asked for.
    """
    found: list[tuple[np.ndarray, np.ndarray]] = []
    count, held = 0, np.zeros(documents, np.int64)
    for hashes in bands:
        crowded, number, distinct = _runs(hashes[eligible])
        found.append((eligible[crowded].astype(np.int32), (number + count).astype(np.int32)))
        held[found[-1][0]] += 1
        count += distinct
    first = np.concatenate([[0], np.cumsum(held)])
    bucket, place = np.empty(first[-1], np.int32), first[:-1].copy()
    for owners, numbers in found:
        bucket[place[owners]] = numbers
        place[owners] += 1
    return Buckets(bucket, first, count)


def _runs(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Places whose hash stands more than once, the number of that hash from 0, and how many there are."""
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    starts = np.ones(len(ranked), bool)
    starts[1:] = ranked[1:] != ranked[:-1]
    run = np.cumsum(starts) - 1
    crowded = np.bincount(run, minlength=1)[run] > 1
    heads = starts & crowded
    return order[crowded], (np.cumsum(heads) - 1)[crowded], int(heads.sum())
