"""One rank of the ingest stage in a worker: raw rows in, Parquet of rows, ledger and dropped ones out.

A rank's output is a directory with `units`, `ledger` and `dropped` Parquet and `rank.json`,
renamed into place as a whole, so it is there complete or not at all.
"""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson

from curate.artifact import write_json
from curate.formats import Dialect, Fields, Refused, read, together
from curate.heartbeat import Heartbeat
from curate.ledger import DROPPED, PART
from curate.rows import SHAPES, arrow_schema
from curate.stages.collection import rarely_collected
from curate.stages.ingest import Ingest, IngestJob, rank_directory
from curate.stages.ingest_rows import excerpt, whole_row
from curate.stages.segments import appearing
from curate.stages.tables import Table
from curate.stages.web_units import to_ledger
from curate.steps.sources.account import Account
from curate.steps.sources.ranks import read_rank
from curate.steps.step import Drop, Unit

LAWS = "laws"
"""The step that a receipt and a ledger name where a row breaks a law; what cannot be read at all falls at `read`."""
_COLLECTED_ROWS = 1_000


class Write:
    """Groups of units to Parquet: the rows they make, their ledger, and those that are dropped."""

    def __init__(self, directory: Path, ingest: Ingest, dialect: Dialect) -> None:
        self.ingest, self.dialect = ingest, dialect
        self.units = Table(directory / "units.parquet", arrow_schema(SHAPES[dialect.makes]))
        self.ledger = Table(directory / "ledger.parquet", PART)
        self.dropped = Table(directory / "dropped.parquet", DROPPED)
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.kept = self.read = self.written = 0

    def group(self, units: list[Unit]) -> None:
        """Units of one key: all of them are kept, or all are dropped for one reason."""
        if units[0].drop is not None:
            self._drop(units, "read", units[0].drop)
            return
        self.read += len(units)
        try:
            found = read(self.dialect, [unit.metadata for unit in units])
            rows = self._whole(found.rows, units)
        except Refused as refused:
            self._drop(units, LAWS, Drop(refused.reason))
            return
        self.refused.update(found.refused)
        self._keep(rows, units, sum(found.refused.values()))

    def _whole(self, found: list[Fields], units: list[Unit]) -> list[dict]:
        try:
            return [whole_row(fields, place, units) for place, fields in enumerate(found)]
        except (UnicodeEncodeError, orjson.JSONEncodeError):
            raise Refused("lone_surrogates") from None
        except RecursionError:
            raise Refused("too_deep") from None

    def _keep(self, rows: list[dict], units: list[Unit], refused: int) -> None:
        for row in rows:
            self.units.add(row, len(orjson.dumps(row)))
        self.kept += len(units)
        self.written += len(rows)
        for unit in units:
            unit.values = {f"{LAWS}.rows": len(rows), f"{LAWS}.refused": refused} if len(rows) != 1 or refused else {}
            self.ledger.add(to_ledger(unit))

    def _drop(self, units: list[Unit], step: str, drop: Drop) -> None:
        for unit in units:
            unit.drop, unit.dropped_by = drop, step
            self.counts[f"{step}.{drop.reason}"] += 1
            self.ledger.add(to_ledger(unit))
            text = excerpt(unit.metadata, self.ingest.dropped_text)
            if text is not None:
                self.dropped.add({"id": unit.id, "text": text, "metadata": "{}"}, len(text))

    def close(self) -> None:
        for table in (self.units, self.ledger, self.dropped):
            table.close()


def run_rank(directory: Path, task: dict, heartbeat: Heartbeat) -> None:
    """Run one rank and rename its output into place; `task` is {rank, skip}."""
    job = IngestJob.model_validate_json((directory / "job.json").read_bytes())
    rank = task["rank"]
    heartbeat.begin_rank(rank)
    with appearing(rank_directory(directory, rank)) as temporary:
        write_json(temporary / "rank.json", _run(job, rank, task["skip"], heartbeat, temporary))


def _run(job: IngestJob, rank: int, skip: dict[str, list], heartbeat: Heartbeat, directory: Path) -> dict:
    account, dialect = Account(), job.stage.format
    write = Write(directory, job.stage, dialect)
    columns: list[str] = []
    started = time.process_time()
    units = _read(job, rank, skip, account, heartbeat)
    for group in rarely_collected(together(units, lambda unit: _key(dialect, unit)), every=_COLLECTED_ROWS):
        columns = columns or sorted(map(str, group[0].metadata))
        write.group(group)
    write.close()
    cpu_s = time.process_time() - started
    return {
        "read": account.read,
        "kept": write.kept,
        "written": write.written,
        "refused": dict(sorted(write.refused.items())),
        "dropped": dict(sorted(write.counts.items())),
        "ignored": dict(sorted(account.ignored.items())),
        "damage": [{"file": d.file, "offset": d.offset, "what": d.what} for d in account.damage],
        "columns": columns,
        "steps": [
            {"name": "read", "in": account.read, "out": write.read, "cpu_s": cpu_s},
            {"name": LAWS, "in": write.read, "out": write.kept, "cpu_s": 0.0},
        ],
    }


def _read(job: IngestJob, rank: int, skip: dict[str, list], account: Account, heartbeat: Heartbeat) -> Iterator[Unit]:
    """The rank's units; one that killed its worker is dropped with the reason that the engine gave."""
    reasons = {int(ordinal): reason for ordinal, (_, reason) in skip.items()}
    heartbeat.at(0, 0)
    for unit in read_rank(job.ranks[rank], job.stage.source, account, job.limit, frozenset(reasons)):
        if unit.ordinal in reasons:
            unit.drop = Drop(reasons[unit.ordinal])
        yield unit
        heartbeat.at(unit.ordinal + 1, account.bytes_read)


def _key(dialect: Dialect, unit: Unit) -> str | None:
    return dialect.key(dialect.renamed(unit.metadata)) if unit.drop is None else None
