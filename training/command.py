"""A command's work in; its lines on stdout, or one clear line on stderr, and the exit code out."""

import sys
from collections.abc import Callable, Iterable

from curate.config import StoppedError, UsageError
from training import faults


def finished(work: Callable[[], Iterable[str]]) -> int:
    """Do the work and print what it says; 0 done, 1 stopped and to be run again, 2 the user's mistake. A bug keeps its traceback."""
    try:
        print("\n".join(work()))
        return 0
    except (UsageError, StoppedError) as error:
        said: Exception = error
    except KeyboardInterrupt:
        said = StoppedError("interrupted; the same command goes on from here")
    except faults.errors() as error:
        short = faults.short_of(error)
        if short is None:
            raise
        less = "out of memory; lower batch_size, answer_length or max_length, or free some memory, and run the same command again"
        said = StoppedError(less if short == "memory" else faults.DISK_IS_FULL)
    print(said, file=sys.stderr)
    return 2 if isinstance(said, UsageError) else 1
