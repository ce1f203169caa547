"""Ids in, what may be shown of their texts out: scrubbed, short, and nothing of who asked to be left out.

The one door through which a text of an artifact enters a report.
"""

import functools

import polars as pl

from curate.artifact import Artifact
from curate.card.examples import withheld
from curate.steps.scrub import Scrub
from curate.view.rows import said

LENGTH = 300
_READ = 2_000
"""Characters that are scrubbed: more than are shown, so that no item is cut in two before it is found."""


@functools.cache
def _scrubber() -> Scrub:
    return Scrub(use="pii", obfuscated_emails=True, private_ips=True)


def scrubbed(text: str, language: str | None = None) -> str:
    """The start of a text without personal items; lone surrogates, which no file can hold, are replaced."""
    plain = text[:_READ].encode("utf-8", "replace").decode()
    return _scrubber().scrub(plain, language)[0]


def hidden(step: str | None, reason: str | None) -> bool:
    """True for a drop of which no text and no address may be shown."""
    return withheld(f"{step or ''}.{reason or ''}")


def shown(artifact: Artifact, ids: list[str]) -> dict[str, str]:
    """The scrubbed start of each text by id, up to 2,000 characters; those that may not be shown, or are not kept, are left out."""
    ledger = artifact.ledger().filter(pl.col("id").is_in(ids)).select("id", "step", "reason", "language").collect()
    allowed = {row["id"]: row["language"] for row in ledger.to_dicts() if not hidden(row["step"], row["reason"])}
    files = [(artifact.path.glob(f"{folder}/*.parquet"), "text") for folder in ("dropped", "data")]
    found: dict[str, str] = {}
    for paths, column in files:
        for path in sorted(paths):
            rows = pl.scan_parquet(path)
            if {"id", column} <= set(rows.collect_schema().names()):
                texts = rows.filter(pl.col("id").is_in(list(allowed))).select("id", pl.col(column).str.head(_READ)).collect()
                found |= {name: text for name, text in texts.iter_rows() if text}
    for parent in artifact.parents().values() if "dropped_text" not in artifact.receipt.config else ():
        found |= _given(parent, [name for name in allowed if name not in found])
    return {name: scrubbed(text, allowed[name]) for name, text in found.items()}


def _given(parent: Artifact, ids: list[str]) -> dict[str, str]:
    """What the rows say that a stage was given: a mix keeps no text of those that it leaves, where others do as they are told."""
    found: dict[str, str] = {}
    for path in sorted(parent.path.glob("data/*.parquet")) if ids else ():
        rows = pl.scan_parquet(path)
        if "id" in rows.collect_schema().names():
            told = rows.filter(pl.col("id").is_in(ids)).collect().to_dicts()
            found |= {row["id"]: "\n".join(f"{part.who}: {part.text}" for part in said(row)) for row in told}
    return found


def excerpt(text: str) -> str:
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"
