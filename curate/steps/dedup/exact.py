"""Exact duplicates: one 128-bit hash of each text; the preferred document of equal ones stays."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import xxhash
from pydantic import Field

from curate.steps.barrier import Decisions, Pairs
from curate.steps.dedup.barrier import Dedup
from curate.steps.dedup.clusters import decisions
from curate.steps.dedup.priority import PriorityWriter, priority_order
from curate.steps.dedup.tokens import token_hashes
from curate.steps.step import Drop, Unit

_FILE = "exact.hash"
_HASH = np.dtype([("high", ">u8"), ("low", ">u8")])


def text_hash(text: str, normalise: str) -> bytes:
    """Sixteen bytes, equal for texts that are equal after normalisation.

    A text of which `full` leaves nothing is hashed as it is: "!!!" is no copy of "???".
    """
    if normalise == "full":
        data = token_hashes([text]).hashes.tobytes() or text.encode("utf-8", "surrogatepass")
    else:
        plain = " ".join(text.split()) if normalise == "whitespace" else text
        data = plain.encode("utf-8", "surrogatepass")
    return xxhash.xxh3_128_digest(data)


class ExactWriter:
    """Streams sixteen bytes a document."""

    def __init__(self, directory: Path, step: "ExactDedup") -> None:
        self.normalise = step.normalise
        self.file = (directory / _FILE).open("wb")
        self.priority = PriorityWriter(directory, step.keep, step.score)

    def add(self, unit: Unit) -> None:
        self.file.write(text_hash(unit.text, self.normalise))
        self.priority.add(unit)

    def close(self) -> None:
        self.file.close()
        self.priority.close()


class ExactDedup(Dedup):
    """Drop documents whose text equals that of a kept one."""

    use: Literal["exact_dedup"]
    reason: ClassVar[str] = "exact_duplicate"

    normalise: Literal["none", "whitespace", "full"] = Field(
        "whitespace",
        description="Before comparing: nothing; runs of white space count as one space; or also "
        "lower case without marks and punctuation.",
    )

    def writer(self, directory: Path) -> ExactWriter:
        return ExactWriter(directory, self)

    def resolve(self, directories: list[Path], alive: np.ndarray) -> Decisions:
        hashes = [np.fromfile(directory / _FILE, _HASH) for directory in directories]
        joined = np.concatenate(hashes) if hashes else np.empty(0, _HASH)
        order = priority_order(directories, self.keep, len(joined))
        twin = equal_twins(joined, order[alive[order]])
        dropped = np.flatnonzero(twin >= 0)
        value = np.where(twin >= 0, np.float32(1), np.float32(np.nan))
        pairs = Pairs(twin[dropped], dropped, value[dropped])
        return decisions(twin, value, alive, pairs, {"verified_pairs": len(dropped)})

    def drop(self, value: float) -> Drop:
        return Drop(self.reason, value, 1.0)


def equal_twins(hashes: np.ndarray, order: np.ndarray) -> np.ndarray:
    """For each position the first one in `order` with the same hash; -1 for that one and for those not in `order`."""
    twin = np.full(len(hashes), -1, np.int64)
    ranked = hashes[order]
    grouped = np.lexsort((ranked["low"], ranked["high"]))
    ranked = ranked[grouped]
    starts = np.ones(len(order), bool)
    starts[1:] = ranked[1:] != ranked[:-1]
    leaders = order[grouped][np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    twin[order[grouped]] = np.where(starts, -1, leaders)
    return twin
