"""Commands as processes of their own: words in; what they print out. None outlives the process that started it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.artifact import write_json
from curate.config import StoppedError, UsageError
from training.config import Run

_WARDEN = Path(__file__).with_name("warden.py")


@contextmanager
def guarded(words: list[str], **how: object) -> Iterator[subprocess.Popen]:
    """A command under a warden, which stops it and its children at the end of this context or of this process."""
    process = subprocess.Popen([sys.executable, "-I", str(_WARDEN), *words], stdin=subprocess.PIPE, start_new_session=True, **how)
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait()


def said(words: list[str], environment: dict[str, str] = {}, meanwhile: Callable[[subprocess.Popen], None] = lambda process: None) -> str:  # noqa: B006
    """What a command of ours prints at its end, and what is done until then; its progress and its errors go to our own stderr."""
    with guarded(words, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        meanwhile(process)
        last = process.stdout.read()
        code = process.wait()
    if code:
        raise (UsageError if code == 2 else StoppedError)(f"{' '.join(words[:4])}: failed with exit code {code}; see above")
    return last


def trained_apart(kind: str, config: Run, file: Path, launch: list[str]) -> None:
    """Train by `training.<kind>` in a process, or in several that `launch` starts; the config stands in `file`, JSON, which is YAML."""
    write_json(file, config.model_dump(mode="json"))
    said([*(launch or [sys.executable]), "-m", f"training.{kind}", str(file)])


def refuse_missing(launch: list[str]) -> None:
    """UsageError where the program of `launch` is not here."""
    if launch and shutil.which(launch[0]) is None:
        raise UsageError(f"launch: no program '{launch[0]}' here; install it, or leave `launch` out")
