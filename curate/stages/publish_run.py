"""The publish stage at work: a finished artifact in; one commit at the Hub, a ledger of the rows that went there, and the account out."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import Artifact, Counts, FileAccount, InputAccount, StepAccount
from curate.card.facts import data_files
from curate.executors import Executor, Progress
from curate.hub.push import Pushed, push
from curate.ledger import LEDGER
from curate.stages.accounts import Made
from curate.stages.given import Given
from curate.stages.publish import Publish


def make(
    publish: Publish,
    given: dict[str, Given],
    directory: Path,
    limit: int | None,
    executor: Executor,
    workers: int | None,
    on_progress: Callable[[Progress], None],
) -> Made:
    """Push the artifact and write ledger/ into `directory`; a run that is stopped goes on with what is missing there."""
    started, cpu = time.monotonic(), time.process_time()
    artifact = given["rows"].artifact
    files = [file for files in data_files(artifact).values() for file in files]
    on_progress(Progress("push", 0, 1, 0, 0))
    done = push(artifact, publish.to, private=publish.private, revision=publish.revision, simulated=publish.simulated)
    rows = _write_ledger(artifact, files, directory / "ledger" / "00000.parquet")
    return Made(
        inputs=[InputAccount(id=f"rows/{file.path}", fingerprint=file.sha256, rows=file.rows, bytes=file.bytes) for file in files],
        counts=Counts(read=rows, kept=rows, dropped={}, ignored={}, expanded={"published": -rows} if rows else {}, written=0),
        steps=[StepAccount(**{"name": "publish", "in": rows, "out": rows, "cpu_s": time.process_time() - cpu})],
        damage=[],
        report={"publish": _report(publish, done)},
        tokens=None,
        timings={"push": time.monotonic() - started},
    )


def _report(publish: Publish, done: Pushed) -> dict:
    """Where it lies, so that a later removal can name the revision to replace."""
    sent = [{"path": file.path, "bytes": file.bytes} for file in done.files]
    return {"to": publish.to, "revision": publish.revision, "commit": done.commit, "url": done.url, "files": sent, "missing": done.missing}


def _write_ledger(artifact: Artifact, files: list[FileAccount], path: Path) -> int:
    """One row for every row that went up; how many there are."""
    path.parent.mkdir(exist_ok=True)
    rows = 0
    with pq.ParquetWriter(path, LEDGER, compression="zstd") as writer:
        for file in files:
            for batch in _batches(artifact.path / file.path, file.path):
                writer.write_batch(batch)
                rows += batch.num_rows
    return rows


def _batches(path: Path, name: str) -> Iterator[pa.RecordBatch]:
    """Ledger rows of a data file; a row without an id is named by its place."""
    start, known = 0, "id" in pq.read_schema(path).names
    for batch in pq.ParquetFile(path).iter_batches(columns=["id"] if known else [], batch_size=50_000):
        places = range(start, start + batch.num_rows)
        told = {
            "id": batch.column("id") if known else pa.array([f"{name}:{place}" for place in places]),
            "source": pa.array([f"rows/{name}"] * batch.num_rows),
            "offset": pa.array(places, pa.int64()),
            "outcome": pa.array(["kept"] * batch.num_rows),
            "cluster_size": pa.array([1] * batch.num_rows, pa.int64()),
        }
        start += batch.num_rows
        yield pa.RecordBatch.from_arrays([told.get(field.name, pa.nulls(batch.num_rows, field.type)) for field in LEDGER], schema=LEDGER)
