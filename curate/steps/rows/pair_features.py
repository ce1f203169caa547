"""Pairs in, what tells their sides apart without reading them out: length, markdown, position, refusals, models."""

import functools
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash

from curate.steps.rows.refusal_lists import LISTS, Phrases
from curate.steps.rows.sides import answers_of, metadata_of
from curate.steps.rows.unit import RowUnit

COUNTED = ("length", "markdown", "headers", "lists", "bold", "code")
MEASURED = (*COUNTED, "position", "refusal")
"""What a side has more or less of; the models' names are looked at beside them."""
_FILE = "pairs.bin"
_RECORD = np.dtype([("draw", "<u8"), ("tie", "<u8"), ("group", "<u8"), ("models", "<u8", (2,)), ("more", "<f4", (len(MEASURED),))])
_HEADER = re.compile(r"^#{1,6} ", re.M)
_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]", re.M)
_BOLD = re.compile(r"\*\*[^\s*](?:[^*\n]*[^\s*])?\*\*|__[^\s_](?:[^_\n]*[^\s_])?__")
_CODE = re.compile(r"^[ \t]*```|`[^`\n]+`", re.M)


@functools.cache
def _phrases() -> Phrases:
    return Phrases(LISTS)


def counts_of(text: str) -> tuple[int, int, int, int, int, int]:
    """Words, marks of markdown in all, headers, list items, bold spans and code of one answer."""
    headers = len(_HEADER.findall(text)) if "#" in text else 0
    lists = len(_ITEM.findall(text))
    bold = len(_BOLD.findall(text)) if "**" in text or "__" in text else 0
    code = len(_CODE.findall(text)) if "`" in text else 0
    return len(text.split()), headers + lists + bold + code, headers, lists, bold, code


def differences(unit: RowUnit, positions: tuple[str, str]) -> list[float]:
    """How much more of each measured thing the chosen answer has, counts on a logarithmic scale; 0: none, or not known."""
    chosen, rejected = answers_of(unit).values()
    counts = np.log1p(np.array([counts_of(chosen), counts_of(rejected)]))
    metadata = metadata_of(unit.row)
    first, second = (metadata.get(name) for name in positions)
    place = float(np.sign(second - first)) if _number(first) and _number(second) else 0.0
    refusal = float(_phrases().refuses(chosen)) - float(_phrases().refuses(rejected))
    return [*(counts[0] - counts[1]).tolist(), place, refusal]


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class PairWriter:
    """Streams one record a pair."""

    def __init__(self, directory: Path, models: tuple[str, str], positions: tuple[str, str], seed: int) -> None:
        self.models, self.positions, self.seed = models, positions, seed
        self.file = (directory / _FILE).open("wb")

    def add(self, unit: RowUnit) -> None:
        metadata = metadata_of(unit.row)
        record = np.zeros((), _RECORD)
        record["draw"] = xxhash.xxh3_64_intdigest(unit.row["content_id"], self.seed)
        record["tie"] = xxhash.xxh3_64_intdigest(unit.row["id"], self.seed)
        record["group"] = xxhash.xxh3_64_intdigest(unit.row["group"] or unit.row["id"])
        record["models"] = [_hashed(metadata.get(name)) for name in self.models]
        record["more"] = differences(unit, self.positions)
        self.file.write(record.tobytes())

    def close(self) -> None:
        self.file.close()


def _hashed(model: object) -> int:
    return xxhash.xxh3_64_intdigest(model.encode("utf-8", "surrogatepass")) if isinstance(model, str) and model else 0


class PairFeatures(NamedTuple):
    """The pairs of all ranks."""

    more: np.ndarray
    """float64 [pairs, MEASURED]: how much more the chosen side has."""
    models: np.ndarray
    """uint64 [pairs, 2]: of chosen and rejected; 0 where it is not known."""
    fold: np.ndarray
    """int64: the part of the cross-validation, equal within a group."""
    order: np.ndarray
    """int64: positions, drawn."""


def read_pairs(directories: list[Path], folds: int) -> PairFeatures:
    rows = np.concatenate([np.fromfile(directory / _FILE, _RECORD) for directory in directories] or [np.empty(0, _RECORD)])
    fold = (rows["group"] % np.uint64(folds)).astype(np.int64)
    return PairFeatures(rows["more"].astype(np.float64), rows["models"], fold, np.lexsort((rows["tie"], rows["draw"])))
