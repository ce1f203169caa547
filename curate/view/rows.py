"""Rows of an artifact to look at: what is asked for in; a page of rows, kept and dropped, or one row with its story out.

DuckDB reads the Parquet as it lies; nothing is copied or indexed.
"""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import orjson
import polars as pl
from pydantic import Field

from curate.artifact import Artifact
from curate.config import Model, UsageError

PAGE = 25
_EXCERPT = 400
_SAID = ("text", "system", "instruction", "input", "output", "prompt", "messages", "conversations", "chosen", "rejected", "completion", "candidates")


class Asked(Model):
    """The filters of a page, as its form sends them."""

    q: str = Field("", max_length=1_000, description="Part of a text, a URL or an id; case makes no difference.")
    outcome: str = Field("all", pattern="^(all|kept|dropped)$", description="all, kept or dropped.")
    reason: str = Field("", max_length=200, description="Only rows dropped for this `step.reason`.")
    split: str = Field("", max_length=200, description="Only rows of this split.")
    language: str = Field("", max_length=20, description="Only rows in this language.")
    page: int = Field(1, ge=1, le=1_000_000, description="Which page, from 1.")


class Seen(NamedTuple):
    """A row in a list."""

    id: str
    outcome: str
    place: str
    """Its split, or the `step.reason` that dropped it."""
    value: float | None
    threshold: float | None
    url: str | None
    language: str | None
    excerpt: str


class Page(NamedTuple):
    """What a list shows."""

    rows: list[Seen]
    total: int


class Said(NamedTuple):
    """A part of a row: who says it, or what it is."""

    who: str
    text: str


class Place(NamedTuple):
    """What one artifact did with a row or a document that it came from."""

    artifact: str
    id: str
    outcome: str
    why: str
    values: dict[str, float]


class Split(NamedTuple):
    """Files of one split, and the columns that they have."""

    name: str
    files: list[str]
    columns: dict[str, pl.DataType]

    def query(self) -> str:
        """SQL for its rows as a list shows them."""
        known = [name if name in self.columns else f"NULL::VARCHAR AS {name}" for name in ("url", "language")]
        said = ", ".join(_as_text(name, kind) for name in _SAID if (kind := self.columns.get(name)) is not None) or "''"
        return f"SELECT id, 'kept' AS outcome, {_quoted(self.name)} AS place, NULL::DOUBLE, NULL::DOUBLE, {', '.join(known)}, concat_ws(chr(10), {said}) AS said FROM {_table(self.files)}"


class Rows:
    """An artifact's rows, opened for looking through."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.name = f"{artifact.receipt.recipe}/{artifact.path.name}"

    def _files(self, folder: str) -> list[str]:
        return [str(path) for path in sorted((self.artifact.path / folder).glob("*.parquet"))]

    @cached_property
    def splits(self) -> list["Split"]:
        """Splits that say whose their rows are; each has columns of its own."""
        found: dict[str, list[str]] = {}
        for file in self._files("data"):
            found.setdefault(Path(file).name.rpartition("-")[0], []).append(file)
        every = [Split(name, files, dict(pl.read_parquet_schema(files[0]))) for name, files in found.items()]
        return [split for split in every if "id" in split.columns]

    @cached_property
    def reasons(self) -> dict[str, int]:
        """How many were dropped, by `step.reason`, the most frequent first."""
        return dict(sorted(self.artifact.receipt.counts.dropped.items(), key=lambda item: -item[1]))

    @cached_property
    def languages(self) -> list[str]:
        files = self._files("ledger")
        return sorted(pl.scan_parquet(files).select(pl.col("language").unique()).collect()["language"].drop_nulls()) if files else []

    def page(self, asked: Asked) -> Page:
        """The rows that the filters let through, kept ones first, in the order of the files."""
        kept = [] if asked.outcome == "dropped" or asked.reason else [split.query() for split in self.splits]
        parts = [*kept, *filter(None, [self._dropped(asked)])]
        if not parts:
            return Page([], 0)
        where, values = _conditions(asked)
        query = f"FROM ({' UNION ALL '.join(parts)}) WHERE {where}"
        with _database() as database:
            total = database.execute(f"SELECT count(*) {query}", values).fetchone()[0]
            found = database.execute(f"SELECT * {query} LIMIT {PAGE} OFFSET {PAGE * (asked.page - 1)}", values).fetchall()
        return Page([Seen(*row[:-1], _excerpt(row[-1] or "", asked.q)) for row in found], total)

    def _dropped(self, asked: Asked) -> str | None:
        ledger, texts = self._files("ledger"), self._files("dropped")
        if not ledger or asked.outcome == "kept" or asked.split:
            return None
        text = f"LEFT JOIN (SELECT id AS of, any_value(text) AS text FROM {_table(texts)} GROUP BY id) ON id = of" if texts else ""
        said = "text" if texts else "NULL::VARCHAR"
        return f"SELECT id, outcome, step || '.' || reason AS place, value, threshold, url, language, {said} AS said FROM {_table(ledger)} {text} WHERE outcome = 'dropped'"

    def row(self, id_: str) -> dict | None:
        """The row that a unit is or was made into, or its dropped text."""
        made = [(_table(split.files), condition) for condition in ("id = $1", "list_contains(origins, $1)") for split in self.splits if "origins" in split.columns]
        dropped = [(_table(files), "id = $1")] if (files := self._files("dropped")) else []
        with _database() as database:
            for table, condition in (*made, *dropped):
                found = database.execute(f"SELECT * FROM {table} WHERE {condition} LIMIT 1", [id_])
                names, row = [column[0] for column in found.description], found.fetchone()
                if row:
                    return dict(zip(names, row, strict=True))
        return None

    def places(self, ids: list[str]) -> list[Place]:
        """The ledger's rows of some units."""
        if not self._files("ledger"):
            return []
        rows = self.artifact.ledger().filter(pl.col("id").is_in(ids)).head(100).collect().to_dicts()
        return [Place(self.name, row["id"], row["outcome"], _why(row), {name: value for name, value in row.items() if "." in name and value is not None}) for row in rows]


