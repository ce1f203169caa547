"""Written rows to one file of the sort that its name says: JSON Lines, JSON, CSV or Parquet, the first three also compressed.

A message of JSON Lines has the keys that it has. `datasets` 5.2 reads them so; before 4.7 it made
structs of them, in which the arguments of each call get the names of all others, with nulls.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from curate.config import UsageError
from curate.formats import Refused, Row
from curate.outputs.output import Output, table

_KINDS = ("jsonl", "json", "csv", "parquet")
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_FLAT = ("text", "alpaca")
"""Outputs whose rows are texts, and so can be lines of CSV."""
_BATCH = 5_000
_BATCH_BYTES = 32 * 2**20


class Form(NamedTuple):
    """A sort of file."""

    kind: str
    compression: str | None


def form_of(name: str, output: Output) -> Form:
    """The sort that a file's name asks for. Raises UsageError for one that is not known, or cannot hold the output."""
    stem, _, suffix = name.rpartition(".")
    compression = _COMPRESSIONS.get(f".{suffix}")
    kind = stem.rpartition(".")[2] if compression else suffix
    if kind not in _KINDS or (kind == "parquet" and compression):
        raise UsageError(f"{name}: what sort of file? End its name in .jsonl, .json, .csv (also with .gz or .zst) or .parquet")
    if kind == "csv" and output.name not in _FLAT:
        raise UsageError(f"{name}: CSV holds texts, and {output.name} has lists; write .jsonl or .parquet")
    return Form(kind, compression)


def sayable(rows: list[Row], form: Form) -> list[Row]:
    """The rows, where such a file can hold them. Raises Refused for a list of turns that would go into a cell of CSV."""
    if form.kind == "csv" and any(row.get("history") for row in rows):
        raise Refused("not_in_dialect")
    return rows


def write_rows(path: Path, form: Form, output: Output, rows: Iterator[Row]) -> int:
    """Write the rows in batches; how many there were. The same rows give the same bytes."""
    if form.kind == "parquet":
        return _write_parquet(path, output.schema(), rows)
    written = 0
    with pa.OSFile(str(path), "wb") as file, (pa.CompressedOutputStream(file, form.compression) if form.compression else file) as stream:
        for written, line in enumerate(_LINES[form.kind](output, rows), 1):
            stream.write(line)
    return written - _MARKS[form.kind]


def _write_parquet(path: Path, schema: pa.Schema, rows: Iterator[Row]) -> int:
    written = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches(rows):
            writer.write_table(table(batch, schema))
            written += len(batch)
    return written


def batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Rows in lists that are bounded in number and in bytes."""
    held, size = [], 0
    for row in rows:
        held.append(row)
        size += len(json_of(row))
        if len(held) == _BATCH or size >= _BATCH_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def json_of(row: Row) -> bytes:
    """A row as one line of JSON, without the line's end."""
    try:
        return orjson.dumps(row)
    except orjson.JSONEncodeError:  # a whole number beyond 64 bits
        return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _json_lines(output: Output, rows: Iterator[Row]) -> Iterator[bytes]:
    for row in rows:
        yield json_of(row) + b"\n"


def _json_array(output: Output, rows: Iterator[Row]) -> Iterator[bytes]:
    """The parts of an array: its opening, its rows, its end."""
    before = b""
    yield b"[\n"
    for row in rows:
        yield before + json_of(row)
        before = b",\n"
    yield b"\n]\n"


def _csv_lines(output: Output, rows: Iterator[Row]) -> Iterator[bytes]:
    names = output.schema().names
    yield _csv_line(names)
    for row in rows:
        yield _csv_line([json.dumps(row[name], ensure_ascii=False) if isinstance(row[name], list) else row[name] for name in names])


def _csv_line(values: list[object]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue().encode("utf-8")


_LINES: dict[str, Callable[[Output, Iterator[Row]], Iterator[bytes]]] = {"jsonl": _json_lines, "json": _json_array, "csv": _csv_lines}
_MARKS = {"jsonl": 0, "json": 2, "csv": 1}
"""Parts of a file that are no rows."""
