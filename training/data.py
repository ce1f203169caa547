"""A config's data in; the rows of one trainer, checked against the contract before any model is loaded, out.

SFT, DPO and reward rows are tokenised here by `curate.contract`, whose prediction thus *is* what is
trained; the other trainers read message lists, and their tokens are predicted by the same contract.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import RECEIPT, Artifact, sha256_of
from curate.config import UsageError
from curate.contract import Prediction, Report, Settings, Tokenizer, check, load_tokenizer, predict
from curate.contract.files import Row, columns_of, data_files, opened, rows_of
from training import guards
from training.arguments import is_first_process
from training.config import Dpo, Pretrain, Run, Sft
from training.models import backend_of, is_rotary, stated
from training.sources import cached, files_of, latest
from training.values import BESIDE, JUDGED, check_ids, column_of, said

if TYPE_CHECKING:
    import datasets

Trainer = Literal["sft", "dpo", "kto", "reward", "preference", "grpo", "pretrain"]
logger = logging.getLogger(__name__)
IGNORED = -100
_CONTRACT = {"sft": "sft", "pretrain": "sft", "dpo": "dpo", "preference": "dpo", "reward": "reward", "kto": "kto"}
"""The trainer of the contract that reads rows in the same way."""
_READ = {
    "kto": ("prompt", "completion", "label", "tools"),
    "preference": ("prompt", "chosen", "rejected", "tools"),
}
_SEEN_TO = ("unread_columns", "class_rebuilt", "margin_missing")
"""Traps that are none here: columns are spoken of by loss, ids are those of the class that transformers builds, and no margin is one of 0."""
_PRETRAINS = ("texts_without_template",)
_TOO_LONG = ("prompt_too_long", "row_too_long", "no_trained_token")
"""Traps of rows that do not fit into `max_length`."""
_LEAVE = " Or leave such rows out by `too_long: drop`."
_ROWS = 1_000
_IDS = pa.list_(pa.int32())
_SCHEMAS = {
    "sft": pa.schema([("input_ids", _IDS), ("labels", _IDS), ("length", pa.int32())]),
    "dpo": pa.schema([
        ("prompt_ids", _IDS), ("chosen_ids", _IDS), ("rejected_ids", _IDS),
        ("probability", pa.float32()), ("weight", pa.float32()), ("length", pa.int32()),
    ]),
    "reward": pa.schema([("chosen_ids", _IDS), ("rejected_ids", _IDS), ("margin", pa.float32()), ("group", pa.string()), ("length", pa.int32())]),
}  # fmt: skip


class Source(NamedTuple):
    """What a config trains on, before it is read: an artifact with its receipt, or files alone."""

    name: str
    place: Path
    artifact: Artifact | None

    def files(self, split: str) -> list[Path]:
        """The files of a split; a file alone is its own split, and a folder without splits is `train`."""
        if self.place.is_file():
            return data_files(self.place)
        return files_of(self.place / "data" if self.artifact else self.place, split, self.artifact is not None)

    def rows(self, split: str) -> Iterator[Row]:
        """The rows of a split. Raises UsageError at a file that is damaged inside."""
        for file in self.files(split):
            yield from rows_of(file)


def source_of(config: Run) -> Source:
    """The data of a config; a Hub id is looked up in the local cache. Raises UsageError where there is none, or it is simulated."""
    place = Path(config.data)
    if not place.exists():
        return Source(config.data, cached(config.data), None)
    place = latest(place)
    artifact = Artifact(place) if (place / RECEIPT).exists() else None
    if artifact is None and (place / "data").is_dir():
        raise UsageError(f"{place}: no {RECEIPT}, so this artifact is unfinished; finish it with `curate run`")
    if artifact and not config.simulated and is_simulated(artifact):
        raise UsageError(f"{place}: its verdicts come from a simulated judge; train on it by --simulated, for a trial alone")
    if artifact:
        _whole(artifact)
    return Source(config.data, place, artifact)


def is_simulated(artifact: Artifact) -> bool:
    """True where a verdict in the artifact, or in one that it was made of, came from an endpoint that calls itself a simulation."""
    return any(_simulated_here(one) for one in (artifact, *artifact.ancestors()))


def _simulated_here(artifact: Artifact) -> bool:
    if any(isinstance(part, dict) and part.get("simulated") for part in (artifact.receipt.report, *artifact.receipt.report.values())):
        return True
    for file in sorted(artifact.path.glob("verdicts/*.parquet")):
        if "simulated" in pq.read_schema(file).names and any(pq.read_table(file, columns=["simulated"])["simulated"].to_pylist()):
            return True
    return False


def _whole(artifact: Artifact) -> None:
    """UsageError at a data file that is not the one of the receipt: a corrupt shard is found before a model is loaded."""
    for account in artifact.receipt.files:
        file = artifact.path / account.path
        if account.path.startswith("data/") and (not file.exists() or sha256_of(file) != account.sha256):
            raise UsageError(f"{file}: missing or not the file that its receipt describes; make the artifact again by `curate run`")


def turns_of(cell: object) -> list[dict] | None:
    """The turns of a cell, each with its role; None where it holds none, or something else."""
    turns = cell if isinstance(cell, list) and all(isinstance(turn, dict) and isinstance(turn.get("role"), str) for turn in cell) else None
    return turns or None


def settings_of(config: Run) -> Settings:
    """What of a config decides ids and masks."""
    if isinstance(config, Pretrain):
        return Settings(max_length=config.max_length, packing="bfd_split")  # long texts are cut into pieces, none is lost
    every = {"mask": {"assistant": None, "all": False}[config.mask], "packing": config.packing} if isinstance(config, Sft) else {}
    return Settings(
        max_length=config.max_length, assistant_only_loss=every.get("mask"), packing=every.get("packing"), batch_size=config.batch_size
    )


def tokenizer_of(config: Run) -> Tokenizer:
    """The contract's tokenizer, with the config's template and padding; it encodes as the tokenizer that is saved beside the model."""
    name = config.tokenizer or config.model
    made = load_tokenizer(name, config.template)
    if made.rebuilt:
        made.backend = backend_of(name)
    if config.pad_token is not None:
        made.special["pad_token"] = config.pad_token
    return made


def contract(kind: Trainer, config: Run, source: Source, tokenizer: Tokenizer, show: int = 0) -> Report:
    """The contract's report over the trained split. Raises UsageError for rows that walk into a trap."""
    files = source.files(config.split)
    report = check(opened(files), _CONTRACT[kind], tokenizer, settings_of(config), show)
    meant = {*_SEEN_TO, *_PRETRAINS * (kind == "pretrain"), *_TOO_LONG * (config.too_long == "drop")}
    report = report._replace(findings=tuple(found for found in report.findings if found.trap not in meant))
    if report.refused:
        refused = [found.sentence(report.read) + _LEAVE * (found.trap in _TOO_LONG) for found in report.findings if found.refused]
        raise UsageError("\n".join(f"{source.name}: {sentence}" for sentence in refused))
    guards.refuse(guards.system_left_out(tokenizer, source.rows(config.split)))
    fits(source.name, config.model, min(report.longest, config.max_length))
    left = f"{report.read - report.kept:,} of {report.read:,} rows do not fit into max_length and are left out" if report.kept < report.read else None
    for told in (left, unread_of(kind, config, files)):
        if told and is_first_process():
            logger.warning("warning: %s: %s", source.name, told)
    return report


