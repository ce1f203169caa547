"""What a barrier is: signatures of every rank go in, one decision for every unit comes out.

Some units can only be judged when all were seen: duplicates, caps, balance. Pass one writes
signatures, rank by rank; `resolve` reads them all; pass two drops by position. A position is
the number of a unit in the ranks' own order, counted through all ranks: it depends on the
input alone, so the decisions do not depend on how the ranks were cut.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from curate.steps.step import Drop, Step, Unit


class SignatureWriter(Protocol):
    """Writes what a step must remember of one rank's units, in constant memory."""

    def add(self, unit: Unit) -> None:
        """Take the next unit; the order of the calls is the units' order."""

    def close(self) -> None:
        """Write what is left and close the files."""


class Pairs(NamedTuple):
    """Verified pairs, ordered by dropped, then kept: positions int64 and their true Jaccard float32."""

    kept: np.ndarray
    dropped: np.ndarray
    jaccard: np.ndarray

    @classmethod
    def none(cls) -> "Pairs":
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True)
class Decisions:
    """What happens to every unit; each array has one element a position."""

    twin: np.ndarray
    """int64: the kept unit that this one duplicates; -1 where it has none."""
    value: np.ndarray
    """float32: what was measured, of a duplicate its true Jaccard similarity with the twin; nan where nothing was."""
    cluster: np.ndarray
    """int64: the kept unit of its cluster, for that unit too; -1 where it is alone."""
    cluster_size: np.ndarray
    """int32: units in its cluster, itself among them; 1 where it is alone."""
    pairs: Pairs
    report: dict
    """What the receipt says of the run; JSON types only."""
    dropped: np.ndarray | None = None
    """bool: units that leave; None: those that have a twin."""
    marks: list[str | None] | None = None
    """What is written into each unit's metadata, under the barrier's `field`; None: nothing."""

    @classmethod
    def without_twins(
        cls, dropped: np.ndarray, value: np.ndarray, report: dict, marks: list[str | None] | None = None
    ) -> "Decisions":
        """Decisions of a barrier that knows no duplicates, such as a cap."""
        alone = np.full(len(dropped), -1, dtype=np.int64)
        return cls(alone, value, alone, np.ones(len(dropped), np.int32), Pairs.none(), report, dropped, marks)

    @property
    def leaving(self) -> np.ndarray:
        """bool: the units that this barrier drops."""
        return self.twin >= 0 if self.dropped is None else self.dropped


class Barrier(Step):
    """A step that decides when it has seen every unit."""

    marking: ClassVar[bool] = False
    """True where it writes marks, which the steps after it, barriers too, must see."""

    def writer(self, directory: Path) -> SignatureWriter:
        """Open the signature files of one rank; `directory` exists and is empty."""
        raise NotImplementedError

    def resolve(self, directories: list[Path], alive: np.ndarray) -> Decisions:
        """Decide over all ranks, given in order; a unit that is not `alive` neither keeps nor drops another."""
        raise NotImplementedError

    def drop(self, value: float) -> Drop:
        """The account of a unit that was decided against, from its `value`."""
        raise NotImplementedError
