"""Rows by a key: each row's keys and its place in a draw go to a file, and come back as arrays.

What caps and balance share. The draw is a seeded hash of the content, so that the same rows
stay whatever their order, and whatever rows of other keys stand beside them.
"""

import math
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
import xxhash

from curate.config import UsageError
from curate.steps.rows.sides import key_of
from curate.steps.rows.unit import RowUnit

_FILE, _NAMES = "keys.bin", "names.json"
LARGEST = 20
"""Keys that a report names."""


class KeyWriter:
    """Streams a row's score, its draw and a hash of each key; the keys' names are written at the end."""

    def __init__(self, directory: Path, by: tuple[str, ...], score: str | None, seed: int) -> None:
        self.directory, self.by, self.score, self.seed = directory, by, score, seed
        self.file = (directory / _FILE).open("wb")
        self.pack = struct.Struct(f"<dQQ{len(by)}Q").pack
        self.names: dict[str, int] = {}

    def add(self, unit: RowUnit) -> None:
        score = unit.values.get(self.score or "", math.nan)
        draw = xxhash.xxh3_64_intdigest(unit.row["content_id"], self.seed)
        tie = xxhash.xxh3_64_intdigest(unit.row["id"], self.seed)
        self.file.write(self.pack(math.inf if math.isnan(score) else -score, draw, tie, *map(self._number, self._keys(unit))))

    def _keys(self, unit: RowUnit) -> list[str | None]:
        return [key_of(unit, by) for by in self.by]

    def _number(self, key: str | None) -> int:
        if key is None:
            return 0
        number = self.names.get(key)
        if number is None:
            self.names[key] = number = xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass")) or 1
        return number

    def close(self) -> None:
        self.file.close()
        (self.directory / _NAMES).write_bytes(orjson.dumps(list(self.names.items())))


class Keyed(NamedTuple):
    """The rows of all ranks."""

    keys: np.ndarray
    """int64 [rows, keys]: a number for each key of a column; -1 where a row has none."""
    order: np.ndarray
    """int64: all positions, the one to be kept first at the front."""
    names: list[list[str]]
    """By column and number."""


def read_keys(directories: list[Path], columns: int) -> Keyed:
    """What the writers wrote, ranks in order."""
    record = np.dtype([("score", "<f8"), ("draw", "<u8"), ("tie", "<u8"), ("keys", "<u8", (columns,))])
    rows = np.concatenate([np.fromfile(directory / _FILE, record) for directory in directories] or [np.empty(0, record)])
    named = {0: ""}
    for directory in directories:
        named.update((number, name) for name, number in orjson.loads((directory / _NAMES).read_bytes()))
    keys, names = np.empty((len(rows), columns), np.int64), []
    for column in range(columns):
        hashes, numbers = np.unique(rows["keys"][:, column], return_inverse=True)
        without = int(hashes.size > 0 and hashes[0] == 0)
        keys[:, column] = numbers - without
        names.append([named[number] for number in hashes[without:].tolist()])
    return Keyed(keys, np.lexsort((rows["tie"], rows["draw"], rows["score"])), names)


def refuse_missing(keyed: Keyed, by: tuple[str, ...], alive: np.ndarray) -> None:
    """UsageError where no row has one of the keys: a misspelt field would else go unseen."""
    for name, keys in zip(by, keyed.keys.T, strict=True):
        if alive.any() and (keys[alive] < 0).all():
            raise UsageError(f"caps and balance: no row has the key '{name}'; name a column such as source, or a field of the rows' metadata")


def admitted(keyed: Keyed, alive: np.ndarray, limits: list[int]) -> np.ndarray:
    """For each row the number, from 1, of the first key whose limit is full; 0: the row stays. int64.

    Rows are taken in the draw's order, and one that a full key refuses fills no other: no row that
    was left out would have had room.
    """
    refused = np.zeros(len(alive), np.int64)
    counts = [[0] * len(names) for names in keyed.names]
    order = keyed.order[alive[keyed.order]]
    for position, keys in zip(order.tolist(), keyed.keys[order].tolist(), strict=True):
        has = [(count, key, limit) for count, key, limit in zip(counts, keys, limits, strict=True) if key >= 0]
        full = [count[key] >= limit for count, key, limit in has]
        if any(full):
            refused[position] = _first_full(counts, keys, limits)
            continue
        for count, key, _ in has:
            count[key] += 1
    return refused


def _first_full(counts: list[list[int]], keys: list[int], limits: list[int]) -> int:
    places = enumerate(zip(counts, keys, limits, strict=True), 1)
    return next(number for number, (count, key, limit) in places if key >= 0 and count[key] >= limit)


def counted(keyed: Keyed, column: int, among: np.ndarray) -> np.ndarray:
    """Rows of each key of a column, int64; rows without a key are in none."""
    keys = keyed.keys[among, column]
    return np.bincount(keys[keys >= 0], minlength=len(keyed.names[column]))


def account(keyed: Keyed, column: int, alive: np.ndarray, kept: np.ndarray) -> dict:
    """What a receipt says of one column: its keys, the rows without, and the largest keys before and after."""
    before, after = counted(keyed, column, alive), counted(keyed, column, kept)
    names = keyed.names[column]
    largest = sorted(range(len(names)), key=lambda key: (-before[key], names[key]))[:LARGEST]
    return {
        "keys": int((before > 0).sum()),
        "rows_without_key": int((keyed.keys[alive, column] < 0).sum()),
        "largest": [{"key": names[key], "rows": int(before[key]), "kept": int(after[key])} for key in largest if before[key]],
    }