def fits(name: str, model: str, longest: int) -> None:
    """UsageError where a sequence is longer than a model has weights for; a warning where rotary positions let it read what it has never learnt."""
    places = stated(model, "max_position_embeddings", "n_positions") if model else None
    if not places or longest <= places:
        return
    said = f"{name}: its longest sequence of {longest:,} tokens is over the {places:,} places of {model}"
    if not is_rotary(model):
        raise UsageError(f"{said}; lower max_length")
    if is_first_process():
        logger.warning("warning: %s, beyond which it has learnt nothing", said)


def unread_of(kind: Trainer, config: Run, files: list[Path]) -> str | None:
    """What judges said of the rows and this loss does not read, in one line; such rows count as certain, and all alike."""
    if isinstance(config, Dpo) and config.is_soft:
        return None
    here = {name for file in files for name in columns_of(file)}
    unread = [name for name in JUDGED if name in here]
    loss = getattr(config, "loss", kind)
    named = "+".join(loss) if isinstance(loss, list) else loss
    return f"the loss {named} does not read {' and '.join(unread)}; DPO's `loss: [sigmoid]` does" if unread else None


def prepared(kind: Trainer, config: Run, source: Source, split: str, tokenizer: Tokenizer, folder: Path) -> "datasets.Dataset":
    """The rows of a split as the trainer takes them, kept as Parquet under `folder`."""
    import datasets

    if kind not in ("sft", "pretrain", "dpo", "reward"):
        rows = _columns(kind, source.files(split), folder)
        return _fitting(kind, source, split, tokenizer, settings_of(config), rows) if config.too_long == "drop" and kind in _READ else rows
    name = "sft" if kind == "pretrain" else kind
    settings = settings_of(config)
    rows = _pieces(source.files(split), tokenizer, settings) if kind == "pretrain" else _tokenised(name, source.files(split), tokenizer, settings)
    rows = _known(rows, stated(config.model, "vocab_size"), config.model)
    file = folder / f"{split}-00000.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    if is_first_process() and not _written(file, _SCHEMAS[name], rows):  # the others come after it, and would write one file all at once
        raise UsageError(f"{source.name}: split '{split}' has no row that can be trained on")
    return datasets.Dataset.from_parquet(str(file), cache_dir=str(folder / "cache"))


