"""One file of rows in any dialect in, one file in a trainer's format out, with a receipt and the dropped rows beside it.

The rows are read by the ingest stage, in a hidden directory beside the result, and written from
there. The result appears by rename when it is whole; `OUT.receipt.json` comes last and means done.
"""

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Annotated, NamedTuple

import orjson
import yaml
from pydantic import Field, TypeAdapter, ValidationError

from curate.artifact import Counts, FileAccount, Receipt, StepAccount, git_state, sha256_of, write_json
from curate.config import UsageError, suggestion
from curate.executors import LocalExecutor
from curate.formats import AnyDialect, Dialect, Refused, Row
from curate.formats.guess import Auto
from curate.formats.laws import LAWS
from curate.ledger import batches
from curate.outputs import OUTPUTS, AnyOutput, Output, Packed, holds_tools, pattern
from curate.outputs.files import Form, form_of, json_of, sayable, write_rows
from curate.planning import versions
from curate.runner import locked
from curate.stages import ingest_run
from curate.stages.accounts import Made
from curate.stages.ingest import Ingest
from curate.steps.sources.inputs import list_files

_TO: TypeAdapter = TypeAdapter(AnyOutput)
_FROM: TypeAdapter = TypeAdapter(Annotated[Auto | AnyDialect, Field(discriminator="use")])

WRITE = "write"
"""The step that names rows which the format cannot say."""


class Beside(NamedTuple):
    """The files that are written."""

    out: Path
    dropped: Path
    receipt: Path
    work: Path


def beside(out: Path) -> Beside:
    """The result and what stands beside it, all named after it."""
    names = (f"{out.name}.dropped.jsonl", f"{out.name}.receipt.json", f".{out.name}.work")
    return Beside(out, *(out.with_name(name) for name in names))


def convert(
    source: str | Path, out: str | Path, to: str | Output, format: str | Auto | Dialect = "auto", force: bool = False, encoding: str | None = None
) -> Receipt:
    """Write the rows of `source` to `out` in another format; the receipt's law holds in rows of the source.

    `to` and `format` (the dialect that is read) are blocks, or what `block` takes; `encoding` is that of a
    text file which is not UTF-8 and has no mark of it. Raises UsageError
    where `out` is there and `force` is not set, its name says no sort of file, the dialect is not to
    be guessed, or its rows are of a shape that `to` does not take.
    """
    files = beside(Path(out))
    output = block(to, "--to", _TO) if isinstance(to, str) else to
    dialect = block(format, "--from", _FROM) if isinstance(format, str) else format
    if isinstance(output, Packed):
        raise UsageError(f"{out}: packed tokens are a folder of files; write them by a `mix` stage")
    form = form_of(files.out.name, output)
    _refuse_place(files, force)
    stage = Ingest(source={"paths": [str(source)], "encoding": encoding}, format=dialect, dropped_text="none")
    try:
        files.work.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"{files.out.parent}: cannot be written into: {error.strerror}; name a file in a folder of yours") from None
    with locked(files.work):
        try:
            return _convert(stage, files, form, output)
        finally:
            shutil.rmtree(files.work, ignore_errors=True)


def block(text: str, option: str, kind: TypeAdapter) -> Output | Dialect | Auto:
    """A format's name, or its block as YAML in one line: `{use: messages, chosen: true}`. Raises UsageError for any other."""
    try:
        given = yaml.safe_load(text)
        return kind.validate_python({"use": given} if isinstance(given, str) else given)
    except yaml.YAMLError:
        raise UsageError(f"{option} {text}: give a name, or a block such as `{{use: messages, chosen: true}}`") from None
    except ValidationError as error:
        item = error.errors()[0]
        if item["type"] == "union_tag_invalid":
            known = [name.strip(" '") for name in item["ctx"]["expected_tags"].split(",")]
            raise UsageError(f"{option}: unknown format '{item['ctx']['tag']}'{suggestion(item['ctx']['tag'], known)}") from None
        key = next((str(part) for part in reversed(item["loc"])), "use")
        raise UsageError(f"{option} {text}: '{key}': {item['msg'][0].lower()}{item['msg'][1:]}") from None


