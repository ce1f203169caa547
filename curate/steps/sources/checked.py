"""Files of rows in any layout that ingest reads in; what `curate check` reads of them out, and an error at the first broken row.

A trainer's loader stops at what ingest counts and passes over; so here nothing is passed over.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from curate.config import UsageError
from curate.contract.files import DataFile, Row, data_files, opened
from curate.steps.sources import RowSource
from curate.steps.sources.account import Account
from curate.steps.sources.files import InputFile, Rank
from curate.steps.sources.inputs import list_files
from curate.steps.sources.ranks import TABLES, cut, read_rank

_OWN = (".parquet", ".jsonl")
_MISSING = frozenset(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]
)
"""Cells of CSV that pandas, by which `datasets` reads them, takes for none."""
_TRUTH = {**dict.fromkeys(("True", "TRUE", "true"), True), **dict.fromkeys(("False", "FALSE", "false"), False)}


def checked_files(place: str | Path, split: str | None = None) -> list[DataFile]:
    """An artifact, a folder or a file of any layout, opened; UsageError where there is none or it holds no rows."""
    path = Path(place)
    if split or path.is_dir() or path.suffix in _OWN:
        return opened(data_files(path, split))
    source = RowSource(paths=[str(place)])
    files = list_files(source)
    refuse_no_tables(files)
    return [_opened(rank, source) for rank in cut(files, source)]


def refuse_no_tables(files: list[InputFile]) -> None:
    """UsageError where a file is an archive or a page."""
    other = next((file for file in files if file.format not in TABLES), None)
    if other is not None:
        raise UsageError(f"{other.label}: is {other.format}, which holds no rows; read it by a `web` stage, or set `source.format:`")


def _opened(rank: Rank, source: RowSource) -> DataFile:
    rows = partial(_rows, rank, source)
    return DataFile(rank.file.label, list(next((row.columns for row in rows()), {})), rows)


def _rows(rank: Rank, source: RowSource) -> Iterator[Row]:
    account, loaded = Account(), _cells if rank.file.format == "csv" else dict
    for unit in read_rank(rank, source, account):
        if unit.drop is not None:
            what = account.damage[-1].what if account.damage else unit.drop.reason
            raise UsageError(f"{unit.source}:{unit.offset}: {what}; a trainer's loader stops there; write the file again, or ingest it")
        name = unit.metadata.get("id")
        yield Row(name if isinstance(name, str) else f"{unit.source}:{unit.offset}", loaded(unit.metadata))


def _cells(row: dict[str, str]) -> dict[str, object]:
    """The cells as `datasets` gives them to a trainer: some words are none, and truth values are such."""
    return {name: None if cell in _MISSING else _TRUTH.get(cell, cell) for name, cell in row.items()}
