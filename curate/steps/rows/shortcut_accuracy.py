"""Differences between the sides of pairs in, how often they alone point to the chosen side out.

All functions take `more` [pairs, shortcuts], how much more of something the chosen side has.
"""

import math
from typing import NamedTuple

import numpy as np

_Z = 1.959964
"""Of a two-sided interval of 95 %."""
_RIDGE = 1.0
_NEWTON_STEPS = 25


class Accuracy(NamedTuple):
    """How often the side with more is the chosen one."""

    pairs: int
    """Pairs in which the sides differ."""
    share: float
    """Their share of all pairs."""
    accuracy: float
    low: float
    high: float
    """Wilson's interval of 95 % (1927)."""

    def rounded(self) -> dict[str, float]:
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in self._asdict().items()}


def wilson(right: float, pairs: int) -> tuple[float, float]:
    """Wilson's score interval of a share; the whole of 0 to 1 where there is nothing."""
    if not pairs:
        return 0.0, 1.0
    share, square = right / pairs, _Z * _Z
    middle = (share + square / (2 * pairs)) / (1 + square / pairs)
    half = _Z / (1 + square / pairs) * math.sqrt(share * (1 - share) / pairs + square / (4 * pairs * pairs))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def accuracy(more: np.ndarray) -> Accuracy:
    """Of one shortcut, `more` [pairs]."""
    pairs, right = int((more != 0).sum()), int((more > 0).sum())
    return Accuracy(pairs, pairs / max(len(more), 1), right / pairs if pairs else 0.5, *wilson(right, pairs))


def by_model(models: np.ndarray, fold: np.ndarray, folds: int) -> np.ndarray:
    """How much oftener the chosen side's model wins than the rejected one's, in the other folds; float64 [pairs].

    0 where a model is not known, or both are the same. Counted out of the fold, since a model of one
    pair would always have won it.
    """
    names, numbers = np.unique(models, return_inverse=True)
    numbers = numbers.reshape(models.shape)
    known = (models != 0).all(axis=1) & (models[:, 0] != models[:, 1])
    more = np.zeros(len(models))
    for part in range(folds):
        others, here = known & (fold != part), known & (fold == part)
        won, lost = (np.bincount(numbers[others, side], minlength=len(names)) for side in (0, 1))
        rate = (won + 1) / (won + lost + 2)
        more[here] = rate[numbers[here, 0]] - rate[numbers[here, 1]]
    return more


def together(more: np.ndarray, fold: np.ndarray, folds: int) -> Accuracy:
    """Accuracy of a logistic regression on all differences, each fold judged by the others' (Bradley and Terry 1952)."""
    scale = np.sqrt((more**2).mean(axis=0)) if len(more) else np.ones(more.shape[1])
    scaled = more / np.where(scale > 0, scale, 1)
    margin = np.zeros(len(more))
    for part in range(folds):
        margin[fold == part] = scaled[fold == part] @ weights(scaled[fold != part])
    return accuracy(np.where(np.abs(margin) > 1e-9, margin, 0))


def weights(more: np.ndarray) -> np.ndarray:
    """Ridge logistic regression without an intercept, by Newton's method; the chosen side is always the right one.

    Without an intercept the model is the same whichever side stands first.
    """
    found = np.zeros(more.shape[1])
    for _ in range(_NEWTON_STEPS):
        wrong = 1 / (1 + np.exp(np.clip(more @ found, -30, 30)))
        gradient = more.T @ wrong - _RIDGE * found
        curvature = (more * (wrong * (1 - wrong))[:, None]).T @ more + _RIDGE * np.eye(len(found))
        step = np.linalg.solve(curvature, gradient)
        found = found + step
        if np.abs(step).max(initial=0) < 1e-8:
            break
    return found


def rebalanced(signs: np.ndarray, order: np.ndarray, tolerance: float) -> np.ndarray:
    """Rows to drop so that each shortcut is right in `0.5 +- tolerance` of the pairs that it tells apart; bool [pairs].

    `signs` int8 [pairs, shortcuts], 1 where it points to the chosen side; `order`: those at its end leave first.
    For one shortcut no fewer rows would do; for several, rows that mend most of them leave first.
    """
    dropped = np.zeros(len(signs), bool)
    cells, cell_of = np.unique(signs[order], axis=0, return_inverse=True)
    members = [order[cell_of.ravel() == number].tolist() for number in range(len(cells))]
    left = np.array(list(map(len, members)), np.int64)
    while True:
        surplus, told = left @ cells.astype(np.int64), left @ np.abs(cells).astype(np.int64)
        needed = np.ceil((np.abs(surplus) - 2 * tolerance * told) / (1 - 2 * tolerance) - 1e-9)
        helps = cells * np.sign(surplus)
        gain = np.where(left > 0, (helps * (needed > 0)).sum(axis=1), -np.inf)
        if not (needed > 0).any():
            return dropped
        best = max(np.flatnonzero(gain == gain.max()), key=lambda cell: (helps[cell].sum(), left[cell], -cell))
        count = int(min(left[best], needed[(needed > 0) & (helps[best] > 0)].min()))
        dropped[members[best][int(left[best]) - count : int(left[best])]] = True
        left[best] -= count
