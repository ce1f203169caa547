"""What a stage leaves behind: a directory with data, ledger, dropped text and a receipt.

The receipt is written last: a directory without one is unfinished.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from curate.config import Model, UsageError

if TYPE_CHECKING:
    import datasets
    import polars

RECEIPT = "receipt.json"


class InputAccount(Model):
    """A source as it was read."""

    id: str = Field(description="Name of the file, relative to the given input.")
    fingerprint: str = Field(description="Hash of its content, or the ETag or revision of a remote one.")
    rows: int = Field(description="Units read from it.")
    bytes: int = Field(description="Size of the file.")


class ParentAccount(Model):
    """An artifact that a stage has read: the next one on the walk back to the sources."""

    name: str = Field(description="What the stage calls it.")
    path: str = Field(description="Its directory, seen from this artifact's.")
    recipe: str
    stage: str
    fingerprint: str


class Counts(Model):
    """The law: read == kept + sum of dropped, in units of the input."""

    read: int
    kept: int
    dropped: dict[str, int] = Field(description="Units by `step.reason`.")
    ignored: dict[str, int] = Field(description="Records that are no documents, by type: request, warcinfo, metadata.")
    expanded: dict[str, int] = Field({}, description="Output rows beyond one a unit, by reason; below zero where several units made one row.")
    written: int = Field(description="Rows in data/.")

    def broken_law(self) -> str | None:
        """What does not add up, in words; None where all does."""
        lost = self.read - self.kept - sum(self.dropped.values())
        if lost:
            return f"read {self.read:,} != kept {self.kept:,} + dropped {sum(self.dropped.values()):,}: {lost:,} lost"
        surplus = self.written - self.kept - sum(self.expanded.values())
        if surplus:
            return f"written {self.written:,} != kept {self.kept:,} + expanded {sum(self.expanded.values()):,}"
        return None


class StepAccount(Model):
    """What went through one step. The key `in` is a Python keyword, hence the alias."""

    name: str
    into: int = Field(alias="in", description="Units that reached the step.")
    out: int = Field(description="Units that left it.")
    cpu_s: float = Field(description="CPU seconds inside the step, all workers.")


class FileAccount(Model):
    """A file of the artifact."""

    path: str
    rows: int = Field(description="Rows of a Parquet file; 0 of any other.")
    bytes: int
    sha256: str


class DamageAccount(Model):
    """A place in the input that could not be read."""

    file: str
    offset: int = Field(description="Byte offset, or line or row number.")
    what: str


class Receipt(Model):
    """What was made of what, by which settings, with what losses. Written last: it means done."""

    recipe: str
    stage: str
    fingerprint: str = Field(description="Identity: settings, inputs, lists, models, versions.")
    config: dict = Field(description="The stage's settings as resolved.")
    inputs: list[InputAccount]
    parents: list[ParentAccount] = Field([], description="Artifacts among the inputs; their receipts lead back to the sources.")
    counts: Counts
    steps: list[StepAccount]
    files: list[FileAccount]
    damage: list[DamageAccount]
    report: dict = Field({}, description="What steps say of themselves, by step: clusters, estimates.")
    models: dict[str, str] = Field({}, description="Hashes of the models, lists and prompts that were read.")
    tokens: int | None = Field(None, description="Tokens written, where they were counted.")
    cost: dict[str, float] = Field({}, description="Money spent, by endpoint.")
    versions: dict[str, str] = Field({}, description="Library versions.")
    git: dict[str, str | bool] = Field({}, description="Commit of curate and whether its tree was changed.")
    timings: dict[str, float] = Field({}, description="Wall seconds by phase; not part of the identity.")


class Artifact:
    """A finished stage's directory, opened for reading."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.receipt = read_receipt(self.path)

    def __repr__(self) -> str:
        return f"Artifact({str(self.path)!r}, {self.receipt.counts.written:,} rows)"

    @property
    def splits(self) -> list[str]:
        """Names of its splits."""
        return sorted({path.name.rpartition("-")[0] for path in self.path.glob("data/*.parquet")})

    def data(self, split: str = "train") -> "polars.LazyFrame":
        """The rows of a split, lazily."""
        import polars

        return polars.scan_parquet(sorted(self.path.glob(f"data/{split}-*.parquet")))

    def ledger(self) -> "polars.LazyFrame":
        """One row for every unit of input, kept or dropped."""
        import polars

        return polars.scan_parquet(sorted(self.path.glob("ledger/*.parquet")))

    def dataset(self, split: str = "train") -> "datasets.Dataset":
        """The rows of a split as a `datasets.Dataset`, memory-mapped."""
        import datasets

        files = [str(path) for path in sorted(self.path.glob(f"data/{split}-*.parquet"))]
        return datasets.load_dataset("parquet", data_files={split: files}, split=split)

    def parents(self) -> dict[str, "Artifact"]:
        """The artifacts that it was made of and that are still there, by the names that its stage gave them."""
        places = {parent.name: Path(os.path.normpath(self.path / parent.path)) for parent in self.receipt.parents}
        return {name: Artifact(path) for name, path in places.items() if (path / RECEIPT).exists()}

    def ancestors(self) -> "list[Artifact]":
        """Every artifact on the way back to the sources, each once, after those that it was made of."""
        found: dict[str, Artifact] = {}
        for parent in self.parents().values():
            for one in (*parent.ancestors(), parent):
                found.setdefault(one.receipt.fingerprint, one)
        return list(found.values())

    def why(self, id_or_url: str) -> list[dict]:
        """The ledger rows of a document, found by its id, an unambiguous start of it, its URL, or the id of a row made of it."""
        import polars

        made_of = polars.lit(id_or_url).str.starts_with(polars.col("id") + "-")
        wanted = polars.col("id").str.starts_with(id_or_url) | made_of | (polars.col("url") == id_or_url)
        return self.ledger().filter(wanted).collect().to_dicts()


