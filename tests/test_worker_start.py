"""How a worker begins: forked from a parent with one thread, else an interpreter of its own. Real processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from curate.errors import StoppedError
from curate.executors import LocalExecutor
from curate.executors.wave import Wave, Work

ROOT = Path(__file__).resolve().parents[1]
TASKS = '''
import os, sys
from pathlib import Path
def run(directory, task, heartbeat):
    print("said aside")
    own = {"pid": os.getpid(), "session": os.getsid(0), "files": sorted(map(int, os.listdir("/proc/self/fd")))}
    (Path(directory) / "seen.json").write_text(__import__("json").dumps(own))
    if task["die"]:
        os.kill(os.getpid(), 9)
'''
PARENT = '''
import json, os, sys, threading, time
from pathlib import Path
from curate.executors.child import start_worker
folder, threads, die = Path(sys.argv[1]), int(sys.argv[2]), bool(int(sys.argv[3]))
held = (folder / "held").open("w")
for _ in range(threads):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("unflushed", end="")
child = start_worker(["tasks:run", str(folder), str(folder / "beat"), str(os.getpid())], folder / "log")
ready = json.loads(child.stdout.readline())
child.stdin.write(json.dumps({"rank": 0, "die": die}) + "\\n")
child.stdin.flush()
answer = child.stdout.readline()
child.stdin.close()
print(json.dumps({"kind": type(child).__name__, "pid": child.pid, "ready": ready, "answer": answer, "code": child.wait()}))
'''


def started(folder: Path, threads: int, die: bool = False) -> tuple[dict, dict, str]:
    """What the parent saw, what the worker saw, and the worker's log."""
    (folder / "tasks.py").write_text(TASKS)
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PARENT, str(folder), str(threads), str(int(die))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.count("unflushed") == 1, "the worker repeated what its parent had said"
    told = json.loads(done.stdout.removeprefix("unflushed"))
    return told, json.loads((folder / "seen.json").read_text()), (folder / "log").read_text()


@pytest.mark.parametrize(("threads", "kind"), [(0, "Forked"), (1, "Popen")])
def test_a_worker_answers_the_same_however_it_begins(tmp_path: Path, threads: int, kind: str) -> None:
    told, _, log = started(tmp_path, threads)
    assert told["kind"] == kind
    assert told["ready"] == {"kind": "ready"} and json.loads(told["answer"])["kind"] == "done" and told["code"] == 0
    assert "said aside" in log


def test_a_fork_has_a_session_and_files_of_its_own(tmp_path: Path) -> None:
    told, seen, _ = started(tmp_path, 0)
    assert seen["pid"] == seen["session"] == told["pid"]
    assert len(seen["files"]) <= 6, "streams, the answers, the heartbeat and the listing itself"


@pytest.mark.parametrize("threads", [0, 1])
def test_a_killed_worker_is_told_by_its_signal(tmp_path: Path, threads: int) -> None:
    told, _, _ = started(tmp_path, threads, die=True)
    assert told["answer"] == "" and told["code"] == -9


def test_a_worker_killed_between_two_tasks_stops_the_run_with_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    monkeypatch.syspath_prepend(tmp_path)
    work = Work("tasks:run", tmp_path, 60, lambda progress: None)
    with LocalExecutor().engine(work, 1) as pool:
        pool.run(Wave("one", [{"rank": 0, "die": False}]))
        [worker] = pool.crew
        os.kill(worker.process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, worker.process.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(StoppedError, match="was killed"):
            pool.run(Wave("two", [{"rank": 0, "die": False}]))