def _known(rows: Iterator[dict], size: int | None, model: str) -> Iterator[dict]:
    """The rows as they are. Raises UsageError at an id that the model has no embedding of: it has another tokenizer, or one that grew."""
    for row in rows:
        most = max((max(ids) for name, ids in row.items() if name.endswith("_ids") and ids), default=0)
        if size and most >= size:
            raise UsageError(f"{model}: has {size:,} embeddings and a row holds id {most:,}; take its own tokenizer, or resize the model")
        yield row


def _written(file: Path, schema: pa.Schema, rows: Iterator[dict]) -> int:
    """Write rows by a temporary name and a rename; how many there were."""
    temporary, written, held = file.with_suffix(".tmp"), 0, []
    with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for row in rows:
            held.append(row)
            if len(held) == _ROWS:
                writer.write_table(pa.Table.from_pylist(held, schema))
                written, held = written + len(held), []
        writer.write_table(pa.Table.from_pylist(held, schema))
    temporary.rename(file)
    return written + len(held)


def _tokenised(kind: str, files: list[Path], tokenizer: Tokenizer, settings: Settings) -> Iterator[dict]:
    for file in files:
        beside = {name: column_of(file, name) for name in BESIDE.get(kind, ())}
        for row in rows_of(file):
            further = {name: next(values, None) for name, values in beside.items()}
            where = f"{file}: {row.name}"
            check_ids(row.columns, where)
            prediction = predict(kind, row.columns, tokenizer, settings)
            if prediction.stops:
                raise UsageError(f"{where}: {prediction.stops}; see `curate check --for {kind}`")
            if not prediction.dropped:
                yield _ROW[kind](prediction) | said(kind, {**further, **row.columns}, where)


def _pieces(files: list[Path], tokenizer: Tokenizer, settings: Settings) -> Iterator[dict]:
    """Texts cut into sequences of at most `max_length` tokens, none of which is lost."""
    for row in _tokenised("sft", files, tokenizer, settings):
        for start in range(0, len(row["input_ids"]), settings.max_length):
            ids = row["input_ids"][start : start + settings.max_length]
            yield {"input_ids": ids, "labels": ids, "length": len(ids)}


def _sft_row(prediction: Prediction) -> dict:
    one = prediction.sequences[0]
    labels = [number if trained else IGNORED for number, trained in zip(one.input_ids, one.loss, strict=True)]
    return {"input_ids": one.input_ids, "labels": labels, "length": len(labels)}


def _dpo_row(prediction: Prediction) -> dict:
    chosen, rejected = prediction.sequences
    start = chosen.loss.index(True) if any(chosen.loss) else len(chosen.loss)
    ids = {"prompt_ids": chosen.input_ids[:start], "chosen_ids": chosen.input_ids[start:], "rejected_ids": rejected.input_ids[start:]}
    return {**ids, "length": max(len(chosen.input_ids), len(rejected.input_ids))}


def _reward_row(prediction: Prediction) -> dict:
    chosen, rejected = (one.input_ids for one in prediction.sequences)
    return {"chosen_ids": chosen, "rejected_ids": rejected, "length": max(len(chosen), len(rejected))}


_ROW = {"sft": _sft_row, "dpo": _dpo_row, "reward": _reward_row}


def _columns(kind: Trainer, files: list[Path], folder: Path) -> "datasets.Dataset":
    """The columns that a trainer reads by itself; all of them for GRPO, whose rewards take any."""
    import datasets

    sort = "json" if files[0].suffix == ".jsonl" else "parquet"
    data = datasets.load_dataset(sort, data_files=[str(file) for file in files], split="train", cache_dir=str(folder / "cache"))
    wanted = _READ.get(kind)
    return data.select_columns([name for name in data.column_names if name in wanted]) if wanted else data


def _fitting(kind: Trainer, source: Source, split: str, tokenizer: Tokenizer, settings: Settings, rows: "datasets.Dataset") -> "datasets.Dataset":
    """The rows of which `max_length` leaves something to learn."""
    dropped = (predict(_CONTRACT[kind], row.columns, tokenizer, settings).dropped for row in source.rows(split))
    return rows.select([number for number, reason in enumerate(dropped) if not reason])
