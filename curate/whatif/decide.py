"""A step's limits and the ledger's columns in; who is dropped by them, for certain or perhaps, out.

A unit that the step saw keeps what was recorded as far as its limits did not move. A unit that
comes back from an earlier drop is held to the values that the ledger has of it, if any.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from curate.steps.filters import C4
from curate.steps.filters.heuristic import Heuristic
from curate.steps.step import Rewrite
from curate.whatif.columns import Columns
from curate.whatif.rules import Limit, Limits, by_language, limits, remeasures
from curate.whatif.settings import Pair

PASSES, DROPS, UNCLEAR = np.int8(0), np.int8(1), np.int8(2)
RECORDED = -1
"""As a reason's number: the one that the ledger has."""


class Verdicts(NamedTuple):
    """What a step makes of the units that may reach it; each array has an element a unit of the ledger."""

    dropped: np.ndarray
    unclear: np.ndarray
    """Dropped perhaps: a value is missing, lies on the limit within float32, or the text would be another."""
    reason: np.ndarray
    """int32, for a drop: the number of the reason in `reasons`, or RECORDED."""
    reasons: list[str]
    stale: np.ndarray
    """Units whose text is another from here on than the one that later steps measured."""


class Group(NamedTuple):
    """Units with the same limits; None: values cannot tell."""

    rows: np.ndarray
    old: Limits | None
    new: Limits | None


def verdicts(pair: Pair, columns: Columns, possible: np.ndarray, stale: np.ndarray) -> Verdicts:
    """Hold the units that may reach a step to it; `stale` ones have a text that no value on the ledger is of."""
    count = len(possible)
    dropped, unclear, reason = possible & (columns.place == pair.place), np.zeros(count, bool), np.full(count, RECORDED, np.int32)
    reasons: list[str] = []
    stale_after = stale.copy()
    for group in _groups(pair, columns, possible, stale):
        outcome, broken = _held(pair, columns, group, stale)
        dropped[group.rows], unclear[group.rows] = outcome == DROPS, outcome == UNCLEAR
        table = np.array([*(_numbered(reasons, limit.reason) for limit in group.new or ()), RECORDED], np.int32)
        reason[group.rows] = table[broken]
        if isinstance(pair.old, Rewrite):
            stale_after[group.rows] |= _left_as_it_was(pair, columns, group) & (outcome != DROPS)
    if pair.moved:
        stale_after |= possible & _rewritten(pair, columns)
    return Verdicts(dropped, unclear, reason, reasons, stale_after)


def _numbered(reasons: list[str], reason: str) -> int:
    if reason not in reasons:
        reasons.append(reason)
    return reasons.index(reason)


def _groups(pair: Pair, columns: Columns, possible: np.ndarray, stale: np.ndarray) -> Iterator[Group]:
    """The units that must be held to the step anew, by the limits that are theirs."""
    anew = possible if pair.moved else possible & (stale | (columns.place < pair.place))
    codes, names = columns.languages if by_language(pair.old) else (None, [None])
    sorts: dict[tuple, list[int]] = {}
    for code, name in enumerate(names):
        new = None if remeasures(pair.old, pair.new, name) else limits(pair.new, name)
        sorts.setdefault((limits(pair.old, name), new), []).append(code)
    for (old, new), members in sorts.items():
        among = np.isin(np.arange(len(names)), members)
        rows = np.flatnonzero(anew if codes is None else anew & among[codes])
        if len(rows):
            yield Group(rows, old, new)


