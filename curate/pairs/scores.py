"""Answers with ranks or ratings in, answers in the order of one score out; what was not judged is left out."""

from typing import NamedTuple

import xxhash

OVERALL = "overall"
"""A rating of the whole answer, on a scale of its own: it stands beside the aspects, not among them."""


class Answer(NamedTuple):
    """An answer and its score, higher is better."""

    candidate: dict[str, object]
    score: float


def scored(candidates: list[dict], by: str | None, seed: int) -> list[Answer]:
    """The judged answers, the best first; a seeded hash orders equals, since their place in a row may tell the model."""
    answers = [one for one in candidates if one["kind"] != "critique"]
    if by is None:
        by = "rank" if any(one["rank"] is not None for one in answers) else "mean"
    scores = _scores(answers, by)
    found = [Answer(one, score) for one, score in zip(answers, scores, strict=True) if score is not None]
    return sorted(found, key=lambda one: (-one.score, xxhash.xxh3_64_intdigest(f"{seed}:{one.candidate['id']}".encode())))


def _scores(answers: list[dict], by: str) -> list[float | None]:
    if by == "rank":
        return [None if one["rank"] is None else -float(one["rank"]) for one in answers]
    ratings = [{rating["aspect"]: rating["value"] for rating in one["ratings"]} for one in answers]
    if by != "mean":
        return [values.get(by) for values in ratings]
    return [_mean(values, _aspects(ratings)) for values in ratings]


def _aspects(ratings: list[dict[str, float | None]]) -> list[str]:
    """Aspects that any answer of the row was to be rated by."""
    names = sorted({name for values in ratings for name in values})
    return [name for name in names if name != OVERALL] or names


def _mean(values: dict[str, float | None], aspects: list[str]) -> float | None:
    """None where an aspect is missing: a mean of fewer aspects is another scale."""
    found = [values.get(name) for name in aspects]
    return None if not found or None in found else sum(found) / len(found)
