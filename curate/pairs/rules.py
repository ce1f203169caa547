"""The rules by which answers are paired; each is one way that a paper made its comparisons."""

from collections.abc import Iterator
from itertools import combinations, groupby, pairwise
from typing import Literal

from pydantic import Field

from curate.formats import Refused
from curate.pairs.rule import Pair, PairRule, Row, ScoredRule
from curate.pairs.scores import Answer


def _pair(better: Answer, worse: Answer) -> Pair:
    return Pair(better.candidate, worse.candidate, better.score - worse.score)


def _strict(answers: list[Answer]) -> Iterator[Pair]:
    """Every two answers of unequal scores."""
    return (_pair(better, worse) for better, worse in combinations(answers, 2) if better.score > worse.score)


class BestWorst(ScoredRule):
    """The best answer over the worst."""

    use: Literal["best_worst"] = "best_worst"

    def pairs(self, answers: list[Answer]) -> Iterator[Pair]:
        yield _pair(answers[0], answers[-1])


class AllPairs(ScoredRule):
    """Every answer over every worse one, each of weight 1/C(K,2): K judged answers (Ouyang et al. 2022, 3.5, eq. 1)."""

    use: Literal["all"] = "all"

    def pairs(self, answers: list[Answer]) -> Iterator[Pair]:
        return _strict(answers)

    def weight(self, answers: int, pairs: int) -> float:
        return 2 / (answers * (answers - 1))


class Adjacent(ScoredRule):
    """Each answer over one of the next lower score: of K answers at most K - 1 pairs, the hard ones."""

    use: Literal["adjacent"] = "adjacent"

    def pairs(self, answers: list[Answer]) -> Iterator[Pair]:
        levels = [next(level) for _, level in groupby(answers, key=lambda one: one.score)]
        for better, worse in pairwise(levels):
            yield _pair(better, worse)


class Margin(ScoredRule):
    """Every pair that is at least `min_margin` apart, the widest first where `most` cuts them."""

    use: Literal["margin"] = "margin"
    min_margin: float = Field(gt=0, description="Scores (or ranks) closer than this make no pair.")

    def pairs(self, answers: list[Answer]) -> Iterator[Pair]:
        return _strict(answers)

    def preferred(self, pairs: list[Pair]) -> list[Pair]:
        return sorted(pairs, key=lambda pair: -pair.margin)


class RevisionOverOriginal(PairRule):
    """The last revision over the answer that it goes back to, unrated (Constitutional AI: Bai et al. 2022, 3.1)."""

    use: Literal["revision_over_original"] = "revision_over_original"

    def found(self, row: Row) -> tuple[list[Pair], int]:
        known = {one["id"]: one for one in row["candidates"]}
        revised = {one["parent"] for one in row["candidates"] if one["kind"] == "revision"}
        last = [one for one in row["candidates"] if one["kind"] == "revision" and one["id"] not in revised]
        pairs = [Pair(one, original, None) for one in last if (original := _original(one, known)) is not None]
        if not pairs:
            raise Refused("no_pair")
        return pairs, len(pairs) + 1


def _original(revision: Row, known: dict[str, Row]) -> Row | None:
    """The answer at the start of the chain; None where the chain is broken or goes round."""
    seen: set[str] = set()
    one: Row | None = revision
    while one is not None and one["kind"] != "answer":
        if one["id"] in seen:
            return None
        seen.add(one["id"])
        one = known.get(one["parent"])
    return one
