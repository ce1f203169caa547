"""A run's output folder: which run it holds, and that nobody else writes it meanwhile."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.artifact import RECEIPT, read_receipt, write_json
from curate.config import StoppedError, UsageError
from training import checkpoints
from training.arguments import CHECKPOINTS, is_first_process, processes
from training.models import RUN

LOCK = ".lock"


@contextmanager
def held(output: Path) -> Iterator[None]:
    """Hold the folder for this run, of which the first process does it for all. Raises StoppedError where another run has it."""
    output.mkdir(parents=True, exist_ok=True)
    if not is_first_process():
        yield
        return
    with (output / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoppedError(f"{output}: another run is writing here; wait for it, stop it, or name another output") from None
        yield


def is_done(output: Path, wanted: str) -> bool:
    """True where the folder holds this very run, finished. Raises UsageError where it holds another."""
    if not (output / RECEIPT).exists():
        return False
    _refuse_another(output, read_receipt(output).fingerprint, wanted)
    return True


def begin(output: Path, wanted: str) -> None:
    """Note whose folder this is. Raises UsageError where it is that of another run, or of more or fewer processes."""
    if (output / RUN).exists():
        begun = json.loads((output / RUN).read_text(encoding="utf-8"))
        _refuse_another(output, begun["fingerprint"], wanted)
        before = begun.get("processes", processes())
        if before != processes() and checkpoints.last_whole(output / CHECKPOINTS):
            raise UsageError(f"{output}: was begun in {before} processes, each with its share of the rows; go on in as many, not in {processes()}")
    if is_first_process():
        write_json(output / RUN, {"fingerprint": wanted, "processes": processes()})


def _refuse_another(output: Path, stated: str, wanted: str) -> None:
    if stated != wanted:
        raise UsageError(f"{output}: holds a run of another config, data or version ({stated[:8]}); name another output, or move it away")
