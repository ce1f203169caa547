"""Checkpoints of a run: which one is whole, and the mark that says so.

The mark is written after everything else of a checkpoint; a kill or a full disk before it leaves the one before.
"""

import json
import shutil
from pathlib import Path

from curate.artifact import write_json

MARK = "whole.json"


def mark(checkpoint: Path) -> None:
    """Note the size of every file: the checkpoint is whole."""
    files = {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in sorted(checkpoint.rglob("*")) if path.is_file()}
    write_json(checkpoint / MARK, files)


def is_whole(checkpoint: Path) -> bool:
    """True where the mark stands and every file still has the size that it had then."""
    try:
        files = json.loads((checkpoint / MARK).read_text(encoding="utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in files.items() if name != MARK)
    except (OSError, ValueError):
        return False


def last_whole(folder: Path) -> Path | None:
    """The newest whole checkpoint under `folder`; None where there is none."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next((path for path in found if is_whole(path)), None)


def clear_broken(folder: Path) -> None:
    """Remove checkpoints that are not whole, so that none is taken for the newest."""
    for path in folder.glob("checkpoint-*"):
        if not is_whole(path):
            shutil.rmtree(path)
