"""Data files in, their rows out, a few at a time."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from curate.artifact import RECEIPT
from curate.config import UsageError
from curate.contract.columns import TURNS

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

READ = (
    "id", *TURNS, "conversations", "tools", "label", "text", "input_ids", "labels", "completion_mask", "assistant_masks",
    "chat_template_kwargs", "margin",
)  # fmt: skip
"""Columns that decide what a trainer reads, and the id."""
ROWS = 64
"""Rows in memory at a time: cells may hold megabytes."""

_BUFFER = 1 << 20
"""Bytes read at once; without it a column of a whole row group is in memory."""


class Row(NamedTuple):
    """A row and how to name it: by its id, or by its file and number."""

    name: str
    columns: dict


class DataFile(NamedTuple):
    """A file that can be read as often as is asked, whoever reads it."""

    name: str
    columns: list[str]
    """Those of the first row, where the file states no others."""
    rows: Callable[[], Iterator[Row]]


def opened(files: list[Path]) -> list[DataFile]:
    """Parquet and JSON Lines, ready to be read."""
    return [DataFile(file.name, columns_of(file), partial(rows_of, file)) for file in files]


def data_files(source: str | Path, split: str | None = None) -> list[Path]:
    """The files of an artifact's split (of all splits where none is named), or the file itself; UsageError where there is none."""
    path = Path(source)
    if path.is_dir():
        folder = path / "data" if (path / RECEIPT).exists() or (path / "data").is_dir() else path
        files = sorted([*folder.glob(f"{split or '*'}-*.parquet"), *folder.glob(f"{split or '*'}-*.jsonl")])
        if not files and split is None:
            files = sorted([*folder.glob("*.parquet"), *folder.glob("*.jsonl")])
    else:
        files = [path] if path.suffix in (".parquet", ".jsonl") and path.is_file() else []
    if not files:
        what = f"no data of split '{split}'" if split else "no artifact, .parquet or .jsonl file"
        raise UsageError(f"{path}: {what}; name an artifact's directory or a data file")
    return files


def columns_of(file: Path) -> list[str]:
    """Names of the columns; those of the first row of a JSONL file."""
    if file.suffix == ".parquet":
        return _parquet(file).schema_arrow.names
    return list(next((row.columns for row in _json_rows(file)), {}))


def rows_of(file: Path) -> Iterator[Row]:
    """The rows of a file in their order; UsageError at a file or a line that cannot be read."""
    return _parquet_rows(file) if file.suffix == ".parquet" else _json_rows(file)


def _parquet(file: Path) -> "pq.ParquetFile":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER)
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{file}: cannot be read as Parquet: {error}") from None


def _parquet_rows(file: Path) -> Iterator[Row]:
    import pyarrow as pa

    opened = _parquet(file)
    fields = [field for field in opened.schema_arrow if field.name in READ]
    number = 0
    try:
        for batch in opened.iter_batches(ROWS, columns=[field.name for field in fields], use_threads=False):
            for columns in batch.to_pylist():
                yield _row(file, number, {field.name: _decoded(columns[field.name], field.type) for field in fields})
                number += 1
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{file}: cannot be read to its end: {error}; make or fetch it again") from None


def _decoded(value: object, kind: "pa.DataType") -> object:
    """The value with Arrow's JSON read, as `datasets` gives it to a trainer; other texts stay texts."""
    import pyarrow as pa

    if value is None or "json" not in str(kind):
        return value
    if isinstance(kind, pa.JsonType):
        return json.loads(value)
    if pa.types.is_list(kind):
        return [_decoded(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: _decoded(value[field.name], field.type) for field in kind}
    return value


def _json_rows(file: Path) -> Iterator[Row]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                columns = json.loads(line)
            except ValueError as error:
                raise UsageError(f"{file}:{number}: not JSON: {error}; write it again") from None
            if not isinstance(columns, dict):
                raise UsageError(f"{file}:{number}: not a JSON object; a row is an object with named columns")
            yield _row(file, number, columns)


def _row(file: Path, number: int, columns: dict) -> Row:
    name = columns.get("id")
    return Row(name if isinstance(name, str) else f"{file.name}:{number}", columns)
