"""The whole web pipeline beside stock datatrove's: CPU, memory, documents kept and text quality on the same archive.

    python -m benchmarks.web [--languages en] [--languages en,de,fr,es,pt,it,pl,nl] [--turns 2]

Stock is FineWeb's chain of datatrove's own blocks (web_stock.py says what is not as it ships), ours is
pipelines/fineweb_like.yaml by `curate run`, with one worker. Each runs in a process of its own, pinned to one core,
in turns; of several turns the cheapest counts. CPU is user and system time with all child processes, imports
included; bytecode is on disk, as it is where a package is installed. The floor is reading the archive (fastwarc)
and parsing its pages (lexbor), nothing else. Both chains run once on a few records first, so that what they cache on
disk, bytecode too, is there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from benchmarks.gold import WEB, interval, outcomes, read_gold, score

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "pipelines" / "fineweb_like.yaml"
EXTRACT_ONLY = "stages: [{web: {source: '%s', steps: [{use: extract}]}}]"
STEPS = (
    "read", "url", "extract", "language", "gopher_repetition", "gopher_quality", "c4", "fineweb", "exact_dedup", "minhash_dedup", "pii",
)  # fmt: skip
STOCK = "import runpy, sys; sys.modules['torch'] = None; runpy.run_module('benchmarks.web_stock', run_name='__main__', alter_sys=True)"
"""Stock without PyTorch, which spaCy imports (5 s) where it finds it: datatrove does not need it, our tests do."""
REST = "start, files, account"
POLL_S = 0.2
FEW_RECORDS = 60


class Cost(NamedTuple):
    """What a process and all below it took."""

    cpu_s: float
    largest_mb: float
    """Peak of the largest process (VmHWM)."""
    together_mb: float
    """Most that all had at one time, shared pages counted once (PSS, looked at five times a second)."""


class Side(NamedTuple):
    """One chain's run."""

    cost: Cost
    cpu_s: dict[str, float]
    out: dict[str, int]
    kept: list[str]


def family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(below for child in children for below in family(int(child)))]


def memory_mb(pid: int, name: str, key: str) -> float:
    """A line of a file under /proc, in MB; 0 for a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(key)), 0.0)


def environment() -> dict[str, str]:
    """Ours, with bytecode kept outside the checkout: the runs on a few records leave it for those that count."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir(), f"curate-bytecode-{os.getuid()}"))}


def pinned(command: list[str], core: int) -> tuple[Cost, str]:
    """Run a command on one core; what it took, and its standard output."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=stdout, stderr=stderr, preexec_fn=lambda: os.sched_setaffinity(0, {core})
        )
        largest = together = 0.0
        while True:
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            members = family(process.pid)
            largest = max([largest, *(memory_mb(pid, "status", "VmHWM") for pid in members)])
            together = max(together, sum(memory_mb(pid, "smaps_rollup", "Pss:") for pid in members))
            time.sleep(POLL_S)
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0), stderr.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{stderr.read()[-3000:]}")
        return Cost(usage.ru_utime + usage.ru_stime, max(largest, usage.ru_maxrss / 1024), together), stdout.read()


def stock(archive: Path, languages: str, folder: Path, core: int, timeout: float) -> Side:
    cost, _ = pinned([sys.executable, "-c", STOCK, str(archive), str(folder), languages, str(timeout)], core)
    account = json.loads((folder / "account.json").read_text())
    return Side(cost, with_rest(account["cpu_s"], cost), account["out"], account["kept"])


def ours(archive: Path, languages: str, folder: Path, core: int) -> Side:
    cost, path = pinned(curate(RECIPE, folder, "--set", f"input={archive}", "--set", f"languages=[{languages}]"), core)
    artifact = Path(ROOT, path.splitlines()[-1])
    steps = json.loads((artifact / "receipt.json").read_text())["steps"]
    kept = pl.scan_parquet(artifact / "data" / "*.parquet").select("url").collect()["url"].to_list()
    cpu_s = {step["name"]: step["cpu_s"] for step in steps}
    return Side(cost, with_rest(cpu_s, cost), {step["name"]: step["out"] for step in steps}, kept)


def curate(recipe: Path, root: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "curate.cli", "run", str(recipe), *words, "--workers", "1", "--root", str(root)]


def with_rest(cpu_s: dict[str, float], cost: Cost) -> dict[str, float]:
    """Seconds by step, and all that is no step's: imports, models, writing, the account of every record."""
    steps = {name: cpu_s.get(name, 0.0) for name in STEPS}
    return {**steps, REST: cost.cpu_s - sum(steps.values())}


def floor(archive: Path, core: int) -> Cost:
    return pinned([sys.executable, "-m", "benchmarks.web", "--floor", str(archive)], core)[0]


