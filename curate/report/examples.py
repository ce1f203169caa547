"""A ledger in; what each rule dropped, with examples of it, and duplicates side by side, out."""

import difflib
import re
from typing import NamedTuple

import polars as pl

from curate.artifact import Artifact
from curate.report.texts import LENGTH, excerpt, hidden, scrubbed, shown

_EXAMPLES = 3
_CLUSTERS = 5
_COPIES = 2
_WHOLE = 1_500
"""Characters up to which a text is taken to have been shown to its end."""
_RUN = 10
"""Words and spaces that must be equal in a row for the texts to be taken to go on together."""
_WORD = re.compile(r"\s+|\w+|[^\w\s]")


class Example(NamedTuple):
    """One dropped document; `value` is what broke the threshold."""

    id: str
    url: str | None
    value: float | None
    threshold: float | None
    text: str | None


class Dropped(NamedTuple):
    """What one rule dropped; of some nothing is shown."""

    step: str
    reason: str
    count: int
    share: float
    hidden: bool
    examples: list[Example]


class Piece(NamedTuple):
    """A part of a text, and whether the other text lacks it."""

    text: str
    marked: bool


class Copy(NamedTuple):
    """A kept document and one that fell to it, from shortly before their first difference on."""

    kept: str
    dropped: str
    step: str
    jaccard: float
    cluster_size: int
    left: list[Piece]
    right: list[Piece]


def dropped(artifact: Artifact) -> list[Dropped]:
    """Every rule that dropped something, in the order of the steps, then the most frequent first."""
    ledger = artifact.ledger().filter(pl.col("outcome") == "dropped")
    columns = [pl.col(name).head(_EXAMPLES) for name in ("id", "url", "value", "threshold")]
    rules = ledger.group_by("step", "reason", maintain_order=True).agg(pl.len().alias("count"), *columns).collect().to_dicts()
    texts = shown(artifact, [name for rule in rules for name in rule["id"]])
    place = {step.name: number for number, step in enumerate(artifact.receipt.steps)}
    rules.sort(key=lambda rule: (place.get(rule["step"], -1), -rule["count"], rule["reason"]))
    return [_rule(rule, artifact.receipt.counts.read, texts) for rule in rules]


def _rule(rule: dict, read: int, texts: dict[str, str]) -> Dropped:
    quiet = hidden(rule["step"], rule["reason"])
    rows = [] if quiet else zip(*(rule[name] for name in ("id", "url", "value", "threshold")), strict=True)
    examples = [_example(row, texts) for row in rows]
    return Dropped(rule["step"] or "", rule["reason"] or "", rule["count"], rule["count"] / read, quiet, examples)


def _example(row: tuple, texts: dict[str, str]) -> Example:
    name, url, value, threshold = row
    return Example(name, url and scrubbed(url), value, threshold, excerpt(texts[name]) if name in texts else None)


def copies(artifact: Artifact) -> list[Copy]:
    """Pairs of the largest clusters whose texts are there, the least alike of each first; of what fell with its kept ones alone."""
    files = sorted(artifact.path.glob("pairs/*.parquet"))
    if not files:
        return []
    sizes = artifact.ledger().select(pl.col("id").alias("kept"), pl.col("cluster_size"), pl.col("step").alias("fell"))
    pairs = pl.scan_parquet(files).join(sizes, on="kept", how="inner", maintain_order="left").filter(pl.col("fell").ne_missing(pl.col("step")))
    ordered = pairs.sort(["cluster_size", "kept", "jaccard", "dropped"], descending=[True, False, False, False])
    rows = ordered.group_by("kept", maintain_order=True).head(_COPIES).head(4 * _CLUSTERS * _COPIES).collect().to_dicts()
    texts = shown(artifact, [row[side] for row in rows for side in ("kept", "dropped")])
    there = [row for row in rows if row["kept"] in texts and row["dropped"] in texts]
    leaders = list(dict.fromkeys(row["kept"] for row in there))[:_CLUSTERS]
    return [_copy(row, texts[row["kept"]], texts[row["dropped"]]) for row in there if row["kept"] in leaders]


def _copy(row: dict, left: str, right: str) -> Copy:
    return Copy(row["kept"], row["dropped"], row["step"], row["jaccard"], row["cluster_size"], *compared(left, right))


def compared(left: str, right: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces, what the other lacks marked; 300 characters, from shortly before the first difference on.

    Where both were cut, how they end is no difference.
    """
    one, other = _WORD.findall(left), _WORD.findall(right)
    spans = difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    if min(len(left), len(right)) > _WHOLE:
        ends = [number for number, (tag, a, b, _, _) in enumerate(spans, 1) if tag == "equal" and b - a >= _RUN]
        spans = spans[: ends[-1]] if ends else spans
    same = "".join(one[: spans[0][2]]) if spans and spans[0][0] == "equal" else ""
    start = max(0, len(same) - LENGTH // 3) if len(spans) > 1 else 0
    sides = ([(one[a:b], tag) for tag, a, b, _, _ in spans], [(other[c:d], tag) for tag, _, _, c, d in spans])
    return tuple(_window([("".join(words), tag != "equal") for words, tag in side if words], start) for side in sides)  # type: ignore[return-value]


def _window(pieces: list[tuple[str, bool]], start: int) -> list[Piece]:
    """The pieces between two places of the text that they make."""
    found, place = [], 0
    for text, marked in pieces:
        part = text[max(0, start - place) : max(0, start + LENGTH - place)]
        if part:
            found.append(Piece(part, marked))
        place += len(text)
    return found
