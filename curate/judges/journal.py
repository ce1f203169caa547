"""Every answer that may have been billed, as it came: raw bodies go in by call, before anyone reads them.

One SQLite file (write-ahead log, synced at each commit) is journal and cache at once: it survives a kill
at any moment, takes several processes, and holds nothing in memory. SQLite itself reads the billed
tokens off each body, so that sums need no second look. It must lie on a local disk.
"""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

from curate.config import UsageError
from curate.judges.replies import ANSWERS, Raw, Reading, read

_COUNT = "max(0, CAST(coalesce(json_extract(body, '$.usage.{}'), 0) AS INTEGER))"
_IN, _OUT, _ALL = (_COUNT.format(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
"""As curate.judges.replies counts them."""
_TABLES = f"""
CREATE TABLE IF NOT EXISTS attempts (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL, run TEXT NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL,
    status INTEGER NOT NULL, body TEXT NOT NULL,
    tokens_in INTEGER AS (CASE WHEN json_valid(body) THEN {_IN} ELSE 0 END) STORED,
    tokens_out INTEGER AS (CASE WHEN json_valid(body) THEN max({_OUT}, {_ALL} - {_IN}) ELSE 0 END) STORED
);
CREATE INDEX IF NOT EXISTS by_key ON attempts (key);
CREATE INDEX IF NOT EXISTS by_run ON attempts (run, endpoint, model, tokens_in, tokens_out);
CREATE TABLE IF NOT EXISTS batches (
    name TEXT PRIMARY KEY, endpoint TEXT NOT NULL, run TEXT NOT NULL, model TEXT NOT NULL, id TEXT, done INTEGER NOT NULL DEFAULT 0
);
"""


class Attempt(NamedTuple):
    """An answer to be kept: HTTP status (0: none came) and raw body."""

    key: bytes
    endpoint: str
    model: str
    status: int
    body: str


class Sum(NamedTuple):
    """What a run has used of one model at one endpoint."""

    endpoint: str
    model: str
    calls: int
    tokens_in: int
    tokens_out: int


class OpenBatch(NamedTuple):
    """A batch that was begun; `id` is null where the run died before the endpoint's answer."""

    name: str
    model: str
    id: str | None


class Journal:
    """The file of attempts. `run` names whose budget an attempt counts against; the cache is everyone's."""

    def __init__(self, path: Path, run: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.run = run
        # Two connections, since a reader must not wait for a writer's sync.
        self._writer, self._reader = _opened(path), _opened(path)
        self._writing = threading.Lock()
        self._waiting: list[tuple[Attempt, asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    async def add(self, attempt: Attempt) -> None:
        """Return once the attempt is on disk. What arrives during one sync shares the next."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((attempt, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        await done

    async def _commit(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self.add_all, [attempt for attempt, _ in batch])
            except sqlite3.Error as error:
                _settle(batch, error)
            else:
                _settle(batch, None)
        self._committing = None

    def add_all(self, attempts: list[Attempt]) -> None:
        """Keep the attempts in one transaction."""
        with self._writing, self._writer:
            self._insert(attempts)

    def _insert(self, attempts: list[Attempt]) -> None:
        self._writer.executemany(
            "INSERT INTO attempts (run, key, endpoint, model, status, body) VALUES (?, ?, ?, ?, ?, ?)",
            [(self.run, *attempt) for attempt in attempts],
        )

    def known(self, key: bytes, tries: int) -> tuple[Reading | None, int]:
        """What is known of a call for good, and how many of its tries are used up for good.

        A model that had nothing to say so many times, over all runs, has answered; a time-out or garbage may
        be otherwise next time, and never counts against a later run.
        """
        readings = [read(Raw(status, body)) for status, body in self.attempts(key)]
        answer = next((reading for reading in readings if reading.failed in ANSWERS), None)
        empty = [reading for reading in readings if reading.failed == "empty_reply"]
        return answer or (empty[-1] if len(empty) >= tries else None), len(empty)

    def attempts(self, key: bytes) -> list[tuple[int, str]]:
        """Status and body of every attempt at a call, in the order they came, whichever run made them."""
        return self._reader.execute("SELECT status, body FROM attempts WHERE key = ? ORDER BY number", (key,)).fetchall()

    def sums(self) -> list[Sum]:
        """What this run has used, over all its processes, by endpoint and model."""
        query = "SELECT endpoint, model, count(*), sum(tokens_in), sum(tokens_out) FROM attempts WHERE run = ? GROUP BY 1, 2"
        return [Sum(*row) for row in self._reader.execute(query, (self.run,))]

    def batches(self) -> int:
        """How many batches any run has begun."""
        return self._reader.execute("SELECT count(*) FROM batches").fetchone()[0]

    def begin_batch(self, name: str, endpoint: str, model: str) -> None:
        """Say that a batch is about to be created, so that it can be found again should we die before its id comes."""
        with self._writing, self._writer:
            row = (name, endpoint, self.run, model)
            self._writer.execute("INSERT INTO batches (name, endpoint, run, model) VALUES (?, ?, ?, ?)", row)

    def name_batch(self, name: str, batch_id: str) -> None:
        with self._writing, self._writer:
            self._writer.execute("UPDATE batches SET id = ? WHERE name = ?", (batch_id, name))

    def end_batch(self, name: str, attempts: list[Attempt]) -> None:
        """Keep a batch's answers and mark it as done, both or neither."""
        with self._writing, self._writer:
            self._insert(attempts)
            self._writer.execute("UPDATE batches SET done = 1 WHERE name = ?", (name,))

    def open_batches(self, endpoint: str) -> list[OpenBatch]:
        """Batches of this run that were begun and not yet read."""
        query = "SELECT name, model, id FROM batches WHERE done = 0 AND endpoint = ? AND run = ? ORDER BY rowid"
        return [OpenBatch(*row) for row in self._reader.execute(query, (endpoint, self.run))]


def _settle(batch: "list[tuple[Attempt, asyncio.Future[None]]]", error: Exception | None) -> None:
    """Tell those who still wait that their attempts are on disk, or why not."""
    for _, done in batch:
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)


def _opened(path: Path) -> sqlite3.Connection:
    # The writer's connection changes threads between commits, one at a time under a lock.
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_TABLES)
    except sqlite3.DatabaseError as error:
        raise UsageError(f"{path}: cannot be used as the journal of calls: {error}; move it away, or give another place") from None
    return connection
