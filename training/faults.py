"""What a machine ran out of, as an error in; one line that says what to do, and which checkpoint is whole, out."""

import errno
from pathlib import Path
from typing import Literal

from curate.config import StoppedError
from training import checkpoints
from training.arguments import CHECKPOINTS
from training.config import Run

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_SPACE_WORDS = ("no space left", "quota exceeded", "file too large", "file write failed", "unexpected pos", "iostream error")
"""As safetensors (which holds no number) and torch (by its own writer, or a C++ stream) say it."""
_NO_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")

DISK_IS_FULL = "the disk is full, or a quota is; free some space and run the same command again"


class NoNumber(RuntimeError):
    """A loss that is no number, or infinite, after so many steps."""


def errors() -> tuple[type[Exception], ...]:
    """The kinds of errors in which a machine says that it ran out of something, or a training that it got out of hand."""
    from safetensors import SafetensorError

    return (RuntimeError, MemoryError, OSError, SafetensorError)


def short_of(error: BaseException) -> Literal["memory", "disk"] | None:
    """What ran out, where something did."""
    text, number = str(error).lower(), getattr(error, "errno", None)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or any(words in text for words in _NO_MEMORY_WORDS):
        return "memory"
    return "disk" if number in _NO_SPACE or any(words in text for words in _NO_SPACE_WORDS) else None


def unhad(error: BaseException) -> str | None:
    """A line about a file or folder that could not be read or written: one is gone, or belongs to another."""
    return f"{error.filename}: {error.strerror}; put that right and run the same command again" if getattr(error, "filename", None) else None


def explained(error: BaseException, config: Run) -> BaseException:
    """A StoppedError of one line where training was interrupted or went astray, memory or disk ran out, or a file could not be had; else the error."""
    last = checkpoints.last_whole(Path(config.output) / CHECKPOINTS)
    kept = f"the last whole checkpoint is {last}" if last else "there was no checkpoint yet"
    if isinstance(error, KeyboardInterrupt):
        return StoppedError(f"{config.output}: interrupted; the same command goes on from here; {kept}")
    if isinstance(error, NoNumber):
        instead = "lower learning_rate, or clip, or begin with other weights, in another output"
        return StoppedError(f"{config.output}: the loss is no number by step {error}; {instead}; {kept}")
    short = short_of(error)
    if short == "memory":
        less = "lower batch_size and raise accumulate, lower max_length, or set `checkpointing: true`"
        return StoppedError(f"{config.output}: out of memory at {config.batch_size} rows of {config.max_length} tokens; {less}; {kept}")
    if short == "disk":
        return StoppedError(f"{config.output}: {DISK_IS_FULL}; {kept}")
    return StoppedError(f"{line}; {kept}") if (line := unhad(error)) else error
