"""A document's whole story, from the ledger of an artifact: measured, kept or dropped, and why."""

from pathlib import Path

import orjson
import polars as pl

from curate.artifact import RECEIPT, Artifact

_HEAD = 300


def stories(artifact: Artifact, id_or_url: str) -> list[dict]:
    """The ledger rows that match, each with its values, its twin's URL and the start of its text."""
    found = []
    for row in artifact.why(id_or_url):
        fixed = {name: value for name, value in row.items() if "." not in name}
        values = {name: value for name, value in row.items() if "." in name and value is not None}
        story = {**fixed, "values": values, "artifact": str(artifact.path)}
        story["twin_url"] = _url(artifact, row["twin"]) if row["twin"] else None
        story |= _kept_of(artifact, row["id"], row["outcome"] == "kept")
        found.append(story)
    return found


def _url(artifact: Artifact, id_: str) -> str | None:
    rows = artifact.ledger().filter(pl.col("id") == id_).select("url").collect()
    return rows["url"][0] if len(rows) else None


def _kept_of(artifact: Artifact, id_: str, kept: bool) -> dict:
    """The start of what was made of the unit, or of its text before the step that dropped it, and its metadata."""
    if kept:
        found = {split: _first(artifact.data(split), id_) for split in artifact.splits}
        split, row = next(((split, row) for split, row in found.items() if row), (None, None))
    else:
        split, row = None, _first(pl.scan_parquet(sorted(artifact.path.glob("dropped/*.parquet"))), id_)
    if row is None:
        return {"split": split, "text": None, "metadata": {}}
    return {"split": split, "text": _told(row)[:_HEAD], "metadata": orjson.loads(row.get("metadata") or "{}")}


def _first(rows: pl.LazyFrame, id_: str) -> dict | None:
    """The row of a unit, or, where several units made one row, the row that they made."""
    own = pl.col("id") == id_
    wanted = own | pl.col("origins").list.contains(id_) if "origins" in rows.collect_schema().names() else own
    return next(iter(rows.filter(wanted).head(1).collect().to_dicts()), None)


_SAID = (
    "text", "system", "instruction", "input", "output", "history", "prompt", "messages", "conversations", "chosen", "rejected",
    "completion", "candidates",
)  # fmt: skip
"""Columns that hold what is said, in the shapes of rows and in the formats of training sets."""


def _told(row: dict) -> str:
    """What a row says, a line for each turn or answer."""
    if row.get("text") is not None:
        return row["text"]
    return "\n".join(line for name in _SAID for line in _lines(name, row.get(name)))


def _lines(name: str, value: object) -> list[str]:
    if isinstance(value, str):
        return [f"{name}: {value}"] if value else []
    turns = [item for item in value or [] if isinstance(item, dict)]
    return [f"{turn.get('role') or turn.get('from') or 'answer'}: {turn.get('content') or turn.get('value') or turn.get('text') or ''}" for turn in turns]


def latest_artifacts(root: Path) -> list[Artifact]:
    """The finished artifacts of every recipe's latest run below `root`."""
    found = []
    for latest in sorted(root.glob("*/latest.json")):
        names = orjson.loads(latest.read_bytes())
        found += [Artifact(latest.parent / name) for name in names if (latest.parent / name / RECEIPT).exists()]
    return found


def as_text(story: dict) -> str:
    """The story for people, one fact a line."""
    lines = [f"{story['id']}  {story['url'] or ''}".rstrip(), f"  from      {story['source']} at {story['offset']}"]
    if story["outcome"] == "kept":
        lines.append(f"  kept      in {story['artifact']}{_split(story)}")
    else:
        lines.append(f"  dropped   by {story['step']}: {story['reason']}{_limit(story)}, in {story['artifact']}")
    if story["twin"]:
        lines.append(f"  twin      {story['twin']}  {story['twin_url'] or ''}".rstrip())
    if story["cluster"]:
        lines.append(f"  cluster   {story['cluster']}, {story['cluster_size']:,} documents")
    lines += [f"  measured  {name} = {value:.6g}" for name, value in story["values"].items()]
    for hit in story["metadata"].get("contamination", []):
        lines.append(f"  holds     {hit['benchmark']} item {hit['item']}, {hit['field']}: characters {hit['start']} to {hit['end']}, {hit['share']:.0%} of it")
    if story["text"]:
        lines.append("  text      " + story["text"].replace("\n", "\n            "))
    return "\n".join(lines)


def _split(story: dict) -> str:
    return f", split {story['split']}" if story["split"] not in (None, "train") else ""


def _limit(story: dict) -> str:
    if story["value"] is None:
        return ""
    limit = f", threshold {story['threshold']:.6g}" if story["threshold"] is not None else ""
    return f" ({story['value']:.6g}{limit})"
