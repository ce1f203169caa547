"""Verdicts in, labels out: what a row becomes by what was said of it, or why it is dropped."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import orjson
import polars as pl

from curate.judges.prompts import constitution_path, load_constitution
from curate.judges.statistics.panel import pair_labels
from curate.judges.statistics.soft_labels import log_odds, sigmoid
from curate.judges.verdicts import TIE, UNREADABLE
from curate.rows import content_id
from curate.stages.asked import Row, metadata_of, shuffled, with_metadata
from curate.stages.ingest_rows import content_of
from curate.stages.judge import Aggregated, Factuality, Judge, Ranking, Rated
from curate.stages.judge_seen import other_sides, with_places
from curate.stages.judge_units import Judged, side_answer
from curate.steps.step import Drop

WORTH = "worth"
"""Rating of an answer in log-odds: of two of a prompt, the difference is the log-odds that one is the better."""
_DIGITS = 9
"""Far below any meaning, so that equal answers are equal to the last bit."""


class Labels(NamedTuple):
    """What all verdicts say, by row."""

    pairs: dict[str, dict[tuple[str, str], float]]
    """How likely the first answer of each pair is the better one."""
    values: dict[str, dict[str, dict[str, float]]]
    """The mean number of each answer, by kind of verdict."""
    failed: dict[str, str]
    """Why the first call about a row that brought nothing did so; `unreadable` where a reply came."""


class Decided(NamedTuple):
    """A row with its labels, or a drop; `best` and `worst` are its surest pair, where there is one."""

    row: Row | None
    drop: Drop | None = None
    values: dict[str, float] = {}
    best: str | None = None
    worst: str | None = None
    """Texts."""
    probability: float | None = None


def labels(stage: Judge, verdicts: pl.DataFrame, lengths: Mapping[str, float]) -> Labels:
    """Aggregate all verdicts. `lengths` of the answers, by id, feed the length term of Bradley-Terry."""
    pairs: dict[str, dict[tuple[str, str], float]] = {}
    if isinstance(stage, Aggregated) and len(verdicts):
        found = pair_labels(verdicts, stage.aggregate, lengths if stage.aggregate == "bradley_terry" else None)
        ties = _ties(verdicts)
        for row_id, a, b, probability, _ in found.drop_nulls("probability").iter_rows():
            pairs.setdefault(row_id, {})[a, b] = 0.5 if (row_id, a, b) in ties else probability
    values: dict[str, dict[str, dict[str, float]]] = {}
    means = verdicts.drop_nulls(["a", "value"]).group_by(["row_id", "a", "kind"], maintain_order=True).agg(pl.col("value").mean())
    for row_id, answer, kind, value in means.iter_rows():
        values.setdefault(row_id, {}).setdefault(answer, {})[kind] = round(value, _DIGITS)
    lost = verdicts.filter(pl.col("label") == UNREADABLE).group_by("row_id", maintain_order=True).agg(pl.col("failed").first())
    return Labels(pairs, values, {row_id: failed or UNREADABLE for row_id, failed in lost.iter_rows()})


def _ties(verdicts: pl.DataFrame) -> set[tuple[str, str, str]]:
    """Pairs of which nobody said anything but that they are alike: what other pairs tell of a judge's lean changes nothing there."""
    alike = (pl.col("label") == TIE).all().alias("alike")
    found = verdicts.filter(pl.col("label") != UNREADABLE).group_by("row_id", "a", "b").agg(alike).filter("alike")
    return set(found.select("row_id", "a", "b").iter_rows())


def decided(stage: Judge, unit: Judged, known: Labels) -> Decided:
    """The row by what was said of it, with the places of its answers where one order was asked."""
    made = _decided(stage, unit, known)
    return made if made.row is None else made._replace(row=with_places(stage, unit, made.row))


def _decided(stage: Judge, unit: Judged, known: Labels) -> Decided:
    is_pair = "chosen" in unit.row
    if len(unit.answers) < (2 if is_pair or isinstance(stage, Aggregated | Ranking) else 1):
        return Decided(None, Drop("identical_answers" if is_pair else "too_few_answers"))
    if isinstance(stage, Aggregated):
        pairs = known.pairs.get(unit.id)
        if not pairs:
            return _unsaid(unit, known)
        return _by_probability(unit, *next(iter(pairs.items()))) if is_pair else _worths(unit, pairs)
    values = known.values.get(unit.id)
    if isinstance(stage, Factuality):
        return _factual(stage, unit, values or {}, known)
    if not values:
        return _unsaid(unit, known)
    return _ranked(unit, values, known) if isinstance(stage, Ranking) else _rated(stage, unit, values, known)


