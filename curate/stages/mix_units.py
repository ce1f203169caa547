"""What a mix must know of every input row before it decides: columns of numbers, kept on disk between phases.

A unit is one row of a source. Its text stays in the source's files: a million units of three
splits are some 50 MB.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import xxhash


@dataclass
class Units:
    """One element a unit, in the order of the sources and of the rows in their files."""

    source: np.ndarray
    """int16: number of the source."""
    id: np.ndarray
    """uint64: hash of the row's id."""
    lot: np.ndarray
    """uint64: hash of seed and id; rows are chosen and ordered by it."""
    group: np.ndarray
    """int64: number of the group of prompts, from 0."""
    size: np.ndarray
    """int64: the source row's words, bytes or tokens; 1 where rows count."""
    licence: np.ndarray
    """int32: number of the licence."""
    parts: np.ndarray
    """int32 `[splits, units]`: rows that the unit would give in the split's format; 0 where none."""
    law: np.ndarray
    """int16 `[splits, units]`: number of the law by which the format refused it; 0 where none did."""
    positive: np.ndarray
    """int32 `[splits, units]`: of the parts, those that are labelled true, which come first."""
    laws: np.ndarray
    """str: laws by number, and what a pair rule refuses for; the first is empty."""
    licences: np.ndarray
    """str: licences by number, as SPDX spells them, or `unknown`; the first is empty and of no unit."""
    joined: np.ndarray
    """int64, no dimension: how many groups of the rows' `group` columns went into others, by equal or near prompts."""

    def __len__(self) -> int:
        return len(self.source)

    def save(self, path: Path) -> None:
        np.savez(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path) as stored:
            return cls(**{field.name: stored[field.name] for field in fields(cls)})


class Names:
    """Numbers of names, in the order in which they were first met."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {"": 0}

    def number(self, name: str | None) -> int:
        return self.numbers.setdefault(name or "", len(self.numbers))

    @property
    def array(self) -> np.ndarray:
        return np.array(list(self.numbers), dtype=str)


def hash_of(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def lots(seed: int, ids: np.ndarray, purpose: int = 0) -> np.ndarray:
    """uint64: a draw for each id, by seed and purpose (SplitMix64's finaliser: Steele et al. 2014)."""
    salt = np.uint64(xxhash.xxh3_64_intdigest(f"{seed} {purpose}".encode()))
    mixed = ids ^ salt
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