def _held(pair: Pair, columns: Columns, group: Group, stale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The outcome for each unit of a group, and the number of the limit that it broke (-1: as recorded)."""
    rows, place = group.rows, columns.place[group.rows]
    broken = np.full(len(rows), RECORDED)
    if group.new is None:
        return np.full(len(rows), UNCLEAR), broken
    outcome = np.full(len(rows), PASSES)
    before = _recorded_rule(columns, pair, group)
    for number, limit in enumerate(group.new):
        found = _by_limit(pair, columns, group, limit, before)
        first = (outcome == PASSES) & (found == DROPS)
        outcome[first], broken[first] = DROPS, number
        outcome[(outcome == PASSES) & (found == UNCLEAR)] = UNCLEAR
        outcome[(outcome == UNCLEAR) & (found == DROPS)] = DROPS
    otherwise = (place == pair.place) & (before < 0)
    outcome[otherwise], broken[otherwise] = DROPS, RECORDED
    if columns.one_of_several(pair.old):
        outcome[(place <= pair.place) & (outcome == PASSES)] = UNCLEAR
    if group.new:
        outcome[stale[rows]] = UNCLEAR
    return outcome, broken


def _recorded_rule(columns: Columns, pair: Pair, group: Group) -> np.ndarray:
    """Number of the old limit that dropped each unit here; -1: none, so that no setting moves its drop."""
    codes, names = columns.reasons
    numbers = {limit.reason: number for number, limit in enumerate(group.old or ())}
    table = np.array([*(numbers.get(name, -1) for name in names), -1])
    return np.where(columns.place[group.rows] == pair.place, table[codes[group.rows]], -1)


def _by_limit(pair: Pair, columns: Columns, group: Group, limit: Limit, before: np.ndarray) -> np.ndarray:
    """What one limit makes of each unit of a group."""
    rows, place = group.rows, columns.place[group.rows]
    old = group.old or ()
    same, number = limit in old, next((n for n, was in enumerate(old) if was.reason == limit.reason), None)
    value = columns.value(f"{pair.name}.{limit.value}")[rows]
    outcome = compared(value, limit, columns.characters[rows] if limit.kind == "ratio" else None)
    passed, fell, back = place > pair.place, place == pair.place, place < pair.place
    missing = np.isnan(value)
    outcome[missing & fell] = PASSES if _whole(pair, columns) else UNCLEAR
    if columns.one_of_several(pair.old):
        outcome[outcome == PASSES] = UNCLEAR
    outcome[missing & back] = UNCLEAR
    if columns.all_measured and not limit.needed and missing[back].any():
        outcome[missing & back & columns.measured(pair.name)[rows]] = PASSES
    outcome[missing & passed] = PASSES
    outcome[passed if same or _looser(limit, old, number) else passed & False] = PASSES
    if number is not None:
        outcome[fell & missing & (before > number)] = PASSES
        outcome[fell & (before > number)] = np.where(same, PASSES, outcome[fell & (before > number)])
        here = fell & (before == number)
        outcome[here] = DROPS if same else _exactly(columns.dropping_value[rows][here], limit)
    return outcome


def _looser(limit: Limit, old: Limits, number: int | None) -> bool:
    """True where whatever an old limit let pass, the moved one lets pass."""
    if number is None:
        return False
    return limit.limit <= old[number].limit if limit.side == "below" else limit.limit >= old[number].limit


def _exactly(value: np.ndarray, limit: Limit) -> np.ndarray:
    """The outcome for values in double precision, none of them missing."""
    outcome = np.where(_breaks(value, limit), DROPS, PASSES)
    outcome[np.isnan(value)] = UNCLEAR
    return outcome


def _breaks(value: np.ndarray, limit: Limit) -> np.ndarray:
    if limit.side == "below":
        return value < limit.limit
    return value > limit.limit if limit.side == "above" else value >= limit.limit


def compared(value: np.ndarray, limit: Limit, most: np.ndarray | None) -> np.ndarray:
    """The outcome for values that went through float32; where one lies on the limit, it may have lain beside it.

    A ratio a/b of whole numbers b <= `most` lies on p/q or at least 1/(b q) beside it.
    """
    outcome = np.where(_breaks(value, limit), DROPS, PASSES).astype(np.int8)
    nearest = np.float32(limit.limit)
    tied = value == np.float64(nearest)
    if not tied.any() or limit.kind == "count":
        return outcome
    on_it = DROPS if limit.side == "reaches" else PASSES
    told = np.zeros(len(value), bool)
    if most is not None:
        told = most * Fraction(str(limit.limit)).denominator * float(np.spacing(abs(nearest))) < 1
    outcome[tied] = np.where(told, on_it, UNCLEAR)[tied]
    return outcome


def _whole(pair: Pair, columns: Columns) -> bool:
    """True where a drop did not keep the step from measuring the rest."""
    return columns.all_measured or not isinstance(pair.old, Heuristic | C4)


def _left_as_it_was(pair: Pair, columns: Columns, group: Group) -> np.ndarray:
    """bool: units of a group whose text a rewriting step did not rewrite, since it dropped them or would have."""
    rows = group.rows
    fell, back = columns.place[rows] == pair.place, columns.place[rows] < pair.place
    if not group.old:
        return fell
    kept = np.ones(len(rows), bool)
    for limit in group.old:
        kept &= compared(columns.value(f"{pair.name}.{limit.value}")[rows], limit, None) == PASSES
    return fell | (back & ~kept)


def _rewritten(pair: Pair, columns: Columns) -> np.ndarray:
    """bool: units of which a moved setting changes the text or the label that later steps go by."""
    if not isinstance(pair.old, Rewrite) and pair.old.name not in ("extract", "language", "python"):
        return np.zeros(len(columns.place), bool)
    codes, names = columns.languages
    changed = np.array([remeasures(pair.old, pair.new, name) for name in names])
    return changed[codes]
