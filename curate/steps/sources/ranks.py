"""Ranks: a list of files in, shares of it that a worker reads alone, and the units of a share out.

The cut depends on the input alone, never on the machine, so any number of workers makes the same ranks.
"""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from itertools import islice
from typing import BinaryIO

import xxhash

from curate.config import StoppedError, is_url
from curate.steps.sources import Source
from curate.steps.sources.account import Account, Damage
from curate.steps.sources.fields import broken
from curate.steps.sources.files import InputFile, Rank
from curate.steps.sources.inputs import PROBES, threads
from curate.steps.sources.kinds import ARCHIVES, GZIP
from curate.steps.sources.opt_outs import leave_out, parsed
from curate.steps.sources.pages import UNREADABLE, lost, page_unit, unreadable
from curate.steps.sources.patience import RemoteChanged
from curate.steps.sources.remote import downloaded, open_input
from curate.steps.sources.tables import Pending, arrow_units, csv_units, jsonl_units, parquet_units
from curate.steps.sources.warc import is_splittable, read_archive
from curate.steps.step import Unit

TABLES = {"jsonl": jsonl_units, "csv": csv_units, "parquet": parquet_units, "arrow": arrow_units}
SEEKING = frozenset({"parquet", "arrow"})


def cut(files: list[InputFile], source: Source) -> list[Rank]:
    """Ranks in the order of the files: pages in groups, large gzip archives by byte ranges, the rest whole."""
    large = [file for file in files if file.format in ARCHIVES and (file.size or 0) > source.rank_bytes]
    splittable = _all_splittable(large, source) if large else {}
    shares: list[tuple[tuple[InputFile, ...], int, int | None]] = []
    for group in _groups(files, source):
        starts = range(0, group[0].size or 1, source.rank_bytes) if splittable.get(group[0]) else range(1)
        ends = [*starts[1:], None]
        shares += [(group, start, end) for start, end in zip(starts, ends, strict=True)]
    return [Rank(index, *share) for index, share in enumerate(shares)]


def _all_splittable(files: list[InputFile], source: Source) -> dict[InputFile, bool]:
    with threads(PROBES) as pool:
        return dict(zip(files, pool.map(lambda file: _splittable(file, source), files), strict=True))


def _groups(files: list[InputFile], source: Source) -> Iterator[tuple[InputFile, ...]]:
    """Files that are read together: neighbouring pages up to the limits, anything else alone."""
    group: list[InputFile] = []
    size = 0
    for file in files:
        alone = file.format != "html" or (group and group[0].format != "html")
        if group and (alone or len(group) == source.rank_files or size + (file.size or 0) > source.rank_bytes):
            yield tuple(group)
            group, size = [], 0
        group.append(file)
        size += file.size or 0
    if group:
        yield tuple(group)


def _splittable(file: InputFile, source: Source) -> bool:
    try:
        with open_input(file.path, file.version, source.network) as stream:
            return stream.read(2) == GZIP and (stream.seek(0), is_splittable(stream))[1]
    except (PermissionError, RemoteChanged):
        return False


def read_rank(
    rank: Rank,
    source: Source,
    account: Account,
    limit: int | None = None,
    skip: frozenset[int] = frozenset(),
) -> Iterator[Unit]:
    """The units of a rank, numbered from 0, each with its id; `skip` names ordinals that are dropped untouched.

    `account.read` equals the units yielded. Raises UsageError for a table without the wanted
    column, OSError (RemoteError) or StoppedError where the input cannot be had now.
    """
    before = account.read
    opt_outs = parsed(source.opt_out, "opt_out")
    units = (found for file in rank.files for found in _file_units(file, rank, source, account, skip))
    for ordinal, (file, place, pending) in enumerate(islice(units, limit)):
        unit = broken(pending.offset, "crashed_worker") if ordinal in skip else pending.make()
        unit.ordinal, unit.source = ordinal, file.label
        unit.id = unit_id(file, unit.offset, place)
        unit.licence = unit.licence or source.licence
        leave_out(unit, opt_outs)
        account.read = before + ordinal + 1
        yield unit


def unit_id(file: InputFile, offset: int, place: int = 0) -> str:
    """32 hex from content, never from names: the same on every machine. `place` tells units of one offset apart."""
    return xxhash.xxh3_128_hexdigest(f"{file.fingerprint}:{file.occurrence}:{offset}:{place}".encode())


def _file_units(
    file: InputFile, rank: Rank, source: Source, account: Account, skip: frozenset[int]
) -> Iterator[tuple[InputFile, int, Pending]]:
    """The pending units of one file, each with its place among those of the same offset."""
    last, place = None, 0
    for pending in _pending(file, rank, source, account, skip):
        place = place + 1 if pending.offset == last else 0
        last = pending.offset
        yield file, place, pending


def _pending(file: InputFile, rank: Rank, source: Source, account: Account, skip: frozenset[int]) -> Iterator[Pending]:
    """Units until the end of the file, or until it cannot be read or turns out to be another one."""
    _expect_unchanged(file)
    if file.format == "html":
        yield Pending(0, partial(page_unit, file, source, account))
        return
    if file.size == 0:
        account.damage.append(Damage(file.label, 0, "empty file"))
        return
    try:
        stream = open_input(file.path, file.version, source.network)
    except UNREADABLE as error:
        yield _made(lost(file, 0, unreadable(file, error), "unreadable", account))
        return
    with stream:
        try:
            yield from _units_in(stream, file, rank, source, account, skip)
        except RemoteChanged:
            place = stream.raw.tell()
            yield _made(lost(file, place, "changed while reading", "changed_while_reading", account))


def _made(unit: Unit) -> Pending:
    return Pending(unit.offset, lambda: unit)


def _expect_unchanged(file: InputFile) -> None:
    """StoppedError where a local file is no longer as long as when it was listed."""
    if is_url(file.path) or file.size is None:
        return
    try:
        size = os.stat(file.path).st_size
    except OSError as error:
        raise StoppedError(f"{file.label}: cannot be read any more: {error.strerror}; run again") from None
    if size != file.size:
        raise StoppedError(f"{file.label}: has changed from {file.size:,} to {size:,} bytes since the start; run again")


def _units_in(
    stream: BinaryIO, file: InputFile, rank: Rank, source: Source, account: Account, skip: frozenset[int]
) -> Iterator[Pending]:
    if file.format in TABLES:
        with downloaded(stream) if file.format in SEEKING and is_url(file.path) else nullcontext(stream) as table:
            yield from TABLES[file.format](table, file.label, source, account)
        return
    account.file = file.label
    for unit in read_archive(stream, rank.start, rank.end, account, source.limits, skip):
        yield _made(unit)
