"""Data files and a tokenizer in; what the trainer will read of them, and every trap that they walk into, out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from curate.artifact import Artifact
from curate.config import UsageError
from curate.contract.files import DataFile, Row, data_files, opened
from curate.contract.look import row_traps, template_traps
from curate.contract.predict import Prediction, predict, runs
from curate.contract.settings import Kind, Settings
from curate.contract.tokenizer import Tokenizer
from curate.contract.traps import TRAPS

FIRST = 5
"""Rows that a finding names."""
ONE_LABEL_SHARE = 0.1
"""Batches of one label beyond this share are refused; an even shuffle of equal labels gives 1 in 128 at a batch of 8."""


class Finding(NamedTuple):
    """A trap, how many rows walk into it, and the first of them; 0 rows: it lies in the template, the settings or the order."""

    trap: str
    rows: int
    first: tuple[str, ...]
    detail: str = ""

    @property
    def refused(self) -> bool:
        return TRAPS[self.trap].refused

    def sentence(self, read: int) -> str:
        trap = TRAPS[self.trap]
        where = f"{self.rows:,} of {read:,} rows" if self.rows else "the whole set"
        first = f" First: {', '.join(self.first)}." if self.first else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{'refused' if trap.refused else 'warning'}: {self.trap}: {where}: {trap.says}{detail} Instead: {trap.instead}.{first}"


class Report(NamedTuple):
    """What a trainer of `kind` will read: rows, tokens after truncation, findings, and a few rows as it sees them."""

    kind: Kind
    arguments: dict[str, object]
    """What the trainer's config has to say for the prediction to hold."""
    read: int
    kept: int
    tokens: int
    trained: int
    longest: int
    findings: tuple[Finding, ...]
    shown: tuple[str, ...]

    @property
    def refused(self) -> bool:
        return any(found.refused for found in self.findings)

    def lines(self) -> list[str]:
        """The report as it is printed: rows first, then findings, then what comes out."""
        share = f"{self.trained / self.tokens:.1%}" if self.tokens else "none"
        total = f"{self.kind}: {self.kept:,} of {self.read:,} rows reach the trainer: {self.tokens:,} tokens, "
        total += f"{self.trained:,} of them trained ({share}), the longest sequence {self.longest:,}"
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        verdict = "refused" if self.refused else "the trainer will read what is meant"
        return [*self.shown, *(found.sentence(self.read) for found in self.findings), total, f"holds for: {given}", verdict]

    def as_dict(self) -> dict[str, object]:
        """The report as JSON has it."""
        return {**self._asdict(), "refused": self.refused, "findings": [found._asdict() for found in self.findings]}


class _Tally:
    """Counts over a stream of rows; memory does not grow with it."""

    def __init__(self) -> None:
        self.read = self.kept = self.tokens = self.trained = self.longest = 0
        self.found: dict[str, list] = {}

    def note(self, trap: str, name: str | None = None, detail: str = "") -> None:
        """One more row (`name`) in a trap; or, without a name, a trap that lies in no row."""
        noted = self.found.setdefault(trap, [0, [], detail])
        if name is not None:
            noted[0] += 1
            noted[1] += [name] if len(noted[1]) < FIRST else []

    def add(self, prediction: Prediction) -> None:
        self.kept += 1
        for one in prediction.sequences:
            self.tokens += len(one.input_ids)
            self.trained += sum(one.loss)
            self.longest = max(self.longest, len(one.input_ids))

    def findings(self) -> tuple[Finding, ...]:
        """What was noted, in the order of TRAPS."""
        noted = ((trap, *self.found[trap]) for trap in TRAPS if trap in self.found)
        return tuple(Finding(trap, rows, tuple(first), detail) for trap, rows, first, detail in noted)


