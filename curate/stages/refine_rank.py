"""One rank of one segment of the refine stage, in a worker.

In: some row groups of the input and, after the first segment, what the one before found out.
Out: a directory with the survivors (in the last segment their rows), ledger part, dropped
texts, signatures and `rank.json`, renamed into place as a whole.
"""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import write_json
from curate.formats.laws import broken_law
from curate.heartbeat import Heartbeat
from curate.ledger import DROPPED, PART
from curate.rows import SHAPES, arrow_schema
from curate.stages.collection import rarely_collected
from curate.stages.refine import Refine, RefineJob
from curate.stages.refine_apply import apply, compared
from curate.stages.refine_columns import patched
from curate.stages.refine_read import Read, read
from curate.stages.refine_units import STATE, Row, excerpt, final_columns, is_rewritten, recounted, to_state, told
from curate.stages.segments import Meter, Segment, Skips, begun, job_of, skips_of
from curate.stages.tables import Table
from curate.stages.web_units import to_ledger
from curate.steps.rows.parts import rewritten
from curate.steps.rows.refined import Placed, name_of
from curate.steps.rows.unit import RowUnit
from curate.steps.step import Drop, OptedOut, Step

LAWS = "laws"
"""The step that a ledger names where a row that was rewritten breaks a law of its kind."""
_HELD_BYTES = 64 * 2**20


class Judge:
    """The steps of a segment over one row after the other; dropped rows pass on to their ledger row."""

    def __init__(self, refine: Refine, segment: Segment, skips: Skips, heartbeat: Heartbeat) -> None:
        self.refine, self.steps, self.skips, self.heartbeat = refine, segment.steps, skips, heartbeat
        self.meters = [Meter(name_of(step)) for step in segment.steps]
        self.laws = Meter(LAWS)

    def row(self, unit: RowUnit, given: Row) -> None:
        """Measure, rewrite or drop; `given` is the row as it came."""
        unit.full = self.refine.measure == "all"
        if unit.drop is None and unit.ordinal in self.skips.get(0, {}):
            self._drop(unit, "read", Drop(self.skips[0][unit.ordinal]))
        for place, step in enumerate(self.steps, 1):
            if unit.drop is None:
                self._step(unit, place, step)
            elif unit.full and unit.dropped_by != "read" and not self._deadly(unit, place):
                self.heartbeat.enter(place)
                apply(step, unit)
        if unit.drop is None and self.steps:
            self._keep_laws(unit, given)

    def _deadly(self, unit: RowUnit, place: int) -> bool:
        return unit.ordinal in self.skips.get(place, {})

    def _step(self, unit: RowUnit, place: int, step: Step) -> None:
        self.heartbeat.enter(place)
        meter, started = self.meters[place - 1], time.process_time()
        drop = Drop(self.skips[place][unit.ordinal]) if self._deadly(unit, place) else apply(step, unit)
        meter.cpu_s += time.process_time() - started
        meter.into += 1
        meter.out += drop is None
        if drop:
            self._drop(unit, meter.name, drop)

    def _keep_laws(self, unit: RowUnit, given: Row) -> None:
        """A row may be rewritten into one that no trainer can use, such as a pair of equal answers."""
        self.laws.into += 1
        if is_rewritten(unit.row, given):
            broken = broken_law(unit.shape, unit.row)
            if broken:
                self._drop(unit, LAWS, Drop(broken))
                unit.row = dict(given)
                return
            unit.row |= recounted(unit.row)
        self.laws.out += 1

    def _drop(self, unit: RowUnit, name: str, drop: Drop) -> None:
        unit.drop, unit.dropped_by = drop, name
        if isinstance(drop, OptedOut):
            unit.row = rewritten(unit.shape, unit.row, "row", lambda text: "")
        else:
            unit.text_before = excerpt(told(unit), self.refine.dropped_text)

    def accounts(self) -> list[dict]:
        """One meter a step, and the laws' in the end."""
        return [meter.as_json() for meter in (*self.meters, self.laws)]


