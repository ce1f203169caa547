"""Near duplicates: MinHash bands propose, exact Jaccard similarity of the shingle sets decides.

As FineWeb does it (Penedo et al. 2024): 5-grams of words, 14 bands of 8 hashes. Unlike it,
numbers keep their digits, so that listings and filled forms do not all become one text, and
a document falls only to a kept one that it truly resembles.
"""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from curate.steps.barrier import Decisions
from curate.steps.dedup.barrier import Dedup
from curate.steps.dedup.buckets import Buckets, shared_buckets
from curate.steps.dedup.clusters import decisions
from curate.steps.dedup.estimate import estimate, share
from curate.steps.dedup.fellows import fellow_pairs, joined
from curate.steps.dedup.leaders import Found, verified_twins
from curate.steps.dedup.links import linked_twins
from curate.steps.dedup.permutations import band_hashes
from curate.steps.dedup.priority import PriorityWriter, priority_order
from curate.steps.dedup.shingles import shingle_sets_of
from curate.steps.dedup.store import Sets, SetWriter
from curate.steps.dedup.tokens import Tokens, token_hashes
from curate.steps.shared import Shared
from curate.steps.step import Drop, Unit

_BLOCK_CHARACTERS = 1 << 17


class MinHashWriter:
    """Gathers documents to blocks, long enough to be worth a call of numpy and short enough for the cache."""

    def __init__(self, directory: Path, step: "MinHashDedup") -> None:
        self.step = step
        self.files = SetWriter(directory)
        self.priority = PriorityWriter(directory, step.keep, step.score)
        self.block: list[Shared] = []
        self.characters = 0

    def add(self, unit: Unit) -> None:
        self.priority.add(unit)
        self.block.append(unit.shared)
        self.characters += len(unit.text) + 1
        if self.characters >= _BLOCK_CHARACTERS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self.files.close()
        self.priority.close()

    def _flush(self) -> None:
        step = self.step
        tokens = _folded(self.block) if step.fold_numbers else _tokens(self.block)
        sets = shingle_sets_of(tokens, step.ngram)
        self.files.write(sets, band_hashes(sets, step.buckets, step.hashes_per_bucket, step.seed))
        self.block, self.characters = [], 0


def _folded(block: list[Shared]) -> Tokens:
    return token_hashes([one.text for one in block], fold_numbers=True)


def _tokens(block: list[Shared]) -> Tokens:
    """The tokens of several texts: those that an earlier step asked for, the rest hashed in one pass."""
    fresh = token_hashes([one.text for one in block if not one.is_hashed])
    if len(fresh.counts) == len(block):
        return fresh
    parts = iter(np.split(fresh.hashes, np.cumsum(fresh.counts)[:-1]))
    hashes = [one.token_hashes if one.is_hashed else next(parts) for one in block]
    return Tokens(np.concatenate(hashes), np.array([len(part) for part in hashes], np.int64))


class MinHashDedup(Dedup):
    """Drop documents that share most of their n-grams with a kept one (Broder 1997; Penedo et al. 2024)."""

    use: Literal["minhash_dedup"]
    reason: ClassVar[str] = "near_duplicate"

    buckets: int = Field(14, ge=1, le=256, description="Bands; sharing one makes two documents a candidate pair.")
    hashes_per_bucket: int = Field(8, ge=1, le=64, description="Hashes that must all be equal in a band.")
    ngram: int = Field(
        5, ge=1, le=64, description="Words in a shingle; characters in scripts that write no spaces."
    )
    threshold: float = Field(
        0.75,
        gt=0,
        le=1,
        description="Jaccard similarity from which on a document is a duplicate. The default lies just above the "
        "knee of 14 bands of 8, (1/14)^(1/8) = 0.72: what is more alike is mostly proposed, and measured.",
    )
    verify: bool = Field(
        True,
        description="Drop only by the true similarity with the kept document; false: whoever shares a band is "
        "linked and one of each chain is kept.",
    )
    fold_numbers: bool = Field(
        False, description="Compare as if every number were 0, as FineWeb did: lists that differ in numbers are equal."
    )
    sample: int = Field(
        500, ge=0, le=100_000, description="Documents by which the run estimates its own precision and recall; 0: none."
    )
    seed: int = Field(1, ge=0, description="Of the permutations and of the sample.")

    def writer(self, directory: Path) -> MinHashWriter:
        return MinHashWriter(directory, self)

    def resolve(self, directories: list[Path], alive: np.ndarray) -> Decisions:
        with Sets(directories, 2 * self.buckets) as sets:
            order = priority_order(directories, self.keep, len(sets.counts))
            order = order[(alive & (sets.counts > 0))[order]]
            eligible = np.sort(order)
            buckets = self._shared(sets, eligible)
            found = verified_twins(sets, buckets, order, self.threshold) if self.verify else linked_twins(sets, buckets, order)
            account = self._account(sets, eligible, found)
            pairs = found.pairs
            if self.verify and self.keep == "first":  # of any other order no ledger tells who would move up
                fellows = fellow_pairs(sets, buckets, order, found, self.threshold)
                pairs, account = joined(pairs, fellows), {**account, "fellow_pairs": int((fellows.kept != fellows.dropped).sum())}
        return decisions(found.twin, found.value, alive, pairs, account)

    def _shared(self, sets: Sets, eligible: np.ndarray) -> Buckets:
        """The second reading of the grid only proposes; without verification it would drop what 14 x 8 does not."""
        bands = sets.columns(2 * self.buckets if self.verify else self.buckets)
        return shared_buckets(bands, eligible, len(sets.counts))

    def _account(self, sets: Sets, eligible: np.ndarray, found: Found) -> dict:
        verified = int((found.pairs.jaccard >= self.threshold).sum())
        account = {
            "candidate_pairs": found.compared,
            "verified_pairs": verified,
            "candidate_precision": share(verified, found.compared)["share"],
            "capped_documents": found.capped,
        }
        if self.sample:
            account["estimate"] = estimate(sets, found, eligible, self.threshold, self.sample, self.seed)
        return account

    def drop(self, value: float) -> Drop:
        return Drop(self.reason, value, self.threshold if self.verify else None)
