"""One artifact without some documents: a directory and their ids in, a new directory beside it out.

The old one is read and never changed. What the documents were goes from rows, dropped text, pairs
and verdicts; in the ledger their place stays, as dropped by `remove`, and the law holds.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.artifact import RECEIPT, Artifact, Counts, FileAccount, ParentAccount, Receipt, StepAccount, file_accounts, write_receipt
from curate.card.lineage import PROVENANCE
from curate.remove.caches import Quotes
from curate.remove.documents import STEP
from curate.remove.gone import Gone, batches, coming_from, parquet_files
from curate.remove.packs import INDEX_BYTES, Packing, cut
from curate.stages.mix_report import EPOCHS
from curate.steps.sources.opt_outs import REASON, base_of

FOLDERS = ("data", "extra", "ledger", "dropped", "pairs", "verdicts")
_SIDE = ("extra", "dropped", "pairs", "verdicts")
_TEXTS = ("text", "metadata", "rationale", "reply")
SHARED_ROW = "shared_row"
"""Reason of a unit whose only row was made of an opted-out unit as well."""


class Change(NamedTuple):
    """What a successor's receipt says otherwise than the old one."""

    moves: Counter[str]
    """How the counts of `kept` and of each `step.reason` change."""
    rows: int
    """Rows that left `data/`."""
    parents: list[ParentAccount]
    fingerprint: str
    account: dict
    """The list: its digest and the number of its entries."""


class Written(NamedTuple):
    """A successor's place, and the rows that it lacks."""

    path: Path
    rows: int


def packed_texts(artifact: Artifact, gone: Gone) -> Counter[str]:
    """Texts of the documents that leave, and how often each stands among the packed tokens, as the ledger has it."""
    units = pl.col("id").is_in(list(gone.units - gone.rows))
    epochs = pl.scan_parquet(parquet_files(artifact.path, "ledger")).filter(units).group_by("id").agg(pl.col(EPOCHS).sum()).collect()
    times = {id_: int(count) for id_, count in epochs.iter_rows()}
    found: Counter[str] = Counter()
    for id_, text in _texts(artifact, gone):
        found[text] += times.pop(id_, 0)
    return +found


def _texts(artifact: Artifact, gone: Gone) -> Iterator[tuple[str, str]]:
    """Id and text of the documents that leave the artifacts it was made of."""
    for parent in artifact.parents().values():
        for file in parquet_files(parent.path, "data"):
            if "text" in pq.read_schema(file).names:
                for batch in batches(file, ["id", "origins", "text"]):
                    going = batch.filter(coming_from(batch, gone.documents, gone.given))
                    yield from zip(going.column("id").to_pylist(), going.column("text").to_pylist(), strict=True)


def write_successor(
    artifact: Artifact, gone: Gone, parents: list[ParentAccount], fingerprint: str, account: dict, quotes: Quotes, packs: dict[Path, Packing]
) -> Written:
    """Write the artifact that is left, whole or not at all, beside the old one; where it is there already, only tell the texts again."""
    old, started = artifact.path, time.process_time()
    path = old.with_name(f"{old.name.rpartition('-')[0]}-{fingerprint[:8]}")
    new = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    rows = sum(_without(old, new, file, lambda batch: coming_from(batch, gone.documents, gone.given), quotes.add) for file in parquet_files(old, "data"))
    rows += cut(packs, packed_texts(artifact, gone), new) if packs else 0
    for folder in _SIDE:
        leaves = _leaves(artifact, folder, gone)
        for file in parquet_files(old, folder):
            _without(old, new, file, leaves, quotes.add_reply if folder == "verdicts" else quotes.add)
    moves: Counter[str] = Counter()
    for file in parquet_files(old, "ledger"):
        moves.update(_ledger(old, new, file, gone))
    if not (path / RECEIPT).exists():
        _carry(old, new)
        _write_receipt(artifact.receipt, new, Change(moves, rows, parents, fingerprint, account), time.process_time() - started)
        new.rename(path)
    shutil.rmtree(new, ignore_errors=True)
    return Written(path, rows)


def _leaves(artifact: Artifact, folder: str, gone: Gone) -> Callable[[pa.RecordBatch], pa.BooleanArray]:
    """Which rows of a side table go: those that name what is gone; all dropped text where a parent that knew its origins is lost."""
    orphan = folder == "dropped" and len(artifact.parents()) < len(artifact.receipt.parents)
    return (lambda batch: pa.array([True] * len(batch))) if orphan else (lambda batch: _naming(batch, gone.anywhere))


def _naming(batch: pa.RecordBatch, ids: set[str]) -> pa.BooleanArray:
    """Rows of any table that name one of the ids in any column of names."""
    wanted = pa.array(ids, pa.string())
    names = [field.name for field in batch.schema if field.type == pa.string() and field.name not in _TEXTS]
    mask = pa.array([False] * len(batch))
    for name in names:
        mask = pc.or_(mask, pc.is_in(batch.column(name), value_set=wanted))
    return mask


