"""Annotators' labels on disk: one SQLite file beside the receipt, written before the browser is answered.

It holds no text but annotators' names: which item, whose label, in which order the answers stood.
"""

import secrets
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from curate.config import UsageError

LABELS = "labels.sqlite"
FIRST, SECOND, TIE, SKIP = "first", "second", "tie", "skip"
CHOICES = (FIRST, SECOND, TIE, SKIP)
_TABLES = """
CREATE TABLE IF NOT EXISTS labels (
    number INTEGER PRIMARY KEY, annotator TEXT NOT NULL, row_id TEXT NOT NULL, a TEXT NOT NULL, b TEXT NOT NULL,
    swapped INTEGER NOT NULL, label TEXT NOT NULL, UNIQUE (annotator, row_id, a, b)
);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Given(NamedTuple):
    """A label as an annotator gave it."""

    annotator: str
    row_id: str
    a: str
    """The answer that the row names first."""
    b: str
    swapped: bool
    """The annotator saw `b` first."""
    label: str
    """Which answer, in the order shown: one of CHOICES."""


class Store:
    """The file of labels; each call is one transaction, on disk when it returns."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.Lock()
        self.opened = sqlite3.connect(path, timeout=60, check_same_thread=False)
        try:
            self.opened.execute("PRAGMA journal_mode = WAL")
            self.opened.execute("PRAGMA synchronous = FULL")
            self.opened.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{path}: cannot be used for labels: {error}; move it away") from None

    def close(self) -> None:
        self.opened.close()

    def setting(self, name: str, value: str) -> str:
        """The setting as it was first given."""
        with self.lock, self.opened:
            self.opened.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (name, value))
            return self.opened.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()[0]

    def remember(self, name: str, value: str) -> None:
        with self.lock, self.opened:
            self.opened.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def token(self) -> str:
        """The same at every start, so that an open page goes on after the server was restarted."""
        return self.setting("token", secrets.token_urlsafe(24))

    def add(self, given: Given) -> None:
        """Keep a label; the same item again replaces it, so that a browser may send it twice."""
        with self.lock, self.opened:
            self.opened.execute("INSERT OR REPLACE INTO labels (annotator, row_id, a, b, swapped, label) VALUES (?, ?, ?, ?, ?, ?)", given)

    def undo(self, annotator: str) -> Given | None:
        """Take back the annotator's last label, and return it."""
        with self.lock, self.opened:
            found = self.opened.execute("SELECT max(number) FROM labels WHERE annotator = ?", (annotator,)).fetchone()[0]
            last = self.opened.execute("DELETE FROM labels WHERE number = ? RETURNING annotator, row_id, a, b, swapped, label", (found,)).fetchone()
        return Given(*last) if last else None

    def labels(self, annotator: str | None = None) -> list[Given]:
        """All labels, or one annotator's, in the order given."""
        query = "SELECT annotator, row_id, a, b, swapped, label FROM labels WHERE ? IS NULL OR annotator = ? ORDER BY number"
        with self.lock:
            return [Given(*row) for row in self.opened.execute(query, (annotator, annotator))]


def without(old: Path, new: Path, rows: set[str]) -> None:
    """Copy a file of labels, but for those of some rows."""
    with closing(sqlite3.connect(old)) as source, closing(sqlite3.connect(new)) as target:
        source.backup(target)
        with target:
            target.executemany("DELETE FROM labels WHERE row_id = ?", [(row,) for row in sorted(rows)])
