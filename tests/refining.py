"""What the tests of the refine stage need: rows of each shape, an artifact of them on disk, and a stage run over it."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import Artifact, Counts, Receipt, file_accounts, write_receipt
from curate.executors import LocalExecutor, Wave, Work
from curate.heartbeat import Heartbeat
from curate.rows import SHAPES, arrow_schema, content_id
from curate.stages.accounts import Made
from curate.stages.given import Given
from curate.stages.ingest_rows import content_of as content_of
from curate.stages.refine import Refine
from curate.stages.refine_rank import run_rank
from curate.stages.refine_run import make


def said(role: str, content: str, calls: str | None = None) -> dict:
    return {"role": role, "content": content, "tool_calls": calls, "name": None}


def row(number: int, **fields: object) -> dict:
    """A row of whatever shape the fields are of."""
    id_ = f"{number:032x}"
    whole = {"id": id_, "origins": [id_], "source": "a.jsonl", "licence": None, "group": f"g{number}", "metadata": "{}", **fields}
    return {"content_id": content_id(content_of(whole)), **whole}


def pair(number: int, prompt: str, chosen: str, rejected: str, **fields: object) -> dict:
    turns = {"prompt": [said("user", prompt)], "chosen": [said("assistant", chosen)], "rejected": [said("assistant", rejected)]}
    return row(number, **turns, probability=None, margin=None, weight=1.0, **fields)


def chat(number: int, *turns: str, **fields: object) -> dict:
    """A conversation, user and assistant in turn."""
    messages = [said("user" if place % 2 == 0 else "assistant", turn) for place, turn in enumerate(turns)]
    return row(number, messages=messages, **{"tools": None, **fields})


def document(number: int, text: str, **fields: object) -> dict:
    counted = {"words": len(text.split()), "bytes": len(text.encode()), "tokens": None, "cluster": None, "cluster_size": 1, "pii": []}
    empty = dict.fromkeys(("url", "date", "title", "language", "language_score"))
    return row(number, **{"text": text, **counted, **empty, **fields})


def artifact(path: Path, shape: str, rows: list[dict], files: int = 1, group_rows: int = 20_000) -> Given:
    """A finished artifact of these rows, cut evenly into files."""
    (path / "data").mkdir(parents=True)
    share = -(-len(rows) // files) or 1
    for number in range(files):
        table = pa.Table.from_pylist(rows[number * share : (number + 1) * share], arrow_schema(SHAPES[shape]))
        pq.write_table(table, path / "data" / f"train-{number:05d}.parquet", row_group_size=group_rows)
    counts = Counts(read=len(rows), kept=len(rows), dropped={}, ignored={}, written=len(rows))
    nothing = {"config": {}, "inputs": [], "steps": [], "damage": []}
    write_receipt(path, Receipt(recipe="r", stage="ingest", fingerprint="0" * 64, counts=counts, files=list(file_accounts(path, ("data",))), **nothing))
    return Given("rows", Artifact(path), "train")


class Here:
    """An engine that runs ranks in this process, one after the other: a worker of its own would take a second to start."""

    def engine(self, work: Work, workers: int | None) -> "Here":
        self.directory = work.directory
        return self

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, wave: Wave) -> None:
        for task in wave.tasks:
            run_rank(self.directory, {**task, "skip": {}}, Heartbeat(self.directory / "beat"))


class Refined:
    """A run of the stage, opened for reading."""

    def __init__(self, path: Path, made: Made) -> None:
        self.path, self.made = path, made
        self.rows = pq.read_table(path / "data").to_pylist()
        self.ledger = pl.read_parquet(path / "ledger" / "00000.parquet")
        self.dropped = pq.read_table(path / "dropped").to_pylist()


def refine(folder: Path, given: Given, steps: list[dict], name: str = "out", workers: int | None = None, limit: int | None = None, **how: object) -> Refined:
    """Run a refine stage, in this process or by so many workers; the law of its account must hold."""
    executor = LocalExecutor() if workers else Here()
    made = make(Refine(steps=steps, **how), {"rows": given}, folder / name, limit, executor, workers, lambda progress: None)
    assert made.counts.broken_law() is None
    return Refined(folder / name, made)
