"""Fit the quality score: good and bad documents in, a small fastText model and an honest report of it out.

Whole domains are held out, since a classifier that has seen a site knows it again: one part of them chooses the
threshold, another tells how good the quantised model is at it.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

from curate.config import UsageError
from curate.fit.documents import PARTS, Example, Groups, Parts, count_domains, deal, documents, examples, spool, too_large
from curate.fit.scores import Row, Scored, Share, auc, best_threshold, precision, recall, table
from curate.fit.train import Training, train
from curate.steps.fasttext_model import LABEL, LabelModel
from curate.steps.quality import BAD, GOOD
from curate.steps.step import Unit

FEWEST = 10
"""Documents of each class in each held-out part, below which no figure is worth printing."""
MOST_REPEATS = 20
TEXTS_SEEN = 50_000
"""A small input is passed often enough for about so many updates, a large one the fewest times."""


@dataclass(frozen=True)
class QualityReport:
    """What was fitted, and how well it tells good from bad on domains that it has not seen."""

    model: str
    bytes: int
    bytes_before: int
    """Size before quantising."""
    documents: dict[str, dict[str, int]]
    """By part (train, choose, test) and label."""
    domains: dict[str, int]
    """By label."""
    split_by_document: list[str]
    """Domains too large to be held out whole."""
    skipped: dict[str, int]
    threshold: float
    precision: Share
    recall: Share
    auc: float
    auc_before: float
    """Before quantising."""
    table: tuple[Row, ...]

    def as_json(self) -> dict:
        return asdict(self)

    def as_text(self) -> str:
        """For people: sizes, the chosen threshold, and what others would do."""
        return "\n".join([*self._counts(), *self._figures(), *self._rows()])

    def _counts(self) -> Iterator[str]:
        for part in PARTS:
            good, bad = (self.documents[part].get(label, 0) for label in (GOOD, BAD))
            yield f"{part:8} {good:9,} good, {bad:9,} bad documents"
        yield f"domains  {self.domains.get(GOOD, 0):9,} good, {self.domains.get(BAD, 0):9,} bad"
        if self.split_by_document:
            yield f"held out by document, as they are most of their class: {', '.join(self.split_by_document)}"
        for reason, number in sorted(self.skipped.items()):
            yield f"left out {number:9,} as {reason}"

    def _figures(self) -> Iterator[str]:
        yield f"model    {self.bytes / 1e6:.2f} MB, quantised from {self.bytes_before / 1e6:.2f} MB"
        yield f"AUC      {self.auc:.4f}, {self.auc_before:.4f} before quantising"
        yield f"at threshold {self.threshold:.4f}, of the highest F1 on the domains to choose by:"
        yield f"  precision {self.precision}"
        yield f"  recall    {self.recall}"

    def _rows(self) -> Iterator[str]:
        yield "threshold  precision  recall  bad kept"
        for row in self.table:
            mark = "  <- chosen" if row.threshold == self.threshold else ""
            yield f"{row.threshold:9.4f}  {row.precision:9.3f}  {row.recall:6.3f}  {row.bad_kept:8.3f}{mark}"


class Ratings(NamedTuple):
    """Documents that a judge has rated, to learn from in place of good and bad ones (FineWeb-Edu, Penedo et al. 2024, 4)."""

    artifact: str
    """The artifact of a `judge` stage, or its Parquet files."""
    least: float = 3
    """The rating from which a document is good."""
    aspect: str | None = None
    """Which rating; None: the only one there is."""


def fit_quality(
    good: str | Path | Ratings,
    bad: str | Path | None,
    out: Path,
    *,
    seed: int = 0,
    dimensions: int = 16,
    word_ngrams: int = 2,
    epochs: int | None = None,
    features: int = 50_000,
    held_out: float = 0.3,
    text_field: str = "text",
    url_field: str = "url",
) -> QualityReport:
    """Train a classifier of good against bad documents, write it quantised to `out`, and report on it.

    Each input is an artifact, Parquet, JSONL (plain, gzip, zstd) or another table; the label of the good is `hq`.
    Ratings in the place of `good` say of themselves which is which.
    Precision holds for the given numbers of good and bad, so give them as they will be met. The same inputs and
    settings give the same bytes. UsageError where an input cannot be read or is too small to be held out from.
    """
    if not 0 < held_out <= 0.8:
        raise UsageError(f"held_out is {held_out}; hold out a share above 0 and up to 0.8")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fit-", dir=out.parent) as name:
        folder = Path(name)
        labelled = _rated(good, text_field, url_field) if isinstance(good, Ratings) else _labelled(str(good), str(bad), text_field, url_field)
        skipped = spool(labelled, folder, seed)
        domains = count_domains(folder, skipped)
        counts = deal(domains, folder, held_out, seed)
        _enough(counts)
        training = _training(counts["train"], folder, seed, dimensions, word_ngrams, epochs, features)
        train(training, folder / "settings.json")
        report = _report(training, folder, counts, domains, skipped, out)
        os.replace(training.quantised, out)
    return report


def _rated(ratings: Ratings, text_field: str, url_field: str) -> Iterator[tuple[str, Unit]]:
    """Each document by its rating; one without is left out. UsageError where none is rated, or it is not said by which aspect."""
    rated = 0
    for unit in documents(ratings.artifact, text_field, url_field):
        found = orjson.loads(unit.metadata.get("metadata") or "{}").get("ratings") or {}
        if ratings.aspect is None and len(found) > 1:
            raise UsageError(f"{ratings.artifact}: rated by {', '.join(sorted(found))}; say which by --aspect")
        rating = next(iter(found.values()), None) if ratings.aspect is None else found.get(ratings.aspect)
        if rating is not None:
            rated += 1
            yield (GOOD if rating >= ratings.least else BAD), unit
    if not rated:
        raise UsageError(f"{ratings.artifact}: no document has a rating{f' of {ratings.aspect}' if ratings.aspect else ''}; judge it first")


def _labelled(good: str, bad: str, text_field: str, url_field: str) -> Iterator[tuple[str, Unit]]:
    for label, given in ((GOOD, good), (BAD, bad)):
        for unit in documents(given, text_field, url_field):
            yield label, unit


def _enough(counts: Parts) -> None:
    """UsageError where a part has too few documents of a class to learn or to tell from."""
    for part in PARTS:
        for label, name in ((GOOD, "good"), (BAD, "bad")):
            if counts[part][label] < FEWEST:
                raise UsageError(
                    f"{name}: {counts[part][label]} documents to {part} by, {FEWEST} are the fewest; "
                    "give more distinct documents, of more domains"
                )


def _training(
    counts: Counter[str], folder: Path, seed: int, dimensions: int, word_ngrams: int, epochs: int | None, features: int
) -> Training:
    words = 0
    with (folder / "lines").open("w", encoding="utf-8", newline="\n") as lines:
        for example in _balanced(folder / "train", counts):
            lines.write(f"{LABEL}{example.label} {example.text}\n")
            words += example.text.count(" ")
    return Training(
        lines=str(folder / "lines"),
        model=str(folder / "model.bin"),
        quantised=str(folder / "model.ftz"),
        dimensions=dimensions,
        word_ngrams=word_ngrams,
        epochs=epochs or min(max(TEXTS_SEEN // counts.total(), 5), 25),
        learning_rate=0.5,
        buckets=min(max(words, 10_000), 2_000_000),
        features=features,
        seed=seed,
    )


def _balanced(path: Path, counts: Counter[str]) -> Iterator[Example]:
    """The lines of a part in their shuffled order, the smaller class repeated so that a score of 0.5 means even odds."""
    small, large = sorted(counts, key=lambda label: (counts[label], label))
    times = min(round(counts[large] / counts[small]), MOST_REPEATS)
    pool = (example for _ in range(times) for example in examples(path) if example.label == small)
    place = taken = 0
    for example in examples(path):
        if example.label == large:
            place += 1
            due = place * times * counts[small] // counts[large]
            yield example
            yield from islice(pool, due - taken)
            taken = due


def _scored(model: LabelModel, path: Path) -> Scored:
    """The documents of a part with their scores; one without a domain is a domain of its own."""
    numbers: dict[str, int] = {}
    fresh = count()
    score, good, domain = [], [], []
    for example in examples(path):
        score.append(model.probability(example.text, (GOOD,)))
        good.append(example.label == GOOD)
        known = numbers.get(example.domain) if example.domain else None
        if known is None:
            known = numbers[example.domain] = next(fresh)
        domain.append(known)
    return Scored(np.array(score), np.array(good), np.array(domain))


def _report(
    training: Training, folder: Path, counts: Parts, domains: Groups, skipped: Counter[str], out: Path
) -> QualityReport:
    """The figures of the quantised model, which is the one that is kept."""
    model = LabelModel(training.quantised)
    threshold = best_threshold(_scored(model, folder / "choose"))
    test = _scored(model, folder / "test")
    return QualityReport(
        model=str(out),
        bytes=os.path.getsize(training.quantised),
        bytes_before=os.path.getsize(training.model),
        documents={part: dict(counts[part]) for part in PARTS},
        domains={label: len(set(found) - {""}) for label, found in domains.items()},
        split_by_document=sorted(too_large(domains)),
        skipped=dict(skipped),
        threshold=threshold,
        precision=precision(test, threshold),
        recall=recall(test, threshold),
        auc=auc(test),
        auc_before=auc(_scored(LabelModel(training.model), folder / "test")),
        table=table(test, threshold),
    )
