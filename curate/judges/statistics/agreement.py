"""How far raters agree: labels of the same units in, a coefficient out; `estimates.bootstrap` gives its interval.

Labels are whole numbers from 0, ordered where the coefficient is. A coefficient is NaN where it is
not defined: no unit, or only one label in all of them.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from curate.judges.statistics.estimates import Floats

Metric = Literal["nominal", "ordinal", "interval"]


def percent(first: ArrayLike, second: ArrayLike) -> float:
    """Share of units with the same label."""
    return float(np.mean(np.asarray(first) == np.asarray(second))) if len(np.asarray(first)) else float("nan")


def cohen_kappa(first: ArrayLike, second: ArrayLike, weights: Literal["linear", "quadratic"] | None = None) -> float:
    """Cohen's kappa of two raters; weighted: by the distance of the labels (Cohen 1960; 1968)."""
    x, y = np.asarray(first, int), np.asarray(second, int)
    if not len(x):
        return float("nan")
    classes = int(max(x.max(), y.max())) + 1
    table = np.bincount(x * classes + y, minlength=classes * classes).reshape(classes, classes) / len(x)
    apart = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))).astype(float)
    cost = {None: (apart > 0).astype(float), "linear": apart, "quadratic": apart**2}[weights]
    expected = float((cost * np.outer(table.sum(1), table.sum(0))).sum())
    return 1 - float((cost * table).sum()) / expected if expected > 0 else float("nan")


def fleiss_kappa(counts: ArrayLike) -> float:
    """Fleiss' kappa of a (units, labels) table: how many raters gave each label; equally many on each unit (Fleiss 1971)."""
    table = np.asarray(counts, float)
    if not len(table):
        return float("nan")
    raters = table[0].sum()
    if raters < 2 or not np.allclose(table.sum(1), raters):
        raise ValueError("Fleiss' kappa needs the same number of raters, two or more, on every unit")
    observed = float(((table**2).sum(1) - raters).mean() / (raters * (raters - 1)))
    chance = float(((table.sum(0) / table.sum()) ** 2).sum())
    return (observed - chance) / (1 - chance) if chance < 1 else float("nan")


def krippendorff_alpha(ratings: ArrayLike, metric: Metric = "nominal") -> float:
    """Krippendorff's alpha of a (units, raters) table, NaN where a rater was silent (Krippendorff 2004).

    Memory grows with the square of the number of distinct values.
    """
    table = np.asarray(ratings, float)
    given = ~np.isnan(table)
    pairable = given.sum(1) >= 2
    table, given = table[pairable], given[pairable]
    values, codes = np.unique(table[given], return_inverse=True)
    counts = np.zeros((len(table), len(values)))
    np.add.at(counts, (np.nonzero(given)[0], codes), 1.0)
    per_pair = counts / np.maximum(counts.sum(1, keepdims=True) - 1, 1)
    coincidences = per_pair.T @ counts - np.diag(per_pair.sum(0))
    totals = coincidences.sum(1)
    distance = _distance(values, totals, metric)
    expected = float((distance * np.outer(totals, totals)).sum())
    observed = float((distance * coincidences).sum())
    return 1 - (totals.sum() - 1) * observed / expected if expected > 0 else float("nan")


def _distance(values: Floats, totals: Floats, metric: Metric) -> Floats:
    """Squared differences of the values: equal or not, by how many ratings lie between, or as numbers."""
    if metric == "nominal":
        return 1 - np.eye(len(values))
    scale = values if metric == "interval" else np.cumsum(totals) - totals / 2
    return np.subtract.outer(scale, scale) ** 2


def kendall_tau_b(first: ArrayLike, second: ArrayLike) -> float:
    """Kendall's tau-b of two rankings with ties, in O(n log n) (Kendall 1945; Knight 1966)."""
    x, y = (np.unique(np.asarray(values), return_inverse=True)[1].ravel() for values in (first, second))
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    pairs = len(x) * (len(x) - 1) / 2
    tied_x, tied_y = _tied(x), _tied(y)
    tied_both = _tied(x * (int(y.max(initial=0)) + 1) + y)
    discordant = _inversions(y)
    concordant = pairs - tied_x - tied_y + tied_both - discordant
    untied = np.sqrt((pairs - tied_x) * (pairs - tied_y))
    return float((concordant - discordant) / untied) if untied > 0 else float("nan")


def _tied(codes: np.ndarray) -> float:
    counts = np.unique(codes, return_counts=True)[1].astype(float)
    return float((counts * (counts - 1) / 2).sum())


def _inversions(values: np.ndarray) -> float:
    """Pairs in which a greater value stands before a smaller one: bit by bit, the highest first.

    Two values are told apart by the highest bit in which they differ, so among those that share
    all higher bits each one before a zero is an inversion.
    """
    found, codes = 0.0, values.astype(np.int64)
    for bit in range(int(codes.max(initial=0)).bit_length() - 1, -1, -1):
        ones = (codes >> bit) & 1
        starts = np.flatnonzero(np.diff(codes >> (bit + 1), prepend=-1))
        before = np.cumsum(ones) - ones
        sizes = np.diff(np.append(starts, len(codes)))
        found += float(((before - np.repeat(before[starts], sizes)) * (1 - ones)).sum())
        codes = codes[np.argsort(codes >> bit, kind="stable")]
    return found
