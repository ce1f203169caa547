"""The same calls to the same faulty judge by ours and by peers: rows lost, calls billed, time, and CPU a call.

    python benchmarks/judge_peers.py [--calls 1000] [--distilabel PYTHON] [--curator PYTHON]

tests/judge_server.py with the faults of judge_calls.py and no ceiling; 48 requests at once, 5 s a request, and
for the rest each tool's own defaults. Each tool runs three times: ten calls without faults, which is what
its start costs; all calls with the faults; and the same killed once in the middle, by SIGKILL of all its
processes, and started again. A peer runs under its own Python with this file: `judge_peers.py NAME JOB.json`.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from judge_server import Running

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

CONCURRENCY, TIMEOUT_S = 48, 5
STUCK_S = 120
"""Without a request for so long, a run is given up; whatever it has not written is lost."""
SAMPLING = {"temperature": 0.0, "max_tokens": 50}
Job = dict[str, object]


def distilabel(job: Job) -> list[str | None]:
    """A pipeline of ChatGeneration, in batches of as many rows as ours has requests at once."""
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import ChatGeneration

    generation = {"max_new_tokens": SAMPLING["max_tokens"], "temperature": SAMPLING["temperature"]}
    model = OpenAILLM(model="m", base_url=job["url"], api_key="none", timeout=TIMEOUT_S, generation_kwargs=generation)
    with Pipeline(name="judge", cache_dir=job["cache"]) as pipeline:
        rows = LoadDataFromDicts(data=[{"number": number, "messages": asked} for number, asked in enumerate(job["messages"])], batch_size=CONCURRENCY)
        rows >> ChatGeneration(llm=model, input_batch_size=CONCURRENCY)
    made = pipeline.run(use_cache=True)["default"]["train"]
    said = {row["number"]: row["generation"] for row in made}
    return [said.get(number) for number in range(len(job["messages"]))]


def curator(job: Job) -> list[str | None]:
    """curator.LLM with its own client for OpenAI; rows that fail for good are told to be left out, since else nothing comes back."""
    import litellm
    from bespokelabs import curator as peer

    # Its tokeniser would be downloaded; litellm, which it needs, ships the same file.
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers")

    class Judge(peer.LLM):
        def prompt(self, row: Job) -> list[dict[str, str]]:
            return row["messages"]

        def parse(self, row: Job, reply: str) -> Job:
            return {"number": row["number"], "text": reply}

    limits = {"max_requests_per_minute": 10**6, "max_tokens_per_minute": 10**9, "max_concurrent_requests": CONCURRENCY}
    params = {**limits, "base_url": job["url"], "request_timeout": TIMEOUT_S, "require_all_responses": False}
    judge = Judge(model_name="m", backend="openai", backend_params=params, generation_params=SAMPLING)
    made = judge([{"number": number, "messages": asked} for number, asked in enumerate(job["messages"])], working_dir=job["cache"])
    made = getattr(made, "dataset", made)
    said = {row["number"]: row["text"] for row in made}
    return [said.get(number) for number in range(len(job["messages"]))]


def ours(job: Job) -> list[str | None]:
    """The caller as the tests start it, in a process that may be killed."""
    import asyncio

    from judge_calling import ask

    endpoint = {"url": job["url"], "concurrency": CONCURRENCY, "timeout_s": TIMEOUT_S}
    out = Path(job["cache"], "replies.jsonl")
    asyncio.run(ask({"calls": len(job["messages"]), "endpoint": endpoint, "journal": str(Path(job["cache"], "calls.sqlite")), "out": str(out)}))
    return [json.loads(line)[1] for line in out.read_text(encoding="utf-8").splitlines()]


TOOLS = {"curate": ours, "distilabel": distilabel, "bespokelabs-curator": curator}


def child(name: str, file: Path) -> None:
    """Run one tool in this process and write down what it made of each call."""
    job = json.loads(file.read_text(encoding="utf-8"))
    Path(job["cache"]).mkdir(parents=True, exist_ok=True)
    Path(job["out"]).write_text(json.dumps(TOOLS[name](job)), encoding="utf-8")


class Ran(NamedTuple):
    """A tool's run: rows without a reply, calls billed by the server's journal, seconds."""

    lost: int
    billed: int
    wall_s: float
    cpu_s: float


def run(name: str, python: str, folder: Path, calls: int, faults: bool, kill: bool = False) -> Ran:
    """One run of a tool against a server of its own, killed once in the middle or not at all."""
    from judge_calls import FAULTS, LATENCY_S
    from judge_server import running

    folder.mkdir()
    messages = questions(calls)
    with running(folder / "server", faults=FAULTS if faults else {}, latency_s=LATENCY_S, retry_after_s=0.5) as server:
        job = {"url": server.url, "messages": messages, "cache": str(folder / "cache"), "out": str(folder / "out.json")}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        begun, before = time.monotonic(), cpu_s()
        for until in (calls / 2, None) if kill else (None,):
            watch(started(name, python, folder), server, until)
        wall_s, spent = time.monotonic() - begun, cpu_s() - before
        entries = server.entries()
    out = Path(job["out"])
    replies = json.loads(out.read_text(encoding="utf-8")) if out.exists() else [None] * calls
    return Ran(sum(reply is None for reply in replies), sum(entry["billed"] for entry in entries), wall_s, spent)


def watch(process: subprocess.Popen[bytes], server: "Running", until: float | None) -> None:
    """Wait for the end of a process; kill its group once the server met so many requests, or has met none for long."""
    count, moved = -1, time.monotonic()
    while process.poll() is None and (until is None or count < until) and time.monotonic() - moved < STUCK_S:
        time.sleep(0.1)
        if (now := server.count()) != count:
            count, moved = now, time.monotonic()
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def questions(count: int) -> list[list[dict[str, str]]]:
    """The messages of the calls that the caller's own test process asks."""
    from judge_calling import calls

    return [call.messages for call in calls({"calls": count})]


