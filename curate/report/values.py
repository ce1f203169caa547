"""A ledger in; how every measured value is spread over kept and dropped documents, and where its limits stand, out."""

from typing import NamedTuple

import numpy as np
import polars as pl

from curate.artifact import Artifact
from curate.config import UsageError
from curate.whatif.rules import knobs
from curate.whatif.settings import Pair, pairs

_BINS = 40
_TRIMMED = 0.01
"""Share of the values at each end that is drawn in the outermost bars."""
_LANGUAGES = 3


def as_text(value: float) -> str:
    """A number as people read it: four digits, and never a power of ten."""
    whole = abs(value) >= 1_000 or float(value).is_integer()
    return f"{value:,.0f}" if whole else f"{value:,.4g}"


class Mark(NamedTuple):
    """A limit of a value, and the setting that it is."""

    setting: str
    at: float

    def __str__(self) -> str:
        return f"{self.setting} = {as_text(self.at)}"


class Histogram(NamedTuple):
    """Documents by value; bars reach from `edges[n]` to `edges[n + 1]`, the outermost hold what lies beyond."""

    name: str
    measured: int
    edges: list[float]
    kept: list[int]
    dropped: list[int]
    marks: list[Mark]


def steps(artifact: Artifact) -> list[Pair]:
    """The steps of a web or refine artifact; none where it has none, or a file that one reads is not here."""
    try:
        return pairs(artifact.receipt, [])
    except UsageError:
        return []


def marks(moved: list[Pair], languages: list[str]) -> dict[str, list[Mark]]:
    """The limits of each measured value, by `step.value`; a language's own ones beside those of the recipe."""
    found: dict[str, list[Mark]] = {}
    for pair in moved:
        for language in (None, *languages):
            for setting, limit in knobs(pair.old, language):
                known = found.setdefault(f"{pair.name}.{limit.value}", [])
                if all(mark.at != limit.limit for mark in known):
                    known.append(Mark(f"{pair.name}.{setting}{f' for {language}' if language else ''}", limit.limit))
    return found


def languages(artifact: Artifact) -> list[str]:
    """Those of most documents."""
    counted = artifact.ledger().drop_nulls("language").group_by("language").len().sort("len", "language", descending=[True, False])
    return counted.head(_LANGUAGES).collect()["language"].to_list()


def histograms(artifact: Artifact) -> list[Histogram]:
    """One for each measured value that is not nearly the same everywhere, those with limits first, and one of the rows' lengths."""
    limits = marks(steps(artifact), languages(artifact))
    ledger = artifact.ledger()
    names = [name for name, kind in ledger.collect_schema().items() if "." in name and kind == pl.Float32]
    kept = ledger.select(pl.col("outcome") == "kept").collect().to_series().to_numpy()
    found = [_of_column(ledger, name, kept, limits.get(name, [])) for name in names]
    lengths = _lengths(artifact)
    found.append(None if lengths is None else _histogram("length of the rows, in characters", lengths, np.ones(len(lengths), bool), []))
    return sorted(filter(None, found), key=lambda histogram: not histogram.marks)


def _of_column(ledger: pl.LazyFrame, name: str, kept: np.ndarray, limits: list[Mark]) -> Histogram | None:
    value = ledger.select(pl.col(name)).collect().to_series().fill_null(np.nan).to_numpy()
    there = np.isfinite(value)
    return _histogram(name, value[there].astype(float), kept[there], limits)


def _histogram(name: str, value: np.ndarray, kept: np.ndarray, limits: list[Mark]) -> Histogram | None:
    if not len(value) or (not limits and np.ptp(np.quantile(value, [_TRIMMED, 1 - _TRIMMED])) == 0):
        return None
    edges = bin_edges(value, [mark.at for mark in limits])
    inside = np.clip(value, edges[0], edges[-1])
    counts = [np.histogram(inside[side], edges)[0].tolist() for side in (kept, ~kept)]
    return Histogram(name, len(value), edges.tolist(), *counts, limits)


def bin_edges(value: np.ndarray, limits: list[float]) -> np.ndarray:
    """Edges of bars of one width, whole numbers for whole values; limits lie inside unless they are far from every value."""
    low, high = np.quantile(value, [_TRIMMED, 1 - _TRIMMED])
    reach = (high - low) or 1.0
    near = [limit for limit in limits if low - reach <= limit <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    if (value == np.round(value)).all():
        width = max(1, int(np.ceil((high - low + 1) / _BINS)))
        return np.arange(np.floor(low), np.floor(high) + 1 + width, width, dtype=float)
    return np.linspace(low, high if high > low else low + 1, _BINS + 1)


def _lengths(artifact: Artifact) -> np.ndarray | None:
    """Characters of every written row, all its texts together; None where there are no rows."""
    found = [_row_lengths(artifact.data(split)) for split in artifact.splits]
    return np.concatenate(found).astype(float) if found and sum(map(len, found)) else None


def _row_lengths(rows: pl.LazyFrame) -> np.ndarray:
    texts = {"text", "prompt", "completion", "chosen", "rejected", "messages", "conversations", "instruction", "input", "output", "candidates"}
    parts = [_characters(name, kind) for name, kind in rows.collect_schema().items() if name in texts]
    total = pl.sum_horizontal(*(part for part in parts if part is not None)) if any(part is not None for part in parts) else pl.lit(0)
    return rows.select(total.alias("n")).collect().to_series().to_numpy()


def _characters(name: str, kind: pl.DataType) -> pl.Expr | None:
    """Characters of a text, or of the texts of a list of turns or answers."""
    if kind == pl.String:
        return pl.col(name).str.len_chars().fill_null(0)
    if not isinstance(kind, pl.List) or not isinstance(kind.inner, pl.Struct):
        return None
    fields = [field.name for field in kind.inner.fields if field.name in ("content", "value", "text") and field.dtype == pl.String]
    return pl.col(name).list.eval(pl.element().struct.field(fields[0]).str.len_chars()).list.sum().fill_null(0) if fields else None
