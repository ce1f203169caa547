"""Shortcuts: pairs in, how far length, markdown, position, refusals or the model's name alone tell the chosen side; out a report,
and where asked, the pairs without those that make a shortcut worth learning."""

from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
from pydantic import Field, field_validator

from curate.steps.barrier import Barrier, Decisions
from curate.steps.rows.pair_features import MEASURED, PairWriter, read_pairs
from curate.steps.rows.refusal_lists import LISTS
from curate.steps.rows.shortcut_accuracy import Accuracy, accuracy, by_model, rebalanced, together
from curate.steps.rows.unit import RowStep
from curate.steps.step import Drop

Shortcut = Literal["length", "markdown", "headers", "lists", "bold", "code", "position", "refusal", "model"]
SHORTCUTS: tuple[Shortcut, ...] = get_args(Shortcut)
_FOLDS = 5
_LEARNT = [number for number, name in enumerate(SHORTCUTS) if name != "markdown"]
"""What the regression reads: markdown is the sum of four others."""


class Shortcuts(Barrier, RowStep):
    """Measure what tells the chosen answer without reading it, and warn; on demand drop pairs until it no longer does.

    Each shortcut guesses that the side with more of it (words, list items, refusals; the earlier place; the model
    that wins oftener elsewhere) is the chosen one, and is judged on the pairs whose sides differ in it. A length-only
    guess is right in well over half of many public sets (Singhal et al. 2023; Dubois et al. 2024). Pairs that a mix makes of
    candidates know their models, and where a judge saw them: mix them `as: preference`, and let a refine stage follow.
    """

    use: Literal["shortcuts"]
    shapes: ClassVar[tuple[str, ...]] = ("preference",)

    limit: float = Field(
        0.65, ge=0.5, lt=1, description="A shortcut that is surely right oftener than this, or surely wrong oftener, is warned of."
    )
    rebalance: tuple[Shortcut, ...] = Field((), description="Shortcuts that are balanced, by dropping as few pairs as that takes.")
    tolerance: float = Field(0.02, gt=0, le=0.2, description="How far from 0.5 the accuracy of a balanced shortcut may stay.")
    models: tuple[str, str] = Field(("chosen_model", "rejected_model"), description="Fields of the metadata that name who wrote each side.")
    positions: tuple[str, str] = Field(
        ("chosen_position", "rejected_position"), description="Fields of the metadata that number each side's place, as judges saw it."
    )
    seed: int = Field(1, ge=0, lt=2**64, description="Of the draw of pairs to drop.")

    @field_validator("rebalance", mode="before")
    @classmethod
    def _several(cls, given: object) -> object:
        return (given,) if isinstance(given, str) else given

    def reads(self) -> list[Path]:
        return list(LISTS)

    def writer(self, directory: Path) -> PairWriter:
        return PairWriter(directory, self.models, self.positions, self.seed)

    def resolve(self, directories: list[Path], alive: np.ndarray) -> Decisions:
        pairs = read_pairs(directories, _FOLDS)
        more = np.zeros((len(alive), len(SHORTCUTS)))
        more[:, : len(MEASURED)] = pairs.more
        more[alive, -1] = by_model(pairs.models[alive], pairs.fold[alive], _FOLDS)
        report = {"before": _account(more[alive], pairs.fold[alive])}
        report["warnings"] = self._warnings(report["before"])
        dropped = np.zeros(len(alive), bool)
        if self.rebalance:
            named = [SHORTCUTS.index(name) for name in self.rebalance]
            order = pairs.order[alive[pairs.order]]
            dropped = rebalanced(np.sign(more[:, named]).astype(np.int8), order, self.tolerance)
            kept = alive & ~dropped
            report["after"] = _account(more[kept], pairs.fold[kept])
        account = report | {part: _rounded(report[part]) for part in ("before", "after") if part in report}
        return Decisions.without_twins(dropped, np.full(len(alive), np.nan, np.float32), account)

    def _warnings(self, account: dict[str, Accuracy]) -> list[str]:
        """A sentence for each shortcut that is surely too good, or surely too bad."""
        sentences = []
        for name, found in account.items():
            sure = max(found.low, 1 - found.high)
            if sure > self.limit:
                right, side = (found.accuracy, "more") if found.low > self.limit else (1 - found.accuracy, "less")
                told = "all shortcuts together tell" if name == "together" else f"the side with {side} {name} is"
                sentences.append(
                    f"{told} the chosen one in {right:.1%} of {found.pairs:,} pairs that differ in it, "
                    f"surely over {sure:.1%}, and the limit is {self.limit:.0%}"
                )
        return sentences

    def drop(self, value: float) -> Drop:
        return Drop("rebalanced")


def _account(more: np.ndarray, fold: np.ndarray) -> dict[str, Accuracy]:
    alone = {name: accuracy(more[:, number]) for number, name in enumerate(SHORTCUTS)}
    return alone | {"together": together(more[:, _LEARNT], fold, _FOLDS)}


def _rounded(account: dict[str, Accuracy]) -> dict[str, dict[str, float]]:
    return {name: found.rounded() for name, found in account.items()}