def _unsaid(unit: Judged, known: Labels) -> Decided:
    return Decided(None, Drop(known.failed.get(unit.id, "not_judged")))


def _by_probability(unit: Judged, pair: tuple[str, str], p: float) -> Decided:
    """A pair with the better answer as `chosen`, whichever it was before; a tie is no pair."""
    chosen = p if side_answer(unit.row, "chosen").id == pair[0] else 1 - p
    if chosen == 0.5:
        return Decided(None, Drop("tie"))
    turn, p = chosen < 0.5, max(chosen, 1 - chosen)
    made = _turned(unit.row, turn, p, round(float(log_odds(p)), _DIGITS))
    texts = (side_answer(made, name).text for name in ("chosen", "rejected"))
    return Decided(made, None, {"probability": p, "turned": float(turn)}, *texts, p)


def _by_number(unit: Judged, numbers: Mapping[str, float], known: Labels, told: Mapping[str, Row] | None = None) -> Decided:
    """A pair with the answer of the greater number as `chosen`, what was said of each side in the metadata; equal ones are a tie."""
    sides = {name: side_answer(unit.row, name).id for name in ("chosen", "rejected")}
    if not numbers.keys() >= set(sides.values()):
        return _unsaid(unit, known)
    margin = numbers[sides["chosen"]] - numbers[sides["rejected"]]
    if margin == 0:
        return Decided(None, Drop("tie"))
    made = _turned(unit.row, margin < 0, None, abs(margin))
    if told:
        made = with_metadata(made, ratings={name: told[side_answer(made, name).id] for name in sides})
    return Decided(made, None, {"margin": abs(margin), "turned": float(margin < 0)})


def _turned(row: Row, turn: bool, probability: float | None, margin: float | None) -> Row:
    """The pair under its new label; the metadata say whether its sides changed places, and what is told of a side goes with it."""
    if turn:
        row = {**row, "metadata": orjson.dumps(other_sides(metadata_of(row))).decode()}
    better, worse = (row["rejected"], row["chosen"]) if turn else (row["chosen"], row["rejected"])
    made = {**row, "chosen": better, "rejected": worse, "probability": probability, "margin": margin}
    return with_metadata({**made, "content_id": content_id(content_of(made))}, turned=turn)


