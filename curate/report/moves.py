"""An artifact in; what would remain if a threshold stood elsewhere, for the thresholds that drop most, out."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from curate.artifact import Artifact
from curate.report.values import steps
from curate.whatif import Span, whatif
from curate.whatif.columns import Columns
from curate.whatif.rules import Limit, knobs, unmoved
from curate.whatif.settings import Pair

_MOST = 6
_PLACES = 4
"""On either side of where the threshold stands now."""


class Place(NamedTuple):
    """A value of a setting, and what would remain with it."""

    value: float
    kept: Span
    exact: bool


class Move(NamedTuple):
    """A setting at several places, in order; `now` is the number of the one at which it stands."""

    setting: str
    now: int
    places: list[Place]


class Limiting(NamedTuple):
    """The number of a step, and the setting by which it drops, as a what-if names it."""

    place: int
    setting: str
    limit: Limit


def moves(artifact: Artifact) -> list[Move]:
    """For the settings whose rules dropped most; none where the stage has no thresholds."""
    pairs = steps(artifact)
    columns = Columns(artifact, [pair.name for pair in pairs])
    counts = _dropped(artifact, pairs)
    most = sorted(counts, key=lambda limit: -counts[limit])[:_MOST]
    found = [_move(artifact, columns, pairs[limit.place], limit) for limit in most]
    return [move for move in found if len(move.places) > 1]


def _dropped(artifact: Artifact, pairs: list[Pair]) -> Counter[Limiting]:
    """How many units each limit dropped; those without a single number as their limit are left out."""
    by_name = {pair.name: pair for pair in pairs}
    counts: Counter[Limiting] = Counter()
    told = artifact.ledger().group_by("step", "language", "reason").len().sort("step", "language", "reason").collect()
    for step, language, reason, units in told.iter_rows():
        if pair := by_name.get(step):
            counts.update({limit: units for limit in _limiting(pair, language, reason)})
    return counts


def _limiting(pair: Pair, language: str | None, reason: str) -> list[Limiting]:
    """The setting whose limit drops documents of a language for a reason; a language's own limit has a path of its own."""
    found = [knob for knob in knobs(pair.old, language) if knob.limit.reason == reason]
    for knob in [knob for knob in found if knob.setting == f"languages.{language}"] or found[:1]:
        own = bool(language and unmoved(pair.old, knob.setting, [language]))
        return [Limiting(pair.place, f"per_language.{language}.{knob.setting}" if own else knob.setting, knob.limit)]
    return []


def _move(artifact: Artifact, columns: Columns, pair: Pair, held: Limiting) -> Move:
    value, now = columns.value(f"{pair.name}.{held.limit.value}"), held.limit.limit
    tried = thresholds(value[np.isfinite(value)], now, isinstance(now, int))
    places = []
    for threshold in tried:
        told = whatif(artifact, [f"{pair.name}.{held.setting}={threshold!r}"], columns)
        places.append(Place(threshold, told.likely, told.exact))
    return Move(f"{pair.name}.{held.setting}", tried.index(now), places)


def thresholds(value: np.ndarray, now: float, whole: bool) -> list[float]:
    """Thresholds to try: the present one, and on either side some that lie among the values, round numbers all."""
    found = {now}
    for side in (value[value < now], value[value > now]):
        if len(side):
            quantiles = np.quantile(side, np.linspace(0, 1, 2 * _PLACES + 1)[1:-1:2])
            found |= {round(number) if whole else float(f"{number:.3g}") for number in quantiles.tolist()}
    return sorted(found)
