"""Topics: rows in, clusters of what they speak of out, each row's written into its metadata for caps and balance to use."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from curate.steps.barrier import Barrier, Decisions
from curate.steps.rows.parts import Part
from curate.steps.rows.topic_clusters import Vocabulary, clusters, cosines, vectors, vocabulary
from curate.steps.rows.topic_terms import STOP_WORDS, Terms, TermWriter, read_terms
from curate.steps.step import Drop

_BLOCK = 16_384
_NAME_WORDS, _REPORT_WORDS = 3, 10


class Topics(Barrier):
    """Cluster rows by their words, offline, and name each cluster by those that set it apart: `0_oven_flour_sugar`.

    Topics are numbered by size, and drop nothing. They are found on a sample drawn by content and given to every
    row; one without a known word has none.
    """

    use: Literal["topics"]
    marking: ClassVar[bool] = True

    on: Part = Field("prompt", description="Which texts tell the topic; documents have no prompt, and are read whole.")
    topics: int = Field(20, ge=2, le=1_000, description="How many clusters; fewer where the rows do not differ enough.")
    field: str = Field("topic", min_length=1, description="Field of the metadata that gets the topic.")
    sample: int = Field(20_000, ge=100, le=1_000_000, description="Rows that the clusters are found on.")
    seed: int = Field(1, ge=0, lt=2**63, description="Of the sample and of the clusters' first centres.")

    def reads(self) -> list[Path]:
        return [STOP_WORDS]

    def writer(self, directory: Path) -> TermWriter:
        return TermWriter(directory, self.on, self.seed)

    def resolve(self, directories: list[Path], alive: np.ndarray) -> Decisions:
        terms = read_terms(directories)
        nobody, unknown = np.zeros(len(terms), bool), np.full(len(terms), np.nan, np.float32)
        drawn = terms.drawn(alive, self.sample)
        if not len(drawn):
            return Decisions.without_twins(nobody, unknown, {"topics": []})
        sampled = terms.at(drawn)
        known = vocabulary(sampled)
        rows = vectors(sampled, known)
        centres = clusters(rows, self.topics, len(known.terms), self.seed)
        labels, near = _assigned(terms, known, centres)
        labels[~alive] = -1
        words = _words(centres, known, terms.words(drawn))
        names = [f"{number}_{'_'.join(found[:_NAME_WORDS])}" for number, found in enumerate(words)]
        marks = [names[label] if label >= 0 else None for label in labels.tolist()]
        return Decisions.without_twins(nobody, near, self._report(labels, alive, near, names, words), marks)

    def _report(self, labels: np.ndarray, alive: np.ndarray, near: np.ndarray, names: list[str], words: list[list[str]]) -> dict:
        sizes = np.bincount(labels[labels >= 0], minlength=len(names))
        means = [float(near[labels == number].mean(dtype=np.float64)) if size else 0.0 for number, size in enumerate(sizes.tolist())]
        topics = [
            {"topic": name, "rows": int(size), "words": found, "mean_cosine": round(mean, 3)}
            for name, size, found, mean in zip(names, sizes, words, means, strict=True)
        ]
        return {"topics": topics, "rows_without_topic": int((labels[alive] < 0).sum())}

    def drop(self, value: float) -> Drop:
        raise NotImplementedError("topics drop nothing")


def _assigned(terms: Terms, known: Vocabulary, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every row the nearest centre, int64, and its cosine, float32; -1 and nan for a row without a known term."""
    labels, near = np.full(len(terms), -1), np.full(len(terms), np.nan, np.float32)
    for start in range(0, len(terms), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(terms)))
        rows = vectors(terms.at(block), known)
        told = rows.weights.any(axis=1)
        found = cosines(rows, centres)
        labels[block[told]] = found.argmax(axis=1)[told]
        near[block[told]] = found.max(axis=1)[told]
    return labels, near


def _words(centres: np.ndarray, known: Vocabulary, words: dict[int, str]) -> list[list[str]]:
    """The words of most weight of each centre; of equal weights, in the alphabet's order."""
    found = []
    for centre in centres[:, :-1]:
        best = np.argsort(-centre, kind="stable")[:_REPORT_WORDS]
        weighed = [(-round(float(centre[place]), 6), words[int(known.terms[place])]) for place in best if centre[place] > 0]
        found.append([word for _, word in sorted(weighed)])
    return found
