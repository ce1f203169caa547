"""One rank of one segment of the web stage: a datatrove pipeline of our blocks, run in a worker.

In: a piece of the source (segment 0) or the survivors of the segment before. Out: a
directory with survivors, ledger part, dropped texts, signatures and `rank.json`, renamed
into place as a whole, so it is there complete or not at all.
"""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from datatrove.pipeline.base import PipelineStep

from curate.artifact import write_json
from curate.heartbeat import Heartbeat
from curate.ledger import DROPPED, PART
from curate.stages.segments import Meter, Segment, Skips, begun, job_of, rank_directory, skips_of
from curate.stages.tables import Table
from curate.stages.web import Web, WebJob
from curate.stages.web_barrier import decided, decisions
from curate.stages.web_units import ROWS, WORK, from_work, metadata_of, to_ledger, to_row, to_work
from curate.steps.barrier import SignatureWriter
from curate.steps.sources.account import Account
from curate.steps.sources.ranks import read_rank
from curate.steps.step import Drop, OptedOut, Step, Unit

_BATCH = 500


class Read(PipelineStep):
    """Units of a piece of the source, numbered in its order."""

    def __init__(self, web: Web, job: WebJob, account: Account, skips: Skips, heartbeat: Heartbeat) -> None:
        super().__init__()
        self.web, self.job, self.account, self.heartbeat = web, job, account, heartbeat
        self.skip = skips.get(0, {})
        self.meter = Meter("read")

    def run(self, data: None = None, rank: int = 0, world_size: int = 1) -> Iterator[Unit]:
        units = read_rank(self.job.ranks[rank], self.web.source, self.account, self.job.limit, frozenset(self.skip))
        started = time.process_time()
        ordinal = 0
        self.heartbeat.at(0, 0)
        for unit in units:
            self.meter.cpu_s += time.process_time() - started
            if unit.drop is not None:
                if unit.ordinal in self.skip:
                    unit.drop = Drop(self.skip[unit.ordinal])
                unit.dropped_by = "read"
                unit.text_before = self.web.excerpt(unit)
            unit.full = self.web.measure == "all"
            self.meter.into += 1
            self.meter.out += unit.drop is None
            yield unit
            ordinal = unit.ordinal + 1
            self.heartbeat.at(ordinal, self.account.bytes_read)
            started = time.process_time()
        self.meter.cpu_s += time.process_time() - started


class Resume(PipelineStep):
    """Survivors of the segment before, with what its barriers decided about them."""

    def __init__(self, directory: Path, web: Web, skips: Skips, heartbeat: Heartbeat) -> None:
        super().__init__()
        self.directory, self.web, self.heartbeat = directory, web, heartbeat
        self.skip = skips.get(0, {})
        self.bytes = 0

    def run(self, data: None = None, rank: int = 0, world_size: int = 1) -> Iterator[Unit]:
        found = decisions(self.directory)
        place = 0
        for batch in pq.ParquetFile(self.directory / "units.parquet").iter_batches(batch_size=_BATCH):
            for row in batch.to_pylist():
                unit = from_work(row)
                unit.full = self.web.measure == "all"
                self.heartbeat.at(unit.ordinal, self.bytes)
                self.bytes += len(unit.text)
                if unit.drop is None:
                    self._decide(unit, found.get(place))
                    place += 1
                yield unit

    def _decide(self, unit: Unit, decision: dict | None) -> None:
        if decision:
            decided(unit, decision)
        if unit.ordinal in self.skip:
            unit.drop, unit.dropped_by = Drop(self.skip[unit.ordinal]), "read"
        if unit.drop:
            unit.text_before = self.web.excerpt(unit)