def read_and_parse(archive: Path) -> None:
    """The floor itself."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from selectolax.lexbor import LexborHTMLParser

    with archive.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
            LexborHTMLParser(record.reader.read())


def few_records(archive: Path, folder: Path) -> Path:
    """The first records of an archive as one of their own."""
    from fastwarc.warc import ArchiveIterator

    with archive.open("rb") as stream:
        for number, record in enumerate(ArchiveIterator(stream)):
            if number == FEW_RECORDS:
                end = record.stream_pos
                break
    small = folder / "small" / archive.name
    small.parent.mkdir()
    small.write_bytes(archive.read_bytes()[:end])
    return small


def extracted(archive: Path, folder: Path, core: int) -> dict[str, str]:
    """Our text of each page by URL, as the extraction step leaves it."""
    recipe = folder / "extract.yaml"
    recipe.write_text(EXTRACT_ONLY % archive, encoding="utf-8")
    _, path = pinned(curate(recipe, folder / "extract"), core)
    rows = pl.read_parquet(Path(ROOT, path.splitlines()[-1]) / "data" / "*.parquet", columns=["url", "text"])
    return dict(rows.iter_rows())


def print_quality(texts: dict[str, dict[str, str]], name: str) -> None:
    """Segment scores of each chain's texts; a page that a chain lost counts as empty."""
    pages = [page for page in read_gold(name) if page.wanted or page.unwanted]
    print("| extracted by | pages with text | precision | recall | F1 |\n|---|---|---|---|---|")
    for chain, found in texts.items():
        counts = np.array([outcomes(page, found.get(page.url) or "") for page in pages])
        low, high = interval(counts, [page.site for page in pages])
        cells = [f"{a:.3f} [{b:.3f}, {c:.3f}]" for a, b, c in zip(score(counts), low, high, strict=True)]
        print(f"| {chain} | {sum(bool(found.get(page.url)) for page in pages)} of {len(pages)} | {' | '.join(cells)} |")


def print_costs(peer: Side, own: Side, least: Cost) -> None:
    """CPU by step, then memory."""
    print("| step | stock CPU s | ours CPU s | ratio | stock out | ours out |\n|---|---|---|---|---|---|")
    for name in (*STEPS, REST):
        a, b = peer.cpu_s[name], own.cpu_s[name]
        ratio = f"{a / b:.1f}" if a and b > 0.005 else "-"
        print(f"| {name} | {a:.2f} | {b:.2f} | {ratio} | {peer.out.get(name, '-')} | {own.out.get(name, '-')} |")
    a, b = peer.cost, own.cost
    print(f"| **whole** | **{a.cpu_s:.1f}** | **{b.cpu_s:.1f}** | **{a.cpu_s / b.cpu_s:.1f}** | {len(peer.kept)} | {len(own.kept)} |")
    print(f"| floor: read and parse | {least.cpu_s:.2f} | {least.cpu_s:.2f} | | | |")
    print(f"| largest process, MB | {a.largest_mb:.0f} | {b.largest_mb:.0f} | {a.largest_mb / b.largest_mb:.1f} | | |")
    print(f"| all processes, MB | {a.together_mb:.0f} | {b.together_mb:.0f} | {a.together_mb / b.together_mb:.1f} | | |")


def print_overlap(peer: Side, own: Side) -> None:
    both, either = len({*peer.kept} & {*own.kept}), len({*peer.kept} | {*own.kept})
    print(f"\nKept by both: {both}; by stock alone: {len({*peer.kept}) - both}; by ours alone: {len({*own.kept}) - both} (of {either}).")
    print(f"Pages read: stock {peer.out['read']}, ours {own.out['read']}; what libmagic does not call HTML, stock loses in silence.\n")


def compare(given: argparse.Namespace, archive: Path, languages: str, folder: Path) -> dict[str, dict[str, str]]:
    """Run both in turns and print one table; the texts of both, by URL."""
    core = max(os.sched_getaffinity(0))
    small = few_records(archive, folder)
    (folder / "warm").mkdir()
    stock(small, languages, folder / "warm", core, given.timeout)
    ours(small, languages, folder / "warm" / "ours", core)
    peers, owns = [], []
    for turn in range(given.turns):
        owns.append(ours(archive, languages, folder / f"ours-{turn}", core))
        (folder / f"stock-{turn}").mkdir()
        peers.append(stock(archive, languages, folder / f"stock-{turn}", core, given.timeout))
    peer, own = (min(sides, key=lambda side: side.cost.cpu_s) for sides in (peers, owns))
    print(f"### {archive.name}, languages {languages}\n")
    print_costs(peer, own, floor(archive, core))
    print_overlap(peer, own)
    return {"stock": json.loads((folder / "stock-0" / "texts.json").read_text()), "ours": extracted(archive, folder, core)}


def main() -> None:
    """Print a table for each set of languages, then the extraction scores."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pages", default="extraction_dev", help="archive with gold segments in ../shared/data/web")
    options.add_argument("--languages", action="append", help="languages to keep; may be given often")
    options.add_argument("--turns", type=int, default=2)
    options.add_argument("--timeout", type=float, default=10, help="wall seconds of a page for stock; it ships with 1")
    options.add_argument("--floor", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.floor:
        return read_and_parse(given.floor)
    for languages in given.languages or ["en"]:
        with tempfile.TemporaryDirectory() as folder:
            texts = compare(given, WEB / f"{given.pages}.warc.gz", languages, Path(folder))
    print_quality(texts, given.pages)


if __name__ == "__main__":
    main()
