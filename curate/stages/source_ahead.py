"""A source that is not read yet in; rows of its beginning out, as the stage will make them, and how many times as many the whole will be.

For estimates only: what it makes lies in a temporary folder, and is gone again.
"""

from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.artifact import Artifact, Receipt, write_receipt
from curate.config import is_url
from curate.executors import LocalExecutor
from curate.stages import ingest_run, web_run
from curate.stages.accounts import rows_by_source
from curate.stages.asked import Read, rows
from curate.stages.given import Given
from curate.stages.ingest import Ingest
from curate.stages.web import Web
from curate.steps.sources import Source
from curate.steps.sources.account import Account
from curate.steps.sources.files import InputFile
from curate.steps.sources.lines import Broken, decompressed
from curate.steps.sources.ranks import SEEKING, TABLES
from curate.steps.sources.remote import downloaded, gives_ranges, open_input
from curate.steps.sources.tables import arrow_units

_UNITS = {Ingest: 1_000, Web: 200}
"""Units that are read: rows are read by the thousand a second, pages by the hundred."""
_FILES = 8
_REMOTE_BYTES = 64 * 2**20
"""A remote table is fetched whole before its first row: of a larger one only the beginning is looked into."""
_COUNTED_BYTES = 16 * 2**20
"""Of a file of lines, or of a large remote Arrow file, counted; the rest is taken to be like it."""


class Sample(NamedTuple):
    """Rows of a source's beginning."""

    shape: str
    rows: list[Read]
    times: float
    """How many rows the whole source makes for one of these; 1 where they are all."""
    basis: str
    """What `times` rests on; empty where it is 1."""


