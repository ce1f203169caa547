"""Calls to a judge under faults and kills: what is lost, billed twice, left unused of a ceiling, and spent of our own CPU.

    python benchmarks/judge_calls.py [--calls 20000] [--kills 3] [--ceiling 150]

The endpoint is tests/judge_server.py, a process of its own: 5 % of requests meet a 429, 2 % a 500, 1 % hang
until the time-out, 1 % answer garbage. The caller is killed by SIGKILL so many times and started again. The
server's journal is the oracle of what was billed; a run without faults is the oracle of the replies.
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

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from judge_calling import calls  # noqa: E402
from judge_server import Running, running  # noqa: E402

FAULTS = {"http_429": 0.05, "http_500": 0.02, "hang": 0.01, "garbage": 0.01}


def start(folder: Path, name: str, settings: dict) -> subprocess.Popen[str]:
    file = folder / f"{name}.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return subprocess.Popen([sys.executable, str(ROOT / "tests" / "judge_calling.py"), str(file)], stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict:
    """The account of a caller that ran to its end."""
    out, _ = process.communicate()
    assert process.returncode == 0, out
    return json.loads(out.splitlines()[-1])


def with_kills(folder: Path, settings: dict, server: Running, kills: int) -> dict:
    """Run the caller, kill it at drawn moments, run it again to its end."""
    draw = random.Random(0)
    for kill in range(kills):
        process = start(folder, "faults", settings)
        wanted = settings["calls"] * (kill + draw.uniform(0.6, 1.0)) / (kills + 1)
        while server.count() < wanted and process.poll() is None:
            time.sleep(0.5)
        process.kill()
        process.wait()
    return finish(start(folder, "faults", settings))


def shares(server: Running, ceiling: float, wall_s: float) -> tuple[float, float]:
    """Of the ceiling: the median second's share over all processes, and the mean of the last one, start and tail included."""
    times = [entry["t"] for entry in server.entries()]
    counts = sorted(Counter(int(moment) for moment in times).values())
    last = sum(moment > times[-1] - wall_s for moment in times)
    return counts[len(counts) // 2] / ceiling, last / wall_s / ceiling


async def client_alone(url: str, settings: dict, typed: bool) -> float:
    """CPU seconds a call of the openai client alone: by its typed method, or by path with the reply left raw, as we use it."""
    import httpx
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    requests = [call.request for call in calls(settings)]
    slots = asyncio.Semaphore(settings["endpoint"]["concurrency"])

    async def one(request: dict) -> None:
        async with slots:
            if typed:
                await client.chat.completions.create(**request)
            else:
                await client.post("/chat/completions", body=request, cast_to=httpx.Response)

    await one(requests[0])
    begun = time.process_time()
    await asyncio.gather(*map(one, requests))
    spent = time.process_time() - begun
    await client.close()
    return spent / len(requests)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--ceiling", type=float, default=150)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="judge-calls-") as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Run all and print the table."""
    endpoint = {"concurrency": 48, "timeout_s": 5, "backoff_s": 0.2}
    settings = {"calls": options.calls, "endpoint": endpoint}
    with running(folder / "clean") as server:
        clean = {**settings, "calls": min(3000, options.calls), "endpoint": {**endpoint, "url": server.url}}
        plain = finish(start(folder, "plain", {**clean, "journal": str(folder / "plain.sqlite"), "out": str(folder / "plain.jsonl")}))
        typed, bare = (asyncio.run(client_alone(server.url, clean, typed)) for typed in (True, False))
        whole = {**settings, "endpoint": {**endpoint, "url": server.url}, "journal": str(folder / "clean.sqlite"), "out": str(folder / "clean.jsonl")}
        finish(start(folder, "clean", whole))
    with running(folder / "faulty", faults=FAULTS, latency_s=0.05, retry_after_s=0.5, ceiling=options.ceiling * 1.2) as server:
        limited = {**endpoint, "url": server.url, "requests_per_minute": options.ceiling * 60}
        faulty = {**settings, "endpoint": limited, "journal": str(folder / "faults.sqlite"), "out": str(folder / "faults.jsonl")}
        last = with_kills(folder, faulty, server, options.kills)
        billed = sum(entry["billed"] for entry in server.entries())
        median, mean = shares(server, options.ceiling, last["wall_s"])
    same = (folder / "faults.jsonl").read_bytes() == (folder / "clean.jsonl").read_bytes()
    ours = plain["cpu_s"] / clean["calls"]
    print(f"calls {options.calls:,}, kills {options.kills}, faults {FAULTS}")
    print(f"replies as without faults   {'the same bytes' if same else 'DIFFERENT'}")
    print(f"billed by minimal calls     {billed / options.calls:.4f}   (target at most 1.02)")
    print(f"of {options.ceiling:g} calls/s used         {median:.3f}    (median second; target at least 0.95)")
    print(f"  the last process          {mean:.3f}    (mean, its start and the last time-outs included)")
    print(f"CPU a call, all             {ours * 1e3:.2f} ms")
    print(f"  client alone, typed       {typed * 1e3:.2f} ms  (chat.completions.create)")
    print(f"  client alone, by path     {bare * 1e3:.2f} ms  (post, as we call it)")
    print(f"  our own                   {(ours - bare) * 1e3:.2f} ms  (beyond the client by path; target under 1 ms)")
    print(f"last process                {last}")


if __name__ == "__main__":
    main()
