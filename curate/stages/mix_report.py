"""Phase four of a mix: units and plan in; the ledger, the counts and what was asked against what was achieved out."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import Counts, InputAccount, StepAccount
from curate.ledger import LEDGER
from curate.outputs import weight_ranges
from curate.stages.given import Given
from curate.stages.mix import Format, Mix
from curate.stages.mix_plan import Plan
from curate.stages.mix_scan import batches
from curate.stages.mix_units import Units

EPOCHS = "mix.epochs"
"""The ledger's value: how often a row is written."""
_SCHEMA = pa.schema([*LEDGER, (EPOCHS, pa.float32())])
_READ = ("id", "url", "language")


class Whole(NamedTuple):
    """All that is known of a mix."""

    mix: Mix
    given: dict[str, Given]
    units: Units
    plan: Plan

    def written(self, split: int) -> np.ndarray:
        """int64: rows of the split that each unit gives."""
        here = self.plan.split == split
        return np.where(here, self.units.parts[split].astype(np.int64) * self.plan.times, 0)


def label(name: str, file: Path) -> str:
    """What accounts call a file of a source."""
    return f"{name}/{file.name}"


def write_ledger(whole: Whole, path: Path, limit: int | None, on_batch: Callable[[str, int], None]) -> None:
    """One row for every row of every source, in order; `offset` is its number in the source's file."""
    first = 0
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        for name, source in whole.given.items():
            columns = [column for column in _READ if column in pq.read_schema(source.files[0]).names]
            for batch in batches(source, limit, columns):
                here = slice(first, first + batch.rows.num_rows)
                writer.write_batch(_ledger_rows(whole.plan, here, batch.rows, label(name, batch.file), batch.start))
                first = here.stop
                on_batch(name, batch.rows.num_rows)


def _ledger_rows(plan: Plan, here: slice, rows: pa.RecordBatch, file: str, start: int) -> pa.RecordBatch:
    reasons = np.array([name.partition(".") for name in plan.reasons], dtype=object)[plan.reason[here]]
    kept = plan.times[here] > 0
    known = {
        "source": pa.array([file] * len(rows)),
        "offset": pa.array(np.arange(start, start + len(rows))),
        "outcome": pa.array(np.where(kept, "kept", "dropped")),
        "step": pa.array([part or None for part in reasons[:, 0]], pa.string()),
        "reason": pa.array([part or None for part in reasons[:, 2]], pa.string()),
        "cluster_size": pa.array(np.ones(len(rows), np.int64)),
        EPOCHS: pa.array(plan.times[here].astype(np.float32)),
        **{name: rows.column(name) for name in rows.schema.names},
    }
    return pa.RecordBatch.from_arrays([known.get(field.name, pa.nulls(len(rows), field.type)) for field in _SCHEMA], schema=_SCHEMA)


def counts(whole: Whole) -> Counts:
    """The law: every unit kept or dropped, and every written row beyond one a unit explained."""
    units, plan = whole.units, whole.plan
    dropped = Counter(plan.reason[plan.times == 0].tolist())
    kept = int((plan.times > 0).sum())
    parts = sum(np.where(plan.split == number, units.parts[number].astype(np.int64), 0) for number in range(len(whole.mix.splits)))
    expanded = {
        "epochs": int((parts * np.maximum(plan.times - 1, 0)).sum()),
        "rows_of_one": int(parts[plan.times > 0].sum()) - kept,
    }
    return Counts(
        read=len(units),
        kept=kept,
        dropped=dict(sorted((plan.reasons[number], rows) for number, rows in dropped.items())),
        ignored={},
        expanded={name: rows for name, rows in expanded.items() if rows},
        written=int((parts * plan.times).sum()),
    )


def steps(total: Counts, cpu_s: float) -> list[StepAccount]:
    """The laws, where rows broke any, and the mix: a funnel shows the reasons of the steps that are listed."""
    lawless = sum(rows for name, rows in total.dropped.items() if name.startswith("laws."))
    lawful = total.read - lawless
    laws = [StepAccount(**{"name": "laws", "in": total.read, "out": lawful, "cpu_s": 0.0})] if lawless else []
    return [*laws, StepAccount(**{"name": "mix", "in": lawful, "out": total.kept, "cpu_s": cpu_s})]