def read_receipt(path: Path) -> Receipt:
    """The receipt of an artifact; a UsageError where there is none, since then it is not done."""
    try:
        return Receipt.model_validate_json((path / RECEIPT).read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path}: no {RECEIPT}, so this is no finished artifact; finish it with `curate run`") from None
    except ValidationError as error:
        raise UsageError(f"{path / RECEIPT}: not a receipt of this version: {error.errors()[0]['msg']}") from None


def write_json(path: Path, value: object) -> None:
    """Write by a temporary name and a rename, so that a reader sees the whole file or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def write_receipt(path: Path, receipt: Receipt) -> None:
    write_json(path / RECEIPT, receipt.model_dump(mode="json", by_alias=True))


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_accounts(path: Path, folders: tuple[str, ...]) -> Iterator[FileAccount]:
    """Every file below the named folders, by name; what is no Parquet has no rows of its own."""
    import pyarrow.parquet as pq

    for folder in folders:
        for file in sorted(entry for entry in (path / folder).glob("*") if entry.is_file()):
            rows = pq.read_metadata(file).num_rows if file.suffix == ".parquet" else 0
            name = file.relative_to(path).as_posix()
            yield FileAccount(path=name, rows=rows, bytes=file.stat().st_size, sha256=sha256_of(file))


def git_state() -> dict[str, str | bool]:
    """Commit of curate's own checkout and whether it was changed; empty where it is no checkout, or git is not here."""
    home = Path(__file__).resolve().parent.parent
    if not (home / ".git").exists():
        return {}

    def told(*words: str) -> str:
        return subprocess.run(["git", "-C", str(home), *words], capture_output=True, text=True, check=False).stdout.strip()

    try:
        return {"commit": told("rev-parse", "HEAD"), "dirty": bool(told("status", "--porcelain", "--untracked-files=no"))}
    except OSError:
        return {}
