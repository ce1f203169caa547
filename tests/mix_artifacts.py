"""Finished artifacts of a few made rows, as an earlier stage would leave them, for the mix stage to read."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import Artifact, Counts, Receipt, file_accounts, write_receipt
from curate.executors import LocalExecutor
from curate.rows import SHAPES, arrow_schema, content_id
from curate.stages.given import Given
from curate.stages.mix import Mix
from curate.stages.mix_run import make

Row = dict[str, object]
WORDS = "amber birch cedar delta ember fjord grove heron inlet jetty knoll larch marsh north ocean prism quartz river stone tidal".split()


def words(number: int, count: int = 8) -> str:
    """A text that shares few words in a row with that of any other number."""
    found = []
    for place in range(count):
        found.append(WORDS[(number * 7919 + place * (number % 13 + 1)) % len(WORDS)] + str(number * (place + 1) % 997))
    return " ".join(found)


def said(role: str, content: str) -> Row:
    return {"role": role, "content": content, "tool_calls": None, "name": None}


def _row(name: str, number: int, licence: str | None, group: str) -> Row:
    id_ = content_id(f"{name} {number}")
    return {"id": id_, "content_id": id_, "origins": [id_], "source": f"{name}.jsonl", "licence": licence, "group": content_id(group)}


def conversation(name: str, number: int, asked: str | None = None, licence: str | None = None) -> Row:
    asked = words(number) if asked is None else asked
    turns = [said("user", asked), said("assistant", f"Answer {number} of {name}.")]
    return {**_row(name, number, licence, asked), "messages": turns, "tools": None, "metadata": "{}"}


def preference(name: str, number: int, asked: str | None = None, licence: str | None = None, **judged: object) -> Row:
    asked = words(number) if asked is None else asked
    sides = {side: [said("assistant", f"A {side} answer {number} of {name}.")] for side in ("chosen", "rejected")}
    about = {"probability": None, "margin": None, "weight": 1.0, "metadata": "{}", **judged}
    return {**_row(name, number, licence, asked), "prompt": [said("user", asked)], **sides, **about}


def candidates(name: str, number: int, answers: list[Row], asked: str | None = None) -> Row:
    asked = words(number) if asked is None else asked
    whole = [{"id": f"{name}-{number}-{n}", "model": None, "parent": None, "kind": "answer", "ratings": [], "rank": None, **one} for n, one in enumerate(answers)]
    return {**_row(name, number, None, asked), "prompt": [said("user", asked)], "candidates": whole, "metadata": "{}"}


def document(name: str, number: int, text: str | None = None, licence: str | None = None) -> Row:
    text = words(number, 5 + number % 7) if text is None else text
    row = {field.name: None for field in arrow_schema(SHAPES["document"])}
    about = {"text": text, "words": len(text.split()), "bytes": len(text.encode()), "cluster_size": 1, "pii": [], "metadata": "{}"}
    return {**row, **_row(name, number, licence, f"{name} {number}"), **about}


def given(folder: Path, name: str, rows: list[Row], shape: str, files: int = 1) -> Given:
    """An artifact that holds the rows, spread over so many files."""
    path = folder / "artifacts" / name
    (path / "data").mkdir(parents=True)
    schema = arrow_schema(SHAPES[shape])
    for number in range(files):
        cut = rows[number * len(rows) // files : (number + 1) * len(rows) // files]
        pq.write_table(pa.Table.from_pylist(cut, schema), path / "data" / f"train-{number:05d}.parquet")
    counts = Counts(read=len(rows), kept=len(rows), dropped={}, ignored={}, written=len(rows))
    about = {"recipe": name, "stage": "ingest", "fingerprint": "0" * 64, "config": {}, "inputs": [], "steps": [], "damage": []}
    write_receipt(path, Receipt(**about, counts=counts, files=list(file_accounts(path, ("data",)))))
    return Given(name, Artifact(path), "train")


def mixed(folder: Path, mix: dict, sources: list[Given], limit: int | None = None) -> Path:
    """Run the stage over the sources into a directory of its own; the law of its account is checked."""
    stage = Mix.model_validate({"sources": [one.name for one in sources], **mix})
    folder.mkdir(parents=True, exist_ok=True)
    made = make(stage, {one.name: one for one in sources}, folder, limit, LocalExecutor(), 1, lambda progress: None)
    assert made.counts.broken_law() is None
    (folder / "made.json").write_text(json.dumps({**made.report, "counts": made.counts.model_dump()}), encoding="utf-8")
    return folder


def report(mixed: Path) -> dict:
    """What the stage told the receipt."""
    return json.loads((mixed / "made.json").read_text(encoding="utf-8"))


def split(mixed: Path, name: str) -> list[Row]:
    """The rows of a split, in order."""
    return [row for file in sorted((mixed / "data").glob(f"{name}-*.parquet")) for row in pq.read_table(file).to_pylist()]


def contents(mixed: Path) -> dict[str, bytes]:
    """Every file of an artifact that is kept, by name."""
    return {str(path.relative_to(mixed)): path.read_bytes() for path in sorted(mixed.rglob("*")) if path.is_file() and "work" not in path.parts}
