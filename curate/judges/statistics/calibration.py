"""Whether probabilities mean what they say: probabilities and outcomes in, errors and a reliability table out."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from curate.judges.statistics.estimates import Estimate, Floats, Ints, bootstrap, share


class Bin(NamedTuple):
    """One row of a reliability table."""

    low: float
    high: float
    n: int
    said: float
    """Mean probability."""
    seen: Estimate
    """Share that came true."""


class Brier(NamedTuple):
    """score = reliability - resolution + uncertainty + within, to the last digit.

    Murphy 1973 for the three; `within` is what is lost by putting probabilities into bins
    (variance less twice the covariance inside them, Stephenson et al. 2008).
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


class Calibration(NamedTuple):
    """All of it, with intervals by groups."""

    ece: Estimate
    brier: Estimate
    parts: Brier
    table: list[Bin]


def expected_calibration_error(probability: ArrayLike, outcome: ArrayLike, bins: int = 10) -> float:
    """Mean distance of what was said from what was seen, by bins of equal width (Guo et al. 2017)."""
    p, y = np.asarray(probability, float), np.asarray(outcome, float)
    which = _bins(p, bins)
    return float(np.abs(np.bincount(which, y - p, bins)).sum() / len(p)) if len(p) else float("nan")


def brier(probability: ArrayLike, outcome: ArrayLike, bins: int = 10) -> Brier:
    """Mean squared error of the probability (Brier 1950) and its parts; an outcome is 0, 1, or 0.5 for a tie."""
    p, y = np.asarray(probability, float), np.asarray(outcome, float)
    if not len(p):
        return Brier(*[float("nan")] * 5)
    which = _bins(p, bins)
    n = np.maximum(np.bincount(which, minlength=bins), 1)
    said, seen = (np.bincount(which, values, bins) / n for values in (p, y))
    base = float(y.mean())
    reliability = float(np.mean((said - seen)[which] ** 2))
    resolution = float(np.mean((seen[which] - base) ** 2))
    uncertainty = float(np.mean((y - base) ** 2))
    score = float(np.mean((p - y) ** 2))
    return Brier(score, reliability, resolution, uncertainty, score - reliability + resolution - uncertainty)


def reliability_table(probability: ArrayLike, outcome: ArrayLike, bins: int = 10) -> list[Bin]:
    """One row for each bin that is not empty."""
    p, y = np.asarray(probability, float), np.asarray(outcome, float)
    which = _bins(p, bins)
    rows = []
    for number in range(bins):
        mine = which == number
        if n := int(mine.sum()):
            rows.append(Bin(number / bins, (number + 1) / bins, n, float(p[mine].mean()), share(float(y[mine].sum()), n)))
    return rows


def calibration(
    probability: ArrayLike, outcome: ArrayLike, groups: ArrayLike, bins: int = 10, seed: int = 0, draws: int = 1000
) -> Calibration:
    """The whole account; intervals by bootstrap over groups. The error is biased upwards where bins are small."""
    p, y = np.asarray(probability, float), np.asarray(outcome, float)
    ece = bootstrap(lambda rows: expected_calibration_error(p[rows], y[rows], bins), groups, seed, draws)
    score = bootstrap(lambda rows: float(np.mean((p[rows] - y[rows]) ** 2)), groups, seed, draws)
    return Calibration(ece, score, brier(p, y, bins), reliability_table(p, y, bins))


def _bins(p: Floats, bins: int) -> Ints:
    """The bin of each probability; 1 falls into the last."""
    return np.minimum((p * bins).astype(int), bins - 1)
