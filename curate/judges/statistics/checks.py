"""Whether a judge is what the labels assume, one additive lean to a place: readings in, checks that may warn out.

Each check is an estimate with an interval and a sentence. It warns where the interval leaves what
the model allows; intervals are wide (99 %), since many checks are made of each judge. `order_0` and
`order_1` are the log-odds of the first place in both orders of each pair (curate.judges.statistics.soft_labels).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from curate.judges.statistics.estimates import Estimate, Floats, mean, regression, share
from curate.judges.statistics.soft_labels import FLOOR, gap, sigmoid

CONFIDENCE = 0.99
SMALL = 0.1
"""Log-odds that move no label by more than 0.025: a smaller effect is no warning, however certain."""
_STEPS = (1.0, 0.5, 0.25, 0.125, 0.1, 0.05, 0.01)
"""Lattices on which rounded values lie; the coarsest that fits is named."""


class Check(NamedTuple):
    """One assumption, held against the data."""

    name: str
    estimate: Estimate
    holds: bool
    sentence: str


def length_linked_bias(order_0: ArrayLike, order_1: ArrayLike, length_difference: ArrayLike) -> Check:
    """How much the lean to a place changes for one standard deviation of the absolute length difference."""
    effect = (np.asarray(order_0, float) + np.asarray(order_1, float)) / 2
    said = "the lean to the first place changes by {} log-odds a standard deviation of the length difference"
    advice = "one bias for all pairs does not hold: ask in both orders and average the logits"
    return _slope("length_linked_bias", effect, np.abs(np.asarray(length_difference, float)), said, advice)


def length_preference(order_0: ArrayLike, order_1: ArrayLike, length_difference: ArrayLike) -> Check:
    """How much a longer `a` gains, in log-odds for one standard deviation of (length of a - length of b).

    Swapping cannot remove it, and without gold it cannot be told from longer answers being better.
    """
    said = "an answer gains {} log-odds a standard deviation of its surplus of length"
    advice = "it may be quality or a bias for length: compare with gold, or aggregate with the length term"
    return _slope("length_preference", gap(order_0, order_1), np.asarray(length_difference, float), said, advice)


def bias_drift(order_0: ArrayLike, order_1: ArrayLike, call: ArrayLike) -> Check:
    """How much the lean to a place changes from the first call to the last; `call` numbers the pairs in the order asked."""
    effect = (np.asarray(order_0, float) + np.asarray(order_1, float)) / 2
    return _drift("bias_drift", effect, call, "the lean to the first place moves by {} log-odds from the first call to the last")


def slope_drift(order_0: ArrayLike, order_1: ArrayLike, call: ArrayLike) -> Check:
    """How much the size of the gaps changes from the first call to the last, as a share of their mean."""
    size = np.abs(gap(order_0, order_1))
    scale = size.mean() if len(size) and size.mean() > 0 else 1.0
    said = "how sharply answers are told apart moves by {} of its mean from the first call to the last"
    return _drift("slope_drift", size / scale, call, said)


def self_preference(gaps: ArrayLike, own: ArrayLike, reference: ArrayLike | None = None) -> Check:
    """How much an answer of the judge's own model gains, in log-odds (Panickssery et al. 2024).

    `own`: 1 where `a` alone is the judge's own, -1 where `b` alone is; other pairs say nothing.
    `reference`: gaps by other judges or gold, which take the true quality away; without it that is in the estimate.
    """
    sign = np.asarray(own, float)
    gained = np.asarray(gaps, float) - (0 if reference is None else np.asarray(reference, float))
    estimate = mean((sign * gained)[sign != 0], CONFIDENCE)
    beside = "beyond what the reference gives them" if reference is not None else "their true quality included, for want of a reference"
    said = f"its own model's answers gain {estimate} log-odds, {beside}"
    return _check("self_preference", estimate, said, "take another judge for these pairs")


def rounded(values: ArrayLike) -> Check:
    """The share of values (log-odds, or log-probabilities as sent) on the coarsest lattice that holds nearly all."""
    x = np.asarray(values, float)
    x = x[np.isfinite(x) & (np.abs(x) > 1e-9)]
    on = {step: int((np.abs(x / step - np.round(x / step)) < 1e-6 / step).sum()) for step in _STEPS}
    step = next((step for step in _STEPS if len(x) >= 20 and on[step] >= 0.95 * len(x)), None)
    estimate = share(on[step or _STEPS[-1]], len(x), CONFIDENCE)
    if step is None:
        said = f"a share of {estimate} of the log-odds lies on a lattice of {_STEPS[-1]:g}: not rounded"
        return Check("rounded_logprobs", estimate, True, said)
    said = f"a share of {estimate} of the log-odds are multiples of {step:g}: labels err by up to {step / 8:.3f}"
    return Check("rounded_logprobs", estimate, step < SMALL, said + ("" if step < SMALL else "; ask for more digits, or use several draws"))


def missing_mass(masses: ArrayLike, most: float = 0.05) -> Check:
    """The mean probability that was on no class: a truncated list, or a judge that wants to say something else."""
    x = np.asarray(masses, float)
    estimate = mean(x[~np.isnan(x)], CONFIDENCE)
    said = f"{estimate} of the probability is on no class"
    advice = "ask for more top tokens, or shorten the answer that the prompt asks for"
    holds = not estimate.low > most
    return Check("missing_mass", estimate, holds, said if holds else f"{said}; {advice}")


def bounded_readings(logits: ArrayLike, masses: ArrayLike, most: float = 0.05) -> Check:
    """The share of readings in which the list of tokens lacked one class: the label is then a bound.

    Such a class was given all that is missing (`soft_labels.class_probabilities`), so its probability is the missing mass.
    """
    weaker, missing = sigmoid(-np.abs(np.asarray(logits, float))), np.asarray(masses, float)
    bounded = int(((np.abs(weaker - missing) < 1e-9) & (missing > FLOOR)).sum())
    estimate = share(bounded, len(weaker), CONFIDENCE)
    said = f"in a share of {estimate} of the calls one class was not among the listed tokens"
    holds = not estimate.low > most
    return Check("bounded_readings", estimate, holds, said if holds else f"{said}; ask for more top tokens")


def _slope(name: str, outcome: Floats, by: Floats, said: str, advice: str) -> Check:
    spread = by.std() if len(by) else 0.0
    if len(by) < 10 or spread == 0:
        return Check(name, Estimate(np.nan, np.nan, np.nan, len(by)), True, "fewer than 10 pairs of different length: not measured")
    estimate = regression([(by - by.mean()) / spread], outcome, CONFIDENCE)[1]
    return _check(name, estimate, said.format(estimate), advice)


def _drift(name: str, outcome: Floats, call: ArrayLike, said: str) -> Check:
    when = np.asarray(call, float)
    if len(when) < 10 or np.ptp(when) == 0:
        return Check(name, Estimate(np.nan, np.nan, np.nan, len(when)), True, "fewer than 10 pairs: not measured")
    estimate = regression([(when - when.min()) / np.ptp(when)], outcome, CONFIDENCE)[1]
    return _check(name, estimate, said.format(estimate), "the judge changed during the run: pin its version, or judge again")


def _check(name: str, estimate: Estimate, said: str, advice: str) -> Check:
    """Warns where the effect is certain and not small."""
    certain = estimate.low > 0 or estimate.high < 0
    holds = not (certain and abs(estimate.value) > SMALL)
    return Check(name, estimate, holds, said if holds else f"{said}; {advice}")
