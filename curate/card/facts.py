"""What a card counts: an artifact's files, ledger and rows in; small tables out.

Large files are read by column and never held whole.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import Artifact, FileAccount
from curate.config import UsageError
from curate.rows import shape_of

UNKNOWN = "unknown"
_HOST = r"://(?:[^/@?#]*@)?([^/:?#]+)"


class Configuration(NamedTuple):
    """Splits whose files have the same columns: what the Hub calls a configuration."""

    name: str
    splits: dict[str, list[FileAccount]]
    schema: pa.Schema

    @property
    def rows(self) -> int:
        return sum(file.rows for files in self.splits.values() for file in files)


class Kept(NamedTuple):
    """Units of the ledger by language or domain."""

    name: str
    kept: int
    read: int


def stored_files(artifact: Artifact) -> list[FileAccount]:
    """All files of rows or of packed tokens, as the receipt states them. Raises UsageError where one is not there."""
    found = [file for file in artifact.receipt.files if file.path.startswith("data/")]
    for file in found:
        if not (artifact.path / file.path).is_file():
            raise UsageError(f"{artifact.path / file.path}: is in the receipt and not on disk; make that artifact again")
    return found


def data_files(artifact: Artifact) -> dict[str, list[FileAccount]]:
    """The Parquet files of each split."""
    found: dict[str, list[FileAccount]] = {}
    for file in stored_files(artifact):
        if file.path.endswith(".parquet"):
            found.setdefault(Path(file.path).name.rpartition("-")[0], []).append(file)
    return found


def packed(artifact: Artifact) -> dict[str, int]:
    """Documents in each split that is packed tokens, which have no columns."""
    splits = artifact.receipt.report.get("splits", {})
    return {name: split["rows"] for name, split in splits.items() if split["format"] == "packed"}


def configurations(artifact: Artifact) -> list[Configuration]:
    """Splits by their columns; those of the first one are the `default`, others are named by their first split."""
    found: list[Configuration] = []
    order = ["train", *artifact.receipt.report.get("splits", {})]
    for split, files in sorted(data_files(artifact).items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)):
        schema = pq.read_schema(artifact.path / files[0].path).remove_metadata()
        same = next((one for one in found if one.schema.equals(schema)), None)
        if same:
            same.splits[split] = files
        else:
            found.append(Configuration(split, {split: files}, schema))
    return [found[0]._replace(name="default")] if len(found) == 1 else found


def formats(artifact: Artifact) -> list[str]:
    """What its rows are: the format of each split of a mix, else the shape of the rows."""
    splits = artifact.receipt.report.get("splits", {})
    if splits:
        return list(dict.fromkeys(split["format"] for split in splits.values()))
    return list(dict.fromkeys(shape_of(one.schema.names) or "rows" for one in configurations(artifact)))


def licences(artifact: Artifact) -> dict[str, int]:
    """Rows by licence, the most frequent first; `unknown` where a row names none. Of a mix: the source rows that it uses."""
    mixed = artifact.receipt.report.get("sources", {}) if artifact.receipt.stage == "mix" else {}
    told = sum((Counter(source["licences"]) for source in mixed.values()), Counter())
    counts = told or _column_counts(artifact, "licence")
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _column_counts(artifact: Artifact, column: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for path in _files_with(artifact, column):
        for batch in pq.ParquetFile(path).iter_batches(columns=[column]):
            counts.update({entry["values"] or UNKNOWN: entry["counts"] for entry in batch.column(0).value_counts().to_pylist()})
    return counts


def _files_with(artifact: Artifact, column: str) -> Iterator[Path]:
    for files in data_files(artifact).values():
        for file in files:
            if column in pq.read_schema(artifact.path / file.path).names:
                yield artifact.path / file.path


def date_range(artifact: Artifact) -> tuple[str, str] | None:
    """The first and the last day on which its rows were fetched, ISO 8601; None where no row has a date."""
    paths = list(_files_with(artifact, "date"))
    if not paths:
        return None
    days = pl.scan_parquet(paths).select(pl.col("date").str.slice(0, 10))
    first, last = days.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).collect().row(0)
    return (first, last) if first else None


def by_language(artifact: Artifact) -> list[Kept]:
    """Units by the language that a step has identified, the most kept first."""
    return _kept(artifact, pl.col("language"))


def by_domain(artifact: Artifact) -> list[Kept]:
    """Units by the host of their URL, only those that gave a kept one, the most kept first."""
    return _kept(artifact, pl.col("url").str.extract(_HOST).str.to_lowercase().str.strip_prefix("www."))


def _kept(artifact: Artifact, key: pl.Expr) -> list[Kept]:
    if not list((artifact.path / "ledger").glob("*.parquet")):
        return []
    kept = (pl.col("outcome") == "kept").sum().alias("kept")
    groups = artifact.ledger().select(key.alias("name"), "outcome").drop_nulls("name").group_by("name").agg(kept, pl.len().alias("read"))
    rows = groups.filter(pl.col("kept") > 0).sort(["kept", "name"], descending=[True, False]).collect()
    return [Kept(*row) for row in rows.iter_rows()]
