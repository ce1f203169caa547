"""Soft labels: log-probabilities of a judge's answer in, the probability that one answer is the better out.

Logits are natural log-odds. Of a pair (a, b), order 0 shows `a` first and order 1 shows `b` first.
"""

from collections.abc import Mapping, Sequence
from math import exp, log
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from curate.judges.statistics.estimates import Floats

_AROUND = " \t\r\n▁Ġ\"'`*_.,:;()[]{}<>"
"""What stands around a label in the tokens of the usual tokenizers and replies: ` 1`, `▁1`, `"1"`, `[[1]]`, `1.`."""
FLOOR = 1e-6
"""Least probability of a class, so that a logit is finite: +-13.8 at most against a certain class."""


class ClassProbabilities(NamedTuple):
    """What a list of top tokens says about the classes."""

    probabilities: dict[str, float]
    """By class, renormalised to sum to 1."""
    missing_mass: float
    """Probability of tokens that are no class, or that the endpoint did not list."""
    floored: tuple[str, ...]
    """Classes that no listed token names: their probability is a bound, not a reading."""

    def logit(self, first: str, second: str) -> float:
        """Log-odds of one class against another; the mass of further classes, such as a tie, is left aside."""
        return log(self.probabilities[first]) - log(self.probabilities[second])


def class_probabilities(tokens: Sequence[tuple[str, float]], classes: Mapping[str, Sequence[str]]) -> ClassProbabilities | None:
    """Sum the log-probabilities of every token that spells a class; None where no token names any.

    `classes` gives each class's spellings, without the space, quotes and points around them. A
    class that is absent from a truncated list is no likelier than the rarest token listed, nor
    than what is missing: it gets that bound, which pulls the label towards a half, and a flag.
    """
    spelling = {word: name for name, words in classes.items() for word in words}
    found = dict.fromkeys(classes, 0.0)
    listed, rarest = 0.0, 1.0
    for token, logprob in tokens:
        probability = exp(min(0.0, logprob))
        listed, rarest = listed + probability, min(rarest, probability)
        name = spelling.get(token.strip(_AROUND))
        if name is not None:
            found[name] += probability
    mass = sum(found.values())
    if mass <= 0:
        return None
    absent = tuple(name for name, probability in found.items() if probability <= 0)
    bound = max(FLOOR, min(rarest, 1 - min(1.0, listed)))
    raised = {name: max(probability, bound if name in absent else FLOOR) for name, probability in found.items()}
    total = sum(raised.values())
    return ClassProbabilities({name: p / total for name, p in raised.items()}, max(0.0, 1 - mass), absent)


def sigmoid(logit: ArrayLike) -> Floats:
    """Probability of log-odds, without overflow."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(logit, float)))


def log_odds(probability: ArrayLike) -> Floats:
    """Log-odds of a probability, held to +-13.8."""
    p = np.clip(np.asarray(probability, float), FLOOR, 1 - FLOOR)
    return np.log(p) - np.log1p(-p)


def gap(order_0: ArrayLike, order_1: ArrayLike) -> Floats:
    """Log-odds that `a` is better than `b`, from the log-odds that the answer shown first is, in both orders.

    Where position adds b to the logit, the readings are g + b and b - g: half their difference is g, whatever b.
    """
    return (np.asarray(order_0, float) - np.asarray(order_1, float)) / 2


def soft_label(order_0: ArrayLike, order_1: ArrayLike, average: Literal["logits", "probabilities"] = "logits") -> Floats:
    """Probability that `a` is the better answer, from both orders.

    `logits` is exact under an additive position bias. `probabilities` is what RLAIF does (Lee et
    al. 2023, on position bias): it errs by 0.03 at a bias of 1, towards a half.
    """
    if average == "logits":
        return sigmoid(gap(order_0, order_1))
    return (sigmoid(order_0) + sigmoid(-np.asarray(order_1, float))) / 2
