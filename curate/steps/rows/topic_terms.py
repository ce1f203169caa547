"""Texts in, what tells their topic out: up to 32 words a row, hashed, streamed to a file and read back."""

import functools
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash

from curate.steps.rows.parts import Part, joined
from curate.steps.rows.unit import RowUnit

TERMS = 32
"""Words that a row is known by: the most frequent ones, then the first."""
_LONGEST = 20_000
"""Characters of a text that are read: its beginning names the topic."""
_FILE, _WORDS = "terms.bin", "words.txt"
STOP_WORDS = Path(__file__).parent / "lists" / "stop_words.txt"
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]{{2}}|[^\W\d_{_UNSPACED}]{{3,40}}")
"""A word of three letters and more; of scripts without spaces, two ideographs or kana."""
_RECORD = np.dtype([("draw", "<u8"), ("tie", "<u8"), ("line", "<i8"), ("terms", "<u4", (TERMS,)), ("counts", "u1", (TERMS,))])


@functools.cache
def stop_words() -> frozenset[str]:
    lines = STOP_WORDS.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def terms_of(text: str) -> list[tuple[str, int]]:
    """The words of a text that tell its topic, with how often they stand in it."""
    counts = Counter(_WORD.findall(text[:_LONGEST].lower()))
    for word in counts.keys() & stop_words():
        del counts[word]
    return counts.most_common(TERMS)


@functools.lru_cache(maxsize=200_000)
def term_hash(word: str) -> int:
    """A number from 1 on; two of a hundred thousand words may share one."""
    return xxhash.xxh32_intdigest(word.encode("utf-8", "surrogatepass")) or 1


class TermWriter:
    """Streams the terms of one rank's rows, and the words that they are hashes of."""

    def __init__(self, directory: Path, part: Part, seed: int) -> None:
        self.part, self.seed = part, seed
        self.records, self.words = (directory / _FILE).open("wb"), (directory / _WORDS).open("wb")
        self.written = 0

    def add(self, unit: RowUnit) -> None:
        found = terms_of(joined(unit.shape, unit.row, "row" if unit.shape == "document" else self.part))
        record = np.zeros((), _RECORD)
        record["draw"] = xxhash.xxh3_64_intdigest(unit.row["content_id"], self.seed)
        record["tie"] = xxhash.xxh3_64_intdigest(unit.row["id"], self.seed)
        record["line"] = self.written
        record["terms"][: len(found)] = [term_hash(word) for word, _ in found]
        record["counts"][: len(found)] = [min(count, 255) for _, count in found]
        self.records.write(record.tobytes())
        self.written += self.words.write(" ".join(word for word, _ in found).encode("utf-8", "surrogatepass") + b"\n")

    def close(self) -> None:
        self.records.close()
        self.words.close()


class Terms(NamedTuple):
    """The rows of all ranks; the records stay on disk until they are read."""

    directories: list[Path]
    ranks: list[np.ndarray]

    def __len__(self) -> int:
        return sum(map(len, self.ranks))

    def drawn(self, alive: np.ndarray, count: int) -> np.ndarray:
        """Positions of so many rows that are alive and have terms, in the draw's order; int64."""
        if not len(alive):
            return np.empty(0, np.int64)
        draw, tie = (np.concatenate([rank[key] for rank in self.ranks]) for key in ("draw", "tie"))
        has_terms = np.concatenate([rank["counts"][:, 0] > 0 for rank in self.ranks])
        order = np.lexsort((tie, draw))
        return order[(alive & has_terms)[order]][:count]

    def at(self, positions: np.ndarray) -> np.ndarray:
        """The records at some positions."""
        starts = np.cumsum([0, *map(len, self.ranks)])
        records = np.zeros(len(positions), _RECORD)
        for number, rank in enumerate(self.ranks):
            here = (positions >= starts[number]) & (positions < starts[number + 1])
            records[here] = rank[positions[here] - starts[number]]
        return records

    def words(self, positions: np.ndarray) -> dict[int, str]:
        """The words of some rows by hash; of words that share one, the first in the alphabet."""
        starts = np.cumsum([0, *map(len, self.ranks)])
        found: set[str] = set()
        for number, rank in enumerate(self.ranks):
            here = positions[(positions >= starts[number]) & (positions < starts[number + 1])] - starts[number]
            with (self.directories[number] / _WORDS).open("rb") as file:
                for line in np.sort(rank["line"][here]).tolist():
                    file.seek(line)
                    found.update(file.readline().decode("utf-8", "surrogatepass").split())
        return {term_hash(word): word for word in sorted(found, reverse=True)}


def read_terms(directories: list[Path]) -> Terms:
    """What the writers wrote, ranks in order, mapped into memory."""
    files = [directory / _FILE for directory in directories]
    ranks = [np.memmap(file, _RECORD, "r") if file.stat().st_size else np.empty(0, _RECORD) for file in files]
    return Terms(directories, ranks)
