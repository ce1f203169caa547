"""Values of rows in; a number with its interval, alone, against another or over seeds, out."""

import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.config import UsageError
from curate.judges.statistics import estimates
from curate.judges.statistics.estimates import bootstrap, share

_DRAWS = 1_000
_LOW, _HIGH = 0.025, 0.975
_LARGEST = 709.0
"""Above it e to the number is no float."""


class Measure(NamedTuple):
    """A number over rows with its 95 % interval."""

    value: float
    low: float
    high: float
    rows: int

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}] over {self.rows:,} rows"


def interval(rows: list[tuple[float, float]], statistic: Callable[[list[tuple[float, float]]], float], seed: int = 0) -> Measure:
    """A statistic of rows with its percentile bootstrap (Efron 1979). Raises UsageError where there are none."""
    if not rows:
        raise UsageError("no row could be measured; look at the data by `curate check`")
    draw = random.Random(seed)
    drawn = sorted(statistic(draw.choices(rows, k=len(rows))) for _ in range(_DRAWS))
    return Measure(statistic(rows), drawn[int(_LOW * _DRAWS)], drawn[int(_HIGH * _DRAWS)], len(rows))


def mean(rows: list[tuple[float, float]]) -> float:
    """The ratio of the sums of (value, weight)."""
    return sum(value for value, _ in rows) / sum(weight for _, weight in rows)


def mean_of(values: Sequence[float]) -> Measure:
    """A mean with its bootstrap."""
    return interval([(value, 1.0) for value in values], mean)


def share_of(clusters: Sequence[Sequence[float]]) -> Measure:
    """The share of successes (1, or 0.5 for a draw) among the values of all clusters; `rows` counts the values.

    Wilson's interval at the number of values that the clusters are worth, as far as they scatter (Korn and
    Graubard 1998): between what they are worth when all values of one are alike, (sum m)^2 / sum m^2 (Kish 1965),
    and their number. Never of no width where every value is the same, as a bootstrap would be. Raises
    UsageError where there are none.
    """
    sizes = [len(cluster) for cluster in clusters]
    total = sum(sizes)
    if not total:
        raise UsageError("nothing could be measured: no prompt has an answer with a verdict")
    value = sum(map(sum, clusters)) / total
    alike = total**2 / sum(size**2 for size in sizes)
    worth = max(alike, min(total, _scattered(clusters, value)))
    found = share(value * worth, worth)
    return Measure(found.value, found.low, found.high, total)


def _scattered(clusters: Sequence[Sequence[float]], value: float) -> float:
    """The number of independent values whose share would scatter as these clusters do; 0 where that cannot be told."""
    scale = len(clusters) / sum(map(len, clusters))
    found = estimates.mean([(sum(cluster) - value * len(cluster)) * scale for cluster in clusters])
    half = found.high - found.value
    return value * (1 - value) * (estimates.two_sided(0.95) / half) ** 2 if half > 0 else 0.0


def exponential(value: float) -> float:
    """e to the value; infinite where no number is that large, as of a model that has diverged."""
    return math.exp(value) if value < _LARGEST else math.inf


def over_seeds(values: ArrayLike, weights: ArrayLike, shown: Callable[[float], float] = float) -> Measure:
    """The ratio of the sums of (seeds, rows) values and weights, through `shown`, which rises; `rows` counts the rows of one seed.

    The interval covers other rows and another training run: the bootstrap over rows, which are the
    same for every seed, and Student's over the seeds' own ratios, added as independent errors are. Of
    one seed it covers the rows alone.
    """
    value, weight = np.asarray(values, float), np.asarray(weights, float)
    if not weight.sum():
        raise UsageError("no row could be measured; look at the data by `curate check`, and at the judge's verdicts")
    over_rows = bootstrap(lambda rows: _ratio(value[:, rows], weight[:, rows]), np.arange(value.shape[1]))
    by_seed = [_ratio(one, other) for one, other in zip(value, weight, strict=True) if other.any()]
    seeds = estimates.mean(by_seed).high - np.mean(by_seed) if len(by_seed) > 1 else 0.0
    low, high = over_rows.value - np.hypot(over_rows.value - over_rows.low, seeds), over_rows.value + np.hypot(over_rows.high - over_rows.value, seeds)
    return Measure(shown(over_rows.value), shown(float(low)), shown(float(high)), value.shape[1])


def _ratio(value: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    total = weight.sum()
    return float(value.sum() / total) if total else math.nan


def share_over_seeds(values: ArrayLike, weights: ArrayLike) -> Measure:
    """A share over seeds and rows; its interval is never narrower than Wilson's over the rows alone, so never of no width."""
    found, weight = over_seeds(values, weights), np.asarray(weights, float).sum(axis=0)
    worth = float(weight.sum() ** 2 / (weight**2).sum())
    row = share(found.value * worth, worth)
    return found._replace(low=max(0.0, min(found.low, row.low)), high=min(1.0, max(found.high, row.high)))
