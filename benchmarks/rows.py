"""The row stages by the line: rows a second of CPU, memory, and the same bytes for any number of workers.

    python -m benchmarks.rows [--rows 1_000_000] [--lines ingest,caps] [--peers] [--distilabel PYTHON]

Rows are copies of the real ones in ../shared/data (benchmarks/rows_made.py says how no copy is a near duplicate). Each
line is a recipe run by `curate run` in a process of its own, with one worker and then with two: CPU is user and system
time of all processes with one worker, imports included; memory is the peak of the largest process of either run. The
data hash is of all files under data/ of all stages; every row read is accounted for, or the run fails.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, NamedTuple

import polars as pl

from benchmarks.rows_made import SOURCES, make
from benchmarks.web import POLL_S, ROOT, environment, family, memory_mb
from curate.steps.rows.parts import joined

DATA = ROOT.parent / "shared" / "data"
ROWS_S, NEAR_ROWS_S = 10_000, 3_000
PAIRED = [given.name for given in SOURCES if given.paired]
BENCHMARKS = {"gsm8k": ["question", "answer"], "humaneval": ["prompt", "canonical_solution"], "ifeval": ["prompt"]}
_FILES = {"gsm8k": "gsm8k_test_A"}


class Line(NamedTuple):
    """A recipe over the rows of every source, or one mix of some."""

    name: str
    title: str
    aim: int
    steps: list[dict] | None = None
    """Of one refine stage for each source; None: the line is a mix, or the ingest itself."""
    mix: dict | None = None


def _decontaminate() -> dict:
    sets = [
        {"name": name, "path": str(DATA / "evals" / f"{_FILES.get(name, name)}.jsonl.gz"), "fields": fields}
        for name, fields in BENCHMARKS.items()
    ]
    return {"use": "decontaminate", "benchmarks": sets}


def _trio(near: bool) -> dict:
    """Three disjoint sets of prompts, as InstructGPT has them."""
    splits = {"sft": "20% as messages", "reward": "40% as reward", "rl": "rest as grpo"}
    chosen = {"sft": {"share": 0.2, "as": {"use": "messages", "chosen": True}}}
    return {"splits": splits | chosen, "pairs": "best_worst"} | ({} if near else {"near_duplicates": None})


LINES = (
    Line("ingest", "ingest and laws", ROWS_S),
    Line("exact", "exact dedup", ROWS_S, [{"use": "exact_dedup"}]),
    Line("caps", "caps by source", ROWS_S, [{"use": "caps", "caps": [{"by": "source", "rows": 20_000}]}]),
    Line("pairs", "pairs of candidates and pairs", ROWS_S, mix={
        "pairs": "best_worst", "as": "chosen_rejected", "splits": {"train": "rest"}, "near_duplicates": None}),
    Line("split", "split, equal prompts together", ROWS_S, mix=_trio(near=False)),
    Line("near_split", "split, near prompts together", NEAR_ROWS_S, mix=_trio(near=True)),
    Line("near", "near-dedup", NEAR_ROWS_S, [{"use": "minhash_dedup"}]),
    Line("decontaminate", "decontamination", NEAR_ROWS_S, [_decontaminate()]),
)  # fmt: skip


PEERS = (
    ("ingest", "datasets.map, no ids, no account"),
    ("exact", "datasets.map, no account"),
    ("decontaminate", "datasets.map, no account"),
)
DISTILABEL = (("pairs", "distilabel FormatTextGenerationDPO in datasets.map, no laws"), ("near", "distilabel MinHashDedup, in memory"))
PEER_ROWS = 50_000
DISTILABEL_ROWS = 5_000


class Cost(NamedTuple):
    """What a process and all below it took."""

    cpu_s: float
    largest_mb: float
    """Peak of the largest process (VmHWM)."""


class Ran(NamedTuple):
    """One run of a line."""

    cost: Cost
    rows: int
    written: int
    digest: str


def recipe(line: Line, foreign: Path, artifacts: dict[str, str]) -> dict:
    """The line as a recipe over the foreign files, or over the artifacts that the first line made of them."""
    if line.mix is not None:
        return {"stages": [{"mix": {"sources": {name: {"artifact": artifacts[name]} for name in PAIRED}, **line.mix}}]}
    if line.steps is not None:
        return {"stages": [{"name": name, "refine": {"source": {"artifact": path}, "steps": line.steps}} for name, path in artifacts.items()]}
    return {
        "stages": [
            {"name": given.name, "ingest": {"source": str(foreign / given.name), "format": given.dialect}} for given in SOURCES
        ]
    }


def measured(command: list[str], stdout: IO[str] | int = subprocess.DEVNULL) -> Cost:
    """Run a command to its end; what it and all below it took. RuntimeError where it fails."""
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=stdout, stderr=stderr)
        largest = 0.0
        while True:
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            largest = max([largest, *(memory_mb(pid, "status", "VmHWM") for pid in family(process.pid))])
            time.sleep(POLL_S)
        process.returncode = os.waitstatus_to_exitcode(status)
        stderr.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{stderr.read()[-3000:]}")
        return Cost(usage.ru_utime + usage.ru_stime, max(largest, usage.ru_maxrss / 1024))


def run(written: Path, root: Path, workers: int) -> Ran:
    """A recipe's file by `curate run`."""
    cost = measured([sys.executable, "-m", "curate.cli", "run", str(written), "--workers", str(workers), "--root", str(root)])
    receipts = [json.loads(path.read_text()) for path in sorted(root.glob("*/*/receipt.json"))]
    stated = ((number, file) for number, receipt in enumerate(receipts) for file in receipt["files"])
    files = [f"{number} {file['path']} {file['sha256']}" for number, file in stated if file["path"].startswith("data/")]
    read, made = (sum(receipt["counts"][name] for receipt in receipts) for name in ("read", "written"))
    return Ran(cost, read, made, hashlib.sha256("\n".join(files).encode()).hexdigest()[:12])


