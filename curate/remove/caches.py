"""Journals of calls without what was said of removed documents: the calls about them and their texts in, replies taken away out.

A reply goes where its call was about a removed row, and where it shares words in a row with a text
that was removed: of what was asked by a stage that is not there any more, nothing else tells. What
it cost stays on the books: the usage is kept, and the call counts as never asked.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import orjson
import xxhash

_WORDS = 5
_WORD = re.compile(r"\w+")
_KEPT = "CASE WHEN json_valid(body) THEN json_object('usage', json_extract(body, '$.usage')) ELSE '' END"


class Asked(NamedTuple):
    """What is known of a journal's calls."""

    keys: set[bytes]
    """Of the calls about rows that were removed."""
    runs: set[str]
    """Those whose calls are all known; of any other, short replies are told by their words as well."""


class Quotes:
    """Every five words in a row of the texts that were removed; shorter ones, and what judges said, as a whole."""

    def __init__(self) -> None:
        self.known: set[int] = set()
        self.whole: set[int] = set()

    def add(self, text: str) -> None:
        words = _words(text)
        self.known.update(_shingles(words))
        self.whole.update(_whole(words))

    def add_reply(self, text: str) -> None:
        """Know it as a whole: what judges say of one row they say of others in part."""
        words = _words(text)
        (self.whole if len(words) < _WORDS else self.known).update(_whole(words))

    def hold(self, text: str) -> bool:
        words = _words(text)
        return _hash(words) in self.known or any(shingle in self.known for shingle in _shingles(words))

    def hold_whole(self, text: str) -> bool:
        """The text as a whole was removed, short as it may be: a judge's bare letter stands in every other reply too."""
        return _hash(_words(text)) in self.whole


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _whole(words: list[str]) -> list[int]:
    return [_hash(words)] if words else []


def _hash(words: list[str]) -> int:
    return xxhash.xxh3_64_intdigest(" ".join(words))


def _shingles(words: list[str]) -> Iterator[int]:
    return (_hash(words[start : start + _WORDS]) for start in range(len(words) - _WORDS + 1))


def journals(root: Path) -> list[Path]:
    """SQLite files below the root that hold attempts at calls."""
    return [path for path in sorted(root.rglob("*.sqlite")) if _is_journal(path)]


def _is_journal(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as opened:
        try:
            return bool(opened.execute("SELECT 1 FROM sqlite_master WHERE name = 'attempts'").fetchone())
        except sqlite3.DatabaseError:
            return False


def forget(journal: Path, asked: Asked, quotes: Quotes) -> int:
    """Take the replies to these calls and those that quote away, from the pages of the file too; how many."""

    def goes(run: str, key: bytes, body: str) -> bool:
        if key in asked.keys:
            return True
        texts = _contents(body)
        return any(map(quotes.hold, texts)) or run not in asked.runs and any(map(quotes.hold_whole, texts))

    with closing(sqlite3.connect(journal, timeout=60)) as opened:
        opened.execute("PRAGMA secure_delete = ON")
        said = opened.execute("SELECT number, run, key, body FROM attempts")
        gone = [(number,) for number, *attempt in said if goes(*attempt)]
        with opened:
            opened.executemany(f"UPDATE attempts SET key = x'', body = {_KEPT} WHERE number = ?", gone)
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
