"""Calls to a judge under faults and kills: what is lost, billed twice, left unused of a ceiling, and spent of our own CPU.

    python benchmarks/judge_calls.py [--calls 20000] [--kills 3] [--ceiling 150]

The endpoint is tests/judge_server.py, a process of its own: 5 % of requests meet a 429, 2 % a 500, 1 % hang
until the time-out, 1 % answer garbage. The caller is killed by SIGKILL so many times and started again. The
server's journal is the oracle of what was billed; a run without faults is the oracle of the replies. A ceiling
is used by a process from its first request until it began its last new call, or was killed: before, it starts
and reads what is answered already; after, nothing is left to ask but what has to be tried again. The same
faults met by other tools: benchmarks/judge_peers.py.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from judge_calling import ask, calls  # noqa: E402
from judge_server import Running, running  # noqa: E402

FAULTS = {"http_429": 0.05, "http_500": 0.02, "hang": 0.01, "garbage": 0.01}
LATENCY_S = 0.05
Row = dict[str, object]


class Process(NamedTuple):
    """A caller that ran: start and end by the clock, its seconds on a core and waiting for one, its account unless killed."""

    begun: float
    ended: float
    ran_s: float
    waited_s: float
    account: Row | None


def start(folder: Path, settings: Row) -> subprocess.Popen[str]:
    file = folder / "settings.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return subprocess.Popen([sys.executable, str(ROOT / "tests" / "judge_calling.py"), str(file)], stdout=subprocess.PIPE, text=True)


def scheduled(process: int) -> tuple[float, float]:
    """Seconds that a process's main thread ran, and waited for a core (Linux)."""
    ran, waited, _ = Path(f"/proc/{process}/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


def called(folder: Path, settings: Row, server: Running, until: float | None) -> Process:
    """Run the caller to its end, or kill it once the server has met so many requests."""
    begun, process, seen = time.time(), start(folder, settings), (0.0, 0.0)
    while process.poll() is None and (until is None or server.count() < until):
        seen = scheduled(process.pid)
        time.sleep(0.25)
    process.kill()
    out, _ = process.communicate()
    assert until is not None or process.returncode == 0, out
    return Process(begun, time.time(), *seen, json.loads(out.splitlines()[-1]) if out else None)


def with_kills(folder: Path, settings: Row, server: Running, kills: int) -> list[Process]:
    """Run the caller, kill it at drawn moments, run it again to its end."""
    draw = random.Random(0)
    moments = [settings["calls"] * (kill + draw.uniform(0.6, 1.0)) / (kills + 1) for kill in range(kills)]
    return [called(folder, settings, server, until) for until in [*moments, None]]


class Use(NamedTuple):
    """Requests of one process, and its seconds before the first, until its last new call was begun, and after."""

    requests: int
    after: int
    start_s: float
    asking_s: float
    tail_s: float


def use(entries: list[Row], process: Process) -> Use:
    """What a process did with its time, by the server's journal."""
    mine = [entry for entry in entries if process.begun <= entry["t"] <= process.ended]
    seen: set[str] = set()
    new = [entry["t"] for entry in mine if not (entry["key"] in seen or seen.add(entry["key"]))]
    if not new:
        return Use(0, 0, process.ended - process.begun, 0.0, 0.0)
    last = new[-1] if process.account else process.ended
    after = sum(entry["t"] > last for entry in mine)
    return Use(len(mine), after, new[0] - process.begun, last - new[0], process.ended - last)


async def client_alone(url: str, settings: Row, typed: bool) -> float:
    """CPU seconds a call of the openai client alone: by its typed method, or by path with the reply left raw, as we use it."""
    import httpx
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    requests = [call.request for call in calls(settings)]
    slots = asyncio.Semaphore(settings["endpoint"]["concurrency"])

    async def one(request: Row) -> None:
        async with slots:
            if typed:
                await client.chat.completions.create(**request)
            else:
                await client.post("/chat/completions", body=request, cast_to=httpx.Response)

    begun = time.process_time()
    await asyncio.gather(*map(one, requests))
    spent = time.process_time() - begun
    await client.close()
    return spent / len(requests)


def cpu(folder: Path, settings: Row, turns: int = 4) -> dict[str, float]:
    """Least CPU milliseconds a call of ours and of the client alone, by turns in this process; the first turn only warms up."""
    found: dict[str, list[float]] = {"ours": [], "typed": [], "by path": []}
    for turn in range(turns):
        asked = {**settings, "calls": 1_500 if turn else 50, "journal": str(folder / f"turn{turn}.sqlite"), "out": str(folder / "turn.jsonl")}
        found["ours"].append(asyncio.run(ask(asked))["cpu_s"] / asked["calls"])
        found["typed"].append(asyncio.run(client_alone(asked["endpoint"]["url"], asked, typed=True)))
        found["by path"].append(asyncio.run(client_alone(asked["endpoint"]["url"], asked, typed=False)))
    return {name: min(spent[1:]) * 1e3 for name, spent in found.items()}


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Run all and print what was seen."""
    endpoint = {"concurrency": 48, "timeout_s": 5, "backoff_s": 0.2}
    settings = {"calls": options.calls, "endpoint": endpoint}
    with running(folder / "clean") as server:
        whole = {**settings, "endpoint": {**endpoint, "url": server.url}, "journal": str(folder / "clean.sqlite"), "out": str(folder / "clean.jsonl")}
        spent = cpu(folder, whole)
        called(folder, whole, server, None)
    with running(folder / "faulty", faults=FAULTS, latency_s=LATENCY_S, retry_after_s=0.5, ceiling=options.ceiling * 1.2) as server:
        limited = {**endpoint, "url": server.url, "requests_per_minute": options.ceiling * 60}
        faulty = {**settings, "endpoint": limited, "journal": str(folder / "faults.sqlite"), "out": str(folder / "faults.jsonl")}
        processes = with_kills(folder, faulty, server, options.kills)
        entries, served = server.entries(), scheduled(server.process.pid)
    same = (folder / "faults.jsonl").read_bytes() == (folder / "clean.jsonl").read_bytes()
    print(f"calls {options.calls:,}, kills {options.kills}, faults {FAULTS}")
    print(f"replies as without faults   {'the same bytes' if same else 'DIFFERENT'}")
    billing(entries, options)
    ceiling(entries, processes, served, options.ceiling)
    print(f"CPU a call, all             {spent['ours']:.2f} ms")
    for name, said in (("typed", "chat.completions.create"), ("by path", "post, as we call it; target under 1 ms")):
        print(f"  {f'beyond the client {name}':<26}{spent['ours'] - spent[name]:.2f} ms  (which alone takes {spent[name]:.2f} ms: {said})")
    print(f"last process                {processes[-1].account}")


def billing(entries: list[Row], options: argparse.Namespace) -> None:
    """What was billed, and why beyond once a call."""
    billed = sum(entry["billed"] for entry in entries)
    garbage = sum(entry["fault"] == "garbage" for entry in entries)
    twice = billed - garbage - options.calls
    kill = f", {twice / options.kills:.1f} a kill" if options.kills else ""
    usual = f"at {options.ceiling:g} calls/s and {LATENCY_S:g} s a reply, {options.ceiling * LATENCY_S:g} are under way"
    print(f"billed by minimal calls     {billed / options.calls:.4f}   (target at most 1.02)")
    print(f"  garbage, asked again      {garbage}")
    print(f"  under way at a kill       {twice}{kill}   ({usual})")


def ceiling(entries: list[Row], processes: list[Process], served: tuple[float, float], most: float) -> None:
    """How much of the ceiling was used while there was something new to ask, and where the rest of the time went."""
    uses = [use(entries, process) for process in processes]
    asking, starts, tails = (sum(getattr(one, name) for one in uses) for name in ("asking_s", "start_s", "tail_s"))
    seconds = sorted(Counter(int(entry["t"]) for entry in entries).values())
    took = sum(process.ended - process.begun for process in processes)
    asked = sum(one.requests - one.after for one in uses) / asking / most
    print(f"of {most:g} calls/s used         {asked:.3f}    (mean of {asking:.0f} s of asking; target at least 0.95)")
    print(f"  the median second         {seconds[len(seconds) // 2] / most:.3f}")
    said = f"mean of {took:.0f} s: {starts:.1f} s of starts, {tails:.1f} s of last time-outs"
    print(f"  from start to end         {len(entries) / took / most:.3f}    ({said})")
    ran, waited = (sum(getattr(process, name) for process in processes) for name in ("ran_s", "waited_s"))
    print(f"  on a core                 {ran:.0f} s, waited for one {waited:.0f} s; the server {served[0]:.0f} s, waited {served[1]:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--ceiling", type=float, default=150)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="judge-calls-") as folder:
        measure(options, Path(folder))


if __name__ == "__main__":
    main()