def _refuse_place(files: Beside, force: bool) -> None:
    if files.out.is_dir():
        raise UsageError(f"{files.out}: is a folder; name a file in it")
    for path in (files.out, files.dropped, files.receipt):
        if path.exists() and not force:
            raise UsageError(f"{path}: is there already; name another file, or replace it with `--force`")


def _convert(stage: Ingest, files: Beside, form: Form, to: Output) -> Receipt:
    for stale in files.work.iterdir():  # of a conversion that was killed, perhaps of another source
        if stale.is_dir():
            shutil.rmtree(stale)
    inputs = list_files(stage.source)
    made = ingest_run.make(stage, inputs, files.work / "read", None, LocalExecutor(), 1, lambda progress: None)
    to = fitted(to, made.report["format"], files.work / "read")
    started = time.process_time()
    account = Account()
    said = _said(files.work / "read", made.report["format"]["shape"], to, form, account, files.work / "refused.jsonl")
    if to.order == "label":
        said = _interleaved(said, files.work)
    written = write_rows(files.work / "out", form, to, said)
    dropped = _write_dropped(files.work / "read", files.work / "refused.jsonl", files.work / "dropped.jsonl")
    counts = account.counts(made, written)
    broken = counts.broken_law()
    if broken:
        raise RuntimeError(f"{files.out}: the account does not add up: {broken}")
    receipt = _receipt(stage, to, made, counts, account, time.process_time() - started)
    accounts = [_file(files.work / "out", files.out.name, written)]
    if dropped:
        accounts.append(_file(files.work / "dropped.jsonl", files.dropped.name, dropped))
    return _put(files, receipt.model_copy(update={"files": accounts}), bool(dropped))


def fitted(to: Output, read: dict, directory: Path) -> Output:
    """The output that suits what was read: one that takes its shape, with tools where rows have any and nothing was set."""
    shape = read["shape"]
    if shape not in to.takes:
        can = ", ".join(kind.model_fields["use"].default for kind in OUTPUTS if shape in kind.takes and kind is not Packed)
        raise UsageError(f"the rows are {read['use']}, that is {shape} rows, which {to.name} cannot say; write {can}")
    if shape not in to.accepts:
        raise UsageError(f"{to.name}: is made of pairs only where that is asked for: set `chosen: true` to learn the chosen answers")
    if "tools" not in type(to).model_fields or "tools" in to.model_fields_set:
        return to
    return to.model_copy(update={"tools": any(map(holds_tools, batches(_parts(directory))))})


def _rows(directory: Path) -> Iterator[Row]:
    """Our rows, in the order of the source."""
    for batch in batches(_parts(directory)):
        yield from batch.to_pylist()


def _parts(directory: Path) -> list[Path]:
    return sorted(directory.glob("data/*.parquet"))


@dataclass
class Account:
    """What became of the rows: counts in units of the source, but for `ours` and `refused`, which count our rows."""

    kept: int = 0
    ours: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def counts(self, made: Made, written: int) -> Counts:
        """The whole account, what was dropped on reading included."""
        dropped = Counter(made.counts.dropped) + Counter({f"{WRITE}.{reason}": count for reason, count in self.dropped.items()})
        surplus = next(iter(made.counts.expanded), "rows_of_one")
        expanded = {surplus: self.ours - self.kept, "labels_of_a_pair": written - self.ours}
        return Counts(
            read=made.counts.read,
            kept=self.kept,
            dropped=dict(sorted(dropped.items())),
            ignored=made.counts.ignored,
            expanded={name: count for name, count in expanded.items() if count},
            written=written,
        )


