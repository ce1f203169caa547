"""Prompts in, which of them are near duplicates of each other out; so that none crosses from split to split.

Nothing is dropped by it, so it links more than a deduplication would: shorter shingles and a
lower threshold, and every verified pair counts, not only pairs with a kept leader.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from curate.config import Model
from curate.steps.dedup.permutations import band_hashes
from curate.steps.dedup.shingles import shingle_sets
from curate.steps.dedup.similarity import find_similar
from curate.steps.dedup.store import Sets, SetWriter

_MOST_COMPARED = 512
_BLOCK_CHARACTERS = 1 << 17


class NearDuplicates(Model):
    """MinHash bands propose prompts, the exact Jaccard similarity of their shingles decides (Broder 1997)."""

    version: ClassVar[int] = 1

    ngram: int = Field(2, ge=1, le=64, description="Words in a shingle: prompts are short, and one word changes as many shingles.")
    threshold: float = Field(0.7, gt=0, le=1, description="Jaccard similarity from which on two prompts are near duplicates.")
    buckets: int = Field(20, ge=1, le=256, description="Bands; sharing one makes two prompts a candidate pair.")
    hashes_per_bucket: int = Field(5, ge=1, le=64, description="Hashes that must all be equal in a band; the knee is (1/20)^(1/5) = 0.55.")
    documents: bool = Field(False, description="Compare the texts of documents too; by default only prompts.")
    seed: int = Field(1, ge=0, description="Of the permutations.")

    @property
    def name(self) -> str:
        return "near_duplicates"

    def reads(self) -> list[Path]:
        """Files whose content enters the identity: none."""
        return []


class PromptWriter:
    """Signatures of prompts in the order of the calls, on disk, a block of them at a time."""

    def __init__(self, directory: Path, near: NearDuplicates) -> None:
        self.near = near
        self.files = SetWriter(directory)
        self.block: list[str] = []
        self.characters = 0

    def add(self, text: str) -> None:
        self.block.append(text)
        self.characters += len(text) + 1
        if self.characters >= _BLOCK_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        near = self.near
        sets = shingle_sets(self.block, near.ngram)
        bands = band_hashes(sets, near.buckets, near.hashes_per_bucket, near.seed)
        self.files.write(sets, bands[:, : near.buckets])
        self.block, self.characters = [], 0

    def close(self) -> None:
        self._flush()
        self.files.close()


class Union:
    """Disjoint sets of numbers from 0; the least number of a set stands for it."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def root(self, number: int) -> int:
        parent = self.parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def join(self, left: int, right: int) -> None:
        left, right = self.root(left), self.root(right)
        self.parent[max(left, right)] = min(left, right)

    def roots(self) -> np.ndarray:
        """int64: the root of every number."""
        return np.fromiter(map(self.root, range(len(self.parent))), np.int64, len(self.parent))


def join_near(directory: Path, groups: np.ndarray, near: NearDuplicates, union: Union) -> int:
    """Join the groups (int64, one a written prompt) of all near duplicates; the number of pairs that were joined."""
    joined = 0
    with Sets([directory], near.buckets) as sets:
        for hashes in sets.columns(near.buckets):
            for run in _runs(hashes, sets.counts):
                joined += _join_run(sets, run, groups, near.threshold, union)
    return joined


def _runs(hashes: np.ndarray, counts: np.ndarray) -> Iterator[list[int]]:
    """Prompts that share a bucket, two or more; the empty ones share none."""
    filled = np.flatnonzero(counts)
    order = filled[np.argsort(hashes[filled], kind="stable")]
    ranked = hashes[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]])) if len(order) else np.empty(0, np.int64)
    ends = np.append(starts[1:], len(order))
    for start, end in zip(starts[ends - starts > 1].tolist(), ends[ends - starts > 1].tolist(), strict=True):
        yield order[start:end].tolist()


def _join_run(sets: Sets, run: list[int], groups: np.ndarray, threshold: float, union: Union) -> int:
    """Compare the prompts of a bucket that are not of one group yet."""
    joined = 0
    for place, prompt in enumerate(run[1:], 1):
        own = union.root(int(groups[prompt]))
        near_by = run[max(0, place - _MOST_COMPARED) : place]
        others = [other for other in near_by if union.root(int(groups[other])) != own]
        for number, _ in find_similar(sets.shingles(prompt), [sets.shingles(other) for other in others], threshold) if others else ():
            union.join(int(groups[prompt]), int(groups[others[number]]))
            joined += 1
    return joined