def _database() -> "object":
    try:
        import duckdb
    except ImportError:
        raise UsageError("looking through rows needs DuckDB: pip install 'curate[view]'") from None
    return duckdb.connect(config={"threads": 2, "autoinstall_known_extensions": False})


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _table(files: list[str]) -> str:
    return f"read_parquet([{', '.join(map(_quoted, files))}], union_by_name = true)"


def _as_text(name: str, kind: pl.DataType) -> str:
    """SQL for what a column says: of turns and answers each by who says it, in lines."""
    if not isinstance(kind, pl.List) or not isinstance(kind.inner, pl.Struct):
        return f'CAST("{name}" AS VARCHAR)'
    fields = {field.name for field in kind.inner.fields}
    who = [f"x.{field}" for field in ("role", "from", "model") if field in fields][:1]
    text = ", ".join(f"CAST(x.{field} AS VARCHAR)" for field in ("content", "value", "text", "tool_calls") if field in fields) or "CAST(x AS VARCHAR)"
    return f"""array_to_string([concat_ws(': ', {", ".join([*who, f"concat_ws(chr(10), {text})"])}) for x in "{name}"], chr(10))"""


def _conditions(asked: Asked) -> tuple[str, list[str]]:
    wanted = {"place": asked.reason or asked.split, "language": asked.language}
    given = {name: value for name, value in wanted.items() if value}
    conditions, values = [f"{name} = ?" for name in given], list(given.values())
    if asked.q:
        conditions.append("(contains(lower(said), lower(?)) OR contains(lower(coalesce(url, '')), lower(?)) OR starts_with(id, lower(?)))")
        values += [asked.q] * 3
    return " AND ".join(conditions) or "true", values


def _excerpt(text: str, q: str) -> str:
    """The start of a text, or what stands around the words that were searched for."""
    found = text.lower().find(q.lower()) if q else 0
    start = max(0, found - _EXCERPT // 4)
    return ("… " if start else "") + text[start : start + _EXCERPT] + (" …" if start + _EXCERPT < len(text) else "")


def _why(row: dict) -> str:
    if row["outcome"] == "kept":
        return ""
    value = "" if row["value"] is None else f": {row['value']:.6g}"
    limit = "" if row["threshold"] is None else f", limit {row['threshold']:.6g}"
    twin = f", like {row['twin']}" if row["twin"] else ""
    return f"{row['step']}.{row['reason']}{value}{limit}{twin}"


def said(row: dict) -> list[Said]:
    """What a row says, part by part."""
    return [part for name in _SAID if row.get(name) for part in _parts(name, row[name])]


def _parts(name: str, value: object) -> list[Said]:
    if not isinstance(value, list):
        return [Said(name, value if isinstance(value, str) else orjson.dumps(value, default=str).decode())]
    turns = [orjson.loads(turn) if isinstance(turn, str) and turn.startswith("{") else turn for turn in value]
    return [_turn(name, turn) if isinstance(turn, dict) else Said(name, str(turn)) for turn in turns]


def _turn(name: str, turn: dict) -> Said:
    who = turn.get("role") or turn.get("from") or turn.get("model") or "answer"
    text = turn.get("content") or turn.get("value") or turn.get("text") or ""
    return Said(f"{name}: {who}", "\n".join(filter(None, [str(text), str(turn.get("tool_calls") or "")])))


def about(row: dict) -> dict[str, str]:
    """What a row holds beside what it says."""
    return {name: str(value) for name, value in row.items() if name not in _SAID and value not in (None, [], "", "{}")}


def opened(target: Path) -> list[Rows]:
    """An artifact's rows after those of its ancestors, or those of a recipe's latest run."""
    from curate.show import states

    found = [Artifact(state["path"]) for state in states(target) if state["state"] == "done"]
    if not found:
        raise UsageError(f"{target}: no finished artifact; finish it with `curate run`")
    every = {one.path.resolve(): one for artifact in found for one in (*artifact.ancestors(), artifact)}
    return [Rows(artifact) for artifact in every.values()]
