"""Answers with ranks or ratings in, answers in the order of one score out; what was not judged is left out."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import xxhash

from curate.formats import Refused

OVERALL = "overall"
"""A rating of the whole answer, on a scale of its own: it stands beside the aspects, not among them."""
DESCRIPTIVE = frozenset({"complexity", "verbosity"})
"""Aspects that say what an answer is like, not how good it is: they hardly go with helpfulness (HelpSteer2: Wang et al. 2024)."""

_DIGITS = 9
"""Far below any meaning, so that what is equal by the weights is a tie to the last bit."""


class Answer(NamedTuple):
    """An answer and its score, higher is better."""

    candidate: dict[str, object]
    score: float


def scored(candidates: list[dict], by: str, weights: Mapping[str, float] | None, seed: int) -> list[Answer]:
    """The judged answers, the best first; a seeded hash orders equals, since their place in a row may tell the model.

    Raises Refused where no answer has a rating that is named.
    """
    answers = [one for one in candidates if one["kind"] != "critique"]
    scores = _scores(answers, by, weights)
    found = [Answer(one, score) for one, score in zip(answers, scores, strict=True) if score is not None]
    if len({one.score for one in found}) < len(found):
        found.sort(key=lambda one: xxhash.xxh3_64_intdigest(f"{seed}:{one.candidate['id']}".encode()))
    return sorted(found, key=lambda one: -one.score)


def _scores(answers: list[dict], by: str, weights: Mapping[str, float] | None) -> list[float | None]:
    if by == "rank":
        return [None if one["rank"] is None else -float(one["rank"]) for one in answers]
    ratings = [{rating["aspect"]: rating["value"] for rating in one["ratings"]} for one in answers]
    there = {name for values in ratings for name in values}
    named = weights or ({by: 1.0} if by != "mean" else None)
    if named is None:
        named = dict.fromkeys(merits(there), 1.0)
    elif not named.keys() <= there:
        raise Refused("no_such_rating")
    return [_mean(values, named) for values in ratings]


def merits(aspects: Iterable[str]) -> list[str]:
    """Aspects of which more is better, by name; what stands for the whole answer counts where it is alone."""
    names = sorted(set(aspects) - DESCRIPTIVE)
    return [name for name in names if name != OVERALL] or names


def _mean(values: Mapping[str, float | None], weights: Mapping[str, float]) -> float | None:
    """The weighted mean, on the scale of the ratings; None where one is missing: a mean of fewer aspects is another scale."""
    found = [values.get(name) for name in weights]
    if not found or None in found:
        return None
    whole = sum(weight * value for weight, value in zip(weights.values(), found, strict=True))
    return round(whole / sum(map(abs, weights.values())), _DIGITS)
