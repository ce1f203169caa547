"""Between two segments: what the barriers decide about all documents at once, written per rank.

In: the survivors and signatures of every rank. Out: `decisions.parquet` in each rank's
directory, one row a surviving document that falls, leads or is marked, `pairs.parquet` and the barriers' reports.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from curate.stages.segments import Segment, rank_directory, segment_directory, write_barrier_account
from curate.steps.barrier import Barrier, Decisions
from curate.steps.step import Drop, Unit

DECISION = pa.schema(
    [
        ("place", pa.int64()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("twin", pa.string()),
        ("cluster", pa.string()),
        ("cluster_size", pa.int64()),
        ("marks", pa.string()),
    ]
)


def survivors(directory: Path) -> list[str]:
    """Ids of a rank's documents that no step has dropped, in order."""
    table = pq.ParquetFile(directory / "units.parquet").read(columns=["id", "drop"])
    return [name for name, drop in zip(*(column.to_pylist() for column in table.columns), strict=True) if drop == b"null"]


def decide(
    work: Path, segment: Segment, ranks: int, name_of: Callable[[Barrier], str], finish: Callable[[Path, Segment, int], None] | None = None
) -> None:
    """Let each barrier of the segment decide, in order; `barrier.json` says that it is done, `finish` too.

    A unit dropped by one barrier is not seen by the next. When its kept twin falls to a
    later barrier, the twin named in the end is the unit that is kept in its place.
    """
    directories = [rank_directory(work, segment.number, rank) for rank in range(ranks)]
    ids = [survivors(directory) for directory in directories]
    everyone = [name for rank in ids for name in rank]
    alive, leader = np.ones(len(everyone), dtype=bool), np.arange(len(everyone))
    fallen_to: list[tuple[str, Drop] | None] = [None] * len(everyone)
    accounts, pairs, marks = [], [], {}
    for barrier in segment.barriers:
        name, into, started = name_of(barrier), int(alive.sum()), time.process_time()
        found = barrier.resolve([directory / name for directory in directories], alive)
        for place in np.flatnonzero(alive & found.leaving):
            fallen_to[place] = (name, barrier.drop(float(found.value[place])))
            if found.twin[place] >= 0:
                leader[place] = found.twin[place]
            alive[place] = False
        meter = {"name": name, "in": into, "out": int(alive.sum()), "cpu_s": time.process_time() - started}
        accounts.append({**meter, "report": _named(found.report, everyone)})
        pairs.append(_pairs(name, found, everyone))
        if found.marks is not None:
            marks = {place: _as_json({barrier.field: mark}) for place, mark in enumerate(found.marks) if mark is not None}
    _write(directories, ids, everyone, _final_leaders(leader), fallen_to, marks)
    pq.write_table(pa.concat_tables(pairs), segment_directory(work, segment.number) / "pairs.parquet", compression="zstd")
    if finish:
        finish(work, segment, ranks)
    write_barrier_account(work, segment, {"steps": accounts})


def decided(unit: Unit, decision: dict) -> None:
    """Write on a unit what the barriers decided about it."""
    unit.twin = decision["twin"]
    if decision["cluster"]:  # a unit may lead copies of an earlier barrier too
        unit.cluster, unit.cluster_size = decision["cluster"], decision["cluster_size"] + unit.cluster_size - 1
    if decision["twin"]:
        unit.values[f"{decision['step']}.jaccard"] = decision["value"]
    if decision["reason"]:
        unit.drop = Drop(decision["reason"], decision["value"], decision["threshold"])
        unit.dropped_by = decision["step"]


def _as_json(marks: dict[str, str]) -> str:
    return orjson.dumps(marks).decode()


def _named(report: dict, everyone: list[str]) -> dict:
    """The barrier's report with document ids for positions."""
    if "largest_clusters" not in report:
        return report
    largest = [{"kept": everyone[cluster["position"]], "size": cluster["size"]} for cluster in report["largest_clusters"]]
    return {**report, "largest_clusters": largest}


def _final_leaders(leader: np.ndarray) -> np.ndarray:
    while not np.array_equal(leader, leader[leader]):
        leader = leader[leader]
    return leader


def _pairs(step: str, found: Decisions, everyone: list[str]) -> pa.Table:
    kept, dropped, jaccard = found.pairs
    return pa.table(
        {
            "step": pa.array([step] * len(kept), pa.string()),
            "kept": pa.array([everyone[place] for place in kept], pa.string()),
            "dropped": pa.array([everyone[place] for place in dropped], pa.string()),
            "jaccard": pa.array(jaccard, pa.float32()),
        }
    )


def _write(
    directories: list[Path],
    ids: list[list[str]],
    everyone: list[str],
    leader: np.ndarray,
    fallen_to: list[tuple[str, Drop] | None],
    marks: dict[int, str],
) -> None:
    sizes = np.bincount(leader, minlength=len(everyone))
    first = 0
    for directory, names in zip(directories, ids, strict=True):
        rows = []
        for place in range(first, first + len(names)):
            size = int(sizes[leader[place]])
            if size == 1 and not fallen_to[place] and place not in marks:
                continue
            step, drop = fallen_to[place] or (None, Drop(None))
            kept = everyone[leader[place]]
            twin, cluster = (kept if leader[place] != place else None), (kept if size > 1 else None)
            rows.append(dict(zip(DECISION.names, (place - first, step, *drop, twin, cluster, size, marks.get(place)), strict=True)))
        first += len(names)
        temporary = directory / "decisions.tmp"
        pq.write_table(pa.Table.from_pylist(rows, DECISION), temporary)
        temporary.rename(directory / "decisions.parquet")


def decisions(directory: Path) -> dict[int, dict]:
    """What was decided about a rank's survivors, by their number; of most nothing. `marks` is JSON for the metadata."""
    rows = pq.ParquetFile(directory / "decisions.parquet").read().to_pylist()
    return {row["place"]: row for row in rows}
