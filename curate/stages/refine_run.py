"""The refine stage from a finished artifact to the next: ranks, barriers, merge.

Every phase leaves its result on disk under `work/` before the next begins, so a run that
was stopped anywhere goes on with what is missing.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import Counts, InputAccount, StepAccount, write_json
from curate.config import UsageError
from curate.executors import Executor, Progress, Work
from curate.rows import SHAPES, arrow_schema
from curate.stages.accounts import Made
from curate.stages.given import Given
from curate.stages.refine import Refine, RefineJob, RowRank, refuse_wrong_shape
from curate.stages.refine_barrier import join_groups
from curate.stages.refine_rank import LAWS
from curate.stages.segments import Segment, clear_output, is_decided, merge_accounts, rank_account, rank_directory, sums, wave
from curate.stages.tables import Shards, write_shards
from curate.stages.web_alarm import alarms, refuse_alarms
from curate.stages.web_barrier import decide
from curate.steps.rows.refined import name_of

_RANK_ROWS = 20_000


def make(
    refine: Refine,
    given: dict[str, Given],
    directory: Path,
    limit: int | None,
    executor: Executor,
    workers: int | None,
    on_progress: Callable[[Progress], None],
) -> Made:
    """Run what is missing and write data/, ledger/, dropped/ and pairs/ into `directory`.

    With a `limit`, only so many first rows of each input file are read.
    """
    rows = given["rows"]
    ranks = list(cut(rows, limit))
    refuse_wrong_shape(refine, rows.shape)
    work = directory / "work"
    work.mkdir(parents=True, exist_ok=True)
    write_json(work / "job.json", RefineJob(directory=work, stage=refine, shape=rows.shape, ranks=ranks).model_dump(mode="json"))
    segments, timings = refine.segments(), {}
    with executor.engine(Work("curate.stages.refine_rank:run_rank", work, refine.unit_cpu_s, on_progress), workers) as engine:
        for segment in segments:
            started = time.monotonic()
            engine.run(wave(work, segment, len(ranks), 0))
            timings[f"segment_{segment.number}"] = time.monotonic() - started
            if not is_decided(work, segment):
                on_progress(Progress("decide", 0, 1, 0, 0))
                started = time.monotonic()
                decide(work, segment, len(ranks), name_of, join_groups)
                timings[f"barrier_{segment.number}"] = time.monotonic() - started
    on_progress(Progress("merge", 0, 1, 0, 0))
    started = time.monotonic()
    shards = _merge(refine, rows.shape, directory, segments, len(ranks))
    timings["merge"] = time.monotonic() - started
    over = _over(refine, directory)
    made = _made(rows, directory, segments, ranks, shards, timings)
    told = {name_of(step): step.report() for step in refine.steps}
    return made._replace(report={**made.report, **{name: said for name, said in told.items() if said is not None}, "alarms": over})


def cut(rows: Given, limit: int | None) -> Iterator[RowRank]:
    """Pieces of the artifact's files of some 20,000 rows, by the input alone; an empty file is a piece, too."""
    start, stated = 0, {file.path: file.rows for file in rows.artifact.receipt.files}
    for path in rows.files:
        sizes = _row_groups(path)
        if stated.get(f"data/{path.name}") != sum(sizes):
            raise UsageError(f"{path}: is not the file that the receipt beside it states; make that artifact again")
        left = sum(sizes) if limit is None else min(limit, sum(sizes))
        for groups in _pieces(sizes):
            count = sum(sizes[number] for number in groups)
            if left > 0 or not count:
                yield RowRank(path=path, source=f"{rows.name}/data/{path.name}", row_groups=groups, start=start, rows=max(min(count, left), 0))
            start, left = start + count, left - count


def _row_groups(path: Path) -> list[int]:
    """Rows of each row group of a file."""
    try:
        with pq.ParquetFile(path) as file:
            return [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{path}: cannot be read: {error}; make that artifact again") from None


def _pieces(sizes: list[int]) -> Iterator[tuple[int, ...]]:
    """Neighbouring row groups that together have enough rows."""
    piece: list[int] = []
    for number in range(len(sizes)):
        piece.append(number)
        if sum(sizes[member] for member in piece) >= _RANK_ROWS:
            yield tuple(piece)
            piece = []
    if piece or not sizes:
        yield tuple(piece)


def _merge(refine: Refine, shape: str, directory: Path, segments: list[Segment], ranks: int) -> Shards:
    """Write the artifact's folders from the ranks' parts."""
    clear_output(directory)
    work = directory / "work"
    parts = [rank_directory(work, segments[-1].number, rank) / "units.parquet" for rank in range(ranks)]
    shards = write_shards(parts, directory / "data", refine.shard_bytes, arrow_schema(SHAPES[shape]))
    merge_accounts(work, directory, segments, ranks)
    return shards


def _over(refine: Refine, directory: Path) -> list[dict]:
    """The alarms; StoppedError where the recipe wants none."""
    ignored = [name_of(step) for step in refine.steps if step.name in refine.alarm.ignore]
    alarm = refine.alarm.model_copy(update={"ignore": [*refine.alarm.ignore, *ignored]})
    over = alarms(directory / "ledger" / "00000.parquet", [name_of(step) for step in refine.steps], alarm)
    refuse_alarms(over, alarm)
    return over


def _made(
    rows: Given, directory: Path, segments: list[Segment], ranks: list[RowRank], shards: Shards, timings: dict[str, float]
) -> Made:
    work = directory / "work"
    found = sums(work, segments, len(ranks))
    last = [rank_account(work, segments[-1], rank) for rank in range(len(ranks))]
    steps = [step for step in found.steps if step["name"] != LAWS or step["in"] != step["out"]]
    tokens = [account["tokens"] for account in last if account["tokens"] is not None]
    pii = sum((Counter(account["pii"]) for account in last), Counter())
    return Made(
        inputs=_inputs(rows, ranks),
        counts=Counts(read=found.read, kept=found.kept, dropped=found.dropped, ignored={}, written=shards.rows),
        steps=[StepAccount(**{key: step[key] for key in ("name", "in", "out", "cpu_s")}) for step in steps],
        damage=[],
        report={**{step["name"]: step["report"] for step in steps if "report" in step}, "pii": dict(sorted(pii.items()))},
        tokens=sum(tokens) if tokens else None,
        timings=timings,
    )


def _inputs(rows: Given, ranks: list[RowRank]) -> list[InputAccount]:
    """The files as the artifact's receipt states them, with the rows that were read."""
    read: Counter[str] = Counter()
    for rank in ranks:
        read[rank.path.name] += rank.rows
    stated = {file.path: file for file in rows.artifact.receipt.files}
    files = [(path.name, stated[f"data/{path.name}"]) for path in rows.files]
    return [InputAccount(id=f"{rows.name}/{file.path}", fingerprint=file.sha256, rows=read[name], bytes=file.bytes) for name, file in files]
