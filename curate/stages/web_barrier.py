"""Between two segments: what the barriers decide about all documents at once, written per rank.

In: the survivors and signatures of every rank. Out: `decisions.parquet` in each rank's
directory, one row a surviving document, `pairs.parquet` and the barriers' reports.
"""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import write_json
from curate.stages.web import Segment, rank_directory
from curate.steps.barrier import Decisions
from curate.steps.step import Drop

DECISION = pa.schema(
    [
        ("step", pa.string()),
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("twin", pa.string()),
        ("cluster", pa.string()),
        ("cluster_size", pa.int64()),
    ]
)


def survivors(directory: Path) -> list[str]:
    """Ids of a rank's documents that no step has dropped, in order."""
    table = pq.ParquetFile(directory / "units.parquet").read(columns=["id", "drop"])
    return [name for name, drop in zip(*(column.to_pylist() for column in table.columns), strict=True) if drop == b"null"]


def decide(work: Path, segment: Segment, ranks: int) -> None:
    """Let each barrier of the segment decide, in order; `barrier.json` says that it is done.

    A document dropped by one barrier is not seen by the next. When its kept twin falls to a
    later barrier, the twin named in the end is the document that is kept in its place.
    """
    directories = [rank_directory(work, segment.number, rank) for rank in range(ranks)]
    ids = [survivors(directory) for directory in directories]
    everyone = [name for rank in ids for name in rank]
    alive, leader = np.ones(len(everyone), dtype=bool), np.arange(len(everyone))
    fallen_to: list[tuple[str, Drop] | None] = [None] * len(everyone)
    accounts, pairs = [], []
    for barrier in segment.barriers:
        into, started = int(alive.sum()), time.process_time()
        decisions = barrier.resolve([directory / barrier.name for directory in directories], alive)
        for place in np.flatnonzero(alive & decisions.leaving):
            fallen_to[place] = (barrier.name, barrier.drop(float(decisions.value[place])))
            if decisions.twin[place] >= 0:
                leader[place] = decisions.twin[place]
            alive[place] = False
        meter = {"name": barrier.name, "in": into, "out": int(alive.sum()), "cpu_s": time.process_time() - started}
        accounts.append({**meter, "report": _named(decisions.report, everyone)})
        pairs.append(_pairs(barrier.name, decisions, everyone))
    _write(directories, ids, everyone, _final_leaders(leader), fallen_to)
    folder = work / f"segment-{segment.number}"
    pq.write_table(pa.concat_tables(pairs), folder / "pairs.parquet", compression="zstd")
    write_json(folder / "barrier.json", {"steps": accounts})


def _named(report: dict, everyone: list[str]) -> dict:
    """The barrier's report with document ids for positions."""
    largest = [{"kept": everyone[cluster["position"]], "size": cluster["size"]} for cluster in report.get("largest_clusters", [])]
    return {**report, "largest_clusters": largest}


def _final_leaders(leader: np.ndarray) -> np.ndarray:
    while not np.array_equal(leader, leader[leader]):
        leader = leader[leader]
    return leader


def _pairs(step: str, decisions: Decisions, everyone: list[str]) -> pa.Table:
    kept, dropped, jaccard = decisions.pairs
    return pa.table(
        {
            "step": pa.array([step] * len(kept), pa.string()),
            "kept": pa.array([everyone[place] for place in kept], pa.string()),
            "dropped": pa.array([everyone[place] for place in dropped], pa.string()),
            "jaccard": pa.array(jaccard, pa.float32()),
        }
    )


def _write(
    directories: list[Path], ids: list[list[str]], everyone: list[str], leader: np.ndarray, fallen_to: list[tuple[str, Drop] | None]
) -> None:
    sizes = np.bincount(leader, minlength=len(everyone))
    place = 0
    for directory, names in zip(directories, ids, strict=True):
        rows = []
        for _ in names:
            size = int(sizes[leader[place]])
            step, drop = fallen_to[place] or (None, Drop(None))
            kept = everyone[leader[place]]
            twin, cluster = (kept if leader[place] != place else None), (kept if size > 1 else None)
            rows.append(dict(zip(DECISION.names, (step, *drop, twin, cluster, size), strict=True)))
            place += 1
        temporary = directory / "decisions.tmp"
        pq.write_table(pa.Table.from_pylist(rows, DECISION), temporary)
        temporary.rename(directory / "decisions.parquet")