def cpu_s() -> float:
    """User and system seconds of all processes that this one started and that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def started(name: str, python: str, folder: Path) -> subprocess.Popen[bytes]:
    """A tool in a process group of its own, its output in a file; no telemetry, no network."""
    quiet = {"HF_HUB_OFFLINE": "1", "TELEMETRY_ENABLED": "false", "DISTILABEL_LOG_LEVEL": "WARNING", "OPENAI_API_KEY": "none"}
    with (folder / "output.txt").open("ab") as output:
        command = [python, __file__, name, str(folder / "job.json")]
        environment = {**os.environ, **quiet, "HOME": str(folder)}
        return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, env=environment)


def table(tools: dict[str, str], calls: int, folder: Path) -> None:
    """Run every tool, and print a row for each as it is done."""
    print("| tool | rows lost | billed by minimal | CPU ms a call | start, CPU s | seconds | after a kill: rows lost | billed by minimal |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name, python in tools.items():
        idle = run(name, python, folder / f"{name}-idle", 10, faults=False)
        whole = run(name, python, folder / f"{name}-whole", calls, faults=True)
        killed = run(name, python, folder / f"{name}-killed", calls, faults=True, kill=True)
        each = (whole.cpu_s - idle.cpu_s) / (calls - 10) * 1e3
        print(
            f"| {name} | {whole.lost:,} of {calls:,} | {whole.billed / calls:.3f} | {each:.1f} | {idle.cpu_s:.1f} | {whole.wall_s:.0f} "
            f"| {killed.lost:,} of {calls:,} | {killed.billed / calls:.3f} |",
            flush=True,
        )


def main() -> None:
    if sys.argv[1:2] and sys.argv[1] in TOOLS:
        return child(sys.argv[1], Path(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--distilabel", help="a Python that has `distilabel[openai]`")
    parser.add_argument("--curator", help="a Python that has bespokelabs-curator")
    options = parser.parse_args()
    tools = {"curate": sys.executable, "distilabel": options.distilabel, "bespokelabs-curator": options.curator}
    with tempfile.TemporaryDirectory(prefix="judge-peers-") as folder:
        table({name: python for name, python in tools.items() if python}, options.calls, Path(folder))


if __name__ == "__main__":
    main()
