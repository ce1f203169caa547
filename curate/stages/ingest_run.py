"""The ingest stage from its files to its finished artifact: the dialect guessed, ranks run, their parts merged.

Every phase leaves its result on disk under `work/` before the next begins, so a run that
was stopped anywhere goes on with what is missing.
"""

import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import orjson

from curate import ledger
from curate.artifact import Counts, DamageAccount, InputAccount, StepAccount, write_json
from curate.config import UsageError
from curate.executors import Executor, Progress, Wave, Work
from curate.formats import Dialect, Row
from curate.formats.guess import SAMPLE, Auto, guess
from curate.formats.laws import LAWS
from curate.rows import SHAPES, arrow_schema
from curate.stages.accounts import Made, refuse_damage, refuse_unreadable, rows_by_source, sum_steps, whole_files
from curate.stages.ingest import Ingest, IngestJob, rank_directory
from curate.stages.tables import Shards, write_shards
from curate.steps.sources import RowSource
from curate.steps.sources.account import Account
from curate.steps.sources.checked import refuse_no_tables
from curate.steps.sources.files import InputFile, Rank
from curate.steps.sources.ranks import cut, read_rank

logger = logging.getLogger(__name__)

_FILES_TRIED = 20
"""Files that a guess looks into."""
_LOST_SHARE, _LOST_LEAST = 0.8, 50
"""A file that loses more than this share of at least so many rows is warned of, and any that loses all."""


def make(
    ingest: Ingest,
    files: list[InputFile],
    directory: Path,
    limit: int | None,
    executor: Executor,
    workers: int | None,
    on_progress: Callable[[Progress], None],
) -> Made:
    """Run what is missing and write data/, ledger/ and dropped/ into `directory`."""
    work = directory / "work"
    work.mkdir(parents=True, exist_ok=True)
    refuse_no_tables(files)
    ranks = cut(files, whole_files(ingest.source) if limit else ingest.source)
    resolved, evidence = _resolved(ingest, ranks)
    write_json(work / "job.json", IngestJob(directory=work, stage=resolved, ranks=ranks, limit=limit).model_dump(mode="json"))
    started = time.monotonic()
    with executor.engine(Work("curate.stages.ingest_rank:run_rank", work, ingest.unit_cpu_s, on_progress), workers) as engine:
        engine.run(_wave(work, len(ranks), files))
    timings = {"ranks": time.monotonic() - started}
    accounts = [orjson.loads((rank_directory(work, rank) / "rank.json").read_bytes()) for rank in range(len(ranks))]
    refuse_unreadable(accounts, files)
    labels = [rank.file.label for rank in ranks]
    refuse_damage(ingest.source.max_damage, accounts, labels)
    _refuse_wrong_columns(accounts, resolved.format, files)
    on_progress(Progress("merge", 0, 1, 0, 0))
    started = time.monotonic()
    shards = _merge(resolved, work, directory, len(ranks))
    timings["merge"] = time.monotonic() - started
    return _made(directory, files, accounts, labels, shards, timings, resolved.format, evidence)


def _resolved(ingest: Ingest, ranks: list[Rank]) -> tuple[Ingest, str | None]:
    """The stage with the dialect that `auto` means here, and the evidence for it."""
    if not isinstance(ingest.format, Auto):
        return ingest, None
    where = ", ".join(rank.file.label for rank in ranks[:3])
    account = Account()
    rows = [row for rank in ranks[:_FILES_TRIED] for row in _sample(rank, ingest.source, account)]
    if not rows:
        raise UsageError(f"{where}: no row can be read, so no dialect can be guessed: {_why_none(account)}")
    found = guess(rows, where)
    logger.info("format: %s", found.evidence)
    return ingest.model_copy(update={"format": found.dialect}), found.evidence


def _sample(rank: Rank, source: RowSource, account: Account) -> list[Row]:
    units = islice(read_rank(rank, source, account), SAMPLE)
    return [unit.metadata for unit in units if unit.drop is None]


def _why_none(account: Account) -> str:
    """What is wrong with files of which no row was read: the first damage, with its place."""
    if not account.damage:
        return "there is none; name a file that holds rows"
    first = account.damage[0]
    return f"{first.what} at {first.offset} of {first.file}; rows are JSON, Parquet, CSV or Arrow, in UTF-8"


