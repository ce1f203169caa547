"""Cyclic preferences: the pairs of each prompt in, the rate of intransitive triads out.

Three answers of which a beats b, b beats c and c beats a have no order (Kendall and Babington Smith
1940). Coins make a quarter of all triads cyclic; a judge with a worth for each answer makes none.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

import numpy as np

from curate.judges.statistics.checks import CONFIDENCE, Check
from curate.judges.statistics.estimates import Estimate, Floats, bootstrap

CHANCE = 0.25
ALLOWED = 0.02
"""Cyclic triads beyond what is expected that are no warning."""


class Triads(NamedTuple):
    """Complete triads, in the order of their prompts; one number each."""

    prompt: list[int]
    cyclic: Floats
    """1 or 0; a triad with a tie in it is left out."""
    expected: Floats
    """The chance of a cycle, were each pair a coin with its probability."""


def triads(pairs: Iterable[tuple[str, str, str, float]]) -> Triads:
    """From (prompt, a, b, probability that a is better), every pair of answers once."""
    by_prompt: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for prompt, a, b, probability in pairs:
        by_prompt[prompt][a, b] = probability
        by_prompt[prompt][b, a] = 1 - probability
    rows = [
        (number, won[a, b], won[b, c], won[c, a])
        for number, won in enumerate(by_prompt.values())
        for a, b, c in combinations(sorted({name for pair in won for name in pair}), 3)
        if (a, b) in won and (b, c) in won and (c, a) in won and 0.5 not in (won[a, b], won[b, c], won[c, a])
    ]
    p = np.array([row[1:] for row in rows], float).reshape(-1, 3)
    cyclic = ((p > 0.5).all(1) | (p < 0.5).all(1)).astype(float)
    return Triads([row[0] for row in rows], cyclic, p.prod(1) + (1 - p).prod(1))


def cyclic_preferences(pairs: Iterable[tuple[str, str, str, float]], expected: float = 0.0) -> Check:
    """The share of cyclic triads, interval by prompt.

    `expected` is what noise alone gives: 0 for averaged log-odds, the mean of `Triads.expected`
    under fitted Bradley-Terry probabilities for hard votes.
    """
    found = triads(pairs)
    if not found.prompt:
        return Check("cyclic_preferences", Estimate(np.nan, np.nan, np.nan, 0), True, "no three answers were all compared: not measured")
    estimate = bootstrap(lambda rows: float(found.cyclic[rows].mean()), found.prompt, confidence=CONFIDENCE)
    holds = not estimate.low > expected + ALLOWED
    said = f"a share of {estimate} of {estimate.n:,} triads is cyclic; noise gives {expected:.3f}, coins {CHANCE}"
    advice = "the answers have no one order: rank by wins, not by sorting"
    return Check("cyclic_preferences", estimate, holds, said if holds else f"{said}; {advice}")
