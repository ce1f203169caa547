"""Every real file of instructions and preferences through ingest, refine and mix: rows in are rows used plus rows dropped."""

import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import SHARED

import curate as package
from curate.artifact import Artifact, Counts
from curate.config import UsageError
from curate.stages.given import Given

real = pytest.mark.skipif(not SHARED.exists(), reason=f"no {SHARED}: real data are not there")

FILES = sorted(path for folder in ("instruct", "pref") for path in (SHARED / folder).glob("*"))
OUTPUTS = {
    "conversation": ["prompt_completion", {"use": "messages", "tools": True}],
    "preference": ["kto", {"use": "sharegpt", "chosen": True}],
    "candidates": ["preference"],
    "feedback": ["grpo"],
}


def rows_of(path: Path) -> int:
    """Rows of a file, counted by the standard library alone."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if ".jsonl" in path.name:
        return sum(bool(line.strip()) for line in data.splitlines())
    value = json.loads(data)
    return len(value) if isinstance(value, list) else 1


def made(folder: Path, stage: dict) -> Artifact:
    (folder / "recipe.yaml").write_text(json.dumps({"stages": [stage]}), encoding="utf-8")
    return package.run(folder / "recipe.yaml", root=folder / "runs", workers=1)


def summed(artifact: Artifact, read: int) -> Counts:
    """The account, which holds against what was there, what the ledger says of each row, and what is on disk."""
    counts = artifact.receipt.counts
    outcomes = pq.read_table(artifact.path / "ledger", columns=["outcome"])["outcome"].to_pylist()
    assert counts.read == read == counts.kept + sum(counts.dropped.values()) == len(outcomes)
    assert outcomes.count("kept") == counts.kept
    on_disk = sum(pq.ParquetFile(path).metadata.num_rows for path in (artifact.path / "data").glob("*.parquet"))
    assert on_disk == counts.written == counts.kept + sum(counts.expanded.values())
    return counts


@real
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_rows_read_are_rows_used_plus_rows_dropped_up_to_every_output(path: Path, tmp_path: Path) -> None:
    ingested = made(tmp_path, {"ingest": {"source": str(path)}})
    there = summed(ingested, rows_of(path)).written
    steps = [{"use": "exact_dedup", "on": "row"}, {"use": "refusals", "action": "mark"}]
    refined = made(tmp_path, {"refine": {"source": {"artifact": str(ingested.path)}, "steps": steps}})
    left = summed(refined, there).written
    source = {"pairs": "best_worst", "sources": {"real": {"artifact": str(refined.path)}}}
    shape = Given("real", refined, "train").shape
    if not left:
        with pytest.raises(UsageError, match="holds no rows"):
            made(tmp_path, {"mix": {**source, "as": OUTPUTS[shape][0]}})
        return
    for output in OUTPUTS[shape]:
        counts = summed(made(tmp_path, {"mix": {**source, "as": output}}), left)
        each = 2 if output == "kto" and shape == "preference" else 1
        assert counts.written == each * counts.kept > 0
        assert set(counts.dropped) <= {"laws.not_in_dialect"}


def test_the_id_of_a_row_leads_to_what_it_was_made_of(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "Onde fica o rio?", "chosen": "No norte.", "rejected": "Não sei."}) + "\n", encoding="utf-8")
    stages = [{"ingest": {"source": str(tmp_path / "rows.jsonl")}}, {"mix": {"sources": ["ingest"], "splits": {"train": "rest as kto"}}}]
    (tmp_path / "recipe.yaml").write_text(json.dumps({"stages": stages}), encoding="utf-8")
    labelled = package.run(tmp_path / "recipe.yaml", root=tmp_path / "runs", workers=1)
    rows = labelled.data().collect().to_dicts()
    assert len(rows) == 2
    for row in rows:
        [story] = labelled.why(row["id"])
        assert row["id"] != story["id"] and story["outcome"] == "kept"
    assert labelled.why("x" + rows[0]["id"]) == []
