"""The local engine: runs one function over many ranks in worker processes of this machine.

It notices a dead child at once, isolates the unit that keeps killing its
worker, and never waits for what cannot come. What is done is on disk before it is said.
"""

import json
import logging
import os
import selectors
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from curate.artifact import write_json
from curate.config import Model
from curate.executors.child import Forked, start_worker
from curate.executors.wave import Progress, Wave, Work, raise_failure
from curate.heartbeat import IDLE, Beat, Heartbeat, cpu_seconds

logger = logging.getLogger(__name__)

CRASHED, TIMEOUT = "crashed_worker", "worker_timeout"
_POLL_S = 0.2
_MOST_KILLS = 3


class LocalExecutor(Model):
    """Worker processes on this machine."""

    use: Literal["local"] = Field("local", description="Where ranks run: local.")
    workers: int | None = Field(None, ge=1, description="Processes; by default as many as there are cores.")

    def engine(self, work: Work, workers: int | None) -> "LocalPool":
        """The engine; `workers` outweighs the recipe's."""
        return LocalPool(work, workers or self.workers or os.cpu_count() or 1)


@dataclass
class Worker:
    """A child process and the task it has in hand."""

    process: Forked | subprocess.Popen
    heartbeat: Heartbeat
    log: Path
    task: dict | None = None
    ready: bool = False
    overdue: bool = False

    def give(self, task: dict) -> None:
        """Hand over a task; one who died a moment ago cannot take it, and is buried when its answers are heard to end."""
        self.task = task
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()

    def end(self) -> None:
        self.process.wait()
        with suppress(BrokenPipeError):  # of a task that was never taken
            self.process.stdin.close()
        self.process.stdout.close()


@dataclass
class Deaths:
    """Which units killed their worker how often; on disk, since a second death may come in a later run."""

    path: Path
    counts: dict[str, int] = field(default_factory=dict)
    skips: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Deaths":
        saved = json.loads(path.read_text()) if path.exists() else {"counts": {}, "skips": {}}
        return cls(path, saved["counts"], saved["skips"])

    def note(self, phase: str, beat: Beat, reason: str, fatal: int) -> bool:
        """Count a death; True when the unit is now isolated."""
        key = f"{phase}/{beat.rank}/{beat.ordinal}"
        self.counts[key] = self.counts.get(key, 0) + 1
        isolated = self.counts[key] >= fatal
        if isolated:
            self.skips.setdefault(f"{phase}/{beat.rank}", {})[str(beat.ordinal)] = [beat.step, reason]
        write_json(self.path, {"counts": self.counts, "skips": self.skips})
        return isolated

    def skip(self, phase: str, rank: int) -> dict[str, list[str]]:
        return self.skips.get(f"{phase}/{rank}", {})


