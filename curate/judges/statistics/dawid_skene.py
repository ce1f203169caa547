"""Dawid and Skene's model: votes of several raters in, the probability of each class of each unit out.

Each rater has a confusion matrix, found together with the hidden classes by expectation and
maximisation (Dawid and Skene 1979). What a rater may say can be more than what can be true:
`tie` is a vote, not a class. A judge that leans to a place is two raters, one an order.
"""

from typing import NamedTuple

import numpy as np

from curate.judges.statistics.estimates import Floats

class DawidSkene(NamedTuple):
    """What the votes say."""

    probability: Floats
    """(units, classes)"""
    confusion: Floats
    """(raters, classes, votes): how often a rater says the vote where the class is true."""
    prior: Floats
    """(classes,)"""
    steps: int


def dawid_skene(counts: Floats, classes: int, smoothing: float = 0.01, most_steps: int = 1000) -> DawidSkene:
    """Fit `counts`, (units, raters, votes): how often a rater gave a unit each vote; the first `classes` votes name a class.

    `smoothing` is added to each count, so that what was never seen is not impossible. It starts
    from the majority, which decides which way round the classes are named.
    """
    named = counts[:, :, :classes].sum(1)
    total = named.sum(1, keepdims=True)
    probability = np.where(total > 0, named / np.maximum(total, 1), 1 / classes)
    for step in range(1, most_steps + 1):
        prior, confusion = _maximised(counts, probability, smoothing)
        log = np.log(prior) + np.einsum("urv,rcv->uc", counts, np.log(confusion))
        new = np.exp(log - np.logaddexp.reduce(log, axis=1, keepdims=True))
        moved = float(np.abs(new - probability).max(initial=0))
        probability = new
        if moved < 1e-10:
            break
    return DawidSkene(probability, confusion, prior, step)


def _maximised(counts: Floats, probability: Floats, smoothing: float) -> tuple[Floats, Floats]:
    """The prior of the classes and the confusion of each rater that fit the present probabilities best."""
    prior = probability.sum(0) + smoothing
    said = np.einsum("urv,uc->rcv", counts, probability) + smoothing
    return prior / prior.sum(), said / said.sum(2, keepdims=True)