class _Batches:
    """The labels of KTO's batches, in the order of the file."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.labels: list[bool] = []
        self.full = self.alike = 0

    def add(self, label: bool) -> None:
        self.labels.append(label)
        if len(self.labels) == self.size:
            self.close()

    def close(self) -> None:
        """Count the batch; one row alone is no batch."""
        if len(self.labels) > 1:
            self.full += 1
            self.alike += len(set(self.labels)) == 1
        self.labels = []


def check(
    source: str | Path | Artifact | Sequence[DataFile],
    kind: Kind,
    tokenizer: Tokenizer,
    settings: Settings,
    show: int = 3,
    split: str | None = None,
) -> Report:
    """Predict every row of an artifact, a folder, a file or opened files, and look for traps; memory does not grow with the rows.

    `show` rows are decoded with trained tokens in brackets. Raises UsageError for what cannot be read.
    """
    if kind not in get_args(Kind):
        raise UsageError(f"{kind}: no such trainer; choose one of {', '.join(get_args(Kind))}")
    files = _files(source, split)
    tally, shown = _Tally(), []
    names = {name for file in files for name in file.columns}
    _whole_set(names, kind, tokenizer, settings, tally)
    batches = {file.name.rsplit("-", 1)[0]: _Batches(settings.batch_size) for file in files}
    for file, row in ((file, row) for file in files for row in file.rows()):
        prediction = _one(row, kind, tokenizer, settings, tally)
        if prediction.stops or prediction.dropped:
            continue
        tally.add(prediction)
        if len(shown) < show:
            shown += [marked_text(row.name, prediction, tokenizer)]
        if kind == "kto":
            batches[file.name.rsplit("-", 1)[0]].add(bool(row.columns["label"]))
    _labels(list(batches.values()), tally)
    if not tally.read:
        tally.note("no_rows")
    arguments = _arguments(names, kind, tokenizer, settings)
    return Report(kind, arguments, tally.read, tally.kept, tally.tokens, tally.trained, tally.longest, tally.findings(), tuple(shown))


def _files(source: str | Path | Artifact | Sequence[DataFile], split: str | None) -> Sequence[DataFile]:
    if isinstance(source, Artifact):
        source = source.path
    return opened(data_files(source, split)) if isinstance(source, str | Path) else source


def _arguments(names: set[str], kind: Kind, tokenizer: Tokenizer, settings: Settings) -> dict[str, object]:
    """The settings that this trainer's config knows, by its names."""
    given: dict[str, object] = {"max_length": settings.max_length}
    if kind in ("sft", "dpo"):
        given["truncation_mode"] = settings.truncation_mode
    if kind == "sft":
        only = settings.assistant_only_loss
        given["assistant_only_loss"] = bool(names & {"messages", "conversations"}) if only is None else only
        given |= {"completion_only_loss": settings.completion_only_loss} if settings.completion_only_loss is not None else {}
        given |= {"packing": True, "packing_strategy": settings.packing} if settings.packing else {}
    if kind == "kto":
        given["per_device_train_batch_size"] = settings.batch_size
    return given | ({"chat_template": tokenizer.replaced} if tokenizer.replaced else {})


def _one(row: Row, kind: Kind, tokenizer: Tokenizer, settings: Settings, tally: _Tally) -> Prediction:
    """The prediction of a row, its traps noted."""
    tally.read += 1
    prediction = predict(kind, row.columns, tokenizer, settings)
    for trap in row_traps(kind, row.columns, prediction, tokenizer, settings):
        tally.note(trap, row.name, prediction.detail if trap == prediction.stops else "")
    return prediction


def _whole_set(names: set[str], kind: Kind, tokenizer: Tokenizer, settings: Settings, tally: _Tally) -> None:
    """Traps of the columns, the template and the settings, which need no row."""
    unread = sorted(names & {"probability", "weight", *(["margin"] if kind != "reward" else [])})
    if unread:
        tally.note("unread_columns", detail=", ".join(unread))
    if names & {"messages", "conversations", "prompt", "chosen", "completion"}:
        for trap in template_traps(kind, tokenizer):
            tally.note(trap)
    if tokenizer.rebuilt and "input_ids" not in names:
        tally.note("class_rebuilt", detail=tokenizer.class_name)
    if settings.packing == "wrapped":
        tally.note("packing_mixes")


def _labels(batches: list[_Batches], tally: _Tally) -> None:
    for one in batches:
        one.close()
    full, alike = sum(one.full for one in batches), sum(one.alike for one in batches)
    if full and alike / full > ONE_LABEL_SHARE:
        tally.note("one_label_batches", detail=f"{alike:,} of {full:,} batches of {batches[0].size}")


def marked_text(name: str, prediction: Prediction, tokenizer: Tokenizer) -> str:
    """The sequences of a row as text, trained tokens between ⟦ and ⟧."""
    lines = []
    for one in prediction.sequences:
        text = "".join(_pieces(one.input_ids, one.loss, tokenizer))
        lines.append(f"{name} {one.name}, {len(one.input_ids):,} tokens, {sum(one.loss):,} trained:\n{text}")
    return "\n".join(lines)


def _pieces(ids: list[int], loss: list[bool], tokenizer: Tokenizer) -> Iterator[str]:
    place = 0
    for start, end in runs(loss):
        yield tokenizer.decode(ids[place:start])
        yield f"⟦{tokenizer.decode(ids[start:end])}⟧"
        place = end
    yield tokenizer.decode(ids[place:])
