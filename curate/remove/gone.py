"""What of an artifact goes: the ids of documents and of parents' rows in; the rows and units that came of them out."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.artifact import Artifact
from curate.remove.documents import STEP


class Gone(NamedTuple):
    """What leaves an artifact."""

    documents: set[str]
    """Ids of opted-out documents, whatever artifact they are in."""
    given: set[str]
    """Ids of the rows that have left the artifacts it was made of."""
    rows: set[str]
    """Ids of the rows that leave `data/`."""
    units: set[str]
    """Ids of the ledger's units that are dropped now, or were and lose their text."""

    @property
    def anywhere(self) -> set[str]:
        return self.documents | self.given | self.rows | self.units


def gone_from(artifact: Artifact, documents: set[str], parents_rows: set[str]) -> Gone:
    """What must leave: rows that came from the documents, units that are one or were such a row of a parent."""
    rows: set[str] = set()
    named: set[str] = set()
    still: set[str] = set()
    for file in parquet_files(artifact.path, "data"):
        for batch in batches(file, ["id", "origins"]):
            mask = coming_from(batch, documents, parents_rows)
            rows.update(batch.filter(mask).column("id").to_pylist())
            named.update(_names(batch.filter(mask)))
            still.update(_names(batch.filter(pc.invert(mask))))
    lost = documents | parents_rows | (named - still)
    units: set[str] = set()
    for file in parquet_files(artifact.path, "ledger"):
        there = pl.scan_parquet(file).filter(pl.col("step").is_null() | (pl.col("step") != STEP)).select("id").collect()["id"]
        units.update(set(there) & lost)
    return Gone(documents, parents_rows, rows, units)


def coming_from(batch: pa.RecordBatch, documents: set[str], given: set[str]) -> pa.BooleanArray:
    """Rows that come from one of the documents, or are one of the rows that were given.

    A row may share its id with one of its documents, so origins are looked up among documents alone.
    """
    wanted = pa.array(documents, pa.string())
    origins = batch.column("origins")
    hit = pc.is_in(pc.list_flatten(origins), value_set=wanted)
    by_origin = pc.is_in(pa.array(range(len(batch)), pa.int64()), value_set=pc.cast(pc.list_parent_indices(origins).filter(hit), pa.int64()))
    return pc.or_(pc.is_in(batch.column("id"), value_set=pa.array(documents | given, pa.string())), by_origin)


def _names(batch: pa.RecordBatch) -> Iterator[str]:
    yield from batch.column("id").to_pylist()
    yield from pc.list_flatten(batch.column("origins")).to_pylist()


def parquet_files(path: Path, folder: str) -> list[Path]:
    return sorted((path / folder).glob("*.parquet"))


def batches(file: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(file) as opened:
        yield from opened.iter_batches(10_000, columns=columns)
