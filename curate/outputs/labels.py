"""KTO's labels: counts of desirable and undesirable rows in, weights and an order of rows out."""

from typing import NamedTuple

import numpy as np


class WeightRanges(NamedTuple):
    """Lowest and highest weight of one label while the other's is 1; set one of them, not both."""

    desirable: tuple[float, float]
    undesirable: tuple[float, float]


LEAST, MOST = 1.0, 4 / 3
"""Bounds of the weighted ratio of desirable to undesirable rows."""


def weight_ranges(desirable: int, undesirable: int) -> WeightRanges | None:
    """Weights that keep desirable_weight * desirable / (undesirable_weight * undesirable) in [1, 4/3].

    Ethayarajh et al. 2024, eq. 8, and what TRL's KTOTrainer recommends. None where a label is missing.
    """
    if not desirable or not undesirable:
        return None
    ratio = desirable / undesirable
    return WeightRanges((LEAST / ratio, MOST / ratio), (ratio / MOST, ratio / LEAST))


def pattern(desirable: int, undesirable: int) -> np.ndarray:
    """Booleans, one a row: which label comes at which place, the rarer one evenly spread.

    The rarer label stands at most ceil(rows / rarer) places apart and at the very end, so every batch
    of that size holds it, the last and shorter one too; two of it never touch.
    """
    rows, fewer = desirable + undesirable, min(desirable, undesirable)
    labels = np.full(rows, desirable > undesirable)
    labels[rows - 1 - np.arange(fewer) * rows // max(fewer, 1)] = desirable <= undesirable
    return labels


def interleaved(labels: np.ndarray, seed: int) -> np.ndarray:
    """Row numbers in an order that follows `pattern`, drawn by `seed` within each label.

    Trainers that read KTO rows in order (TRL's does) would else see batches of one label, where the loss has no reference.
    """
    draw = np.random.RandomState(seed)  # its stream is frozen, unlike that of default_rng
    labels = np.asarray(labels, dtype=bool)
    places = pattern(int(labels.sum()), int((~labels).sum()))
    order = np.empty(len(labels), dtype=np.int64)
    for label in (True, False):
        order[places == label] = draw.permutation(np.flatnonzero(labels == label))
    return order
