"""What a training run leaves beside its model: the same receipt as a stage of `curate`, so that one walk leads to the sources.

`Artifact(model).ancestors()` gives the data, the model before it, its data, and so on, down to the
stage that read the WARC files; `python -m training.receipt DIRECTORY` prints that walk.
"""

import hashlib
import json
import os
import sys
from importlib import metadata
from pathlib import Path

import pyarrow.parquet as pq

from curate.artifact import (
    RECEIPT, Artifact, Counts, FileAccount, InputAccount, ParentAccount, Receipt, git_state, read_receipt, sha256_of, write_receipt,
)  # fmt: skip
from curate.config import UsageError
from curate.contract import Report
from curate.contract.files import rows_of
from training.config import Run
from training.data import Source
from training.models import RUN, folder_of, weights_hash
from training.place import LOCK

_LIBRARIES = ("curate", "torch", "trl", "transformers", "peft", "accelerate", "datasets", "tokenizers")
_NOT_IDENTITY = {"output", "data", "model", "tokenizer", "report_to", "log_steps", "save_steps", "keep_checkpoints", "reference_store"}
"""Keys that do not change what is trained: places, whose content counts instead, and what is told of it."""
_NOT_THE_MODELS = {RUN, RECEIPT, LOCK}


def versions() -> dict[str, str]:
    """Versions of the libraries that are installed."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def identity(kind: str, config: Run, source: Source) -> str:
    """Hash of everything that decides what comes out: settings, rows, model, tokenizer, versions."""
    names = {config.model, config.tokenizer or config.model, scorer_of(config)} - {""}
    parts = {
        "trainer": kind,
        "config": config.model_dump(mode="json", exclude=_NOT_IDENTITY),
        "data": content_of(source, config.split),
        "models": sorted(str(weights_hash(name)) for name in names),
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def scorer_of(config: Run) -> str:
    """The folder of GRPO's reward model; nothing where the reward is code, or the trainer has none."""
    named = getattr(config, "reward", "")
    return named if Path(named).exists() else ""


def content_of(source: Source, split: str) -> str | dict[str, str]:
    """What the rows are: an artifact's fingerprint, or the hash of each file."""
    return source.artifact.receipt.fingerprint if source.artifact else {file.name: sha256_of(file) for file in source.files(split)}


def receipt(kind: str, config: Run, source: Source, report: Report, told: dict, seconds: float) -> Receipt:
    """The account of a finished run; `told` is what the trainer says of itself: metrics, curve, guards."""
    output = Path(config.output)
    read = source.files(config.split)
    inputs = [InputAccount(id=file.name, fingerprint=sha256_of(file), rows=rows_in(file), bytes=file.stat().st_size) for file in read]
    lost = report.read - report.kept
    models = {"model": config.model, "reward": scorer_of(config)}
    return Receipt(
        recipe=output.name,
        stage=f"train_{kind}",
        fingerprint=identity(kind, config, source),
        config=config.model_dump(mode="json"),
        inputs=inputs,
        parents=[
            *parent("data", source.place, output),
            *(one for name, model in models.items() if model for one in parent(name, folder_of(model), output)),
        ],
        counts=Counts(read=report.read, kept=report.kept, dropped={"train.too_long": lost} if lost else {}, ignored={}, written=report.kept),
        steps=[],
        files=files(output),
        damage=[],
        report={kind: told, **({"simulated": True} if config.simulated else {})},
        models=weights_hash(config.model) if config.model else {},
        tokens=report.tokens,
        versions=versions(),
        git=git_state(),
        timings={"total": seconds},
    )


def rows_in(file: Path) -> int:
    """Rows of a data file."""
    return pq.read_metadata(file).num_rows if file.suffix == ".parquet" else sum(1 for _ in rows_of(file))


def files(output: Path) -> list[FileAccount]:
    """The files of the model, which stand directly in its directory, and its adapters."""
    here = [path for path in sorted([*output.glob("*"), *output.glob("adapter/*")]) if path.is_file() and path.name not in _NOT_THE_MODELS]
    return [FileAccount(path=path.relative_to(output).as_posix(), rows=0, bytes=path.stat().st_size, sha256=sha256_of(path)) for path in here]


def parent(name: str, place: Path, child: Path) -> list[ParentAccount]:
    """The account of an artifact or a model with a receipt; nothing where it has none."""
    if not (place / RECEIPT).exists():
        return []
    of = Artifact(place).receipt
    path = Path(os.path.relpath(place.resolve(), child.resolve())).as_posix()
    return [ParentAccount(name=name, path=path, recipe=of.recipe, stage=of.stage, fingerprint=of.fingerprint)]


def lines(model: Path) -> list[str]:
    """The walk back from a model, one line for each artifact, the sources first."""
    made = Artifact(model)
    told = []
    for one in (*made.ancestors(), made):
        sources = ", ".join(f"{entry.id} ({entry.rows:,})" for entry in one.receipt.inputs[:3])
        more = f" and {len(one.receipt.inputs) - 3:,} more" if len(one.receipt.inputs) > 3 else ""
        counts = one.receipt.counts
        read = f"read {counts.read:,}, kept {counts.kept:,}, from {sources}{more}"
        told += [line for before in one.receipt.parents for line in _lost(one.path / before.path, before)]
        told.append(f"{one.receipt.fingerprint[:8]} {one.receipt.stage}: {read}: {one.path}")
    return told


def _lost(place: Path, before: ParentAccount) -> list[str]:
    """A line that says why the walk ends at what another was made of; none where it goes on."""
    name, at = f"{before.fingerprint[:8]} {before.stage}", os.path.normpath(place)
    if not (place / RECEIPT).exists():
        return [f"{name}: moved or removed, it was at {at}"]
    return [] if read_receipt(place).fingerprint == before.fingerprint else [f"{name}: made anew since, or of other things, see {at}"]


def finish(output: Path, made: Receipt) -> None:
    """Write the receipt last: it means done."""
    write_receipt(output, made)


if __name__ == "__main__":
    try:
        print("\n".join(lines(Path(sys.argv[1]))))
    except (IndexError, UsageError) as error:
        sys.exit(str(error) if isinstance(error, UsageError) else "usage: python -m training.receipt MODEL")
