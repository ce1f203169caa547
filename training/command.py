"""A command's work in; its lines on stdout, or one clear line on stderr, and the exit code out."""

import signal
import sys
import threading
from collections.abc import Callable, Iterable

from curate.config import StoppedError, UsageError
from training import faults
from training.arguments import processes

_LESS = "out of memory; lower batch_size, answer_length or max_length, or free some memory, and run the same command again"


def finished(work: Callable[[], Iterable[str]]) -> int:
    """Do the work and print what it says; 0 done, 1 stopped and to be run again, 2 the user's mistake. A bug keeps its traceback."""
    if processes() == 1 and threading.current_thread() is threading.main_thread():  # of several, one may wait for another, deaf to both
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        print("\n".join(work()))
        return 0
    except (UsageError, StoppedError) as error:
        said: Exception = error
    except KeyboardInterrupt:
        said = StoppedError("interrupted; the same command goes on from here")
    except faults.errors() as error:
        line = {"memory": _LESS, "disk": faults.DISK_IS_FULL, None: faults.unhad(error)}[faults.short_of(error)]
        if line is None:
            raise
        said = StoppedError(line)
    print(said, file=sys.stderr)
    return 2 if isinstance(said, UsageError) else 1
