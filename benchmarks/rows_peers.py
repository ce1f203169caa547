"""One line of the row benchmark by a peer, in this process: `datasets.map` with curate's own functions, or distilabel's steps.

    python -m benchmarks.rows_peers LINE JOB.json      called by benchmarks/rows.py

`datasets.map` gets the functions that the stage calls for each row, one process, and writes Parquet; it keeps no account
of what it drops. distilabel's steps are called without its pipeline, whose start and imports are not counted.
Prints the rows that were read and those that were kept.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset


def ingest(job: dict) -> tuple[int, int]:
    """JSON lines through the dialect and the laws to Parquet."""
    from benchmarks.rows_made import SOURCES
    from curate.formats import Refused, read
    from curate.rows import SHAPES, arrow_schema
    from curate.stages.ingest import Ingest

    def rows(dialect: object, names: list[str], row: dict) -> dict:
        try:
            fields = read(dialect, [row]).rows[0]
        except Refused as refused:
            return {**dict.fromkeys(names), "law": refused.reason}
        return {**{name: fields.get(name) for name in names if name != "metadata"}, "metadata": json.dumps(fields["metadata"]), "law": None}

    import pyarrow as pa
    from datasets import Features, load_dataset

    into = out = 0
    for given in SOURCES:
        dialect = Ingest.model_validate({"source": "x", "format": given.dialect}).format
        wanted = [field for field in arrow_schema(SHAPES[dialect.makes]) if field.name not in ("id", "content_id", "origins", "source", "licence", "group")]
        schema = pa.schema([*wanted, ("law", pa.string())])
        files = sorted(str(path) for path in Path(job["foreign"], given.name).glob("*.jsonl"))
        loaded = _part(load_dataset("json", data_files=files, split="train"), job)
        names = [field.name for field in wanted]
        made = loaded.map(lambda row, d=dialect, n=names: rows(d, n, row), remove_columns=loaded.column_names, features=Features.from_arrow_schema(schema))
        kept = made.filter(lambda row: row["law"] is None)
        kept.to_parquet(str(Path(job["out"], f"{given.name}.parquet")))
        into, out = into + len(loaded), out + len(kept)
    return into, out


def _part(loaded: "Dataset", job: dict) -> "Dataset":
    """The first rows of a source, in the same part of each."""
    return loaded.select(range(int(len(loaded) * job["part"])))


def _texts(job: dict) -> Iterator[tuple[str, object, object]]:
    """Each source's name, its rows by `datasets`, and the function that gives a row's text."""
    from datasets import load_dataset

    from curate.rows import shape_of
    from curate.steps.rows.parts import joined

    for name, path in job["artifacts"].items():
        loaded = _part(load_dataset("parquet", data_files=sorted(map(str, Path(path, "data").glob("*.parquet"))), split="train"), job)
        shape = shape_of(loaded.column_names)
        yield name, loaded, lambda row, shape=shape: joined(shape, row, "row")


def exact(job: dict) -> tuple[int, int]:
    """A hash for each row by `map`, then those not seen before by `filter`."""
    from curate.steps.dedup.exact import text_hash

    into = out = 0
    for name, loaded, text in _texts(job):
        seen: set[bytes] = set()
        hashed = loaded.map(lambda row, text=text: {"hash": text_hash(text(row), "whitespace")})
        kept = hashed.filter(lambda row, seen=seen: not (row["hash"] in seen or seen.add(row["hash"])))
        kept.to_parquet(str(Path(job["out"], f"{name}.parquet")))
        into, out = into + len(loaded), out + len(kept)
    return into, out


def decontaminate(job: dict) -> tuple[int, int]:
    """The share of the fullest benchmark item by `map`, then `filter`."""
    from curate.stages.refine import Refine
    from curate.steps.shared import Shared

    step = Refine.model_validate({"steps": job["steps"]}).steps[0]
    into = out = 0
    for name, loaded, text in _texts(job):
        def measured(row: dict, text: object = text) -> dict[str, float]:
            said = text(row)
            return {"share": step.measure(said, Shared(said, None, False))["share"]}

        kept = loaded.map(measured).filter(lambda row: step.decide({"share": row["share"]}) is None)
        kept.to_parquet(str(Path(job["out"], f"{name}.parquet")))
        into, out = into + len(loaded), out + len(kept)
    return into, out


def pairs(job: dict) -> tuple[int, int]:
    """distilabel's FormatTextGenerationDPO by `map`: two answers and their ratings to a chosen and a rejected one."""
    from datasets import load_dataset
    from distilabel.steps import FormatTextGenerationDPO

    step = FormatTextGenerationDPO(name="pairs")
    step.load()
    started = time.process_time()
    loaded = load_dataset("parquet", data_files=job["files"], split="train")

    def formatted(row: dict) -> dict:
        answers = row["candidates"]
        item = {"instruction": row["prompt"][-1]["content"], "generations": [one["text"] for one in answers]}
        return next(step.process([{**item, "ratings": [-one["rank"] for one in answers]}]))[0]

    made = loaded.map(formatted, remove_columns=["prompt"]).filter(lambda row: row["chosen_rating"] != row["rejected_rating"])
    made.to_parquet(str(Path(job["out"], "pairs.parquet")))
    print(json.dumps({"cpu_s": time.process_time() - started}))
    return len(loaded), len(made)


def near(job: dict) -> tuple[int, int]:
    """distilabel's MinHashDedup as it ships, but for its tokeniser: that of words wants a download."""
    from distilabel.steps import MinHashDedup

    step = MinHashDedup(name="near", tokenizer="ngrams", n=5)
    rows = json.loads(Path(job["rows"]).read_text())
    step.load()
    started = time.process_time()
    made = [row for start in range(0, len(rows), 1_000) for batch in step.process(rows[start : start + 1_000]) for row in batch]
    print(json.dumps({"cpu_s": time.process_time() - started}))
    return len(rows), sum(row["keep_row_after_minhash_filtering"] for row in made)


def main() -> None:
    line, job = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    os.environ |= {"HF_DATASETS_CACHE": str(Path(job["out"], "cache")), "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    Path(job["out"]).mkdir(parents=True)
    peers = {"ingest": ingest, "exact": exact, "decontaminate": decontaminate, "pairs": pairs, "near": near}
    into, out = peers[line](job)
    print(json.dumps({"rows": into, "kept": out}))


if __name__ == "__main__":
    main()
