"""Pairs and a reference model in; the pairs with the reference's log-probabilities out, reckoned once and kept.

They are kept as an artifact: a directory named by the key of model, tokenizer and template, one row
for each pair by the hash of its ids, so that another mixture of the same pairs costs nothing.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import RECEIPT, Counts, Receipt, file_accounts, write_receipt
from training.models import weights_hash
from training.receipt import versions

if TYPE_CHECKING:
    import datasets

    from training.soft import SoftDpo

_SCHEMA = pa.schema([("row", pa.string()), ("ref_chosen_logps", pa.float32()), ("ref_rejected_logps", pa.float32())])
_COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")
_TIMES = 4
"""Rows of a batch, as a multiple of a training batch's: nothing is kept for a backward pass, and a GPU has more to do at once."""
Known = dict[str, tuple[float, float]]


def key_of(model: str, precision: str) -> str:
    """16 hex digits of what a log-probability depends on beside the ids: weights, tokenizer, template, precision."""
    return hashlib.sha256(f"{sorted(weights_hash(model).items())}{precision}".encode()).hexdigest()[:16]


def row_key(row: dict) -> str:
    """32 hex digits of the ids of a pair."""
    ids = "/".join(" ".join(map(str, row[name])) for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
    return hashlib.sha256(ids.encode()).hexdigest()[:32]


def with_logps(trainer: "SoftDpo", rows: "datasets.Dataset", store: Path) -> "datasets.Dataset":
    """The rows with `ref_chosen_logps` and `ref_rejected_logps`; those that the store lacks are reckoned and kept."""
    keys = [row_key(row) for row in rows]
    known = _read(store)
    lengths = rows["length"][:]
    missing = sorted((place for place, key in enumerate(keys) if key not in known), key=lambda place: lengths[place])  # little padding
    if missing:
        made = _reckoned(trainer, rows.select(missing))
        known |= {keys[place]: logps for place, logps in zip(missing, made, strict=True)}
        if trainer.accelerator.is_main_process:
            _keep(store, known)
        trainer.accelerator.wait_for_everyone()
    for place, name in enumerate(_COLUMNS):
        rows = rows.add_column(name, [known[key][place] for key in keys])
    return rows


def _reckoned(trainer: "SoftDpo", rows: "datasets.Dataset") -> list[tuple[float, float]]:
    """Both log-probabilities of each row, in their order, shared between the processes."""
    import torch
    from torch.utils.data import DataLoader

    kept = [name for name in rows.column_names if name in ("prompt_ids", "chosen_ids", "rejected_ids", "probability", "weight")]
    args = trainer.args
    size = args.precompute_ref_batch_size or _TIMES * args.per_device_train_batch_size
    loader = DataLoader(rows.select_columns(kept), batch_size=size, collate_fn=trainer.data_collator, pin_memory=args.dataloader_pin_memory)
    model, found = trainer.ref_model or trainer.model.to(trainer.accelerator.device), []
    training = model.training
    model.eval()
    for batch in trainer.accelerator.prepare(loader):
        found.append(torch.stack(trainer.accelerator.gather_for_metrics(trainer.compute_ref_log_probs(model, batch)), dim=1))
    model.train(training)
    return [tuple(pair) for pair in torch.cat(found).tolist()]  # here alone: a GPU's pipeline waits for numbers


def _read(store: Path) -> Known:
    """What a finished store holds; nothing where it was not finished."""
    if not (store / RECEIPT).exists():
        return {}
    columns = pq.read_table(store / "data" / "train-00000.parquet").to_pydict()
    return dict(zip(columns["row"], zip(*(columns[name] for name in _COLUMNS), strict=True), strict=True))


def _keep(store: Path, known: Known) -> None:
    """Write the store anew, its receipt last."""
    (store / "data").mkdir(parents=True, exist_ok=True)
    (store / RECEIPT).unlink(missing_ok=True)
    rows = sorted(known)
    columns = [rows, *([known[row][place] for row in rows] for place in range(2))]
    temporary = store / "data" / "train-00000.tmp"
    pq.write_table(pa.table(columns, schema=_SCHEMA), temporary, compression="zstd")
    temporary.rename(temporary.with_suffix(".parquet"))
    counts = Counts(read=len(rows), kept=len(rows), dropped={}, ignored={}, written=len(rows))
    files = list(file_accounts(store, ("data",)))
    write_receipt(store, Receipt(
        recipe="reference", stage="reference_logps", fingerprint=store.name, config={}, inputs=[], counts=counts, steps=[], files=files,
        damage=[], versions=versions(),
    ))  # fmt: skip
