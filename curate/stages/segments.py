"""Steps in, segments out: what streams between two barriers, where each rank of it lies, and its accounts.

A stage runs segment by segment: within one each rank streams alone, between two the
barriers decide once about all units. What is on disk is done.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from curate import ledger
from curate.artifact import write_json
from curate.config import Model
from curate.executors import Wave
from curate.heartbeat import Heartbeat
from curate.stages.accounts import sum_steps
from curate.steps.barrier import Barrier
from curate.steps.step import Step

Skips = dict[int, dict[int, str]]
"""Units that killed their worker: reason by ordinal, by the place of the step (0: the source) they did it in."""


class Segment(NamedTuple):
    """Steps that stream, then the barriers that end them."""

    number: int
    steps: list[Step]
    barriers: list[Barrier]
    last: bool


class Segmented(Protocol):
    """A stage whose steps run in segments."""

    def segments(self) -> list[Segment]: ...


class Job(Model):
    """What a worker must know, at the least; stages add to it what they read. Written to `job.json` in the work directory."""

    directory: Path


Told = TypeVar("Told", bound=Job)


class Meter:
    """Units in, units out and CPU seconds of one step."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.into = self.out = 0
        self.cpu_s = 0.0

    def as_json(self) -> dict:
        return {"name": self.name, "in": self.into, "out": self.out, "cpu_s": self.cpu_s}


class Sums(NamedTuple):
    """The accounts of all ranks and barriers, summed."""

    read: int
    kept: int
    dropped: dict[str, int]
    ignored: dict[str, int]
    steps: list[dict]


def segments_of(steps: Sequence[Step]) -> list[Segment]:
    """The steps cut after the barriers, and after a barrier that marks; the last segment has none and writes the rows."""
    parts: list[tuple[list[Step], list[Barrier]]] = [([], [])]
    for step in steps:
        barriers = parts[-1][1]
        if barriers and (barriers[-1].marking or not isinstance(step, Barrier)):
            parts.append(([], []))
        parts[-1][isinstance(step, Barrier)].append(step)
    if parts[-1][1]:
        parts.append(([], []))
    return [Segment(n, steps, barriers, n == len(parts) - 1) for n, (steps, barriers) in enumerate(parts)]


def segment_directory(work: Path, segment: int) -> Path:
    return work / f"segment-{segment}"


def rank_directory(work: Path, segment: int, rank: int) -> Path:
    """Where one rank of one segment leaves its output; there only when complete."""
    return segment_directory(work, segment) / f"{rank:05d}"


@contextmanager
def appearing(final: Path) -> Iterator[Path]:
    """A directory to write into, renamed to `final` as a whole in the end; what a dead worker left of it is removed."""
    temporary = final.with_name(f"{final.name}.{os.getpid()}.tmp")
    for stale in final.parent.glob(f"{final.name}.*.tmp"):
        shutil.rmtree(stale)
    temporary.mkdir(parents=True)
    yield temporary
    temporary.rename(final)


@cache
def job_of(shape: type[Told], directory: Path) -> Told:
    """The job that a worker process serves, read once: loaded models and lists live in its steps."""
    job = shape.model_validate_json((directory / "job.json").read_bytes())
    return job.model_copy(update={"directory": directory})  # on another machine it may lie elsewhere


@contextmanager
def begun(stage: Segmented, directory: Path, task: dict, heartbeat: Heartbeat) -> Iterator[tuple[Segment, Path]]:
    """A rank that a task names, {segment, rank, ...}: its segment, ready, and a directory to write into that appears as a whole."""
    segment, rank = stage.segments()[task["segment"]], task["rank"]
    for step in segment.steps:
        step.warm_up()
    heartbeat.begin_rank(rank)
    with appearing(rank_directory(directory, segment.number, rank)) as temporary:
        yield segment, temporary


