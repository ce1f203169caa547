"""Balance: rows with a key in; out of keys that hold too much, only so many that the largest is no more than some times the small."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from curate.steps.barrier import Barrier, Decisions
from curate.steps.rows.keyed import KeyWriter, account, admitted, counted, read_keys, refuse_missing
from curate.steps.step import Drop


class Balance(Barrier):
    """Down-sample the larger keys, so that none holds more than some times the median or the smallest; 1 is equal counts."""

    use: Literal["balance"]

    by: str = Field(..., min_length=1, description="As a cap's: source, language, or a field of the metadata. Rows without it stay.")
    to: Literal["median", "smallest"] = Field("median", description="The key that the others are measured by: the median or the smallest.")
    max_ratio: float = Field(1.0, ge=1, description="Most times that a key may hold as many rows as that one.")
    seed: int = Field(1, ge=0, lt=2**64, description="Of the draw.")

    def writer(self, directory: Path) -> KeyWriter:
        return KeyWriter(directory, (self.by,), None, self.seed)

    def resolve(self, directories: list[Path], alive: np.ndarray) -> Decisions:
        keyed = read_keys(directories, 1)
        refuse_missing(keyed, (self.by,), alive)
        limit = self._limit(counted(keyed, 0, alive))
        refused = admitted(keyed, alive, [limit]) > 0
        report = {"by": self.by, "limit": limit} | account(keyed, 0, alive, alive & ~refused)
        return Decisions.without_twins(refused, np.where(refused, np.float32(limit), np.float32(np.nan)), report)

    def _limit(self, counts: np.ndarray) -> int:
        """Rows that each key may hold; of an even number of keys, the lower of the two in the middle is the median."""
        ordered = np.sort(counts[counts > 0])
        if not len(ordered):
            return 0
        measure = ordered[0] if self.to == "smallest" else ordered[(len(ordered) - 1) // 2]
        return int(measure * self.max_ratio + 1e-9)

    def drop(self, value: float) -> Drop:
        """`value` is how many rows a key may hold."""
        return Drop("over_balance", None, value)