def artifacts_of(root: Path) -> dict[str, str]:
    """The finished artifact of each source."""
    return {given.name: str(path.parent) for given, path in zip(SOURCES, sorted(root.glob("*/*/receipt.json")), strict=True)}


def compare(line: Line, folder: Path, artifacts: dict[str, str], workers: tuple[int, ...]) -> dict[int, Ran]:
    """The line by each number of workers."""
    written = folder / f"{line.name}.yaml"
    written.write_text(json.dumps(recipe(line, folder / "foreign", artifacts)), encoding="utf-8")
    return {count: run(written, folder / f"{line.name}-{count}", count) for count in workers}


def distilabel_job(line: str, artifacts: dict[str, str], folder: Path) -> dict:
    """Candidates as files, or some texts as MinHashDedup takes them."""
    if line == "pairs":
        return {"files": sorted(map(str, Path(artifacts["llmbar"], "data").glob("*.parquet")))}
    rows = pl.scan_parquet(f"{artifacts['hh']}/data/*.parquet").head(DISTILABEL_ROWS).collect().to_dicts()
    texts = [{"text": joined("preference", row, "row")} for row in rows]
    given = folder / f"{line}-rows.json"
    given.write_text(json.dumps(texts), encoding="utf-8")
    return {"rows": str(given)}


def peer(line: str, python: str, folder: Path, job: dict) -> tuple[int, float]:
    """Rows that a peer read, and its CPU seconds: of its process, or of distilabel's step alone (`cpu_s`)."""
    told = folder / f"peer-{line}.json"
    told.write_text(json.dumps({**job, "out": str(folder / f"peer-{line}")}), encoding="utf-8")
    with (folder / f"peer-{line}.txt").open("w+") as stdout:
        cost = measured([python, "-m", "benchmarks.rows_peers", line, str(told)], stdout)
        stdout.seek(0)
        said = {name: value for one in stdout.read().splitlines() if one.startswith("{") for name, value in json.loads(one).items()}
    return said["rows"], said.get("cpu_s", cost.cpu_s)


def print_peers(folder: Path, artifacts: dict[str, str], rates: dict[str, float], rows: int, distilabel: str | None) -> None:
    """A table of the lines that peers cover; `rates` are ours, of the lines that were run."""
    print("\n| line | peer | rows | CPU s | rows/s a core | ours | ratio |\n|---|---|---|---|---|---|---|")
    job = {"foreign": str(folder / "foreign"), "artifacts": artifacts, "part": min(1, PEER_ROWS / rows), "steps": [_decontaminate()]}
    for line, title in (*PEERS, *(DISTILABEL if distilabel else ())):
        if line not in rates:
            continue
        python = sys.executable
        if (line, title) in DISTILABEL:
            python, job = distilabel, distilabel_job(line, artifacts, folder)
        read, cpu_s = peer(line, python, folder, job)
        rate = read / cpu_s
        print(f"| {line} | {title} | {read:,} | {cpu_s:.1f} | {rate:,.0f} | {rates[line]:,.0f} | {rates[line] / rate:.1f} |", flush=True)


def print_line(line: Line, runs: dict[int, Ran]) -> float:
    """The line's row of the table; its rows a second of CPU."""
    first = next(iter(runs.values()))
    rate = first.rows / first.cost.cpu_s
    largest = max(one.cost.largest_mb for one in runs.values())
    same = {one.digest for one in runs.values()}
    cells = [f"{first.rows:,}", f"{first.written:,}", f"{first.cost.cpu_s:.1f}", f"**{rate:,.0f}**", f"{line.aim:,}", f"{rate / line.aim:.2f}"]
    print(f"| {line.title} | {' | '.join(cells)} | {largest:,.0f} | {' != '.join(sorted(same))} |", flush=True)
    return rate


def main() -> None:
    """Print a row of the table for each line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=lambda text: int(text.replace("_", "")), default=1_000_000)
    options.add_argument("--lines", help="names of lines, with commas; ingest is always run")
    options.add_argument("--workers", default="1,2", help="numbers of workers; the first one's CPU counts")
    options.add_argument("--folder", type=Path, help="where to make the temporary folder")
    options.add_argument("--peers", action="store_true", help="also what datasets.map takes for the same functions")
    options.add_argument("--distilabel", help="a Python that has distilabel 1.5.3 and datasketch: also what its steps take")
    given = options.parse_args()
    workers = tuple(int(number) for number in given.workers.split(","))
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        wanted = make(DATA, folder / "foreign", given.rows)
        size = sum(path.stat().st_size for path in folder.glob("foreign/*/*"))
        print(f"{sum(wanted.values()):,} rows, {size / 1e6:,.0f} MB of JSON lines\n")
        print(f"| line | rows | written | CPU s | rows/s a core | aim | of aim | largest process, MB | data, workers {given.workers} |\n|{'---|' * 9}")
        artifacts: dict[str, str] = {}
        rates: dict[str, float] = {}
        for line in LINES:
            if given.lines is None or line.name in ("ingest", *given.lines.split(",")):
                rates[line.name] = print_line(line, compare(line, folder, artifacts, workers))
                artifacts = artifacts or artifacts_of(folder / f"ingest-{workers[0]}")
        if given.peers:
            print_peers(folder, artifacts, rates, sum(wanted.values()), given.distilabel)


if __name__ == "__main__":
    main()
