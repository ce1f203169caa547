"""Which answers to compare next: log-odds of pairs come in one by one, the next pairs go out.

K answers have K(K - 1)/2 pairs, but an order needs far fewer. The worths have a normal posterior
(a linear Bradley-Terry model of the averaged log-odds of both orders), and the next pair is the one
whose comparison tells most about its own order: uncertainty sampling in the sense of Maystre and
Grossglauser 2017, after a first chain that links every answer.
"""

from typing import NamedTuple

import numpy as np

from curate.judges.statistics.estimates import Floats, Ints

Pair = tuple[int, int]


class Posterior(NamedTuple):
    """Worths of the answers."""

    mean: Floats
    covariance: Floats


class ActiveChoice:
    """State of one prompt: what was asked, what was answered.

    `prior` is the standard deviation of worths and `noise` that of a pair's averaged log-odds, both
    in log-odds: only their ratio matters for what is chosen. A hard vote of both orders is given as
    the log-odds of its posterior (`hard_votes`). The same seed and answers give the same pairs.
    """

    def __init__(self, answers: int, seed: int = 0, prior: float = 3.0, noise: float = 0.25) -> None:
        self.answers, self.prior, self.noise = answers, prior, noise
        chain = np.random.default_rng(seed).permutation(answers)
        self.chain: list[Pair] = [(int(i), int(j)) for i, j in zip(chain[:-1], chain[1:], strict=True)]
        self.asked: dict[Pair, None] = {}
        self.seen: dict[Pair, float] = {}

    def next(self, n: int = 1) -> list[Pair]:
        """The next `n` pairs to judge, each in both orders: 2 n calls. Fewer where all have been asked."""
        chosen = []
        for _ in range(n):
            pair = self._best()
            if pair is None:
                break
            self.asked[pair] = None
            chosen.append(pair)
        return chosen

    def observe(self, pair: Pair, logit: float) -> None:
        """The log-odds that the first answer of the pair is better than the second."""
        self.asked[pair] = None
        self.seen[pair] = logit

    def posterior(self) -> Posterior:
        """Given what was observed; pairs that are still out count for the covariance alone, as what they will tell."""
        rows = np.zeros((len(self.asked), self.answers))
        for row, (i, j) in zip(rows, self.asked, strict=True):
            row[i], row[j] = 1, -1
        known = np.array([pair in self.seen for pair in self.asked], bool)
        logits = np.array([self.seen[pair] for pair in self.asked if pair in self.seen], float)
        prior = np.eye(self.answers) / self.prior**2
        at = np.linalg.solve(rows[known].T @ rows[known] / self.noise**2 + prior, rows[known].T @ logits / self.noise**2)
        return Posterior(at, np.linalg.inv(rows.T @ rows / self.noise**2 + prior))

    def ranking(self) -> Ints:
        """Answers, the best first; equals by number."""
        return np.argsort(-self.posterior().mean, kind="stable")

    def _best(self) -> Pair | None:
        """The first link of the chain that is open, then the pair whose order is least sure; equals by number."""
        link = next((pair for pair in self.chain if not self._done(pair)), None)
        if link is not None:
            return link
        open_ = [(i, j) for i in range(self.answers) for j in range(i + 1, self.answers) if not self._done((i, j))]
        if not open_:
            return None
        at, covariance = self.posterior()
        i, j = np.array(open_).T
        spread = np.sqrt(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j])
        return open_[int(np.argmin(np.round(np.abs(at[i] - at[j]) / spread, 9)))]

    def _done(self, pair: Pair) -> bool:
        return pair in self.asked or pair[::-1] in self.asked
