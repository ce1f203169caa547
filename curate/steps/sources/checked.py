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
from curate.steps.sources.loaded import Cell, cell_readers, cells, refuse_unloadable
from curate.steps.sources.ranks import TABLES, cut, read_rank

_OWN = (".parquet", ".jsonl")


def checked_files(place: str | Path, split: str | None = None) -> list[DataFile]:
    """An artifact, a folder or a file of any layout, opened; UsageError where there is none or it holds no rows."""
    path = Path(place)
    if split or path.is_dir() or path.suffix in _OWN:
        return opened(data_files(path, split))
    source = RowSource(paths=[str(place)])
    files = list_files(source)
    refuse_no_tables(files)
    for file in files:
        refuse_unloadable(file, source)
    return [_opened(rank, source) for rank in cut(files, source)]


def refuse_no_tables(files: list[InputFile]) -> None:
    """UsageError where a file is an archive or a page."""
    other = next((file for file in files if file.format not in TABLES), None)
    if other is not None:
        raise UsageError(f"{other.label}: is {other.format}, which holds no rows; read it by a `web` stage, or set `source.format:`")


def _opened(rank: Rank, source: RowSource) -> DataFile:
    readers = cell_readers(row.columns for row in _rows(rank, source)) if rank.file.format == "csv" else None
    rows = partial(_rows, rank, source, readers)
    return DataFile(rank.file.label, list(next((row.columns for row in rows()), {})), rows)


def _rows(rank: Rank, source: RowSource, readers: dict[str, Cell] | None = None) -> Iterator[Row]:
    account = Account()
    for unit in read_rank(rank, source, account):
        if unit.drop is not None:
            what = account.damage[-1].what if account.damage else unit.drop.reason
            raise UsageError(f"{unit.source}:{unit.offset}: {what}; a trainer's loader stops there; write the file again, or ingest it")
        name = unit.metadata.get("id")
        columns = dict(unit.metadata) if readers is None else cells(unit.metadata, readers)
        yield Row(name if isinstance(name, str) else f"{unit.source}:{unit.offset}", columns)
