"""How much a judge leans to the place of an answer: readings or labels of both orders in, estimates out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from curate.judges.statistics.estimates import Estimate, mean, share


class Preference(NamedTuple):
    """How often each place won, among labels that name one."""

    first: Estimate
    tie: Estimate
    unreadable: Estimate


def position_bias(order_0: ArrayLike, order_1: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The log-odds that a judge gives to the first place, beyond the answers: the mean of half the sum of both orders.

    The readings of a pair are g + b and b - g; pairs, not calls, are the sample.
    """
    return mean((np.asarray(order_0, float) + np.asarray(order_1, float)) / 2, confidence)


def place_preference(labels: Sequence[str], confidence: float = 0.95) -> Preference:
    """Share of `first` among first and second, of `tie` among readable labels, of `unreadable` among all."""
    counts = {name: sum(label == name for label in labels) for name in ("first", "second", "tie", "unreadable")}
    decided = counts["first"] + counts["second"]
    return Preference(
        share(counts["first"], decided, confidence),
        share(counts["tie"], decided + counts["tie"], confidence),
        share(counts["unreadable"], len(labels), confidence),
    )


def consistency(order_0: Sequence[str], order_1: Sequence[str], confidence: float = 0.95) -> Estimate:
    """Share of pairs for which both orders name the same answer, or both a tie (Zheng et al. 2023, 3.3).

    A pair with an unreadable label in either order is left out.
    """
    other = {"first": "second", "second": "first", "tie": "tie"}
    read = [(x, y) for x, y in zip(order_0, order_1, strict=True) if x in other and y in other]
    return share(sum(x == other[y] for x, y in read), len(read), confidence)
