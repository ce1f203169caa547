"""Rows of JSONL, CSV, Parquet and Arrow files: an open file in, one pending unit a row out.

A pending unit is made only when it is asked for, so a row that kills its worker can be passed by.
"""

import csv
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curate.config import UsageError
from curate.formats.json_text import DuplicateKey, loaded_line
from curate.steps.sources import Source
from curate.steps.sources.account import Account, Damage
from curate.steps.sources.csv_layout import separator, stated_separator
from curate.steps.sources.encodings import Text, text_of
from curate.steps.sources.fields import broken, unit_of
from curate.steps.sources.json_values import is_lines, json_values
from curate.steps.sources.lines import Broken, decompressed, split_lines
from curate.steps.step import Drop, Unit

BATCH_BYTES = 8 * 2**20
BATCH_ROWS = 1024


class Pending(NamedTuple):
    """A unit that is still to be made, and its place in the file."""

    offset: int
    make: Callable[[], Unit]


def jsonl_units(file: BinaryIO, label: str, source: Source, account: Account) -> Iterator[Pending]:
    """One unit a line; the offset is the line's number, from 1. Raw rows may be the values of one array too."""
    number = 0
    try:
        for number, line in enumerate(_values(_text(file, label, source, account), source), 1):
            if line is not None and not line.strip():
                account.ignored["blank_line"] += 1
                continue
            yield Pending(number, partial(_line_unit, line, number, label, source, account))
    except Broken as error:
        yield _damaged(number + 1, str(error), label, account)
    if number == 0:
        account.damage.append(Damage(label, 0, "empty file"))


def _text(file: BinaryIO, label: str, source: Source, account: Account) -> Text:
    def seen(count: int) -> None:
        account.bytes_read += count

    return text_of(decompressed(file, seen), label, source.encoding)


def _values(text: Text, source: Source) -> Iterator[bytes | None]:
    """Lines, or where the file is not of one value a line, its values."""
    lines = not source.raw or is_lines(text.head)
    return (split_lines if lines else json_values)(text.pieces, source.limits.max_record_bytes)


def _damaged(offset: int, what: str, label: str, account: Account, reason: str = "broken_record") -> Pending:
    account.damage.append(Damage(label, offset, what))
    return Pending(offset, partial(broken, offset, reason))


def _line_unit(line: bytes | None, number: int, label: str, source: Source, account: Account) -> Unit:
    if line is None:
        unit = broken(number, "too_large")
        unit.drop = Drop("too_large", None, source.limits.max_record_bytes)
        return unit
    try:
        return unit_of(loaded_line(line, mended=not source.raw), number, source)
    except DuplicateKey as error:
        account.damage.append(Damage(label, number, str(error)))
        return broken(number, "duplicate_key")
    except (ValueError, RecursionError) as error:
        account.damage.append(Damage(label, number, f"not JSON: {error}"))
        return broken(number, "broken_json")


def csv_units(file: BinaryIO, label: str, source: Source, account: Account) -> Iterator[Pending]:
    """One unit a record below the header, which is record 0; quoted fields may hold line breaks."""
    csv.field_size_limit(max(csv.field_size_limit(), source.limits.max_record_bytes))
    number = -1
    header: list[str] = []
    try:
        for number, record in enumerate(_records(_reader(_text(file, label, source, account), label, source))):
            if number == 0:
                header = record if isinstance(record, list) else []
                require_column(header, label, source)
            elif record == []:
                account.ignored["blank_line"] += 1
            elif isinstance(record, str) or len(record) != len(header):
                what = record if isinstance(record, str) else f"{len(record)} fields under {len(header)} columns"
                yield _damaged(number, what, label, account, "broken_csv")
            else:
                yield Pending(number, partial(unit_of, dict(zip(header, record, strict=True)), number, source))
    except Broken as error:
        yield _damaged(number + 1, str(error), label, account)
    if number == -1:
        account.damage.append(Damage(label, 0, "empty file"))


def _reader(text: Text, label: str, source: Source) -> Iterator[list[str]]:
    """The file's records, cut by the separator that it states, or that fits."""
    beginning = text.head.decode("utf-8", "replace")
    stated = stated_separator(beginning)
    lines = _decoded(split_lines(text.pieces, source.limits.max_record_bytes), source)
    return csv.reader(islice(lines, 1 if stated else 0, None), delimiter=stated or separator(beginning, label))


def _decoded(lines: Iterator[bytes | None], source: Source) -> Iterator[str]:
    for line in lines:
        if line is None:
            raise Broken(f"a line is longer than {source.limits.max_record_bytes:,} bytes")
        yield line.decode("utf-8", "surrogateescape" if source.raw else "replace") + "\n"


def _records(reader: Iterator[list[str]]) -> Iterator[list[str] | str]:
    """The reader's records, and for each that is broken what is wrong with it."""
    while True:
        try:
            yield next(reader)
        except csv.Error as error:
            yield str(error)
        except StopIteration:
            return


