"""A few dropped texts for each reason: ledger and dropped/ in; scrubbed, shortened and harmless excerpts out."""

import re
from typing import NamedTuple

import polars as pl

from curate.artifact import Artifact
from curate.card.redact import scrubbed

_EACH = 3
_CHARACTERS = 300
_TAG = re.compile(r"<[^<>]*>")
_WITHHELD = re.compile(r"opt_out|opted_out|licen[cs]e|tdm_reservation|^noai$|^noml$|^removed?$")
"""Texts that somebody has reserved are never shown, not even as examples of what was dropped."""


class Example(NamedTuple):
    """A dropped unit."""

    id: str
    text: str
    """Scrubbed, on one line; empty where the recipe keeps no text of what it drops."""


def withheld(name: str) -> bool:
    """True for a `step.reason` of which no text may be shown."""
    return any(_WITHHELD.search(part) for part in name.split("."))


def examples(artifact: Artifact) -> dict[str, list[Example]]:
    """Some units for each `step.reason`, those with the lowest ids, which are hashes."""
    shown = [name for name in artifact.receipt.counts.dropped if not withheld(name)]
    ledgers, texts = list((artifact.path / "ledger").glob("*.parquet")), list((artifact.path / "dropped").glob("*.parquet"))
    if not shown or not ledgers or not texts:
        return {}
    name = pl.concat_str("step", pl.lit("."), "reason").alias("name")
    dropped = artifact.ledger().filter(pl.col("outcome") == "dropped").select("id", "language", name).filter(pl.col("name").is_in(shown))
    first = dropped.sort("name", "id").group_by("name", maintain_order=True).head(_EACH)
    rows = first.join(pl.scan_parquet(texts).select("id", "text"), on="id", how="left").sort("name", "id").unique(["name", "id"], maintain_order=True)
    found: dict[str, list[Example]] = {}
    for row in rows.collect().iter_rows(named=True):
        found.setdefault(row["name"], []).append(Example(row["id"], excerpt(row["text"] or "", row["language"])))
    return found


def excerpt(text: str, language: str | None) -> str:
    """The start of a text on one line, without a page's tags; scrubbed before it is cut, so that no item is cut in two and missed."""
    plain = _TAG.sub(" ", text) if text.lstrip().startswith("<") else text
    line = " ".join(scrubbed(plain, language).split())
    return line if len(line) <= _CHARACTERS else line[: _CHARACTERS - 1] + "…"
