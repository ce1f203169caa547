"""The command line: parses, calls the same functions as Python code does, and prints.

A command's result, or the path it made, is stdout's last line; progress and warnings go to
stderr. Exit codes: 0 done, 1 stopped and resumable, 2 the user's mistake.
"""

import signal
import sys

from curate.cli import runs, artifacts, looking, publishing, tools  # noqa: F401, I001  (a command is there once its module is read, in the help's order)
from curate.cli.options import app, say
from curate.errors import StoppedError, UsageError


def main() -> None:
    """The entry point: turns the two sorts of expected errors into one line and an exit code."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        app()
    except UsageError as error:
        say(f"error: {error}" if "\n" not in str(error) else str(error))
        sys.exit(2)
    except StoppedError as error:
        say(f"stopped: {error}\nrun the same command again to go on")
        sys.exit(1)
    except OSError as error:
        say(f"stopped: {error}\nput that right and run the same command again to go on")
        sys.exit(1)
