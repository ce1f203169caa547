"""Labels to keep when some have gold: confidences and flips in, the largest set with a proven flip rate out.

Learn then Test by fixed sequences (Angelopoulos et al. 2021): nested sets, one for each threshold of
confidence, are tested in an order that is fixed before the gold is looked at, each with an exact
binomial test. Testing stops at the first set that fails, so nothing is paid for the number of sets. It
starts at the first set with gold enough to pass with one flip (where there is less, with none):
how much gold a set has says nothing of the flips, so that choice costs nothing either.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from curate.judges.statistics.estimates import Bools, Floats, binomial_tail, upper_bound

STEPS = 40
"""Nested sets: by shares of 2.5 % of the labels."""


class Selection(NamedTuple):
    """Which labels are kept, and what may be said of them."""

    keep: Bools
    threshold: float | None
    """Least confidence that is kept; None where no set passed."""
    gold: int
    """Gold labels in the set, by which it was tested."""
    flips: int
    """Of them, how many the label contradicts."""
    bound: float
    """Upper bound of the flip rate, at the asked confidence; 1 where no set passed."""
    sentence: str


class Cut(NamedTuple):
    """One nested set, as the gold sees it."""

    threshold: float
    gold: int
    flips: int


def select(confidence_of: ArrayLike, flipped: ArrayLike, max_flip_rate: float = 0.05, confidence: float = 0.95) -> Selection:
    """Keep the labels above the lowest threshold for which the flip rate is proven to be at most `max_flip_rate`.

    `confidence_of`: (n,) each label's probability of being right, NaN for none, which is never
    kept. `flipped`: (n,) 1 where gold contradicts the label, 0 where it agrees, 0.5 where gold is a
    tie (counted as a flip), NaN where there is no gold. The proof holds where the gold is a random
    sample of the labels and its rows are independent: give one gold pair a prompt.
    """
    sure, wrong = np.asarray(confidence_of, float), np.asarray(flipped, float)
    cuts = _cuts(sure, wrong)
    widest = _passed(cuts, max_flip_rate, 1 - confidence)
    if widest is None:
        return _nothing(sure, cuts, max_flip_rate, confidence)
    keep = sure >= widest.threshold
    bound = upper_bound(widest.flips, widest.gold, confidence)
    return Selection(keep, *widest, bound, _promise(keep, widest, cuts[-1], max_flip_rate, confidence))


def _cuts(sure: Floats, wrong: Floats) -> list[Cut]:
    """Nested sets from the surest labels to all of them; the thresholds depend on no gold."""
    known = np.sort(sure[~np.isnan(sure)])[::-1]
    if not len(known):
        return []
    places = np.unique(np.ceil(np.arange(1, STEPS + 1) / STEPS * len(known)).astype(int)) - 1
    thresholds = np.unique(known[places])[::-1]
    gold = ~np.isnan(wrong)
    return [Cut(float(t), int((gold & (sure >= t)).sum()), int((wrong[gold & (sure >= t)] > 0).sum())) for t in thresholds]


def _passed(cuts: list[Cut], rate: float, level: float) -> Cut | None:
    """The widest set whose flip rate is proven: tests from the first set that can pass, until the first failure."""
    most = cuts[-1].gold if cuts else 0
    allowed = 1 if most >= _needed(1, rate, level) else 0
    start = _needed(allowed, rate, level)
    widest = None
    for cut in cuts:
        if cut.gold < start:
            continue
        if binomial_tail(cut.flips, cut.gold, rate) > level:
            break
        widest = cut
    return widest


def _needed(flips: int, rate: float, level: float) -> int:
    """How much gold a set needs to pass with so many flips: 59 with none and 93 with one, at 5 % and 95 %."""
    n = flips + 1
    while binomial_tail(flips, n, rate) > level:
        n += 1
    return n


def _promise(keep: Bools, cut: Cut, all_: Cut, rate: float, confidence: float) -> str:
    said = (
        f"if the gold is a random sample, one pair a prompt: {keep.sum():,} of {len(keep):,} labels have at most {rate:.1%} flips, "
        f"with {confidence:.0%} confidence; {cut.flips:,} of {cut.gold:,} gold labels in them contradict"
    )
    if keep.all():
        return said
    gold, flips = all_.gold - cut.gold, all_.flips - cut.flips
    return f"{said}; of the other {(~keep).sum():,} nothing is promised: {flips:,} of {gold:,} contradict"


def _nothing(sure: Floats, cuts: list[Cut], rate: float, confidence: float) -> Selection:
    """No set passed: say what the gold would have had to be."""
    gold, flips = (cuts[-1].gold, cuts[-1].flips) if cuts else (0, 0)
    why = (
        f"no threshold keeps labels with at most {rate:.1%} flips at {confidence:.0%} confidence: {flips:,} of {gold:,} gold labels "
        f"contradict; without any contradiction it takes {_needed(0, rate, 1 - confidence):,} gold labels above the threshold"
    )
    return Selection(np.zeros(len(sure), bool), None, gold, flips, 1.0, why)
