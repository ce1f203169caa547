"""The notes that ranks on other machines leave for the run: one small JSON file a rank, overwritten as it goes.

A board is a folder on a shared file system, or any folder that fsspec can write (s3://...).
"""

import json
import os
import socket
from pathlib import Path
from typing import NamedTuple

RUNNING, DONE = "running", "done"
HALT = "halt.json"


class Note(NamedTuple):
    """What a rank last said of itself; `kind` is running, done, or whose fault its failure is: usage, stopped, bug."""

    rank: int
    kind: str
    units: int = 0
    bytes: int = 0
    error: str = ""
    node: str = ""


class Board:
    """Notes by rank. Reading asks only for the files that changed since."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.system, self.path = fsspec.core.url_to_fs(url)
        self.notes: dict[str, Note] = {}
        self.marks: dict[str, object] = {}

    def write(self, note: Note) -> None:
        self._put(f"{note.rank:05d}.json", note._replace(node=socket.gethostname())._asdict())

    def halt(self) -> None:
        """Tell ranks that have not begun not to begin."""
        self._put(HALT, {})

    @property
    def halted(self) -> bool:
        self.system.invalidate_cache()
        return self.system.exists(f"{self.path}/{HALT}")

    def _put(self, name: str, value: dict) -> None:
        """Whole or not at all: an object store does that by itself, a file system by a rename."""
        if self.system.protocol[0] != "file":
            self.system.pipe_file(f"{self.path}/{name}", json.dumps(value).encode())
            return
        folder = Path(self.path)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{name}.{socket.gethostname()}.{os.getpid()}"
        temporary.write_text(json.dumps(value))
        temporary.rename(folder / name)

    def read(self) -> dict[int, Note]:
        """Every rank's last note."""
        self.system.invalidate_cache()
        try:
            listed = self.system.ls(self.path, detail=True)
        except FileNotFoundError:
            listed = []
        for info in listed:
            name = info["name"].rpartition("/")[2]
            mark = (info.get("size"), info.get("ino"), info.get("mtime"), info.get("ETag"), info.get("LastModified"))
            if name != HALT and name.endswith(".json") and not name.startswith(".") and self.marks.get(name) != mark:
                self.notes[name] = Note(**json.loads(self.system.cat_file(info["name"])))
                self.marks[name] = mark
        return {note.rank: note for note in self.notes.values()}
