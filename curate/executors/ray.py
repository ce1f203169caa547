"""The Ray engine: ranks as actors of datatrove's RayPipelineExecutor, driven from a child of this process.

Ray keeps nothing of a driver that is gone: a run that stops takes its actors along, and
finished ranks stay. What datatrove waits for in vain after a node's death is found by the
silence of the ranks, and they are submitted again.
"""

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from curate.config import StoppedError, UsageError
from curate.executors.board import RUNNING, Note
from curate.executors.cluster import ClusterEngine, ClusterExecutor, State, Submission
from curate.executors.wave import Work

if TYPE_CHECKING:
    from curate.executors.rank_block import RunRank


class RayExecutor(ClusterExecutor):
    """Actors of a Ray cluster that is up already."""

    use: Literal["ray"] = Field(description="Where ranks run: ray.")
    address: str = Field(description="The cluster's address, host:port.", pattern=r"^[^/\s]+:\d+$|^ray://")
    silence_s: float = Field(180, ge=1, description="Seconds without a word from any running rank after which all of them count as lost.")

    def engine(self, work: Work, workers: int | None) -> "RayEngine":
        """The engine; `workers` outweighs the recipe's."""
        return RayEngine(self, work, workers)


class RayEngine(ClusterEngine):
    """Keeps one driver process a submission."""

    executor: RayExecutor
    driver: subprocess.Popen | None = None
    heard: tuple[float, object] = (0.0, None)

    def submit(self, submission: Submission, block: "RunRank", tasks: int) -> None:
        import dill
        from datatrove.executor import RayPipelineExecutor

        from curate.executors.slurm import quiet

        with quiet():
            job = RayPipelineExecutor(
                [block],
                tasks=tasks,
                workers=self.workers or -1,
                logging_dir=self.logs(submission),
                cpus_per_task=self.executor.cpus_per_task,
                mem_per_cpu_gb=self.executor.mem_per_cpu_gb,
            )
        pickled = submission.folder / "executor.pik"
        with pickled.open("wb") as file:
            dill.dump(job, file, fmode=dill.CONTENTS_FMODE)
        command = [sys.executable, "-P", "-m", "curate.executors.ray_driver", str(pickled), self.executor.address, str(os.getpid())]
        with (submission.folder / "driver.log").open("w") as log:
            self.driver = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.heard = (time.monotonic(), None)
        submission.add(str(self.driver.pid))

    def state(self, submission: Submission) -> State:
        """Alive while the driver is; a driver of an earlier run died with it."""
        if self.driver is None or submission.jobs[-1:] != [str(self.driver.pid)]:
            return State(alive=False, text="no driver")
        code = self.driver.poll()
        if code:
            self._refuse(submission, code)
        return State(alive=code is None, text=f"ray {self.executor.address}")

    def _refuse(self, submission: Submission, code: int) -> None:
        said = (submission.folder / "driver.log").read_text(errors="replace").strip()[-1500:]
        if code == 2:
            raise UsageError(f"executor: {said.splitlines()[-1] if said else 'the driver refused the cluster'}")
        if code > 0:
            raise StoppedError(f"ray {self.executor.address}: the driver ended with {code}\n{said}")

    def _pause(self, submission: Submission, notes: dict[int, Note]) -> None:
        """Wait; end a driver whose running ranks have not been heard of for too long."""
        time.sleep(self.executor.poll_s)
        now = time.monotonic()
        if notes != self.heard[1] or not any(note.kind == RUNNING for note in notes.values()):
            self.heard = (now, notes)
        if now - self.heard[0] > self.executor.silence_s:
            self.end(submission)

    def end(self, submission: Submission) -> None:
        """Kill the driver; Ray ends its actors."""
        if self.driver is not None:
            self.driver.kill()
            self.driver.wait()

    def leave(self, submission: Submission) -> str:
        self.end(submission)
        return f"ray {self.executor.address}: the ranks in hand were ended"

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self.driver is not None:
            self.driver.kill()
            self.driver.wait()
        super().__exit__(kind, *rest)