class LocalPool:
    """Child processes that call `function(directory, task, heartbeat)`; they live through several waves.

    `skip` (ordinal to place and reason) is added to each task. Heartbeats and logs lie in
    `scratch`, which must be of this machine; both it and `deaths` are by default in the work.
    """

    def __init__(self, work: Work, workers: int, scratch: Path | None = None, deaths: Path | None = None) -> None:
        self.function, self.directory, self.unit_cpu_s, self.on_progress = work.function, work.directory, work.unit_cpu_s, work.on_progress
        self.workers = workers
        self.scratch = scratch or work.directory
        self.deaths = Deaths.load(deaths or work.directory / "deaths.json")
        self.crew: list[Worker] = []
        self.selector = selectors.DefaultSelector()
        self.started = 0
        self._begin(Wave("", []))

    def __enter__(self) -> "LocalPool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.crew:
            worker.process.kill()
        for worker in self.crew:
            worker.end()
        self.selector.close()
        for path in self._leftovers():
            path.unlink(missing_ok=True)

    def _leftovers(self) -> Iterator[Path]:
        yield from self.scratch.glob(f"heartbeat-{os.getpid()}-*")
        yield from (p for p in self.scratch.glob(f"worker-{os.getpid()}-*.log") if p.stat().st_size == 0)

    def _begin(self, wave: Wave) -> None:
        self.wave = wave
        self.waiting = list(reversed(wave.tasks))
        self.done = self.units = self.bytes = 0
        self.suspects: dict[int, tuple[int, str]] = {}
        self.kills: dict[int, int] = {}
        self.failures: list[tuple[str, str]] = []

    def run(self, wave: Wave) -> None:
        """Return when every task is done; raise StoppedError, UsageError or a bug's RuntimeError else."""
        self._begin(wave)
        while (self.waiting and not self.failures) or any(worker.task for worker in self.crew):
            self._hand_out()
            for key, _ in self.selector.select(_POLL_S):
                self._hear(key.data)
            self._watch()
            self._report()
        self._raise()

    def _hand_out(self) -> None:
        """Give waiting tasks to idle workers, and start workers while there are more tasks."""
        for worker in self.crew:
            if worker.ready and not worker.task and self.waiting and not self.failures:
                task = self.waiting.pop()
                worker.give({**task, "skip": self.deaths.skip(self.wave.phase, task["rank"])})
        idle = sum(worker.task is None for worker in self.crew)
        while not self.failures and len(self.crew) < self.workers and idle < len(self.waiting):
            self._start()
            idle += 1

    def _start(self) -> None:
        self.started += 1
        beat = self.scratch / f"heartbeat-{os.getpid()}-{self.started}"
        log = self.scratch / f"worker-{os.getpid()}-{self.started}.log"
        heartbeat = Heartbeat(beat)
        heartbeat.clear()
        process = start_worker([self.function, str(self.directory), str(beat), str(os.getpid())], log)
        worker = Worker(process, heartbeat, log)
        self.crew.append(worker)
        self.selector.register(process.stdout, selectors.EVENT_READ, worker)

    def _hear(self, worker: Worker) -> None:
        line = worker.process.stdout.readline()
        if not line:
            self._bury(worker)
            return
        answer = json.loads(line)
        if answer["kind"] == "ready":
            worker.ready = True
        elif answer["kind"] == "done":
            self._finished(worker, answer)
        else:
            self.failures.append((answer["kind"], f"rank {worker.task['rank']}: {answer['error']}"))
            worker.task = None

    def _finished(self, worker: Worker, answer: dict) -> None:
        rank = worker.task["rank"]
        worker.task = None
        self.done += 1
        self.units += answer["units"]
        self.bytes += answer["bytes"]
        if rank in self.suspects:
            pid, what = self.suspects.pop(rank)
            self.failures.append(("stopped", f"worker {pid} was killed from outside ({what}); no record is to blame"))

    def _bury(self, worker: Worker) -> None:
        """A worker died: blame the unit in hand if it did so twice, else stop or try again."""
        code = worker.process.wait()
        self.selector.unregister(worker.process.stdout)
        self.crew.remove(worker)
        task, beat = worker.task, worker.heartbeat.read()
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if task is None or beat.ordinal == IDLE:
            tail = worker.log.read_text(errors="replace")[-2000:] if worker.log.exists() else ""
            told = "was killed" if code < 0 else "died"
            self.failures.append(("stopped", f"worker {worker.process.pid} {told} ({name}) between records\n{tail}".rstrip()))
            return
        reason, fatal = (TIMEOUT, 1) if worker.overdue else (CRASHED, 2)
        isolated = self.deaths.note(self.wave.phase, beat, reason, fatal)
        what = f"{name} at unit {beat.ordinal} of rank {task['rank']}"
        logger.warning("worker %d died: %s; %s", worker.process.pid, what, "unit isolated" if isolated else "trying once more")
        if isolated:
            self.suspects.pop(task["rank"], None)
        elif code in (-signal.SIGKILL, -signal.SIGTERM):
            self._suspect_outside(task["rank"], worker.process.pid, what)
        self.waiting.append({key: value for key, value in task.items() if key != "skip"})

    def _suspect_outside(self, rank: int, pid: int, what: str) -> None:
        """A kill may be an operator's, the kernel's for want of memory, or the record's own doing.

        The rank is tried once more: the same record again, and it is isolated; past it, and
        the run stops, resumable, since what killed one worker will kill the next.
        """
        self.suspects[rank] = (pid, what)
        self.kills[rank] = self.kills.get(rank, 0) + 1
        if self.kills[rank] > _MOST_KILLS:
            self.failures.append(("stopped", f"the workers of rank {rank} are killed again and again ({what}); is memory short?"))

    def _watch(self) -> None:
        """Kill a worker whose unit has had more CPU than any unit may: C code hears no signal."""
        for worker in self.crew:
            beat = worker.heartbeat.read()
            if worker.task is None or beat.ordinal == IDLE:
                continue
            used = cpu_seconds(worker.process.pid)
            if used is not None and used - beat.cpu_ns / 1e9 > self.unit_cpu_s:
                worker.overdue = True
                worker.process.kill()

    def _report(self) -> None:
        beats = [worker.heartbeat.read() for worker in self.crew if worker.task]
        units = self.units + sum(beat.units for beat in beats)
        bytes_ = self.bytes + sum(beat.bytes for beat in beats)
        self.on_progress(Progress(self.wave.phase, self.done, len(self.wave.tasks), units, bytes_, self.wave.total_bytes))

    def _raise(self) -> None:
        if not self.failures:
            return
        kind, text = self.failures[0]
        if kind == "stopped":
            text = f"{text}; {self.done} of {len(self.wave.tasks)} ranks done now, {len(self.wave.tasks) - self.done} to go"
        raise_failure(kind, text)
