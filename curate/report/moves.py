"""An artifact in; what would remain if a threshold stood elsewhere, for the thresholds that drop most, out."""

from typing import NamedTuple

import numpy as np

from curate.artifact import Artifact
from curate.report.values import steps
from curate.whatif import Span, whatif
from curate.whatif.columns import Columns
from curate.whatif.rules import Knob, knobs
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


def moves(artifact: Artifact) -> list[Move]:
    """For the settings whose rules dropped most; none where the stage has no thresholds."""
    pairs = steps(artifact)
    columns = Columns(artifact, [pair.name for pair in pairs])
    counts = artifact.receipt.counts.dropped
    every = {f"{pair.name}.{knob.limit.reason}": (pair, knob) for pair in pairs for knob in reversed(knobs(pair.old))}
    dropping = sorted((reason for reason in every if reason in counts), key=lambda reason: -counts[reason])[:_MOST]
    found = [_move(artifact, columns, *every[reason]) for reason in dropping]
    return [move for move in found if len(move.places) > 1]


def _move(artifact: Artifact, columns: Columns, pair: Pair, knob: Knob) -> Move:
    value = columns.value(f"{pair.name}.{knob.limit.value}")
    tried = thresholds(value[np.isfinite(value)], knob.limit.limit, isinstance(knob.limit.limit, int))
    places = []
    for threshold in tried:
        told = whatif(artifact, [f"{pair.name}.{knob.setting}={threshold!r}"], columns)
        places.append(Place(threshold, told.likely, told.exact))
    return Move(f"{pair.name}.{knob.setting}", tried.index(knob.limit.limit), places)


def thresholds(value: np.ndarray, now: float, whole: bool) -> list[float]:
    """Thresholds to try: the present one, and on either side some that lie among the values, round numbers all."""
    found = {now}
    for side in (value[value < now], value[value > now]):
        if len(side):
            quantiles = np.quantile(side, np.linspace(0, 1, 2 * _PLACES + 1)[1:-1:2])
            found |= {round(number) if whole else float(f"{number:.3g}") for number in quantiles.tolist()}
    return sorted(found)