def skips_of(given: dict[str, list]) -> Skips:
    """What an engine says of deadly units (place and reason by ordinal), by place."""
    skips: Skips = {}
    for ordinal, (place, reason) in given.items():
        skips.setdefault(place, {})[int(ordinal)] = reason
    return skips


def wave(work: Path, segment: Segment, ranks: int, total_bytes: int) -> Wave:
    """The ranks of a segment that are not on disk yet."""
    missing = [rank for rank in range(ranks) if not rank_directory(work, segment.number, rank).exists()]
    tasks = [_task(work, segment, rank) for rank in missing]
    return Wave(f"segment {segment.number + 1}", tasks, total_bytes if segment.number == 0 else 0)


def _task(work: Path, segment: Segment, rank: int) -> dict:
    """A rank as an engine takes it: what to run, and which files of the work directory it needs and makes."""
    output = rank_directory(work, segment.number, rank).relative_to(work).as_posix()
    needs = ["job.json"]
    if segment.number:
        needs.append(rank_directory(work, segment.number - 1, rank).relative_to(work).as_posix())
    return {"segment": segment.number, "rank": rank, "needs": needs, "output": output}


def rank_account(work: Path, segment: Segment, rank: int) -> dict:
    return orjson.loads((rank_directory(work, segment.number, rank) / "rank.json").read_bytes())


def is_decided(work: Path, segment: Segment) -> bool:
    """True where the segment's barriers have nothing left to do."""
    return not segment.barriers or (segment_directory(work, segment.number) / "barrier.json").exists()


def barrier_account(work: Path, segment: Segment) -> dict:
    path = segment_directory(work, segment.number) / "barrier.json"
    return orjson.loads(path.read_bytes()) if segment.barriers else {"steps": []}


def write_barrier_account(work: Path, segment: Segment, account: dict) -> None:
    """Written last: it says that the barriers are done."""
    write_json(segment_directory(work, segment.number) / "barrier.json", account)


def sums(work: Path, segments: list[Segment], ranks: int) -> Sums:
    """What all ranks and barriers tell, steps in their order."""
    dropped, ignored, steps = Counter(), Counter(), []
    for segment in segments:
        accounts = [rank_account(work, segment, rank) for rank in range(ranks)]
        for account in accounts:
            dropped.update(account["dropped"])
            ignored.update(account.get("ignored", {}))
        steps += sum_steps([account["steps"] for account in accounts])
        steps += barrier_account(work, segment)["steps"]
    read = sum(rank_account(work, segments[0], rank)["read"] for rank in range(ranks))
    kept = sum(rank_account(work, segments[-1], rank)["kept"] for rank in range(ranks))
    return Sums(read, kept, dict(sorted(dropped.items())), dict(sorted(ignored.items())), steps)


def clear_output(directory: Path) -> None:
    """Empty folders for what a merge writes; an earlier one may have been stopped half way."""
    for name in ("data", "ledger", "dropped", "pairs"):
        shutil.rmtree(directory / name, ignore_errors=True)
        (directory / name).mkdir()


def merge_accounts(work: Path, directory: Path, segments: list[Segment], ranks: int) -> None:
    """Write `ledger/`, `dropped/` and, where there are barriers, `pairs/` from the ranks' parts."""
    every = [[rank_directory(work, segment.number, rank) for segment in segments] for rank in range(ranks)]
    ledger.merge([[part / "ledger.parquet" for part in parts] for parts in every], directory / "ledger" / "00000.parquet")
    dropped = [part / "dropped.parquet" for parts in every for part in parts]
    ledger.concat(dropped, ledger.DROPPED, directory / "dropped" / "00000.parquet")
    pairs = [segment_directory(work, segment.number) / "pairs.parquet" for segment in segments if segment.barriers]
    if pairs:
        pq.write_table(pa.concat_tables(pq.ParquetFile(path).read() for path in pairs), directory / "pairs" / "00000.parquet", compression="zstd")
    else:
        (directory / "pairs").rmdir()