class Write:
    """Units to Parquet, in order: survivors, ledger part, dropped texts and signatures."""

    def __init__(self, directory: Path, job: RefineJob, segment: Segment) -> None:
        self.last, self.carry_dropped = segment.last, job.stage.measure == "all" and not segment.last
        self.schema = arrow_schema(SHAPES[job.shape]) if segment.last else STATE
        self.rows = pq.ParquetWriter(directory / "units.parquet", self.schema, compression="lz4", use_dictionary=False)
        self.waiting: list[pa.RecordBatch] = []
        self.ledger, self.dropped = Table(directory / "ledger.parquet", PART), Table(directory / "dropped.parquet", DROPPED)
        self.counts: Counter[str] = Counter()
        self.pii: Counter[str] = Counter()
        self.kept = 0
        self.tokens: int | None = None
        self.signatures = []
        for barrier in segment.barriers:
            (directory / name_of(barrier)).mkdir()
            self.signatures.append((barrier, barrier.writer(directory / name_of(barrier))))

    def sign(self, unit: RowUnit) -> None:
        """Let the barriers remember a survivor."""
        for barrier, signatures in self.signatures:
            if isinstance(barrier, Placed):
                unit.text = compared(unit, barrier.on)
            signatures.add(unit)

    def batch(self, read: Read) -> None:
        """The rows of a batch that have gone through all steps."""
        kept = [place for place, unit in enumerate(read.units) if unit.drop is None]
        for unit in read.units:
            if unit.drop is not None and not self.carry_dropped:
                self._drop(unit)
        self.kept += len(kept)
        if self.last:
            self._finish(read, kept)
        else:
            self._carry(read, range(len(read.units)) if self.carry_dropped else kept)

    def _drop(self, unit: RowUnit) -> None:
        self.counts[f"{unit.dropped_by}.{unit.drop.reason}"] += 1
        self.ledger.add(to_ledger(unit))
        if unit.text_before is not None:
            self.dropped.add({"id": unit.id, "text": unit.text_before, "metadata": unit.row["metadata"]}, len(unit.text_before))

    def _carry(self, read: Read, places: Sequence[int]) -> None:
        states = [to_state(read.units[place], read.given[place]) for place in places]
        if states:
            columns = zip(zip(*states, strict=True), STATE, strict=True)
            self._add(pa.RecordBatch.from_arrays([pa.array(column, field.type) for column, field in columns], schema=STATE))

    def _finish(self, read: Read, kept: list[int]) -> None:
        for unit in (read.units[place] for place in kept):
            self.ledger.add(to_ledger(unit))
            self.pii.update(unit.pii)
            if unit.tokens is not None:
                self.tokens = (self.tokens or 0) + unit.tokens
        if kept:
            changes = [final_columns(read.units[place], read.given[place]) for place in kept]
            self._add(patched(read.batch, kept, changes, self.schema))

    def _add(self, batch: pa.RecordBatch) -> None:
        self.waiting.append(batch)
        if sum(part.nbytes for part in self.waiting) >= _HELD_BYTES:
            self._flush()

    def _flush(self) -> None:
        self.rows.write_table(pa.Table.from_batches(self.waiting, self.schema))
        self.waiting = []

    def close(self) -> None:
        self._flush()
        for part in (self.rows, self.ledger, self.dropped, *(signatures for _, signatures in self.signatures)):
            part.close()


def run_rank(directory: Path, task: dict, heartbeat: Heartbeat) -> None:
    """Run one rank of one segment and rename its output into place; `task` is {segment, rank, skip}."""
    job = job_of(RefineJob, directory)
    with begun(job.stage, directory, task, heartbeat) as (segment, temporary):
        write_json(temporary / "rank.json", _run(job, segment, task["rank"], skips_of(task["skip"]), heartbeat, temporary))


def _run(job: RefineJob, segment: Segment, rank: int, skips: Skips, heartbeat: Heartbeat, directory: Path) -> dict:
    judge, write = Judge(job.stage, segment, skips, heartbeat), Write(directory, job, segment)
    into = size = 0
    for part in rarely_collected(read(job, segment, rank)):
        for unit, given in zip(part.units, part.given, strict=True):
            heartbeat.at(unit.ordinal, size)
            judge.row(unit, given)
            if unit.drop is None:
                write.sign(unit)
        write.batch(part)
        into, size = into + len(part.units), size + part.batch.nbytes
    write.close()
    return {
        "read": into,
        "kept": write.kept,
        "dropped": dict(sorted(write.counts.items())),
        "pii": dict(sorted(write.pii.items())),
        "tokens": write.tokens,
        "steps": judge.accounts(),
    }
