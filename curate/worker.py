"""A worker process: reads tasks as JSON lines on stdin, answers each with one line on stdout.

A process of its own (`python -m curate.worker`, or a fork of a parent with one thread)
rather than a multiprocessing child: it inherits no threads, needs no `if __name__ ==
"__main__"` in a user's script, and may die without harm to its parent.
"""

import ctypes
import errno
import importlib
import json
import logging
import os
import signal
import sys
import traceback
from importlib.abc import MetaPathFinder
from pathlib import Path

from curate.config import StoppedError, UsageError
from curate.heartbeat import Heartbeat

_PR_SET_PDEATHSIG = 1
_WANTS = {errno.ENOSPC: "no space left on the disk", errno.EDQUOT: "disk quota exceeded", errno.EMFILE: "too many open files"}


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies, however that dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


class _NoPandas(MetaPathFinder):
    """Finds pandas nowhere."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ImportError(name)


def leave_out_pandas() -> None:
    """Spare this process pandas: 0.4 s and 40 MB.

    pyarrow imports it at the first list that it is to make an array of, only to ask whether the list is one of
    pandas' own. Told once that there is none it does not ask again, and looks anew when `to_pandas` is called.
    """
    import pyarrow

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pyarrow.array([None])
    finally:
        sys.meta_path.remove(finder)


def failure(error: BaseException) -> dict[str, str]:
    """How an exception of a task is told to the parent: whose fault, and what to show."""
    if isinstance(error, UsageError):
        return {"kind": "usage", "error": str(error)}
    if isinstance(error, StoppedError):
        return {"kind": "stopped", "error": str(error)}
    if isinstance(error, MemoryError):
        return {"kind": "stopped", "error": "out of memory; use fewer --workers"}
    if isinstance(error, OSError):
        return {"kind": "stopped", "error": _WANTS.get(error.errno or 0, f"{type(error).__name__}: {error}")}
    return {"kind": "bug", "error": "".join(traceback.format_exception(error))}


def serve(function: str, directory: Path, heartbeat: Heartbeat) -> None:
    """Run `module:function(directory, task, heartbeat)` for each task until stdin ends."""
    module, _, name = function.partition(":")
    run = getattr(importlib.import_module(module), name)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a library that prints must not speak to the parent
    print(json.dumps({"kind": "ready"}), file=answers)
    for line in sys.stdin:
        task = json.loads(line)
        try:
            run(directory, task, heartbeat)
            answer = {"kind": "done", "units": heartbeat.units, "bytes": heartbeat.bytes}
        except Exception as error:  # one door for all of a task's failures: the parent decides
            answer = failure(error)
        heartbeat.clear()
        print(json.dumps(answer), file=answers)


def main(arguments: list[str]) -> None:
    """Serve `function` in `directory` under `parent`, a process id, with a heartbeat in the file `beat`."""
    function, directory, beat, parent = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(int(parent))
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    leave_out_pandas()
    serve(function, Path(directory), Heartbeat(Path(beat)))


if __name__ == "__main__":
    main(sys.argv[1:])
