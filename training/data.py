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
from curate.contract.files import Row, columns_of, data_files, rows_of
from training.arguments import is_first_process
from training.config import Dpo, Pretrain, Run, Sft

if TYPE_CHECKING:
    import datasets

Trainer = Literal["sft", "dpo", "kto", "reward", "preference", "grpo", "pretrain"]
logger = logging.getLogger(__name__)
IGNORED = -100
JUDGED = ("probability", "weight")
"""What judges say of a pair beside the order of its answers."""
_CONTRACT = {"sft": "sft", "pretrain": "sft", "dpo": "dpo", "preference": "dpo", "reward": "reward", "kto": "kto"}
"""The trainer of the contract that reads rows in the same way."""
_READ = {
    "kto": ("prompt", "completion", "label", "tools"),
    "preference": ("prompt", "chosen", "rejected", "tools"),
}
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
        named = [path for kind in ("parquet", "jsonl") for path in self.place.rglob(f"{split}-*.{kind}")]
        return data_files(self.place, split if named or split != "train" else None)

    def rows(self, split: str) -> Iterator[Row]:
        """The rows of a split. Raises UsageError at a file that is damaged inside."""
        for file in self.files(split):
            yield from rows_of(file)


def source_of(config: Run) -> Source:
    """The data of a config; a Hub id is looked up in the local cache. Raises UsageError where there is none, or it is simulated."""
    place = Path(config.data)
    if not place.exists():
        return Source(config.data, _cached(config.data), None)
    artifact = Artifact(place) if (place / RECEIPT).exists() else None
    if artifact is None and (place / "data").is_dir():
        raise UsageError(f"{place}: no {RECEIPT}, so this artifact is unfinished; finish it with `curate run`")
    if artifact and not config.simulated and is_simulated(artifact):
        raise UsageError(f"{place}: its verdicts come from a simulated judge; train on it by --simulated, for a trial alone")
    if artifact:
        _whole(artifact)
    return Source(config.data, place, artifact)


def _cached(name: str) -> Path:
    """The folder of a data set of the Hub in the local cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name.removeprefix("hf://datasets/"), repo_type="dataset", local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        fetch = f"hf download --repo-type dataset {name}"
        raise UsageError(f"{name}: neither a file or folder here nor a data set in the Hub's local cache; fetch it with `{fetch}`") from None


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
    """The contract's tokenizer, with the config's template and padding."""
    made = load_tokenizer(config.tokenizer or config.model, config.template)
    if config.pad_token is not None:
        made.special["pad_token"] = config.pad_token
    return made


def contract(kind: Trainer, config: Run, source: Source, tokenizer: Tokenizer, show: int = 0) -> Report:
    """The contract's report over the trained split. Raises UsageError for rows that walk into a trap."""
    files = source.files(config.split)
    report = check(_folder_or_file(source, files), _CONTRACT[kind], tokenizer, settings_of(config), show, _split(source, config.split))
    meant = {"unread_columns", *(["texts_without_template"] if kind == "pretrain" else [])}  # the first is said below of this very loss
    report = report._replace(findings=tuple(found for found in report.findings if found.trap not in meant))
    if report.refused:
        refused = [found.sentence(report.read) for found in report.findings if found.refused]
        raise UsageError("\n".join(f"{source.name}: {sentence}" for sentence in refused))
    if (unread := unread_of(kind, config, files)) and is_first_process():
        logger.warning("warning: %s: %s", source.name, unread)
    return report


def unread_of(kind: Trainer, config: Run, files: list[Path]) -> str | None:
    """What judges said of the rows and this loss does not read, in one line; such rows count as certain, and all alike."""
    if isinstance(config, Dpo) and config.is_soft:
        return None
    here = {name for file in files for name in columns_of(file)}
    unread = [name for name in JUDGED if name in here]
    loss = getattr(config, "loss", kind)
    named = "+".join(loss) if isinstance(loss, list) else loss
    return f"the loss {named} does not read {' and '.join(unread)}; DPO's `loss: [sigmoid]` does" if unread else None


def _split(source: Source, split: str) -> str | None:
    return None if source.place.is_file() or source.files(split) == data_files(source.place) else split


def _folder_or_file(source: Source, files: list[Path]) -> Path:
    return files[0] if len(files) == 1 else source.place


def prepared(kind: Trainer, config: Run, source: Source, split: str, tokenizer: Tokenizer, folder: Path) -> "datasets.Dataset":
    """The rows of a split as the trainer takes them, kept as Parquet under `folder`."""
    import datasets

    if kind not in ("sft", "pretrain", "dpo", "reward"):
        return _columns(kind, source.files(split), folder)
    name = "sft" if kind == "pretrain" else kind
    settings = settings_of(config)
    rows = _pieces(source.files(split), tokenizer, settings) if kind == "pretrain" else _tokenised(name, source.files(split), tokenizer, settings)
    file = folder / f"{split}-00000.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    if not _written(file, _SCHEMAS[name], rows):
        raise UsageError(f"{source.name}: split '{split}' has no row that can be trained on")
    return datasets.Dataset.from_parquet(str(file), cache_dir=str(folder / "cache"))


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
        judged = _judged(file) if kind == "dpo" else iter(())
        groups = _column(file, "group") if kind == "reward" else iter(())
        for row in rows_of(file):
            prediction = predict(kind, row.columns, tokenizer, settings)
            if prediction.stops:
                raise UsageError(f"{file}: {row.name}: {prediction.stops}; see `curate check --for {kind}`")
            probability, weight = next(judged, (1.0, 1.0))
            group = next(groups, None)
            if prediction.dropped:
                continue
            made = _ROW[kind](prediction)
            if kind == "dpo":
                made |= {"probability": probability, "weight": weight}
            if kind == "reward":
                made |= {"margin": row.columns.get("margin") or 0.0, "group": group or row.name}
            yield made


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


def _column(file: Path, name: str) -> Iterator[object]:
    """A column that the contract does not read; nothing where the file has none, so that a default holds."""
    if name not in columns_of(file):
        return
    if file.suffix == ".parquet":
        for batch in pq.ParquetFile(file).iter_batches(_ROWS, columns=[name]):
            yield from batch.column(0).to_pylist()
    else:
        yield from (row.columns.get(name) for row in rows_of(file))


def _judged(file: Path) -> Iterator[tuple[float, float]]:
    """(probability, weight) of each pair; a hard label is 1, a missing weight is 1."""
    here = set(columns_of(file))
    columns = [_column(file, name) if name in here else None for name in JUDGED]
    if columns == [None, None]:
        return
    for _ in rows_of(file):
        probability, weight = (None if column is None else next(column) for column in columns)
        yield (1.0 if probability is None else probability), (1.0 if weight is None else weight)


def _columns(kind: Trainer, files: list[Path], folder: Path) -> "datasets.Dataset":
    """The columns that a trainer reads by itself; all of them for GRPO, whose rewards take any."""
    import datasets

    sort = "json" if files[0].suffix == ".jsonl" else "parquet"
    data = datasets.load_dataset(sort, data_files=[str(file) for file in files], split="train", cache_dir=str(folder / "cache"))
    wanted = _READ.get(kind)
    return data.select_columns([name for name in data.column_names if name in wanted]) if wanted else data
