"""A worker's arguments in, a running worker out: a fork of this process where that is safe, else an interpreter of its own.

A fork spares each worker half a second of imports, and all of them share what their parent has loaded.
It is safe where this process has one thread: a lock that another holds would stay locked in the fork for ever.
"""

import gc
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

from curate import worker


class Forked:
    """A forked worker, with the part of `subprocess.Popen` that the local engine uses."""

    def __init__(self, pid: int, stdin: int, stdout: int) -> None:
        self.pid = pid
        self.stdin, self.stdout = os.fdopen(stdin, "w"), os.fdopen(stdout)
        self.returncode: int | None = None

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """The exit code; the signal's number below 0 where one ended it."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


def start_worker(arguments: list[str], log: Path) -> Forked | subprocess.Popen:
    """A worker that reads tasks from `stdin` and answers on `stdout`; what it says else goes to the log.

    Either sort finds modules where this process does: a `random.py` of the user's in the working directory is not Python's.
    """
    with log.open("a") as stderr:
        if has_one_thread():
            return _forked(arguments, stderr.fileno())
        command = [sys.executable, "-P", "-m", "curate.worker", *arguments]
        modules = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=modules, text=True, start_new_session=True
        )


_KNOWS_FORKS = "jemalloc_bg_thd"
"""A thread of pyarrow's allocator, which stops it around a fork."""


def has_one_thread() -> bool:
    """True where the kernel knows one thread of this process, those that Python does not know of counted."""
    try:
        names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    except OSError:
        return False
    return len([name for name in names if name != _KNOWS_FORKS]) == 1


def _forked(arguments: list[str], stderr: int) -> Forked:
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_worker(arguments, (theirs_in, theirs_out, stderr))
    os.close(theirs_in)
    os.close(theirs_out)
    return Forked(pid, ours_out, ours_in)


def _become_worker(arguments: list[str], streams: tuple[int, int, int]) -> None:
    """Be as a fresh process: a session, files and signals of its own; never returns."""
    code = 1
    try:
        gc.freeze()  # what the parent threw away must not be finalised here: its file numbers are ours now
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
        worker.main(arguments)
        code = 0
    except BaseException:  # nothing of the parent's may run here, its handlers neither
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
