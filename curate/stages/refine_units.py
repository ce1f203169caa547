"""Rows as units, and units on disk between two segments: only what the steps found out and changed is written.

A row itself stays in the input's files. The next segment reads it there again and puts
the changes over it.
"""

from operator import attrgetter
from typing import NamedTuple

import orjson
import pyarrow as pa

from curate.rows import content_id
from curate.stages.ingest_rows import content_of
from curate.steps.rows.sides import metadata_of
from curate.steps.rows.unit import RowUnit
from curate.steps.step import Drop

Row = dict[str, object]

_FOUND = (
    "licence", "language", "language_score", "tokens", "pii", "values", "cluster", "cluster_size",
    "twin", "dropped_by", "text_before",
)  # fmt: skip
"""What a unit knows that is not a column of its row."""
_found_of = attrgetter(*_FOUND)
STATE = pa.schema(
    [("id", pa.string()), ("ordinal", pa.int64()), ("group", pa.string()), ("drop", pa.binary()), ("found", pa.binary()), ("changed", pa.binary())]
)
"""A unit between two segments, in JSON: `drop`, `null` of one that lives; what it `found` out and the `changed` columns
of its row, empty where there are none: of most rows nothing is to be said.
"""
_NO_DROP = b"null"
_NOTHING = _found_of(RowUnit(text="", id=""))[1:]
CONTENT = ("messages", "prompt", "chosen", "rejected", "completion", "candidates", "text")
_HEAD = 2_000


class State(NamedTuple):
    """A row of STATE."""

    id: str
    ordinal: int
    group: str | None
    drop: bytes
    found: bytes
    changed: bytes


def unit_of(shape: str, row: Row, ordinal: int, offset: int) -> RowUnit:
    """A row as it comes from the input; what an earlier stage found out about a document stands."""
    unit = RowUnit(text="", id=row["id"], ordinal=ordinal, offset=offset, source=row["source"], shape=shape, row=row, licence=row["licence"])
    if shape == "document":
        unit.url, unit.date, unit.title = row["url"], row["date"], row["title"]
        unit.language, unit.language_score, unit.tokens = row["language"], row["language_score"], row["tokens"]
        unit.cluster, unit.cluster_size = row["cluster"], row["cluster_size"]
        unit.pii = {item["type"]: item["count"] for item in row["pii"]}
    elif '"url"' in row["metadata"] or '"date"' in row["metadata"]:
        metadata = metadata_of(row)
        unit.url, unit.date = _text(metadata.get("url")), _text(metadata.get("date"))
    return unit


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def changed_columns(row: Row, given: Row) -> Row:
    """The columns of `row` whose values differ from those that were given, or were not read."""
    if row == given:
        return {}
    return {name: value for name, value in row.items() if name not in given or (value is not given[name] and value != given[name])}


def to_state(unit: RowUnit, given: Row) -> State:
    """What is written of a unit; `given` is its row in the input."""
    drop = _NO_DROP if unit.drop is None else orjson.dumps(list(unit.drop))
    found, changed = _found_of(unit), changed_columns(unit.row, given)
    known = found == _as_read(unit.shape, given)
    return State(
        unit.id,
        unit.ordinal,
        unit.row["group"],
        drop,
        b"" if known else orjson.dumps(found),
        orjson.dumps(changed) if changed else b"",
    )


def _as_read(shape: str, given: Row) -> tuple | None:
    """What a unit that no step has looked at knows; a document knows more, which is not looked up."""
    return None if shape == "document" else (given["licence"], *_NOTHING)


def resumed(unit: RowUnit, state: State) -> None:
    """Put what the segments before found out and changed over a unit that was just read."""
    if state.found:
        for name, value in zip(_FOUND, orjson.loads(state.found), strict=True):
            setattr(unit, name, value)
    if state.changed:
        unit.row.update(orjson.loads(state.changed))
    if state.drop != _NO_DROP:
        unit.drop = Drop(*orjson.loads(state.drop))
    unit.title = unit.row.get("title")


def is_rewritten(row: Row, given: Row) -> bool:
    """True where a text of the row, or what is said about one, is another than that of the given row."""
    return any(row[name] is not given[name] and row[name] != given[name] for name in CONTENT if name in row)


def recounted(row: Row) -> Row:
    """The columns that follow from a row's texts."""
    counted: Row = {"content_id": content_id(content_of(row))}
    if "text" in row:
        counted |= {"words": len(row["text"].split()), "bytes": len(row["text"].encode("utf-8"))}
    return counted


def final_columns(unit: RowUnit, given: Row) -> Row:
    """The columns of the unit's row that differ from the given ones; what a document's steps found out is among them."""
    if unit.shape != "document":
        return changed_columns(unit.row, given)
    found = {name: getattr(unit, name) for name in ("language", "language_score", "tokens", "cluster", "cluster_size")}
    pii = [{"type": name, "count": count} for name, count in sorted(unit.pii.items())]
    return changed_columns({**unit.row, **found, "pii": pii}, given)


def told(unit: RowUnit) -> str:
    """The texts of a row for people, a line each: who says it, and what."""
    row = unit.row
    if unit.shape == "document":
        return row["text"]
    turns = [(turn["role"], turn["content"]) for name in ("messages", "prompt") for turn in row.get(name) or ()]
    turns += [(name, turn["content"]) for name in ("chosen", "rejected", "completion") for turn in row.get(name) or ()]
    turns += [("answer", answer["text"]) for answer in row.get("candidates") or ()]
    return "\n".join(f"{who}: {what}" for who, what in turns)


def excerpt(text: str, how_much: str) -> str | None:
    """As much of a dropped row's text as the recipe keeps."""
    if how_much == "none":
        return None
    kept = text[:_HEAD] if how_much == "head" else text
    return kept.encode("utf-8", "replace").decode("utf-8")
