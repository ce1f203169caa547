"""The account of every unit of input: parts written by ranks, merged into one table.

One row a unit, kept or dropped, with the rule, the measured value, the threshold and the
kept twin, and one float32 column `<step>.<value>` for each measured value; null means not
measured. `why`, reports and what-if read this and never logs.
"""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

LEDGER = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("source", pa.string()),
        ("offset", pa.int64()),
        ("outcome", pa.string()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("twin", pa.string()),
        ("cluster", pa.string()),
        ("cluster_size", pa.int64()),
        ("language", pa.string()),
    ]
)
DESCRIPTIONS = {
    "id": "Hash of the source's content and the record's offset.",
    "url": "Where the unit came from, where it is known.",
    "source": "File of the unit, relative to the given input.",
    "offset": "Byte offset of the record, or line or row number.",
    "outcome": "kept or dropped.",
    "step": "The step that dropped it; `read` is the source itself.",
    "reason": "The rule that dropped it, in snake_case.",
    "value": "What was measured by that rule.",
    "threshold": "The limit that the value broke.",
    "twin": "Id of the kept unit that this one duplicates.",
    "cluster": "Id of the duplicate cluster's kept unit; null where it is alone.",
    "cluster_size": "Units in the cluster, this one included.",
    "language": "ISO 639-1 code, where a step has identified it.",
}
PART = pa.schema([*LEDGER, ("ordinal", pa.int64()), ("values", pa.binary())])
DROPPED = pa.schema([("id", pa.string()), ("text", pa.string()), ("metadata", pa.string())])


def value_names(parts: list[Path]) -> list[str]:
    """Every measured value named in any part, sorted."""
    names: set[str] = set()
    for part in parts:
        for batch in pq.ParquetFile(part).iter_batches(columns=["values"]):
            for values in batch.column(0).to_pylist():
                names.update(orjson.loads(values))
    return sorted(names)


def with_values(table: pa.Table, names: list[str]) -> pa.Table:
    """A part's rows with one float32 column a value."""
    rows = [orjson.loads(values) for values in table.column("values").to_pylist()]
    merged = table.select(LEDGER.names)
    for name in names:
        merged = merged.append_column(name, pa.array([row.get(name) for row in rows], pa.float32()))
    return merged


def rank_table(parts: list[Path], names: list[str]) -> pa.Table:
    """The rows of one rank, from the parts its segments wrote, in the order of the input."""
    tables = [pq.ParquetFile(part).read() for part in parts]
    return with_values(pa.concat_tables(tables).sort_by("ordinal"), names)


def merge(ranks: list[list[Path]], path: Path) -> int:
    """Write the ledger of all ranks, in order, to `path`; the number of its rows."""
    names = value_names([part for parts in ranks for part in parts])
    schema = pa.schema([*LEDGER, *((name, pa.float32()) for name in names)])
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for parts in ranks:
            table = rank_table(parts, names)
            writer.write_table(table, row_group_size=100_000)
            rows += table.num_rows
    return rows


def concat(parts: list[Path], schema: pa.Schema, path: Path) -> int:
    """Write the rows of several Parquet files, in order, to one; the number of rows."""
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches(parts):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def batches(parts: list[Path]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        yield from pq.ParquetFile(part).iter_batches(batch_size=1_000)
