"""Caps: rows with their keys in; out of each key at most so many, or at most a share of all, stay."""

import re
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from curate.config import Model, UsageError
from curate.steps.barrier import Barrier, Decisions
from curate.steps.rows.keyed import Keyed, KeyWriter, account, admitted, counted, read_keys, refuse_missing
from curate.steps.step import Drop


class Cap(Model):
    """The most that one key may hold."""

    by: str = Field(
        ..., min_length=1, description="source, language, or a field of the metadata such as task, topic or model; "
        "metadata.source is the field where a column has the name too. Rows without it are not capped."
    )  # fmt: skip
    rows: int | None = Field(None, ge=1, description="At most so many rows of each key.")
    share: float | None = Field(None, gt=0, lt=1, description="At most this share of all rows that stay, for each key.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.rows is None) == (self.share is None):
            raise ValueError(f"the cap by {self.by} needs either rows or share; give one of them")
        return self

    @property
    def reason(self) -> str:
        return re.sub(r"\W+", "_", self.by.lower()) + "_cap"

    def limit(self, counts: np.ndarray, others: int) -> int:
        """Rows that each key may hold, given those that it has and the rows that have no key."""
        if self.rows is not None:
            return self.rows
        level = water_level(counts, others, self.share)
        if level == 0 and counts.any():
            keys = int((counts > 0).sum())
            raise UsageError(
                f"caps: by {self.by}: {keys:,} keys cannot each stay under a share of {self.share:g} of all rows; "
                f"give a share of at least {1 / keys:.3g}, or a cap in rows"
            )
        return level


def water_level(counts: np.ndarray, others: int, share: float) -> int:
    """The most rows that every key may hold so that none has more than its share of what stays; 0 where nothing may.

    What stays is `others` and, of each key, its rows up to the level. That sum is concave in the level, so that
    the levels which hold are all those up to one.
    """
    low, high = 0, int(counts.max(initial=0))
    while low < high:
        level = (low + high + 1) // 2
        stays = others + int(np.minimum(counts, level).sum())
        low, high = (level, high) if level <= share * stays + 1e-9 else (low, level - 1)
    return low


class Caps(Barrier):
    """Keep at most so many rows of each source, task, topic, model or language; all caps hold at once.

    A task of more than ten or twenty thousand rows adds little to a mixture (Longpre et al. 2023, Flan's cap).
    """

    use: Literal["caps"]

    caps: list[Cap] = Field(..., min_length=1, description="The caps; a row stays where none of its keys is full.")
    keep: Literal["random", "best_score"] = Field(
        "random", description="Which rows of a full key stay: drawn by a hash of the content, or those of the highest `score`."
    )
    score: str | None = Field(None, description="With `keep: best_score`: the measured value that ranks, such as `quality.score`.")
    seed: int = Field(1, ge=0, lt=2**64, description="Of the draw.")

    @model_validator(mode="after")
    def _score_where_it_is_used(self) -> Self:
        if (self.keep == "best_score") != (self.score is not None):
            raise ValueError("`keep: best_score` and `score` belong together; set both, or neither")
        return self

    def writer(self, directory: Path) -> KeyWriter:
        return KeyWriter(directory, tuple(cap.by for cap in self.caps), self.score, self.seed)

    def resolve(self, directories: list[Path], alive: np.ndarray) -> Decisions:
        keyed = read_keys(directories, len(self.caps))
        refuse_missing(keyed, tuple(cap.by for cap in self.caps), alive)
        limits, refused = self._settled(keyed, alive)
        kept = alive & (refused == 0)
        report = [
            {"by": cap.by, "limit": limit} | account(keyed, column, alive, kept)
            for column, (cap, limit) in enumerate(zip(self.caps, limits, strict=True))
        ]
        value = np.where(refused > 0, refused, np.nan).astype(np.float32)
        return Decisions.without_twins(refused > 0, value, {"caps": report})

    def _settled(self, keyed: Keyed, alive: np.ndarray) -> tuple[list[int], np.ndarray]:
        """The limits that all hold, and who is refused: what one cap takes lowers what a share of the rest is."""
        limits = self._limits(keyed, alive)
        while True:
            refused = admitted(keyed, alive, limits)
            kept = alive & (refused == 0)
            if all(self._holds(keyed, kept)):
                return limits, refused
            limits = list(map(min, limits, self._limits(keyed, kept)))

    def _limits(self, keyed: Keyed, among: np.ndarray) -> list[int]:
        counts = [counted(keyed, column, among) for column in range(len(self.caps))]
        return [cap.limit(count, int(among.sum() - count.sum())) for cap, count in zip(self.caps, counts, strict=True)]

    def _holds(self, keyed: Keyed, kept: np.ndarray) -> list[bool]:
        """For each cap whether no key of the kept rows is over it."""
        most = [counted(keyed, column, kept).max(initial=0) for column in range(len(self.caps))]
        return [cap.rows is not None or top <= cap.share * kept.sum() + 1e-9 for cap, top in zip(self.caps, most, strict=True)]

    def drop(self, value: float) -> Drop:
        """`value` is the number of the cap that was full, from 1."""
        cap = self.caps[int(value) - 1]
        return Drop(cap.reason, None, cap.rows or cap.share)