def worths(pairs: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """Log-odds of the answers that are joined by pairs (the largest such group), by least squares; their mean is 0.

    For two answers they are exact; for more they are those that explain all pairs best, which
    need not agree with each other (Bradley and Terry's model on the log-odds).
    """
    group = _largest_group(list(pairs))
    place = {answer: number for number, answer in enumerate(group)}
    inside = [(place[a], place[b], p) for (a, b), p in pairs.items() if a in place]
    rows = np.zeros((len(inside), len(group)))
    for row, (a, b, _) in zip(rows, inside, strict=True):
        row[a], row[b] = 1, -1
    found = np.linalg.lstsq(rows, log_odds([p for _, _, p in inside]), rcond=None)[0]
    return {answer: round(float(found[number]), _DIGITS) + 0.0 for answer, number in place.items()}


def _largest_group(pairs: list[tuple[str, str]]) -> list[str]:
    """The answers of the largest connected part, in the order in which pairs name them; of equals the first."""
    groups: list[dict[str, None]] = []
    for pair in pairs:
        touched = [group for group in groups if not group.keys().isdisjoint(pair)]
        groups = [group for group in groups if group not in touched]
        groups.append(dict.fromkeys([*(answer for group in touched for answer in group), *pair]))
    return list(max(groups, key=len))


def _worths(unit: Judged, pairs: dict[tuple[str, str], float]) -> Decided:
    """Candidates with `worth` and rank."""
    found = worths(pairs)
    best, worst = max(found, key=found.__getitem__), min(found, key=found.__getitem__)
    texts = {answer.id: answer.text for answer in unit.answers}
    row = _with_ratings(unit.row, {answer: {WORTH: found.get(answer)} for answer in texts})
    gap = found[best] - found[worst]
    p = float(sigmoid(gap))
    tied = {"tie": 1.0} if gap == 0 else {}
    return Decided(_with_ranks(row, {answer: -value for answer, value in found.items()}), None, {"gap": gap, **tied}, texts[best], texts[worst], p)


def _with_ratings(row: Row, ratings: Mapping[str, Mapping[str, float | None]]) -> Row:
    """The row with further ratings of its answers; an earlier one of the same name gives way."""
    answers = []
    for one in row["candidates"]:
        mine = ratings.get(one["id"], {})
        kept = [rating for rating in one["ratings"] if rating["aspect"] not in mine]
        answers.append({**one, "ratings": [*kept, *({"aspect": name, "value": value} for name, value in mine.items())]})
    return {**row, "candidates": answers}


def _with_ranks(row: Row, places: Mapping[str, float]) -> Row:
    """The row with ranks by these numbers, the least first; equal ones are ties, an answer without one has no rank."""
    order = sorted(places.values())
    ranks = {answer: order.index(value) + 1 for answer, value in places.items()}
    return {**row, "candidates": [{**one, "rank": ranks.get(one["id"])} for one in row["candidates"]]}


def _rated(stage: Rated, unit: Judged, values: dict[str, dict[str, float]], known: Labels) -> Decided:
    """Numbers as ratings; of a document, as `ratings` in its metadata; of a pair, the mean over all aspects decides. An unreadable one is null."""
    ratings = {answer.id: {name: values.get(answer.id, {}).get(f"rating:{name}") for name in stage.aspects} for answer in unit.answers}
    if "text" in unit.row:
        mine = ratings[unit.id]
        said = {name: value for name, value in mine.items() if value is not None}
        return Decided(with_metadata(unit.row, ratings={**metadata_of(unit.row).get("ratings", {}), **mine}), None, said)
    if "chosen" in unit.row:
        means = {answer: round(sum(mine.values()) / len(mine), _DIGITS) for answer, mine in ratings.items() if None not in mine.values()}
        return _by_number(unit, means, known, ratings)
    return Decided(_with_ratings(unit.row, ratings))


def _ranked(unit: Judged, values: dict[str, dict[str, float]], known: Labels) -> Decided:
    places = {answer: mine["ranking"] for answer, mine in values.items() if "ranking" in mine}
    if "chosen" in unit.row:
        return _by_number(unit, {answer: -place for answer, place in places.items()}, known)
    return Decided(_with_ranks(unit.row, places))


def _factual(stage: Factuality, unit: Judged, values: dict[str, dict[str, float]], known: Labels) -> Decided:
    """What is known stays; what is reliably wrong gets a refusal above it; in between nothing is reliable."""
    if "snippet" not in metadata_of(unit.row):
        return Decided(None, Drop("no_snippet"))
    ratings = {answer: mine["factuality"] for answer, mine in values.items()}
    if not ratings:
        return Decided(None, Drop(known.failed.get(unit.id, "no_statement")))
    correct = sum(value > 0.5 for value in ratings.values()) / len(unit.answers)
    wrong = sum(value < 0.5 for value in ratings.values()) / len(unit.answers)
    if correct < stage.known and wrong < stage.wrong:
        return Decided(None, Drop("neither_known_nor_wrong", correct, stage.known), {"correct": correct})
    refusal = None if correct >= stage.known else _refusal(stage, unit)
    factual = _factual_pair if "chosen" in unit.row else _factual_answers
    row = with_metadata(factual(unit, ratings, refusal), known=correct)
    if refusal is None:
        return Decided(row, None, {"correct": correct})
    return Decided({**row, "content_id": content_id(content_of(row))}, None, {"correct": correct, "refused": 1.0})


def _factual_answers(unit: Judged, ratings: Mapping[str, float], refusal: Row | None) -> Row:
    row = _with_ratings(unit.row, {answer.id: {"factual": ratings.get(answer.id)} for answer in unit.answers})
    return row if refusal is None else {**row, "candidates": [*row["candidates"], refusal]}


def _factual_pair(unit: Judged, ratings: Mapping[str, float], refusal: Row | None) -> Row:
    """The pair, turned where only facts speak against it; a refusal stands above the answer that was preferred."""
    if refusal is not None:
        turn = {"role": "assistant", "content": refusal["text"], "tool_calls": None, "name": None}
        return {**unit.row, "chosen": [turn], "rejected": unit.row["chosen"], "probability": None, "margin": None}
    chosen, rejected = (ratings.get(side_answer(unit.row, name).id, 0.5) for name in ("chosen", "rejected"))
    return _turned(unit.row, True, None, rejected - chosen) if rejected > chosen else unit.row


def _refusal(stage: Factuality, unit: Judged) -> Row:
    """A drawn admission in the row's language, rated as right."""
    language = metadata_of(unit.row).get("language")
    name = stage.refusals.get(language) or next(iter(stage.refusals.values()))
    texts = load_constitution(constitution_path(name))
    text = texts[shuffled(len(texts), stage.seed, unit.id, "refusal")[0]].text
    ratings = [{"aspect": "factual", "value": 1.0}]
    return {"id": f"{unit.id}-refusal", "text": text, "model": None, "parent": None, "kind": "answer", "ratings": ratings, "rank": None}