def require_column(columns: list[str], label: str, source: Source) -> None:
    """UsageError where a name stands twice, or the column that holds the text, or the page, is not among a table's."""
    twins = sorted({name for name in columns if name and columns.count(name) > 1})
    if twins:
        raise UsageError(f"{label}: holds column '{twins[0]}' more than once, and one would be lost; rename all but one")
    if source.raw:
        return
    key = "html_field" if source.html_field else "text_field"
    wanted = getattr(source, key)
    if wanted not in columns:
        found = ", ".join(columns) or "none"
        raise UsageError(f"{label}: has no column '{wanted}' but {found}; set `{key}:` to one of them")


def parquet_units(file: BinaryIO, label: str, source: Source, account: Account) -> Iterator[Pending]:
    """One unit a row, from 0; where a row group is damaged each of its rows is lost by name, and the next is read."""
    try:
        table = pq.ParquetFile(file, buffer_size=2**20, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        yield _damaged(0, f"not a readable Parquet file: {_first_line(error)}", label, account, "unreadable")
        return
    require_column(table.schema_arrow.names, label, source)
    first = 0
    for group in range(table.metadata.num_row_groups):
        meta = table.metadata.row_group(group)
        done = first
        try:
            for batch in table.iter_batches(_batch_rows(meta.total_byte_size, meta.num_rows), row_groups=[group]):
                yield from _batch_units(batch, done, label, source, account)
                done += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            account.damage.append(Damage(label, done, f"row group {group}: {_first_line(error)}"))
            yield from (Pending(row, partial(broken, row, "broken_record")) for row in range(done, first + meta.num_rows))
        first += meta.num_rows
        account.bytes_read += sum(meta.column(index).total_compressed_size for index in range(meta.num_columns))


def arrow_units(file: BinaryIO, label: str, source: Source, account: Account) -> Iterator[Pending]:
    """One unit a row of an Arrow file or stream, from 0; what follows a damaged batch is lost."""
    done = 0
    try:
        for batch in _arrow_batches(file):
            if done == 0:
                require_column(batch.schema.names, label, source)
            batch.validate(full=True)
            step = _batch_rows(batch.nbytes, batch.num_rows)
            for begin in range(0, batch.num_rows, step):
                yield from _batch_units(batch.slice(begin, step), done + begin, label, source, account)
            done += batch.num_rows
            account.bytes_read += batch.nbytes
    except (pa.ArrowException, OSError) as error:
        yield _damaged(done, f"not readable as Arrow from row {done:,} on: {_first_line(error)}", label, account)


def _arrow_batches(file: BinaryIO) -> Iterator[pa.RecordBatch]:
    try:
        reader = pa.ipc.open_file(file)
    except pa.ArrowInvalid:
        file.seek(0)
        yield from pa.ipc.open_stream(file)
        return
    yield from (reader.get_batch(index) for index in range(reader.num_record_batches))


def _batch_rows(size: int, rows: int) -> int:
    """Rows that make about BATCH_BYTES."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(size, 1)))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _batch_units(batch: pa.RecordBatch, first: int, label: str, source: Source, account: Account) -> Iterator[Pending]:
    plain = pa.RecordBatch.from_arrays([_plain(column) for column in batch.columns], names=batch.schema.names)
    try:
        rows = plain.to_pylist()
    except (ValueError, OverflowError):
        rows = [_row(plain.slice(index, 1)) for index in range(plain.num_rows)]
    encoded = [field for field in plain.schema if "arrow.json" in str(field.type)]
    for number, row in enumerate(rows, first):
        if isinstance(row, str):
            yield _damaged(number, row, label, account)
        else:
            row.update({field.name: _opened(row[field.name], field.type) for field in encoded})
            yield Pending(number, partial(unit_of, row, number, source))


def _opened(value: object, type_: pa.DataType) -> object:
    """A value that holds texts of JSON (Arrow's `json`, the `Json` of `datasets`), these as the objects that they are."""
    if value is None:
        return None
    if isinstance(type_, pa.JsonType):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return [_opened(item, type_.value_type) for item in value]
    return {field.name: _opened(value[field.name], field.type) for field in type_} if pa.types.is_struct(type_) else value


def _row(one: pa.RecordBatch) -> dict[str, object] | str:
    """A row, or why it has no values in Python, as text that is not UTF-8."""
    try:
        return one.to_pylist()[0]
    except (ValueError, OverflowError) as error:
        return f"unreadable row: {_first_line(error)}"


def _plain(column: pa.Array) -> pa.Array:
    """Times as ISO 8601 text: Python's have neither nanoseconds nor the years that Arrow's have."""
    if not pa.types.is_timestamp(column.type):
        return column
    import pyarrow.compute as pc

    zone = "Z" if column.type.tz else ""
    text = pc.replace_substring(column.cast(pa.timestamp(column.type.unit)).cast(pa.string()), " ", "T")
    return pc.binary_join_element_wise(text, zone, "")
