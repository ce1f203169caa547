"""The web stage from its files to its finished artifact: ranks, barriers, merge.

Every phase leaves its result on disk under `work/` before the next begins, so a run that
was stopped anywhere goes on with what is missing.
"""

import time
from collections.abc import Callable
from pathlib import Path

from curate.artifact import Counts, DamageAccount, InputAccount, StepAccount, write_json
from curate.executors import Executor, Progress, Work
from curate.stages.accounts import Made, refuse_damage, refuse_unreadable, rows_by_source, whole_files
from curate.stages.segments import Segment, clear_output, is_decided, merge_accounts, rank_account, rank_directory, sums, wave
from curate.stages.tables import Shards, write_shards
from curate.stages.web import Web, WebJob
from curate.stages.web_alarm import alarms, overruled, refuse_alarms
from curate.stages.web_barrier import decide
from curate.stages.web_units import ROWS
from curate.steps.sources.files import InputFile
from curate.steps.sources.ranks import cut


def make(
    web: Web,
    files: list[InputFile],
    directory: Path,
    limit: int | None,
    executor: Executor,
    workers: int | None,
    on_progress: Callable[[Progress], None],
) -> Made:
    """Run what is missing and write data/, ledger/, dropped/ and pairs/ into `directory`."""
    work = directory / "work"
    work.mkdir(parents=True, exist_ok=True)
    ranks = cut(files, whole_files(web.source) if limit else web.source)
    write_json(work / "job.json", WebJob(directory=work, stage=web, ranks=ranks, limit=limit).model_dump(mode="json"))
    segments, timings = web.segments(), {}
    with executor.engine(Work("curate.stages.web_rank:run_rank", work, web.unit_cpu_s, on_progress), workers) as engine:
        for segment in segments:
            started = time.monotonic()
            engine.run(wave(work, segment, len(ranks), sum(file.size or 0 for file in files)))
            timings[f"segment_{segment.number}"] = time.monotonic() - started
            if segment.number == 0:
                accounts = [rank_account(work, segment, rank) for rank in range(len(ranks))]
                refuse_unreadable(accounts, files)
                refuse_damage(web.source.max_damage, accounts, [rank.file.label for rank in ranks])
            if not is_decided(work, segment):
                on_progress(Progress("deduplicate", 0, 1, 0, 0))
                started = time.monotonic()
                decide(work, segment, len(ranks), lambda barrier: barrier.name)
                timings[f"barrier_{segment.number}"] = time.monotonic() - started
    on_progress(Progress("merge", 0, 1, 0, 0))
    started = time.monotonic()
    shards = _merge(web, work, directory, segments, len(ranks))
    timings["merge"] = time.monotonic() - started
    ledger = directory / "ledger" / "00000.parquet"
    over = alarms(ledger, [step.name for step in web.steps], web.alarm)
    refuse_alarms(over, web.alarm)
    made = _made(directory, segments, files, len(ranks), shards, timings)
    told = {step.name: report for step in web.steps if (report := step.report()) is not None}
    told |= {name: {"warnings": sentences} for name, sentences in overruled(ledger, web.steps).items()}  # these steps report nothing else
    return made._replace(report={**made.report, **told, "alarms": over})


def _merge(web: Web, work: Path, directory: Path, segments: list[Segment], ranks: int) -> Shards:
    """Write the artifact's folders from the ranks' parts."""
    clear_output(directory)
    parts = [rank_directory(work, segments[-1].number, rank) / "units.parquet" for rank in range(ranks)]
    shards = write_shards(parts, directory / "data", web.shard_bytes, ROWS)
    merge_accounts(work, directory, segments, ranks)
    return shards


def _made(
    directory: Path, segments: list[Segment], files: list[InputFile], ranks: int, shards: Shards, timings: dict[str, float]
) -> Made:
    work = directory / "work"
    found = sums(work, segments, ranks)
    damage = [damage for rank in range(ranks) for damage in rank_account(work, segments[0], rank)["damage"]]
    rows = rows_by_source(directory)
    counts = Counts(read=found.read, kept=found.kept, dropped=found.dropped, ignored=found.ignored, written=shards.rows)
    return Made(
        inputs=[InputAccount(id=f.label, fingerprint=f.fingerprint, rows=rows[f.label], bytes=f.size or 0) for f in files],
        counts=counts,
        steps=[StepAccount(**{key: step[key] for key in ("name", "in", "out", "cpu_s")}) for step in found.steps],
        damage=[DamageAccount(**damage) for damage in damage],
        report={**{step["name"]: step["report"] for step in found.steps if "report" in step}, "pii": dict(sorted(shards.pii.items()))},
        tokens=shards.tokens,
        timings=timings,
    )
