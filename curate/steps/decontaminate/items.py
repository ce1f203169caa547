"""Benchmark files in, their items out: one text for each named field of each row."""

import csv
import io
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import orjson
from pydantic import BeforeValidator, Field, PlainSerializer, SerializationInfo, ValidationInfo

from curate.config import Model, UsageError, anchor, is_url
from curate.steps.sources import Source
from curate.steps.sources.expand import expand
from curate.steps.sources.lines import Broken, decompressed, split_lines
from curate.steps.sources.remote import downloaded, open_input

LONGEST_ROW = 100 << 20
SHOWN_COLUMNS = 12

Row = dict[str, object]


def _resolve(value: object, info: ValidationInfo) -> object:
    return anchor(str(value), (info.context or {}).get("base", Path.cwd())) if isinstance(value, str | Path) else value


def _identity(path: str, info: SerializationInfo) -> str:
    """The content of a local file where an identity is wanted; of data on the Hub its address, with the revision."""
    content_hash = (info.context or {}).get("content_hash")
    return content_hash(path) if content_hash and not is_url(path) else path


BenchmarkPath = Annotated[str, BeforeValidator(_resolve), PlainSerializer(_identity)]
"""A file, relative to the recipe, or a URL."""


class Benchmark(Model):
    """A set of test items that training text must not hold."""

    name: str = Field(..., min_length=1, description="What hits and reports call it.")
    path: BenchmarkPath = Field(
        ...,
        min_length=1,
        description="JSONL (plain, gzip, zstd), Parquet or CSV file, or `hf://datasets/owner/name@commit`; "
        "without a commit the Hub's present state is read.",
    )
    fields: tuple[str, ...] = Field(
        ...,
        min_length=1,
        description="Columns that hold the text of an item, such as [question, answer]; each is looked for by itself. "
        "A dot reaches into a mapping: `answers.text`.",
    )
    id: str | None = Field(None, description="Column that names an item; without it, its row number from 0 does.")
    config: str | None = Field(None, description="Configuration of a Hugging Face dataset.")
    split: str = Field("test", min_length=1, description="Split of a Hugging Face dataset.")


class Item(NamedTuple):
    """Whose text is looked for."""

    benchmark: int
    """Place of its benchmark in the recipe's list."""
    row: int
    """From 0."""
    item: str
    """What its benchmark calls it, or the row number."""
    field: str
    """The column, or several joined by `+`."""


class ItemText(NamedTuple):
    """One text to look for."""

    item: Item
    text: str


def items_of(number: int, benchmark: Benchmark) -> list[ItemText]:
    """Every field of every row that holds text, in order; UsageError where the file or a field is not there."""
    items: list[ItemText] = []
    columns: set[str] = set()
    for place, row in enumerate(_rows(benchmark)):
        columns.update(row)
        name = str(row.get(benchmark.id, place)) if benchmark.id else str(place)
        for field in benchmark.fields:
            if text := _text(_value(row, field)):
                items.append(ItemText(Item(number, place, name, field), text))
    _expect_fields(benchmark, {one.item.field for one in items}, columns)
    return items


def _expect_fields(benchmark: Benchmark, filled: set[str], columns: set[str]) -> None:
    """A misspelt column must not mean that nothing is looked for."""
    empty = [field for field in benchmark.fields if field not in filled]
    if benchmark.id and benchmark.id not in columns:
        empty.append(benchmark.id)
    if empty:
        found = ", ".join(sorted(columns)[:SHOWN_COLUMNS]) or "none"
        raise UsageError(f"{benchmark.path}: no row has text in '{empty[0]}'; name one of its columns: {found}")


def _value(row: Row, field: str) -> object:
    """What stands under a column, or below it where the name has dots."""
    if field in row:
        return row[field]
    value: object = row
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _text(value: object) -> str:
    """Strings and numbers as text, lists of them a line each; other values hold no text."""
    if isinstance(value, list | tuple):
        return "\n".join(filter(None, map(_text, value)))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()


def source_of(benchmark: Benchmark) -> Source:
    """The files of a benchmark."""
    return Source(paths=[benchmark.path], name=benchmark.config, split=benchmark.split)


def _rows(benchmark: Benchmark) -> Iterator[Row]:
    """The rows of all files that the benchmark names."""
    source = source_of(benchmark)
    for file in expand(benchmark.path, source):
        reader = _READERS.get(file.format)
        if reader is None:
            raise UsageError(f"{benchmark.path}: a benchmark cannot be read from {file.format}; give JSONL, Parquet or CSV")
        with open_input(file.path, None, source.network) as stream:
            seekable = downloaded(stream) if file.format == "parquet" and is_url(file.path) else nullcontext(stream)
            with seekable as table:
                yield from reader(table, benchmark.path)


def _jsonl(stream: BinaryIO, where: str) -> Iterator[Row]:
    """Damage is an error here: an item that is not read is an item that is not found."""
    try:
        for number, line in enumerate(split_lines(decompressed(stream), LONGEST_ROW), 1):
            if line is not None and not line.strip():
                continue
            row = orjson.loads(line or b"")
            if not isinstance(row, dict):
                raise UsageError(f"{where}:{number}: not a JSON object; give one object a line")
            yield row
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{where}:{number}: not JSON: {error}; repair or remove the line") from None
    except Broken as error:
        raise UsageError(f"{where}: {error}; fetch it again") from None


def _parquet(stream: BinaryIO, where: str) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(stream).iter_batches(batch_size=1024):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{where}: not a readable Parquet file: {error}; fetch it again") from None


def _csv(stream: BinaryIO, where: str) -> Iterator[Row]:
    try:
        text = b"".join(decompressed(stream)).decode("utf-8-sig")
        yield from csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if ".tsv" in where.lower() else ",")
    except (csv.Error, UnicodeDecodeError, Broken) as error:
        raise UsageError(f"{where}: not a readable table: {error}; fetch it again") from None


_READERS = {"jsonl": _jsonl, "parquet": _parquet, "csv": _csv}
