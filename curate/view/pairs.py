"""Pairs of answers to be labelled: an artifact in, what an annotator sees and what `curate agree` reads out."""

import os
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import orjson
import polars as pl
import xxhash

from curate.artifact import Artifact
from curate.config import UsageError
from curate.judges.verdicts import SCHEMA
from curate.ledger import batches
from curate.rows import Preference, content_id, shape_of
from curate.stages.ingest_rows import content_of
from curate.view.store import CHOICES, FIRST, SKIP, TIE, Given, Store

_TEXTS = {"preference": ["id", "chosen", "rejected"], "candidates": ["id", "candidates"]}


class Pair(NamedTuple):
    """Two answers of a row, by the hashes of their texts."""

    row_id: str
    a: str
    b: str

    @property
    def key(self) -> str:
        """A name that tells neither of the two."""
        return xxhash.xxh3_128_hexdigest("\n".join(self).encode())


class Shown(NamedTuple):
    """What a browser gets of a pair: nothing that tells one answer from the other but their texts."""

    item: str
    prompt: list[dict]
    answers: list[str]
    done: int
    total: int


class Pairs:
    """The pairs of an artifact in the order of a seed, and the labels that they have."""

    def __init__(self, artifact: Artifact, store: Store, seed: int) -> None:
        self.artifact, self.store, self.seed = artifact, store, seed
        self.files = [path for path in sorted((artifact.path / "data").glob("*.parquet"))]
        self.shape = shape_of(pl.read_parquet_schema(self.files[0])) if self.files else None
        if self.shape not in _TEXTS:
            held = f"{self.shape} rows" if self.shape else "rows as a trainer reads them"
            raise UsageError(f"{artifact.path}: holds {held}; label preference or candidates rows, such as those that it was made of")
        self.by_key = {pair.key: pair for pair in sorted(self._pairs(), key=lambda pair: self._draw("order", pair))}
        if not self.by_key:
            raise UsageError(f"{artifact.path}: no row has two different answers")

    def _pairs(self) -> Iterator[Pair]:
        for file in self.files:
            for row in pl.read_parquet(file, columns=_TEXTS[self.shape]).iter_rows(named=True):
                yield from (Pair(row["id"], *pair) for pair in combinations(_answers(row), 2))

    def _draw(self, what: str, pair: Pair) -> int:
        return xxhash.xxh3_64_intdigest("\n".join((str(self.seed), what, *pair)).encode())

    def next(self, annotator: str) -> Shown | dict:
        """The first pair that the annotator has not labelled; only the progress where none is left."""
        labels = {Pair(*given[1:4]) for given in self.store.labels(annotator)}
        done = sum(pair in labels for pair in self.by_key.values())
        pair = next((pair for pair in self.by_key.values() if pair not in labels), None)
        if pair is None:
            return {"done": done, "total": len(self.by_key)}
        row = self._row(pair.row_id)
        answers = _answers(row)
        texts = [answers[pair.a], answers[pair.b]]
        prompt = [{"role": turn["role"], "content": turn["content"]} for turn in row["prompt"]]
        return Shown(pair.key, prompt, texts[::-1] if self._swapped(annotator, pair) else texts, done, len(self.by_key))

    def _swapped(self, annotator: str, pair: Pair) -> bool:
        return bool(self._draw(f"side {annotator}", pair) % 2)

    def give(self, annotator: str, item: str, label: str) -> bool:
        """Keep a label; False where there is no such item or choice."""
        pair = self.by_key.get(item)
        if pair is None or label not in CHOICES:
            return False
        self.store.add(Given(annotator, *pair, self._swapped(annotator, pair), label))
        return True

    def _row(self, id_: str) -> dict:
        return pl.scan_parquet(self.files).filter(pl.col("id") == id_).head(1).collect().row(0, named=True)

    def export(self, path: Path) -> int:
        """Write the labels as Preference rows with the columns of a verdict, one JSON object a line; how many.

        Skipped pairs are none; a tie has probability 0.5.
        """
        given: dict[str, list[Given]] = {}
        for label in self.store.labels():
            if label.label != SKIP:
                given.setdefault(label.row_id, []).append(label)
        count = 0
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with temporary.open("wb") as out:
            for batch in batches(self.files):
                for row in batch.to_pylist():
                    for label in sorted(given.pop(row["id"], [])):
                        out.write(orjson.dumps(_exported(row, label)) + b"\n")
                        count += 1
        temporary.rename(path)
        return count


def _answers(row: dict) -> dict[str, str]:
    """The different answers of a row, by the hash of their text."""
    if "chosen" in row:
        texts = [_text(row[name]) for name in ("chosen", "rejected")]
    else:
        texts = [one["text"] for one in row["candidates"] if one["kind"] == "answer"]
    return {content_id(text): text for text in texts}


def _text(turns: list[dict]) -> str:
    return "\n\n".join(turn["content"] for turn in turns)


def _exported(row: dict, given: Given) -> dict:
    """A Preference row, the better answer as chosen, and the verdict as an annotator gave it."""
    answers = _answers(row)
    a_wins = given.label == TIE or (given.label == FIRST) != bool(given.swapped)
    better, worse = (given.a, given.b) if a_wins else (given.b, given.a)
    sides = {name: [{"role": "assistant", "content": answers[key], "tool_calls": None, "name": None}] for name, key in (("chosen", better), ("rejected", worse))}
    fields = {"prompt": row["prompt"], **sides}
    judged = {"probability": 0.5 if given.label == TIE else None, "margin": None, "weight": 1.0}
    preference = {**{name: row.get(name) for name in Preference.model_fields}, **fields, **judged, "content_id": content_id(content_of(fields))}
    verdict = {"row_id": row["id"], "judge": given.annotator, "kind": "pairwise", "order": int(given.swapped), "draw": 0, "a": given.a, "b": given.b, "label": given.label}
    return {**dict.fromkeys(SCHEMA.names), **preference, **verdict}
