"""An artifact and moved settings in; the funnel that they would make out, from the ledger, without reading a text.

Exact where every value that is needed is on the ledger and no moved setting rewrites text; else
the least and the most that can remain, and which steps would have to run again to know.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from curate.artifact import Artifact
from curate.steps.barrier import Barrier
from curate.whatif.columns import Columns
from curate.whatif.decide import Verdicts, verdicts
from curate.whatif.duplicates import Alive, deduplicated
from curate.whatif.result import Span, StepSpan, WhatIf
from curate.whatif.rules import unmoved
from curate.whatif.settings import Pair, pairs, parse

__all__ = ["Span", "StepSpan", "WhatIf", "whatif"]


class Flow(NamedTuple):
    """All that a run through the steps leaves."""

    alive: Alive
    steps: list[StepSpan]
    dropped: Counter[str]
    again: dict[str, int]


def whatif(artifact: Artifact, settings: list[str], columns: Columns | None = None) -> WhatIf:
    """The funnel of an artifact after moving settings, each written `step.setting=value`.

    `columns` of an earlier call save reading the ledger again. Raises UsageError where the artifact has no
    steps, or a setting does not exist or has no such value.
    """
    moved = pairs(artifact.receipt, settings)
    ledger = columns or Columns(artifact, [pair.name for pair in moved])
    flow = _flow(moved, ledger, strict=True)
    looser = flow if not flow.again else _flow(moved, ledger, strict=False)
    narrow = Span(int(looser.alive.sure.sum()), int(looser.alive.possible.sum()))
    wide = Span(int(flow.alive.sure.sum()), int(flow.alive.possible.sum()))
    again = {name: looser.again.get(name, documents) for name, documents in flow.again.items()}
    counts = artifact.receipt.counts
    dropped, kept = dict(sorted(flow.dropped.items())), _unmoved(moved, ledger, settings)
    return WhatIf(settings, counts.read, counts.kept, wide, narrow, looser.steps, dropped, again, kept)


def _unmoved(moved: list[Pair], columns: Columns, settings: list[str]) -> dict[str, list[str]]:
    """By setting the languages, of units that came to its step, with a limit of their own."""
    names = [pair.name for pair in moved]
    found = {}
    for setting in (parse(text, names) for text in settings):
        pair = moved[names.index(setting.step)]
        if len(setting.path) == 1 and (kept := unmoved(pair.new, setting.path[0], columns.met(pair.place))):
            found[str(setting)] = kept
    return found


def _flow(moved: list[Pair], columns: Columns, strict: bool) -> Flow:
    """Send every unit through the steps, in order."""
    every = columns.place >= 0
    alive, stale = Alive(every, every), np.zeros(len(every), bool)
    codes, names = columns.reasons
    dropped = _counted("read", codes[~every], names)
    spans, again = [], {}
    for pair in moved:
        into = alive
        if isinstance(pair.old, Barrier):
            alive = deduplicated(pair, columns, into, strict)
            reason = getattr(pair.old, "reason", None)
            lost = into.sure & ~alive.possible
            dropped += _counted(pair.name, codes[lost], names) if reason is None else Counter({f"{pair.name}.{reason}": int(lost.sum())})
            unclear = int((alive.possible & ~alive.sure & into.sure).sum())
        else:
            found = verdicts(pair, columns, into.possible, stale)
            stale = found.stale
            alive = Alive(into.sure & ~found.dropped & ~found.unclear, into.possible & ~found.dropped)
            dropped += _reasons(pair, columns, found, into.sure & found.dropped)
            unclear = int((found.unclear & into.possible).sum())
        if unclear:
            again[pair.name] = unclear
        spans.append(StepSpan(pair.name, _span(into), _span(alive)))
    return Flow(alive, spans, +dropped, again)


def _span(alive: Alive) -> Span:
    return Span(int(alive.sure.sum()), int(alive.possible.sum()))


def _counted(step: str, codes: np.ndarray, names: list[str]) -> Counter[str]:
    """Units by recorded reason."""
    counts = np.bincount(codes[codes >= 0], minlength=len(names)).tolist()
    return Counter({f"{step}.{name}": count for name, count in zip(names, counts, strict=True) if count})


def _reasons(pair: Pair, columns: Columns, found: Verdicts, lost: np.ndarray) -> Counter[str]:
    """What dropped the units that leave for certain."""
    codes, names = columns.reasons
    recorded = lost & (found.reason < 0)
    return _counted(pair.name, codes[recorded], names) + _counted(pair.name, found.reason[lost & ~recorded], found.reasons)
