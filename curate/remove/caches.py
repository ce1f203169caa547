"""Journals of calls without what was said of removed documents: their texts and a root in, replies taken away out.

A journal knows no rows, so a reply goes where it shares words in a row with a text that was
removed. What it cost stays on the books: the usage is kept, and a call with no reply left counts as not answered.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import xxhash

_WORDS = 5
_WORD = re.compile(r"\w+")
_KEPT = "CASE WHEN json_valid(body) THEN json_object('usage', json_extract(body, '$.usage')) ELSE '' END"


class Quotes:
    """Every five words in a row of the texts that were removed; a shorter text is one."""

    def __init__(self) -> None:
        self.known: set[int] = set()

    def add(self, text: str) -> None:
        self.known.update(_shingles(text))

    def hold(self, text: str) -> bool:
        return any(shingle in self.known for shingle in _shingles(text))


def _shingles(text: str) -> Iterator[int]:
    words = _WORD.findall(text.lower())
    for start in range(max(1, len(words) - _WORDS + 1) if words else 0):
        yield xxhash.xxh3_64_intdigest(" ".join(words[start : start + _WORDS]))


def journals(root: Path) -> list[Path]:
    """SQLite files below the root that hold attempts at calls."""
    return [path for path in sorted(root.rglob("*.sqlite")) if _is_journal(path)]


def _is_journal(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as opened:
        try:
            return bool(opened.execute("SELECT 1 FROM sqlite_master WHERE name = 'attempts'").fetchone())
        except sqlite3.DatabaseError:
            return False


def forget(journal: Path, quotes: Quotes) -> int:
    """Take the replies that quote away, from the pages of the file too; how many."""
    with closing(sqlite3.connect(journal, timeout=60)) as opened:
        opened.execute("PRAGMA secure_delete = ON")
        said = opened.execute("SELECT number, body FROM attempts")
        gone = [(number,) for number, body in said if any(map(quotes.hold, _contents(body)))]
        with opened:
            opened.executemany(f"UPDATE attempts SET body = {_KEPT} WHERE number = ?", gone)
        if gone:
            opened.execute("VACUUM")
            opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return len(gone)


def _contents(body: str) -> list[str]:
    """What a model says in a reply; the body itself where it is no reply."""
    try:
        return [str(choice["message"][name]) for choice in orjson.loads(body)["choices"] for name in ("content", "refusal") if choice["message"].get(name)]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return [body]
