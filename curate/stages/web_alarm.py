"""A ledger in, alarms out: steps that drop too much of one source, domain or language.

Over-deletion is what people find in an audit months later; here the run says it.
"""

from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
from pydantic import Field

from curate.config import Model, StoppedError
from curate.steps.filters.heuristic import ByLanguage
from curate.steps.step import Step
from curate.steps.url import domain_of

By = Literal["source", "domain", "language"]
_NOT_ALARMING = ["read", "url", "language", "opt_out", "licence"]
"""Steps that drop by what a document is, all of a group by design."""
_BY_DESIGN = frozenset({"other_language"})
"""Reasons of other steps that do."""


class Alarm(Model):
    """When a step drops more than `share` of a group that brought at least `least` documents to it."""

    share: float = Field(0.8, gt=0, le=1, description="Share of a group's documents that one step may drop.")
    least: int = Field(50, ge=1, description="Documents of a group that must reach the step; fewer prove nothing.")
    by: list[By] = Field(["source", "domain", "language"], min_length=1, description="What makes a group.")
    ignore: list[str] = Field(_NOT_ALARMING, description="Steps that may drop all of a group.")
    action: Literal["warn", "stop"] = Field("warn", description="warn: written to the receipt; stop: the run ends with exit code 1.")


def alarms(ledger: Path, steps: list[str], alarm: Alarm) -> list[dict]:
    """`{step, by, group, in, dropped, share}` of every group over the share, the worst first."""
    place = {name: number for number, name in enumerate(["read", *steps])}
    ended = np.fromiter(map(_end, repeat(place), _column(ledger, "step"), _column(ledger, "reason")), np.int64)
    found = []
    for by in alarm.by:
        groups: dict[str, int] = {}
        names = _domains(ledger) if by == "domain" else _column(ledger, by)
        group = np.fromiter((-1 if name is None else groups.setdefault(name, len(groups)) for name in names), np.int64)
        for step, number in place.items():
            if step not in alarm.ignore:
                found += [{"step": step, "by": by, **row} for row in _over(list(groups), group, ended - number, alarm)]
    return sorted(found, key=lambda row: (-row["share"], row["step"], row["by"], row["group"]))


def overruled(ledger: Path, steps: Sequence[Step]) -> dict[str, list[str]]:
    """By step the limits that a recipe sets for all languages, and that some which came to it have of their own."""
    place = {name: number for number, name in enumerate(["read", *(step.name for step in steps)])}
    reached: dict[str, int] = {}
    for code, step in zip(_column(ledger, "language"), _column(ledger, "step"), strict=True):
        if code is not None:
            reached[code] = max(reached.get(code, 0), place.get(step, len(place)))
    met = {step.name: sorted(code for code, end in reached.items() if end >= place[step.name]) for step in steps}
    told = {step.name: step.overruled(met[step.name]) for step in steps if isinstance(step, ByLanguage)}
    return {name: sentences for name, sentences in told.items() if sentences}


def _end(place: dict[str, int], step: str | None, reason: str | None) -> int:
    """The place of the step that dropped a unit; behind all of them where none did, before them where it was no loss."""
    return -1 if reason in _BY_DESIGN else place.get(step, len(place))


def _column(ledger: Path, name: str) -> Iterator[str | None]:
    for batch in pq.ParquetFile(ledger).iter_batches(columns=[name]):
        yield from batch.column(0).to_pylist()


def _domains(ledger: Path) -> Iterator[str | None]:
    return (None if url is None else domain_of(url) for url in _column(ledger, "url"))


def _over(names: list[str], group: np.ndarray, ended: np.ndarray, alarm: Alarm) -> list[dict]:
    """The groups of which a step dropped too much; `ended` is 0 for a unit that it dropped, and more for one that it let pass."""
    reached = (ended >= 0) & (group >= 0)
    into = np.bincount(group[reached], minlength=len(names))
    dropped = np.bincount(group[reached & (ended == 0)], minlength=len(names))
    share = dropped / np.maximum(into, 1)
    over = np.flatnonzero((into >= alarm.least) & (share > alarm.share))
    return [{"group": names[n], "in": int(into[n]), "dropped": int(dropped[n]), "share": float(share[n])} for n in over]


def refuse_alarms(found: list[dict], alarm: Alarm) -> None:
    """StoppedError where there are alarms and the recipe says stop."""
    if found and alarm.action == "stop":
        raise StoppedError("; ".join(as_text(row) for row in found[:5]) + "; change the step, or set `alarm: {action: warn}`")


def as_text(row: dict) -> str:
    return f"{row['step']} dropped {row['dropped']:,} of {row['in']:,} documents ({row['share']:.0%}) of {row['by']} {row['group']}"
