"""A command in; the same command run to its end, and stopped with all its children as soon as our input ends.

    python -I training/warden.py WORDS...

Whoever holds the other end of the input may close it, or be killed: no server outlives it on a GPU.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

GRACE_S = 10
"""Seconds from the asking to the killing."""


def main(words: list[str]) -> int:
    """The command's exit code; as a shell has it where a signal ended it."""
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, process_group=0)
    threading.Thread(target=_stop_when_input_ends, args=(child.pid,), daemon=True).start()
    code = child.wait()
    _send(child.pid, signal.SIGKILL)  # what it may have left behind
    return code if code >= 0 else 128 - code


def _stop_when_input_ends(group: int) -> None:
    while os.read(0, 1):
        pass
    _send(group, signal.SIGTERM)
    time.sleep(GRACE_S)
    _send(group, signal.SIGKILL)


def _send(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS says so of a group that is no more
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