def _wave(work: Path, ranks: int, files: list[InputFile]) -> Wave:
    """The ranks that are not on disk yet."""
    missing = [rank for rank in range(ranks) if not rank_directory(work, rank).exists()]
    tasks = [{"rank": rank, "needs": ["job.json"], "output": rank_directory(work, rank).relative_to(work).as_posix()} for rank in missing]
    return Wave("rows", tasks, sum(file.size or 0 for file in files))


def _refuse_wrong_columns(accounts: list[dict], dialect: Dialect, files: list[InputFile]) -> None:
    """UsageError where no row of the whole input has the dialect's columns: the wrong format was named."""
    dropped = sum((Counter(account["dropped"]) for account in accounts), Counter())
    lacking = dropped["laws.missing_column"]
    if not lacking or any(account["kept"] for account in accounts) or lacking < sum(dropped.values()):
        return
    found = ", ".join(next((account["columns"] for account in accounts if account["columns"]), [])) or "none"
    wanted = ", ".join(dialect.needs or dialect.takes)
    raise UsageError(f"{files[0].label}: no row has the columns of {dialect.name} ({wanted}); they are {found}; set `format:`, or `columns:` in it")


def _merge(ingest: Ingest, work: Path, directory: Path, ranks: int) -> Shards:
    """Write the artifact's folders from the ranks' parts."""
    parts = [rank_directory(work, rank) for rank in range(ranks)]
    for name in ("data", "ledger", "dropped"):
        shutil.rmtree(directory / name, ignore_errors=True)
        (directory / name).mkdir()
    schema = arrow_schema(SHAPES[ingest.format.makes])
    shards = write_shards([part / "units.parquet" for part in parts], directory / "data", ingest.shard_bytes, schema)
    ledger.merge([[part / "ledger.parquet"] for part in parts], directory / "ledger" / "00000.parquet")
    ledger.concat([part / "dropped.parquet" for part in parts], ledger.DROPPED, directory / "dropped" / "00000.parquet")
    return shards


def _made(
    directory: Path,
    files: list[InputFile],
    accounts: list[dict],
    labels: list[str],
    shards: Shards,
    timings: dict[str, float],
    dialect: Dialect,
    evidence: str | None,
) -> Made:
    summed = {name: sum((Counter(account[name]) for account in accounts), Counter()) for name in ("dropped", "ignored", "refused")}
    read, kept = (sum(account[name] for account in accounts) for name in ("read", "kept"))
    rows = rows_by_source(directory)
    surplus = shards.rows - kept
    return Made(
        inputs=[InputAccount(id=f.label, fingerprint=f.fingerprint, rows=rows[f.label], bytes=f.size or 0) for f in files],
        counts=Counts(
            read=read,
            kept=kept,
            dropped=dict(sorted(summed["dropped"].items())),
            ignored=dict(sorted(summed["ignored"].items())),
            expanded={dialect.surplus: surplus} if surplus else {},
            written=shards.rows,
        ),
        steps=[StepAccount(**step) for step in sum_steps([account["steps"] for account in accounts])],
        damage=[DamageAccount(**damage) for account in accounts for damage in account["damage"]],
        report=_report(dialect, evidence, summed["dropped"], summed["refused"]) | _lost(accounts, labels),
        tokens=shards.tokens,
        timings=timings,
    )


def _report(dialect: Dialect, evidence: str | None, dropped: Counter[str], refused: Counter[str]) -> dict:
    """The dialect with the evidence of a guess, the broken laws as sentences, and rows left out of units that are kept."""
    reasons = {name.partition(".")[2] for name in dropped} | set(refused)
    return {
        "format": {**dialect.model_dump(mode="json"), "shape": dialect.makes, **({"evidence": evidence} if evidence else {})},
        "laws": {reason: LAWS[reason] for reason in sorted(reasons) if reason in LAWS},
        "rows_refused": dict(sorted(refused.items())),
    }


def _lost(accounts: list[dict], labels: list[str]) -> dict:
    """Warnings of files of which few rows or none are left: most often they are written in another dialect."""
    warnings = []
    for account, label in zip(accounts, labels, strict=True):
        read, kept = account["read"], account["kept"]
        if read and (not kept or (read >= _LOST_LEAST and read - kept > _LOST_SHARE * read)):
            name, count = max(account["dropped"].items(), key=lambda item: item[1])
            law = LAWS.get(name.partition(".")[2], "")
            said = f" ({law})" if law else ""
            left = f"{kept:,} of its {read:,} rows are" if kept else f"none of its {read:,} rows is"
            warnings.append(f"{label}: {left} kept; {count:,} fell by {name}{said}; look at what was dropped, or name another format")
    return {"rows": {"warnings": warnings}} if warnings else {}
