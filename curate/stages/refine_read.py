"""A rank of the refine stage in, its rows as units out: read from the input, with what earlier segments found out."""

from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from curate.config import UsageError
from curate.stages.refine import RefineJob, RowRank
from curate.stages.refine_barrier import GROUPS
from curate.stages.refine_units import CONTENT, Row, State, excerpt, resumed, told, unit_of
from curate.stages.segments import Segment, rank_directory, segment_directory
from curate.stages.web_barrier import decided, decisions
from curate.steps.rows.sides import metadata_of
from curate.steps.rows.unit import RowUnit

_BATCH = 1_000


class Read(NamedTuple):
    """Some rows as units, and as they stand in the input."""

    batch: pa.RecordBatch
    given: list[Row]
    units: list[RowUnit]


def read(job: RefineJob, segment: Segment, rank: int) -> Iterator[Read]:
    """The rank's rows that have come as far as this segment, a batch at a time."""
    piece = job.ranks[rank]
    if segment.number == 0:
        for first, batch in _batches(piece):
            given = batch.to_pylist()
            yield Read(batch, given, [unit_of(job.shape, dict(row), n, piece.start + n) for n, row in enumerate(given, first)])
        return
    before = rank_directory(job.directory, segment.number - 1, rank)
    states, groups = _states(before), _groups(job.directory, segment.number - 1)
    decisions = _decisions(before, states)
    ordinals = [state.ordinal for state in states]
    for first, batch in _batches(piece):
        here = slice(bisect_left(ordinals, first), bisect_left(ordinals, first + batch.num_rows))
        taken = batch.take(pa.array([ordinal - first for ordinal in ordinals[here]], pa.int64()))
        given = _given(taken, segment, [n for n, state in enumerate(states[here]) if state.ordinal in decisions])
        units = [_resumed(job, row, state, piece.start, groups) for row, state in zip(given, states[here], strict=True)]
        for unit in units:
            if unit.ordinal in decisions:
                _decide(unit, decisions[unit.ordinal], job.stage.dropped_text)
        yield Read(taken, given, units)


def _given(taken: pa.RecordBatch, segment: Segment, decided: list[int]) -> list[Row]:
    """The rows of a batch; without their texts where nothing looks at them any more."""
    if segment.steps or segment.barriers:
        return taken.to_pylist()
    rows = taken.select([name for name in taken.schema.names if name not in CONTENT]).to_pylist()
    for place, row in zip(decided, taken.take(pa.array(decided, pa.int64())).to_pylist(), strict=True):
        rows[place] = row
    return rows


def _batches(piece: RowRank) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rank's rows of the input, with the place of the first."""
    first = 0
    try:
        for batch in pq.ParquetFile(piece.path, pre_buffer=False).iter_batches(_BATCH, row_groups=list(piece.row_groups)):
            if first < piece.rows:
                yield first, batch.slice(0, piece.rows - first)
            first += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{piece.source}: cannot be read: {error}; make that artifact again") from None


def _states(before: Path) -> list[State]:
    """What the segment before wrote."""
    table = pq.ParquetFile(before / "units.parquet").read()
    return list(map(State, *(column.to_pylist() for column in table.columns)))


def _decisions(before: Path, states: list[State]) -> dict[int, dict]:
    """What the barriers decided, by ordinal; most rows stand alone, and nothing is said of them."""
    alive = [state.ordinal for state in states if state.drop == b"null"]
    return {alive[place]: decision for place, decision in decisions(before).items()}


def _groups(work: Path, segment: int) -> dict[str, str]:
    return orjson.loads((segment_directory(work, segment) / GROUPS).read_bytes())


def _resumed(job: RefineJob, given: Row, state: State, start: int, groups: dict[str, str]) -> RowUnit:
    unit = unit_of(job.shape, dict(given), state.ordinal, start + state.ordinal)
    resumed(unit, state)
    group = unit.row["group"]
    unit.row["group"] = groups.get(group, group)
    return unit


def _decide(unit: RowUnit, decision: dict, how_much: str) -> None:
    decided(unit, decision)
    if decision["marks"]:
        unit.row["metadata"] = orjson.dumps(metadata_of(unit.row) | orjson.loads(decision["marks"]), option=orjson.OPT_SORT_KEYS).decode()
    if unit.drop:
        unit.text_before = excerpt(told(unit), how_much)