def _without(old: Path, new: Path, file: Path, leaves: Callable[[pa.RecordBatch], pa.BooleanArray], tell: Callable[[str], None]) -> int:
    """Write the file's remaining rows under the same name and tell the texts of the others; how many those are."""
    gone = 0
    with _writer(old, new, file) as writer:
        for batch in batches(file):
            mask = leaves(batch)
            for row in batch.filter(mask).to_pylist():
                gone += 1
                for text in _strings(row):
                    tell(text)
            kept = batch.filter(pc.invert(mask))
            if kept.num_rows:
                writer.write_batch(kept)
    return gone


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(inner)


def _ledger(old: Path, new: Path, file: Path, gone: Gone) -> Counter[str]:
    """Write the ledger with its units dropped; how the counts of `kept` and of each `step.reason` change."""
    moves: Counter[str] = Counter()
    taken = pl.col("id").is_in(list(gone.units)) & (pl.col("step").is_null() | (pl.col("step") != STEP))
    outcome = pl.when(pl.col("outcome") == "kept").then(pl.lit("kept")).otherwise(pl.format("{}.{}", "step", "reason"))
    with _writer(old, new, file) as writer:
        for batch in batches(file):
            rows = pl.from_arrow(batch)
            after = _dropped(rows, taken, gone)
            moves.subtract(rows.filter(taken).select(outcome).to_series().to_list())
            moves.update(after.filter(rows.select(taken).to_series()).select(outcome).to_series().to_list())
            writer.write_table(after.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(batch.schema))
    return moves


def _dropped(rows: pl.DataFrame, taken: pl.Expr, gone: Gone) -> pl.DataFrame:
    reason = pl.when(pl.col("id").is_in(list(gone.documents | gone.given))).then(pl.lit(REASON)).otherwise(pl.lit(SHARED_ROW))
    said = {"outcome": pl.lit("dropped"), "step": pl.lit(STEP), "reason": reason, "cluster_size": pl.lit(1)}
    fixed = {"id", "source", "offset"}
    emptied = {name: said.get(name, pl.lit(None)) for name in rows.columns if name not in fixed}
    new = rows.with_columns(pl.when(taken).then(value).otherwise(pl.col(name)).alias(name) for name, value in emptied.items())
    return new.with_columns(pl.when(pl.col("twin").is_in(list(gone.anywhere))).then(None).otherwise("twin").alias("twin"))


def _write_receipt(old: Receipt, new: Path, change: Change, cpu_s: float) -> None:
    counts = _counts(old.counts, change)
    if broken := counts.broken_law():
        raise RuntimeError(f"{new}: the account does not add up: {broken}")
    into = next((step.into for step in old.steps if step.name == STEP), old.counts.kept)
    step = StepAccount(**{"name": STEP, "in": into, "out": counts.kept, "cpu_s": cpu_s})
    removed = {"units": sum(count for name, count in change.moves.items() if name.startswith(f"{STEP}.")), "rows": change.rows, "from": old.fingerprint}
    files = list(file_accounts(new, FOLDERS))
    update = {
        "fingerprint": change.fingerprint,
        "parents": change.parents,
        "counts": counts,
        "steps": [*(one for one in old.steps if one.name != STEP), step],
        "files": files,
        "report": {**_recounted(old.report, files), "opt_out": {**change.account, "base": base_of(old)}, "removed": removed},
        "tokens": _tokens(new) if old.tokens is not None else None,
    }
    write_receipt(new, old.model_copy(update=update))


def _recounted(report: dict, files: list[FileAccount]) -> dict:
    """The report with the rows that each split of a mix still has."""
    splits = report.get("splits", {})
    rows: Counter[str] = Counter()
    for file in files:
        if file.path.startswith("data/"):
            split = file.path.removeprefix("data/").rpartition("-")[0]
            rows[split] += file.bytes // INDEX_BYTES if file.path.endswith(".ds.index") else file.rows
    return {**report, "splits": {name: {**told, "rows": rows[name]} for name, told in splits.items()}} if splits else report


def _counts(old: Counts, change: Change) -> Counts:
    """The law after the removal; `removed` explains rows that were not one a unit."""
    dropped = Counter(old.dropped)
    dropped.update({name: count for name, count in change.moves.items() if name != "kept"})
    kept, written = old.kept + change.moves["kept"], old.written - change.rows
    expanded = {name: count for name, count in old.expanded.items() if name != "removed"}
    surplus = written - kept - sum(expanded.values())
    return old.model_copy(
        update={
            "kept": kept,
            "written": written,
            "dropped": {name: count for name, count in sorted(dropped.items()) if count},
            "expanded": {**expanded, **({"removed": surplus} if surplus else {})},
        }
    )


def _tokens(path: Path) -> int | None:
    files = [file for file in parquet_files(path, "data") if "tokens" in pq.read_schema(file).names]
    return sum(pl.scanparquet_files(file).select(pl.col("tokens").sum()).collect().item() for file in files) if files else None


def _carry(old: Path, new: Path) -> None:
    """What is no row and quotes none goes along: settings for trainers, and receipts from before the root."""
    for file in [*(old / "extra").glob("*.json"), old / PROVENANCE]:
        if file.is_file():
            (new / file.relative_to(old)).parent.mkdir(exist_ok=True)
            shutil.copy2(file, new / file.relative_to(old))


def _writer(old: Path, new: Path, file: Path) -> pq.ParquetWriter:
    place = new / file.relative_to(old)
    place.parent.mkdir(exist_ok=True)
    return pq.ParquetWriter(place, pq.read_schema(file), compression="zstd")
