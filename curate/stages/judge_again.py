"""Votes without log-probabilities in, the pairs to be asked once more out (curate.judges.statistics.hard_votes)."""

from math import ceil
from typing import NamedTuple

import numpy as np

from curate.judges.statistics import hard_votes
from curate.stages.asked import Row
from curate.stages.judge import Pairwise

_WON = {"first": 1.0, "tie": 0.5, "second": 0.0}
_PART = 10
"""A round asks for a tenth of the pairs, so that each round learns from the one before."""


class Again(NamedTuple):
    """A pair that a judge is to be asked about in both orders, as its `draw`-th draw."""

    judge: str
    a: str
    b: str
    draw: int


class Tally:
    """Each judge's votes, and how many calls it may still be asked."""

    def __init__(self, calls_per_pair: float) -> None:
        self.calls_per_pair = calls_per_pair
        self.votes: dict[str, dict[tuple[str, str, str], list[float]]] = {}
        self.draws: dict[tuple[str, str, str, str], int] = {}
        self.calls: dict[str, int] = {}

    def note(self, verdicts: list[Row]) -> None:
        """Count votes of first or second place; a judge that gives log-probabilities needs no further vote."""
        for said in verdicts:
            if said["logit"] is not None:
                continue
            pair = (said["row_id"], said["a"], said["b"])
            votes = self.votes.setdefault(said["judge"], {}).setdefault(pair, [0.0] * 4)
            self.calls[said["judge"]] = self.calls.get(said["judge"], 0) + 1
            self.draws[said["judge"], *pair] = said["draw"] + 1
            won = _WON.get(said["label"])
            if won is not None:
                votes[2 * said["order"]] += won
                votes[2 * said["order"] + 1] += 1

    def wanted(self) -> dict[str, list[Again]]:
        """The next round, by row; empty where all calls are used."""
        found: dict[str, list[Again]] = {}
        for judge, votes in self.votes.items():
            left = int(self.calls_per_pair * len(votes) - self.calls[judge]) // 2
            for row_id, a, b in self._least_sure(votes, min(left, ceil(len(votes) / _PART))):
                found.setdefault(row_id, []).append(Again(judge, a, b, self.draws[judge, row_id, a, b]))
        return found

    def _least_sure(self, votes: dict[tuple[str, str, str], list[float]], count: int) -> list[tuple[str, str, str]]:
        if count <= 0:
            return []
        told = hard_votes.Votes(*np.array(list(votes.values())).T)
        names = list(votes)
        places = hard_votes.ask_again(hard_votes.fit(told), told, count, most=max(8, ceil(self.calls_per_pair)))
        return [names[place] for place in places]


def tally(stage: Pairwise) -> Tally | None:
    """What decides who is asked again; None where every pair is asked once in its orders."""
    return Tally(stage.calls_per_pair) if stage.calls_per_pair > 2 else None