class Apply(PipelineStep):
    """One step of the recipe as a datatrove block; dropped units pass on to their ledger row.

    With `measure: all` later steps still measure what an earlier one dropped, but its
    outcome stands.
    """

    def __init__(self, step: Step, place: int, web: Web, skips: Skips, heartbeat: Heartbeat) -> None:
        super().__init__()
        self.step, self.place, self.web, self.heartbeat = step, place, web, heartbeat
        self.skip = skips.get(place, {})
        self.meter = Meter(step.name)

    def run(self, data: Iterator[Unit], rank: int = 0, world_size: int = 1) -> Iterator[Unit]:
        for unit in data:
            if unit.drop is None:
                self._judge(unit)
            elif self._still_measured(unit):
                self.heartbeat.enter(self.place)
                self.step.apply(unit)
            yield unit

    def _still_measured(self, unit: Unit) -> bool:
        measurable = unit.dropped_by not in ("read", "extract") and bool(unit.text or unit.html)
        return self.web.measure == "all" and measurable and unit.ordinal not in self.skip

    def _judge(self, unit: Unit) -> None:
        self.heartbeat.enter(self.place)
        started = time.process_time()
        before = unit.text
        drop = Drop(self.skip[unit.ordinal]) if unit.ordinal in self.skip else self.step.apply(unit)
        self.meter.cpu_s += time.process_time() - started
        self.meter.into += 1
        if drop is None:
            self.meter.out += 1
            return
        unit.drop, unit.dropped_by = drop, self.step.name
        if isinstance(drop, OptedOut):
            unit.text, unit.html, unit.title, unit.metadata = "", None, None, {}
        else:
            unit.text_before = self.web.excerpt(unit, before)


class Write(PipelineStep):
    """Units to Parquet, in order: survivors, ledger part, dropped texts and signatures."""

    def __init__(self, directory: Path, segment: Segment, carry_dropped: bool) -> None:
        super().__init__()
        self.last = segment.last
        self.carry_dropped = carry_dropped and not self.last
        self.counts: Counter[str] = Counter()
        self.kept = 0
        self.units = Table(directory / "units.parquet", ROWS if self.last else WORK)
        self.ledger = Table(directory / "ledger.parquet", PART)
        self.dropped = Table(directory / "dropped.parquet", DROPPED)
        self.signatures: list[SignatureWriter] = []
        for barrier in segment.barriers:
            (directory / barrier.name).mkdir()
            self.signatures.append(barrier.writer(directory / barrier.name))

    def run(self, data: Iterator[Unit], rank: int = 0, world_size: int = 1) -> Iterator[Unit]:
        for unit in data:
            if unit.drop is None:
                self._keep(unit)
            else:
                self._drop(unit)
            yield unit
        for table in (self.units, self.ledger, self.dropped, *self.signatures):
            table.close()

    def _keep(self, unit: Unit) -> None:
        self.kept += 1
        self.units.add(to_row(unit) if self.last else to_work(unit))
        for signatures in self.signatures:
            signatures.add(unit)
        if self.last:
            self.ledger.add(to_ledger(unit))

    def _drop(self, unit: Unit) -> None:
        if self.carry_dropped:
            self.units.add(to_work(unit))
            return
        self.counts[f"{unit.dropped_by}.{unit.drop.reason}"] += 1
        self.ledger.add(to_ledger(unit))
        if unit.text_before is not None:
            self.dropped.add({"id": unit.id, "text": unit.text_before, "metadata": metadata_of(unit)})


def run_rank(directory: Path, task: dict, heartbeat: Heartbeat) -> None:
    """Run one rank of one segment and rename its output into place; `task` is {segment, rank, skip}."""
    job = job_of(WebJob, directory)
    with begun(job.stage, directory, task, heartbeat) as (segment, temporary):
        account = _run_pipeline(job, segment, task["rank"], skips_of(task["skip"]), heartbeat, temporary)
        write_json(temporary / "rank.json", account)


def _run_pipeline(job: WebJob, segment: Segment, rank: int, skips: Skips, heartbeat: Heartbeat, directory: Path) -> dict:
    web = job.stage
    account = Account()
    steps = [Apply(step, place, web, skips, heartbeat) for place, step in enumerate(segment.steps, 1)]
    if segment.number == 0:
        source = Read(web, job, account, skips, heartbeat)
        meters = [source.meter]
    else:
        source = Resume(rank_directory(job.directory, segment.number - 1, rank), web, skips, heartbeat)
        meters = []
    write = Write(directory, segment, web.measure == "all")
    units = None
    for block in (source, *steps, write):
        units = block(units, rank, len(job.ranks))
    for _ in units:
        pass
    return {
        "read": account.read,
        "kept": write.kept,
        "dropped": dict(sorted(write.counts.items())),
        "ignored": dict(sorted(account.ignored.items())),
        "damage": [{"file": d.file, "offset": d.offset, "what": d.what} for d in account.damage],
        "bytes": account.bytes_read,
        "steps": [meter.as_json() for meter in (*meters, *(step.meter for step in steps))],
    }
