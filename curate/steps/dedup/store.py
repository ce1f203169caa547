"""The signature files of a rank: written in blocks as documents come, read back for all ranks, a part at a time.

`bands.bin` uint64 `[documents, bands]`, `counts.bin` uint32 shingles a document,
`shingles.bin` uint32, the sets end to end: 228 bytes a document at 28 bands, and 4 a shingle.
A million documents are a gigabyte, so nothing but the counts is ever in memory as a whole.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from curate.steps.dedup.shingles import ShingleSets

_NO_SHINGLES = np.empty(0, "<u4")
_BANDS_READ = 4
_DOCUMENTS_READ = 1 << 15
_HELD_BYTES = 1 << 25
_HELD_OVERHEAD = 256
_MOST_OPEN = 256


class SetWriter:
    """Appends blocks of documents to the three files of one rank."""

    def __init__(self, directory: Path) -> None:
        self.bands = (directory / "bands.bin").open("wb")
        self.counts = (directory / "counts.bin").open("wb")
        self.shingles = (directory / "shingles.bin").open("wb")

    def write(self, sets: ShingleSets, bands: np.ndarray) -> None:
        self.bands.write(bands.astype("<u8", copy=False).tobytes())
        self.counts.write(sets.counts.astype("<u4").tobytes())
        self.shingles.write(sets.values.astype("<u4", copy=False).tobytes())

    def close(self) -> None:
        for file in (self.bands, self.counts, self.shingles):
            file.close()


class Sets:
    """Every rank's documents under one numbering, in the order of the ranks; close it by `with`."""

    def __init__(self, directories: list[Path], bands: int) -> None:
        counts = [np.fromfile(directory / "counts.bin", "<u4").astype(np.int64) for directory in directories]
        self.directories, self.bands = directories, bands
        self.counts = np.concatenate([np.empty(0, np.int64), *counts])
        """int64 shingles a document."""
        self.rank = np.repeat(np.arange(len(counts), dtype=np.int32), [len(part) for part in counts])
        """int32: the rank of each document."""
        self.start = np.concatenate([np.empty(0, np.int64), *(np.cumsum(part) - part for part in counts)])
        """int64: where its shingles start in its rank."""
        self._files: dict[int, int] = {}
        self._held: dict[int, np.ndarray] = {}
        self._held_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while self._files:
            os.close(self._files.popitem()[1])

    def columns(self, count: int) -> Iterator[np.ndarray]:
        """The first `count` bands, one after the other: uint64, a hash for each document."""
        for first in range(0, count, _BANDS_READ):
            columns = np.empty((min(_BANDS_READ, count - first), len(self.counts)), np.uint64)
            filled = 0
            for rows in self._rows():
                columns[:, filled : filled + len(rows)] = rows[:, first : first + len(columns)].T
                filled += len(rows)
            yield from columns

    def _rows(self) -> Iterator[np.ndarray]:
        """All bands of some documents after the others, uint64 `[documents, bands]`."""
        for directory in self.directories:
            with (directory / "bands.bin").open("rb") as file:
                while len(block := np.fromfile(file, "<u8", _DOCUMENTS_READ * self.bands)):
                    yield block.reshape(-1, self.bands)

    def shingles(self, position: int) -> np.ndarray:
        """The set of one document, ascending uint32; those that were last asked for are held, up to some megabytes."""
        found = self._held.get(position)
        if found is None:
            found = self._held[position] = self._read(position)
            self._held_bytes += found.nbytes + _HELD_OVERHEAD
            if self._held_bytes > _HELD_BYTES:
                self._held, self._held_bytes = {}, 0
        return found

    def joined(self, positions: np.ndarray) -> ShingleSets:
        """The sets of some documents end to end."""
        parts = [self._read(position) for position in positions.tolist()]
        return ShingleSets(np.concatenate([_NO_SHINGLES, *parts]), self.counts[positions])

    def _read(self, position: int) -> np.ndarray:
        """By a read, not by a mapped file: pages of mapped files count as memory of the process."""
        size = _NO_SHINGLES.itemsize
        data = os.pread(self._file(int(self.rank[position])), int(self.counts[position]) * size, int(self.start[position]) * size)
        return np.frombuffer(data, "<u4")

    def _file(self, rank: int) -> int:
        """The open file of a rank; there may be more ranks than a process may open files."""
        if rank not in self._files:
            if len(self._files) == _MOST_OPEN:
                os.close(self._files.pop(next(iter(self._files))))
            self._files[rank] = os.open(self.directories[rank] / "shingles.bin", os.O_RDONLY)
        return self._files[rank]
