"""Phase three of a mix: the sources read again; the rows of each split in its format and drawn order, as shards.

The order is over all rows, and they may not fit into memory: rows go to disk in runs, each cut
into the same buckets of places, and a bucket at a time is gathered from all runs and sorted.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.outputs import Output, Packed, holds_tools, interleaved, table, write_packed
from curate.pairs import PairRule
from curate.stages.collection import rarely_collected
from curate.stages.given import Given
from curate.stages.mix import Format, Mix
from curate.stages.mix_formats import SourceRow, carrier
from curate.stages.mix_plan import Plan, group_lots
from curate.stages.mix_scan import batches
from curate.stages.mix_units import Units, lots

_BUCKET_BYTES = 32 * 2**20
_MOST_BUCKETS = 1_024
_RUN_BYTES = 32 * 2**20
_RUN_ROWS = 20_000
_ROW_GROUP = 20_000
_EPOCH = np.uint64(0x9E3779B97F4A7C15)
PLACE = "__place"


class Places(NamedTuple):
    """Where the rows of a split's units stand in it."""

    first: np.ndarray
    """int64: for every unit, the number of its first row when rows are counted unit by unit, epoch by epoch."""
    place: np.ndarray
    """int64: for every row so counted, its place in the split."""

    def of(self, units: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """int64: places of the rows that some units give, so many each."""
        starts = self.first[units] - (np.cumsum(sizes) - sizes)
        return self.place[np.repeat(starts, sizes) + np.arange(sizes.sum())]


def places(mix: Mix, units: Units, plan: Plan, split: int, order: str) -> Places:
    """The drawn order of a split: any, neighbours by `group`, or labels spread evenly (`label`)."""
    count = np.where(plan.split == split, plan.times, 0)
    owner = np.repeat(np.arange(len(units)), count)
    epoch = (np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)).astype(np.uint64)
    keys = lots(mix.seed, units.id[owner] + epoch * _EPOCH, 2)
    if order == "group":
        together = lots(mix.seed, group_lots(mix, units)[units.group[owner]] + epoch * _EPOCH, 3)
        ranked = np.lexsort((keys, together))
    else:
        ranked = np.argsort(keys, kind="stable")
    parts = units.parts[split][owner].astype(np.int64)
    starts = np.empty(len(owner), np.int64)
    starts[ranked] = np.cumsum(parts[ranked]) - parts[ranked]
    within = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    place = np.repeat(starts, parts) + within
    if order == "label":
        place = _spread(place, within < np.repeat(units.positive[split][owner], parts), mix.seed)
    rows = units.parts[split] * count
    return Places(np.cumsum(rows) - rows, place)


def _spread(place: np.ndarray, positive: np.ndarray, seed: int) -> np.ndarray:
    labels = np.empty(len(place), bool)
    labels[place] = positive
    moved = np.empty(len(place), np.int64)
    moved[interleaved(labels, seed)] = np.arange(len(place))
    return moved[place]


class Runs:
    """Written rows of one split on their way to disk."""

    def __init__(self, directory: Path, form: Format, places: Places, buckets: int) -> None:
        self.directory, self.output, self.places = directory, carrier(form.output), places
        self.edges = np.arange(1, buckets) * len(places.place) // buckets
        self.waiting: list[pa.Table] = []
        self.rows = self.bytes = self.number = 0
        directory.mkdir(parents=True)

    def add(self, rows: pa.Table, at: np.ndarray) -> None:
        """Rows and their places."""
        made = rows.append_column(PLACE, pa.array(at))
        self.waiting.append(made)
        self.rows += made.num_rows
        self.bytes += made.nbytes
        if self.rows >= _RUN_ROWS or self.bytes >= _RUN_BYTES:
            self.flush()

    def flush(self) -> None:
        """One sorted run: a record batch for each bucket."""
        if not self.waiting:
            return
        run = pa.concat_tables(self.waiting).combine_chunks()
        at = run.column(PLACE).to_numpy()
        order = np.argsort(at, kind="stable")
        cuts = [0, *np.searchsorted(at[order], self.edges).tolist(), len(order)]
        run = run.take(pa.array(order)).combine_chunks()
        with pa.OSFile(str(self.directory / f"{self.number:06d}.arrow"), "wb") as sink, pa.ipc.new_file(sink, run.schema) as writer:
            for start, end in pairwise(cuts):
                part = run.slice(start, end - start).to_batches()
                writer.write_batch(part[0] if part else pa.RecordBatch.from_pylist([], run.schema))
        self.waiting, self.rows, self.bytes, self.number = [], 0, 0, self.number + 1


