"""Numbers with intervals: samples or counts in, an estimate with its bounds out."""

from collections.abc import Callable
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Estimate(NamedTuple):
    """A value, the bounds of its interval, and from how many units it comes; all NaN where it is not defined."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def two_sided(confidence: float) -> float:
    """The normal quantile of a two-sided interval: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def mean(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """A mean with its normal interval; Student's quantile by Cornish and Fisher's expansion, for small samples."""
    x = np.asarray(values, float)
    if len(x) < 2:
        return Estimate(float(x[0]) if len(x) else np.nan, -np.inf, np.inf, len(x))
    z, freedom = two_sided(confidence), len(x) - 1
    quantile = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    half = quantile * x.std(ddof=1) / sqrt(len(x))
    return Estimate(float(x.mean()), float(x.mean() - half), float(x.mean() + half), len(x))


def share(hits: float, n: int, confidence: float = 0.95) -> Estimate:
    """A share with Wilson's score interval (Wilson 1927); `hits` may count ties as half."""
    if n == 0:
        return Estimate(np.nan, 0.0, 1.0, 0)
    z = two_sided(confidence)
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Estimate(p, max(0.0, centre - half), min(1.0, centre + half), n)


def bootstrap(
    statistic: Callable[[Ints], float], groups: ArrayLike, seed: int = 0, draws: int = 1000, confidence: float = 0.95
) -> Estimate:
    """`statistic(rows)` with a percentile interval; whole groups are drawn (Davison and Hinkley 1997).

    `groups` names the prompt of each row: answers to one prompt are not independent. Draws on
    which the statistic is not defined are left out.
    """
    labels = np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
    rows = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    chance = np.random.default_rng(seed)
    drawn = (chance.integers(len(sizes), size=len(sizes)) for _ in range(draws if len(sizes) else 0))
    found = np.array([statistic(rows[_members(groups_drawn, starts, sizes)]) for groups_drawn in drawn], float)
    found = found[~np.isnan(found)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail]) if len(found) else (np.nan, np.nan)
    value = statistic(np.arange(len(labels))) if len(labels) else np.nan
    return Estimate(float(value), float(low), float(high), len(labels))


def _members(drawn: Ints, starts: Ints, sizes: Ints) -> Ints:
    """The places of all rows of the drawn groups, one group after the other."""
    lengths = sizes[drawn]
    ends = np.cumsum(lengths)
    return np.repeat(starts[drawn] - (ends - lengths), lengths) + np.arange(ends[-1])


def binomial_tail(hits: int, n: int, rate: float) -> float:
    """P(X <= hits) for X ~ Binomial(n, rate)."""
    if rate <= 0 or hits >= n:
        return 1.0
    if rate >= 1:
        return 0.0
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    k = np.arange(hits + 1)
    terms = logs[n] - logs[k] - logs[n - k] + k * np.log(rate) + (n - k) * np.log1p(-rate)
    return min(1.0, float(np.exp(terms).sum()))


def upper_bound(hits: int, n: int, confidence: float = 0.95) -> float:
    """The one-sided upper bound of a rate: `hits` of `n` seen (Clopper and Pearson 1934)."""
    if hits >= n:
        return 1.0
    low, high = hits / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_tail(hits, n, middle) > 1 - confidence else (low, middle)
    return high


def regression(columns: list[ArrayLike], outcome: ArrayLike, confidence: float = 0.95) -> list[Estimate]:
    """Least squares with an intercept first; intervals hold under unequal variances (HC3, MacKinnon and White 1985)."""
    y = np.asarray(outcome, float)
    x = np.column_stack([np.ones(len(y)), *[np.asarray(column, float) for column in columns]])
    inverse = np.linalg.pinv(x.T @ x)
    coefficients = inverse @ x.T @ y
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
    residuals = (y - x @ coefficients) / np.maximum(1 - leverage, 1e-9)
    errors = np.sqrt(np.diag(inverse @ (x.T * residuals**2) @ x @ inverse))
    half = two_sided(confidence) * errors
    return [Estimate(float(c), float(c - h), float(c + h), len(y)) for c, h in zip(coefficients, half, strict=True)]