def _said(directory: Path, shape: str, to: Output, form: Form, account: Account, refused: Path) -> Iterator[Row]:
    """The rows in their new format; units of which no row could be said go to `refused`, by id."""
    with refused.open("wb") as lines:
        for origins, group in groupby(_rows(directory), lambda row: row["origins"]):
            said, reasons = [], []
            for row in group:
                try:
                    said.append(sayable(to.rows(shape, row), form))
                except Refused as law:
                    reasons.append(law.reason)
            if said:
                account.kept += len(origins)
                account.ours += len(said)
                account.refused.update(reasons)
            else:
                account.dropped[reasons[0]] += len(origins)
                lines.writelines(json_of({"id": id_, "reason": reasons[0]}) + b"\n" for id_ in origins)
            yield from (row for rows in said for row in rows)


def _interleaved(rows: Iterator[Row], directory: Path) -> Iterator[Row]:
    """The rows, kept in `directory` meanwhile, with their labels spread evenly; the order within a label stays."""
    paths = (directory / "undesirable.jsonl", directory / "desirable.jsonl")
    counts = [0, 0]
    with paths[0].open("wb") as undesirable, paths[1].open("wb") as desirable:
        for row in rows:
            counts[row["label"]] += 1
            (desirable if row["label"] else undesirable).write(json_of(row) + b"\n")
    kept = [_lines(path) for path in paths]
    for label in pattern(counts[1], counts[0]):
        yield next(kept[int(label)])


def _lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        for line in lines:
            yield orjson.loads(line)


def _write_dropped(directory: Path, refused: Path, path: Path) -> int:
    """Name every unit that is not in the result, in the order of the source; how many there are."""
    dropped = 0
    later = _lines(refused)
    waiting = next(later, None)
    with path.open("wb") as lines:
        for batch in batches([directory / "ledger" / "00000.parquet"]):
            for unit in batch.select(["id", "source", "offset", "outcome", "step", "reason"]).to_pylist():
                if waiting is not None and unit["id"] == waiting["id"]:
                    unit.update(outcome="dropped", step=WRITE, reason=waiting["reason"])
                    waiting = next(later, None)
                if unit.pop("outcome") == "dropped":
                    lines.write(json_of(unit) + b"\n")
                    dropped += 1
    return dropped


def _receipt(stage: Ingest, to: Output, made: Made, counts: Counts, account: Account, cpu_s: float) -> Receipt:
    config = {"to": to.model_dump(mode="json"), "format": stage.format.model_dump(mode="json")}
    inputs = [[entry.id, entry.fingerprint] for entry in made.inputs]
    known = {"curate": metadata.version("curate"), **versions()}
    reasons = {name.partition(".")[2] for name in counts.dropped} | set(account.refused)
    report = {
        **made.report,
        "laws": {**made.report["laws"], **{reason: LAWS[reason] for reason in sorted(reasons) if reason in LAWS}},
        "rows_refused": dict(sorted((Counter(made.report["rows_refused"]) + account.refused).items())),
    }
    return Receipt(
        recipe="convert",
        stage="convert",
        fingerprint=hashlib.sha256(orjson.dumps([config, inputs, known], option=orjson.OPT_SORT_KEYS)).hexdigest(),
        config=config,
        inputs=made.inputs,
        counts=counts,
        steps=[*made.steps, StepAccount(**{"name": WRITE, "in": made.counts.kept, "out": counts.kept, "cpu_s": cpu_s})],
        files=[],
        damage=made.damage,
        report=report,
        versions=known,
        git=git_state(),
        timings=made.timings,
    )


def _file(path: Path, name: str, rows: int) -> FileAccount:
    return FileAccount(path=name, rows=rows, bytes=path.stat().st_size, sha256=sha256_of(path))


def _put(files: Beside, receipt: Receipt, dropped: bool) -> Receipt:
    """Rename the files into place; an old receipt goes first, since it would speak of another result."""
    files.receipt.unlink(missing_ok=True)
    files.dropped.unlink(missing_ok=True)
    if dropped:
        (files.work / "dropped.jsonl").rename(files.dropped)
    (files.work / "out").rename(files.out)
    write_json(files.receipt, receipt.model_dump(mode="json", by_alias=True))
    return receipt