def sample(stage: Web | Ingest, files: list[InputFile], limit: int | None) -> Sample | None:
    """What the stage makes of the first units of some files, a user's code left out; None where not even they are cheap to read.

    Raises UsageError as the stage itself would.
    """
    chosen = _chosen(files, _UNITS[type(stage)])
    with TemporaryDirectory() as folder:
        looked_into = [_first_rows(file, stage.source, Path(folder)) if _dear(file) else file for file in chosen]
        if not looked_into or None in looked_into:
            return None
        most = max(1, min(_UNITS[type(stage)] // len(chosen), limit or _UNITS[type(stage)]))
        directory = Path(folder) / "sample"
        make = ingest_run.make if isinstance(stage, Ingest) else web_run.make
        made = make(_patient(stage), looked_into, directory, most, LocalExecutor(), 1, lambda progress: None)
        write_receipt(directory, Receipt(recipe="", stage="", fingerprint="", config={}, files=[], **made._asdict()))
        read = rows_by_source(directory)
        known = {file.label: _units(file, read[file.label], most, limit, stage.source, directory) for file in chosen}
        given = Given("rows", Artifact(directory), "train")
        found, shape = list(rows(given, limit)), given.shape
    whole = sum(known.values()) * _weight(files) / _weight(chosen)
    times = whole / max(1, sum(read.values()))
    if limit:
        times = min(times, limit / max(1, len(found)))
    scaled = [f"scaled from {sum(read.values()):,} of about {ceil(whole):,} units of the source"] if times > 1 else []
    code = ["as if your own code kept every row as it is"] if _has_code(stage) else []
    return Sample(shape, found, max(1.0, times), ", ".join(scaled + code))


def _has_code(stage: Web | Ingest) -> bool:
    """Whether a user's function stands among its steps: a plan runs none."""
    return any(step.name == "python" for step in stage.steps)


def _chosen(files: list[InputFile], units: int) -> list[InputFile]:
    """Some files, evenly from all: of pages one is one unit; of remote files one, if there is one that is cheap to read."""
    cheap = [file for file in files if not is_url(file.path)] or ([file for file in files if not _dear(file)] or files)[:1]
    count = min(len(cheap), units if cheap and cheap[0].format == "html" else _FILES)
    return [cheap[number * len(cheap) // count] for number in range(count)]


def _dear(file: InputFile) -> bool:
    return is_url(file.path) and file.format in SEEKING and (file.size is None or file.size > _REMOTE_BYTES)


def _first_rows(file: InputFile, source: Source, folder: Path) -> InputFile | None:
    """The first rows of a large remote table as a file of their own; None where they cannot be had without the rest."""
    path = folder / f"first.{file.format}"
    take = _first_group if file.format == "parquet" else _first_batches
    if not (gives_ranges(file.path, source.network) if file.format == "parquet" else file.size):
        return None
    try:
        with open_input(file.path, file.version, source.network) as stream:
            if not take(stream, path):
                return None
    except pa.ArrowException:  # damage is for the run to count
        return None
    return file._replace(path=str(path), size=path.stat().st_size, version=None)


def _first_group(stream: BinaryIO, path: Path) -> bool:
    """Write the first row group of a Parquet file, if there is a small one."""
    table = pq.ParquetFile(stream)
    if not table.num_row_groups or table.metadata.row_group(0).total_byte_size > _REMOTE_BYTES:
        return False
    pq.write_table(table.read_row_group(0), path)
    return True


def _first_batches(stream: BinaryIO, path: Path) -> bool:
    """Write the batches that an Arrow file begins with, if a whole one is within what is looked at."""
    batches, _ = _arrow_beginning(stream)
    if batches:
        with pa.ipc.new_file(path, batches[0].schema) as writer:
            writer.write_table(pa.Table.from_batches(batches).unify_dictionaries())
    return bool(batches)


def _arrow_beginning(stream: BinaryIO) -> tuple[list[pa.RecordBatch], int]:
    """Whole batches at the beginning of an Arrow file, and where they end: a file is a stream behind eight bytes that name it."""
    head = pa.BufferReader(stream.read(_COUNTED_BYTES))
    head.seek(8 if head.read(8) == b"ARROW1\0\0" else 0)
    batches, end = [], 0
    try:
        for batch in pa.ipc.open_stream(head):
            batches.append(batch)
            end = head.tell()
    except (pa.ArrowException, OSError):  # the beginning ends within a batch
        pass
    return batches, end


def _patient(stage: Web | Ingest) -> Web | Ingest:
    """The stage without a user's code, that no damage and no alarm stops: in so few units they prove nothing."""
    update: dict[str, object] = {"source": stage.source.model_copy(update={"max_damage": None})}
    if isinstance(stage, Web):
        update["alarm"] = stage.alarm.model_copy(update={"action": "warn"})
    if _has_code(stage):
        update["steps"] = [step for step in stage.steps if step.name != "python"]
    return stage.model_copy(update=update)


def _weight(files: list[InputFile]) -> float:
    """Bytes of all files, or their number where a size is not known."""
    return float(sum(file.size for file in files) if all(file.size for file in files) else len(files))


def _units(file: InputFile, read: int, most: int, limit: int | None, source: Source, directory: Path) -> float:
    """Units in a file of which so many were read: counted where that is cheap, else as its beginning has them."""
    if (read < most and not _dear(file)) or most == limit:
        return read
    with open_input(file.path, file.version, source.network) as stream:
        if file.format == "parquet":
            found = pq.read_metadata(stream).num_rows
        elif _dear(file):
            batches, end = _arrow_beginning(stream)
            found = sum(batch.num_rows for batch in batches) * file.size / end
        elif file.format == "arrow":
            found = sum(1 for _ in arrow_units(downloaded(stream) if is_url(file.path) else stream, file.label, source, Account()))
        elif file.format in TABLES:
            found = _beginning(stream, file.size).lines
        else:
            found = (read - 1) * _archive_bytes(stream, file) / max(1, _last_offset(file, directory))
    return max(read, min(found, limit or found))


class _Beginning(NamedTuple):
    """What a whole file holds, if it goes on as it begins."""

    lines: float
    size: float
    """Bytes of its content, decompressed."""


def _beginning(stream: BinaryIO, size: int | None) -> _Beginning:
    taken: list[int] = []
    lines, held, last = 0, 0, b"\n"
    try:
        for piece in decompressed(stream, taken.append):
            lines, held, last = lines + piece.count(b"\n"), held + len(piece), piece[-1:] or last
            if sum(taken) >= _COUNTED_BYTES:
                times = (size or sum(taken)) / sum(taken)
                return _Beginning(lines * times, held * times)
    except Broken:
        pass
    return _Beginning(lines + (last != b"\n"), held)


def _archive_bytes(stream: BinaryIO, file: InputFile) -> float:
    """Where an archive ends, by the measure of its records' offsets: in one of zstd those count decompressed bytes."""
    return _beginning(stream, file.size).size if file.path.endswith(".zst") else file.size or 0


def _last_offset(file: InputFile, directory: Path) -> int:
    """Where the last unit that was read begins in its file."""
    table = pq.read_table(directory / "ledger" / "00000.parquet", columns=["source", "offset"])
    return pc.max(table.filter(pc.equal(table["source"], file.label))["offset"]).as_py() or 0