def inputs(whole: Whole, limit: int | None) -> list[InputAccount]:
    """Every file that was read, by its hash in the source's own receipt."""
    found = []
    for name, source in whole.given.items():
        stated = {file.path: file for file in source.artifact.receipt.files}
        left = limit
        for file in source.files:
            account = stated[f"data/{file.name}"]
            rows = account.rows if left is None else min(left, account.rows)
            found.append(InputAccount(id=label(name, file), fingerprint=account.sha256, rows=rows, bytes=account.bytes))
            left = None if left is None else left - rows
    return found


def report(whole: Whole, files: dict[str, list[str]]) -> dict:
    """Asked against achieved for every source, what each split holds, and licences as SPDX spells them."""
    forms = whole.mix.formats
    return {
        "unit": whole.mix.unit,
        "sources": {name: _source(whole, number, name) for number, name in enumerate(whole.mix.sources)},
        "splits": {form.split: _split(whole, number, form, files[form.split]) for number, form in enumerate(forms)},
        "licences": _licences(whole, np.ones(len(whole.units), bool)),
        "prompts": {"groups": int(whole.units.group.max(initial=-1)) + 1, "joined_as_near": int(whole.units.joined)},
    }


def _source(whole: Whole, number: int, name: str) -> dict:
    source = whole.mix.sources[name]
    mine = whole.units.source == number
    asked = {key: value for key in ("share", "amount", "epochs", "cap") if (value := getattr(source, key)) is not None}
    taking = [(split, form.split) for split, form in enumerate(whole.mix.formats) if name in form.sources]
    achieved = {form: {**_wanted(whole, split, number), **_achieved(whole, split, mine)} for split, form in taking}
    return {"rows_read": int(mine.sum()), "asked": asked, "achieved": achieved, "licences": _licences(whole, mine & (whole.plan.times > 0))}


def _wanted(whole: Whole, split: int, source: int) -> dict:
    """What the split was to hold of the source, where shares or amounts say so."""
    amount = whole.plan.asked.get((split, source))
    return {} if amount is None else {"asked": amount}


def _achieved(whole: Whole, split: int, mine: np.ndarray) -> dict:
    """What a source gave a split: source rows, rows and size written, the part of the split, and mean epochs."""
    units, plan = whole.units, whole.plan
    here = mine & (plan.split == split)
    size = whole.written(split) if whole.mix.unit == "rows" else np.where(plan.split == split, units.size * plan.times, 0)
    total = int(size.sum())
    used = int(here.sum())
    return {
        "source_rows": used,
        "rows": int(whole.written(split)[mine].sum()),
        **({} if whole.mix.unit == "rows" else {whole.mix.unit: int(size[mine].sum())}),
        "share": round(int(size[mine].sum()) / total, 6) if total else 0.0,
        "epochs": round(int(plan.times[here].sum()) / used, 6) if used else 0.0,
    }


def _split(whole: Whole, number: int, form: Format, files: list[str]) -> dict:
    """Each split is a configuration of its own: its files share a schema with no other split's."""
    units, plan = whole.units, whole.plan
    here = plan.split == number
    found = {
        "format": form.output.model_dump(mode="json", include={"use"})["use"],
        "asked": form.size.asked,
        "rows": int(whole.written(number).sum()),
        "groups": len(np.unique(units.group[here])),
        "files": files,
    }
    if form.output.order != "label":
        return found
    positive = int((units.positive[number].astype(np.int64) * plan.times)[here].sum())
    ranges = weight_ranges(positive, found["rows"] - positive)
    labels = {"desirable": positive, "undesirable": found["rows"] - positive}
    return {**found, "labels": labels, "weight_ranges": ranges._asdict() if ranges else None}


def _licences(whole: Whole, mine: np.ndarray) -> dict[str, int]:
    """Source rows by licence, as SPDX spells it."""
    rows = np.bincount(whole.units.licence[mine], minlength=len(whole.units.licences)).tolist()
    return {name: count for name, count in sorted(zip(whole.units.licences.tolist(), rows, strict=True)) if count}