def write_runs(
    mix: Mix, given: dict[str, Given], units: Units, plan: Plan, directory: Path, limit: int | None, on_batch: Callable[[str, int], None]
) -> None:
    """Read every source again and leave the runs of every split below `directory`."""
    runs = []
    for number, form in enumerate(mix.formats):
        at = places(mix, units, plan, number, form.output.order)
        runs.append(Runs(directory / form.split, form, at, _buckets(given, len(at.place))))
    first = 0
    for name, source in given.items():
        for batch in rarely_collected(batches(source, limit)):
            here = slice(first, first + batch.rows.num_rows)
            _add(runs, (source.shape, mix.rule(name)), batch.rows, plan.split[here], plan.times[here], first)
            first = here.stop
            on_batch(name, batch.rows.num_rows)
    for run in runs:
        run.flush()


def _buckets(given: dict[str, Given], rows: int) -> int:
    """By the mean size of a source's row, so that a bucket fits into memory."""
    metadata = [pq.read_metadata(file) for source in given.values() for file in source.files]
    there = sum(one.num_rows for one in metadata)
    size = sum(one.row_group(number).total_byte_size for one in metadata for number in range(one.num_row_groups))
    return min(_MOST_BUCKETS, 1 + rows * size // max(there, 1) // _BUCKET_BYTES)


def _add(
    runs: list[Runs], source: tuple[str, PairRule | None], rows: pa.RecordBatch, split: np.ndarray, times: np.ndarray, first: int
) -> None:
    """Give a batch's rows, of a source's shape and pair rule, to the runs of their splits."""
    for number, run in enumerate(runs):
        mine = np.flatnonzero(split == number)
        if not len(mine):
            continue
        made, sizes = _written(run.output, source, rows, mine, times[mine])
        run.add(made, run.places.of(first + mine, sizes))


def _written(
    output: Output, source: tuple[str, PairRule | None], rows: pa.RecordBatch, mine: np.ndarray, times: np.ndarray
) -> tuple[pa.Table, np.ndarray]:
    """What some rows of a batch give in the format, each so many times, and how many rows each gives in all (int64)."""
    if source[0] in output.accepts and not holds_tools(rows):
        made = output.at_once(source[0], rows.take(pa.array(np.repeat(mine, times))))
        if made is not None:
            return made, times.astype(np.int64)
    said = [SourceRow(row, *source).written(output) for row in rows.take(pa.array(mine)).to_pylist()]
    repeated = [one for some, often in zip(said, times.tolist(), strict=True) for one in some * often]
    return table(repeated, output.schema()), np.array([len(some) for some in said]) * times


def in_order(directory: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a split, bucket by bucket, from its runs."""
    runs = sorted(directory.glob("*.arrow"))
    buckets = pa.ipc.open_file(pa.memory_map(str(runs[0]))).num_record_batches if runs else 0
    for bucket in range(buckets):
        parts = [pa.ipc.open_file(pa.memory_map(str(run))).get_batch(bucket) for run in runs]
        whole = pa.Table.from_batches(parts)
        order = np.argsort(whole.column(PLACE).to_numpy(), kind="stable")
        yield whole.take(pa.array(order)).select(schema.names)


def write_split(mix: Mix, form: Format, runs: Path, directory: Path) -> list[str]:
    """Write a split's shards into `directory`; their names, in order."""
    output = form.output
    rows = in_order(runs, carrier(output).schema())
    if isinstance(output, Packed):
        texts = (row for part in rows for row in part.select(["text"]).to_pylist())
        return write_packed(texts, Path(output.tokenizer), output.eos, directory, form.split, output.shard_tokens).files
    return _shards(rows, output, directory, form.split, mix.shard_bytes)


def _shards(parts: Iterator[pa.Table], output: Output, directory: Path, split: str, shard_bytes: int) -> list[str]:
    names: list[str] = []
    part = next(parts, None)
    while part is not None or not names:
        names.append(f"{split}-{len(names):05d}.parquet")
        held = 0
        with pq.ParquetWriter(directory / names[-1], output.schema(), compression="zstd") as writer:
            while part is not None and held < shard_bytes:
                room = max(1, int((shard_bytes - held) / max(part.nbytes, 1) * part.num_rows))
                piece = part.slice(0, room)
                writer.write_table(piece, row_group_size=_ROW_GROUP)
                held += piece.nbytes
                part = part.slice(room) if room < part.num_rows else next(parts, None)
    return names
