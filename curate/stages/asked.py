"""What the stages that ask models share: rows of an artifact in; rows, ledger and dropped text on disk out.

One process does it all: the work is waiting for endpoints, and whatever they answered is in
the journal of calls, so a run that was stopped goes through its rows again at no cost.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import orjson
import pyarrow.parquet as pq
import xxhash
from pydantic import Field

from curate import ledger
from curate.artifact import Counts, InputAccount, StepAccount
from curate.config import Model, UsageError
from curate.judges.prompts import constitution_path, prompt_path
from curate.rows import SHAPES, arrow_schema
from curate.stages.accounts import Made
from curate.stages.given import From, Given
from curate.stages.ingest_rows import excerpt
from curate.stages.tables import Shards, Table, write_shards
from curate.steps.step import Drop

Row = dict[str, object]
FOLDERS = ("data", "ledger", "dropped")
_SURPLUS = "texts_of_one"
"""What a row made beyond one."""


class RowsAsked(Model):
    """What all stages have that ask about rows, or take what was said of them from a file."""

    source: From = Field(From(), description="Rows of which artifact; by default of the stage before.")
    dropped_text: Literal["none", "head", "full"] = Field("head", description="How much of a dropped row is kept.")
    shard_bytes: int = Field(256 * 2**20, ge=1, description="Bytes of rows after which a new output shard begins.")

    @property
    def inputs(self) -> dict[str, From]:
        """What the stage reads, by the name that accounts use."""
        return {"rows": self.source}


class Files(NamedTuple):
    """What a stage is made of, as identity and receipt see it: prompts and principles by name."""

    name: str
    prompts: tuple[str, ...]
    constitutions: tuple[str, ...] = ()
    version: int = 1

    def reads(self) -> list[Path]:
        return [*map(prompt_path, self.prompts), *map(constitution_path, self.constitutions)]


class Read(NamedTuple):
    """A row with its place in the input."""

    row: Row
    ordinal: int
    file: str
    offset: int


def rows(given: Given, limit: int | None) -> Iterator[Read]:
    """The rows of the input, in order, the first `limit` of them."""
    ordinal = 0
    for path in given.files:
        offset = 0
        for batch in pq.ParquetFile(path).iter_batches(500):
            for row in batch.to_pylist():
                if ordinal == limit:
                    return
                yield Read(row, ordinal, f"{given.name}/{path.name}", offset)
                ordinal, offset = ordinal + 1, offset + 1


def inputs(given: Given, limit: int | None) -> list[InputAccount]:
    """Every file that was read, by its hash in the source's own receipt."""
    stated = {file.path: file for file in given.artifact.receipt.files}
    found, left = [], limit
    for path in given.files:
        file = stated[f"data/{path.name}"]
        read = file.rows if left is None else min(left, file.rows)
        left = None if left is None else left - read
        found.append(InputAccount(id=f"{given.name}/{path.name}", fingerprint=file.sha256, rows=read, bytes=file.bytes))
    return found


def shuffled(items: int, *parts: object) -> list[int]:
    """The numbers below `items` in an order that the parts alone make."""
    return sorted(range(items), key=lambda number: xxhash.xxh3_64_intdigest("\x1f".join(map(str, (*parts, number))).encode()))


def metadata_of(row: Row) -> dict:
    return orjson.loads(row["metadata"])


def with_metadata(row: Row, **fields: object) -> Row:
    """The row with further fields in its metadata."""
    return {**row, "metadata": orjson.dumps({**metadata_of(row), **fields}, option=orjson.OPT_SORT_KEYS).decode()}


def refuse_shape(stage: str, use: str, takes: Sequence[str], shape: str) -> None:
    """UsageError where the rows are none that the stage can work on."""
    if shape not in takes:
        raise UsageError(f"{stage}: `use: {use}` works on {', '.join(takes)} rows, and these are {shape} rows; name another source")


class Output:
    """Rows as they are decided, to parts under `work/`; `finish` makes the artifact's folders of them."""

    def __init__(self, work: Path, shape: str, step: str, dropped_text: Literal["none", "head", "full"]) -> None:
        self.work, self.step, self.dropped_text = work, step, dropped_text
        self.schema = arrow_schema(SHAPES[shape])
        self.units = Table(work / "units.parquet", self.schema)
        self.ledger = Table(work / "ledger.parquet", ledger.PART)
        self.dropped = Table(work / "dropped.parquet", ledger.DROPPED)
        self.reasons: Counter[str] = Counter()
        self.read = self.kept = self.written = 0

    def add(self, read: Read, made: Sequence[Row], drop: Drop | None, values: dict[str, float] | None = None) -> None:
        """A row of the input is kept as these rows, or dropped."""
        self.read += 1
        self.ledger.add(self._entry(read, drop, values or {}))
        if drop is None:
            self.kept += 1
            self.written += len(made)
            for row in made:
                self.units.add(row, len(orjson.dumps(row)))
            return
        self.reasons[f"{self.step}.{drop.reason}"] += 1
        text = excerpt(read.row, self.dropped_text)
        if text is not None:
            self.dropped.add({"id": read.row["id"], "text": text, "metadata": "{}"}, len(text))

    def _entry(self, read: Read, drop: Drop | None, values: dict[str, float]) -> Row:
        return {
            "id": read.row["id"],
            "url": read.row.get("url"),
            "source": read.file,
            "offset": read.offset,
            "outcome": "dropped" if drop else "kept",
            "step": self.step if drop else None,
            "reason": drop.reason if drop else None,
            "value": drop.value if drop else None,
            "threshold": drop.threshold if drop else None,
            "cluster_size": 1,
            "language": read.row.get("language"),
            "ordinal": read.ordinal,
            "values": orjson.dumps({f"{self.step}.{name}": value for name, value in sorted(values.items())}),
        }

    def finish(self, directory: Path, shard_bytes: int) -> Shards:
        """Write data/, ledger/ and dropped/; an earlier run may have been stopped half way."""
        for table in (self.units, self.ledger, self.dropped):
            table.close()
        for name in FOLDERS:
            shutil.rmtree(directory / name, ignore_errors=True)
            (directory / name).mkdir()
        shards = write_shards([self.work / "units.parquet"], directory / "data", shard_bytes, self.schema)
        ledger.merge([[self.work / "ledger.parquet"]], directory / "ledger" / "00000.parquet")
        ledger.concat([self.work / "dropped.parquet"], ledger.DROPPED, directory / "dropped" / "00000.parquet")
        return shards

    def made(self, source: Given, limit: int | None, report: dict, timings: dict[str, float], cpu_s: float) -> Made:
        """What the stage tells the receipt."""
        more = self.written - self.kept
        counts = Counts(
            read=self.read,
            kept=self.kept,
            dropped=dict(sorted(self.reasons.items())),
            ignored={},
            expanded={_SURPLUS: more} if more else {},
            written=self.written,
        )
        step = StepAccount(**{"name": self.step, "in": self.read, "out": self.kept, "cpu_s": cpu_s})
        return Made(inputs(source, limit), counts, [step], [], report, None, timings)
