"""What the tests of generate and judge share: rows as artifacts, stages run here or in a process that may be killed.

    python tests/judge_stages.py settings.json

Settings of the process: `stage` (generate or judge), `block` (its YAML as JSON), `source` (an artifact), `directory`, `urls` by endpoint.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
from mix_artifacts import Row, given
from pydantic import TypeAdapter

from curate.artifact import Artifact, Receipt, file_accounts, write_receipt
from curate.executors import LocalExecutor
from curate.judges.asking import Asking, Limit
from curate.judges.budget import Budget
from curate.judges.endpoint import Endpoint
from curate.stages import generate_run, judge_run
from curate.stages.generate import Generate
from curate.stages.given import Given
from curate.stages.judge import Judge

STAGES = {"generate": (TypeAdapter(Generate), generate_run.make), "judge": (TypeAdapter(Judge), judge_run.make)}
JUDGE = {"endpoint": "judge", "model": "judge-a", "logprobs": 10, "max_tokens": 300}
"""A judge that answers by log-probabilities."""


def endpoint(url: str, **fields: object) -> Endpoint:
    return Endpoint(**{"url": url, "timeout_s": 60, "backoff_s": 0.02, "tries": 6, **fields})


def run(stage: str, block: Row, source: Given, directory: Path, url: str | None = None, budget: Budget | None = None, **fields: object) -> Artifact:
    """Run a stage and finish its artifact, as the runner does."""
    settings, make = STAGES[stage]
    directory.mkdir(parents=True, exist_ok=True)
    endpoints = {"judge": endpoint(url, **fields)} if url else {}
    asking = Asking(endpoints, (Limit("r", budget),) if budget else ())
    made = make(settings.validate_python(block), {"rows": source}, directory, None, LocalExecutor(), 1, lambda progress: None, asking)
    assert made.counts.broken_law() is None
    files = list(file_accounts(directory, ("data", "ledger", "dropped", "verdicts")))
    write_receipt(directory, Receipt(recipe="r", stage=stage, fingerprint=f"{stage:0<64}", config={}, files=files, **made._asdict()))
    return Artifact(directory)


def as_given(artifact: Artifact) -> Given:
    return Given("rows", artifact, "train")


def table(folder: Path, name: str, rows: list[Row], shape: str) -> Given:
    """The rows as an artifact of their own, named as the stage names its source."""
    return given(folder, name, rows, shape)._replace(name="rows")


def verdicts(artifact: Artifact) -> pl.DataFrame:
    return pl.read_parquet(artifact.path / "verdicts" / "*.parquet")


def ratings(row: Row, aspect: str) -> list[float | None]:
    """One aspect of every answer of a row."""
    return [next((one["value"] for one in answer["ratings"] if one["aspect"] == aspect), None) for answer in row["candidates"]]


def running(folder: Path, **settings: object) -> subprocess.Popen[str]:
    """Start a stage in a process of its own."""
    file = folder / "stage.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return subprocess.Popen([sys.executable, __file__, str(file)], stderr=subprocess.PIPE, text=True)


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.environ["CURATE_ENDPOINT_JUDGE_URL"] = settings["url"]
    source = Given("rows", Artifact(settings["source"]), "train")
    run(settings["stage"], settings["block"], source, Path(settings["directory"]), settings["url"])


if __name__ == "__main__":
    main()
