"""Soft labels without log-probabilities: votes of both orders in, the posterior of each pair and who to ask again out.

Swapping and discarding what disagrees throws away near half of all pairs. Here each pair has a
hidden gap g ~ N(0, spread^2), and a vote for the first place comes with log-odds g + b (order 0)
or b - g (order 1). Bias and spread are fitted to all pairs at once by marginal likelihood
(Rasch's model with a normal ability: Bock and Aitkin 1981), then Bayes' rule gives each pair its
probability, and further draws go to the pairs that are least sure: at b = 1 and a spread of 1.5,
six calls a pair keep 90 % of the pairs at 0.88 accuracy, where swap-and-discard has 0.87 on 54 %.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from curate.judges.statistics.estimates import Estimate, Floats, Ints, two_sided
from curate.judges.statistics.soft_labels import sigmoid

_GRID = np.linspace(-5, 5, 101)
_WEIGHTS = np.exp(-(_GRID**2) / 2) / np.exp(-(_GRID**2) / 2).sum()
_PRIOR = (0.0, 0.5)
"""Centre of bias and of log spread; 3 and 1 are their widths, so that few or one-sided votes give finite numbers."""


class Votes(NamedTuple):
    """Votes for each of n pairs, by order; a tie is half a vote for either place."""

    first_0: Floats
    """For the place shown first, while that was `a`."""
    draws_0: Floats
    first_1: Floats
    """For the place shown first, while that was `b`."""
    draws_1: Floats


class VoteModel(NamedTuple):
    """What the votes say of a judge."""

    bias: Estimate
    """Log-odds that the first place gains."""
    spread: float
    """Standard deviation of the pairs' gaps, in the judge's log-odds."""

    def probability(self, votes: Votes) -> Floats:
        """Probability that `a` is the better answer: the posterior that its gap is above zero."""
        mass = np.exp(_log_joint(votes, self.bias.value, np.log(self.spread)))
        return (mass[:, _GRID > 0].sum(1) + mass[:, _GRID == 0].sum(1) / 2) / mass.sum(1)

    def expected(self, votes: Votes) -> tuple[Floats, Floats]:
        """Chance that a further vote goes to the place shown first, by order, given these votes."""
        mass = np.exp(_log_joint(votes, self.bias.value, np.log(self.spread)))
        gaps, bias = self.spread * _GRID, self.bias.value
        return tuple(mass @ sigmoid(log_odds) / mass.sum(1) for log_odds in (bias + gaps, bias - gaps))


def fit(votes: Votes, confidence: float = 0.95) -> VoteModel:
    """Bias and spread by Newton's method on the marginal likelihood."""
    rows, counts = np.unique(np.column_stack(votes), axis=0, return_counts=True)
    kinds = Votes(*rows.T)

    def loss(at: Floats) -> float:
        likelihood = np.logaddexp.reduce(_log_joint(kinds, *at), axis=1) @ counts
        return float(((at[0] - _PRIOR[0]) / 3) ** 2 / 2 + (at[1] - _PRIOR[1]) ** 2 / 2 - likelihood)

    best, curvature = _minimum(loss, np.array(_PRIOR))
    half = two_sided(confidence) * float(np.sqrt(np.linalg.inv(curvature)[0, 0]))
    bias = float(best[0])
    return VoteModel(Estimate(bias, bias - half, bias + half, int(counts.sum())), float(np.exp(best[1])))


def _log_joint(votes: Votes, bias: float, log_spread: float) -> Floats:
    """Log of prior times likelihood, for each pair (rows) and point of the grid of gaps (columns)."""
    gaps = np.exp(log_spread) * _GRID
    return (
        np.log(_WEIGHTS)
        - np.outer(votes.first_0, np.logaddexp(0, -gaps - bias))
        - np.outer(votes.draws_0 - votes.first_0, np.logaddexp(0, gaps + bias))
        - np.outer(votes.first_1, np.logaddexp(0, gaps - bias))
        - np.outer(votes.draws_1 - votes.first_1, np.logaddexp(0, bias - gaps))
    )


def _minimum(loss: Callable[[Floats], float], start: Floats) -> tuple[Floats, Floats]:
    """Minimum and Hessian of a smooth function of two numbers, by differences."""
    at, step = start, 1e-4 * np.eye(len(start))
    for _ in range(50):
        slope = np.array([(loss(at + d) - loss(at - d)) / 2e-4 for d in step])
        hessian = np.array([[_bend(loss, at, d, e) for e in step] for d in step])
        values, vectors = np.linalg.eigh(hessian)
        move = vectors @ ((vectors.T @ slope) / np.maximum(np.abs(values), 1e-3))
        move = move / max(1.0, float(np.abs(move).max()))
        while loss(at - move) > loss(at) + 1e-12 and np.abs(move).max() > 1e-9:
            move = move / 2
        at = at - move
        if np.abs(move).max() < 1e-7:
            break
    return at, vectors @ np.diag(np.maximum(values, 1e-9)) @ vectors.T


def _bend(loss: Callable[[Floats], float], at: Floats, d: Floats, e: Floats) -> float:
    return (loss(at + d + e) - loss(at + d - e) - loss(at - d + e) + loss(at - d - e)) / 4e-8


def ask_again(model: VoteModel, votes: Votes, pairs: int, most: int = 8) -> Ints:
    """The pairs to be drawn once more in both orders, least sure first; none that has `most` draws in an order."""
    unsure = np.abs(model.probability(votes) - 0.5)
    open_ = np.flatnonzero(np.maximum(votes.draws_0, votes.draws_1) < most)
    return open_[np.argsort(unsure[open_], kind="stable")][:pairs]


def kept(probability: ArrayLike, share: float) -> Ints:
    """The given share of the pairs, the surest first; equals by place."""
    sure = np.abs(np.asarray(probability, float) - 0.5)
    return np.sort(np.argsort(-sure, kind="stable")[: int(np.ceil(share * len(sure)))])
