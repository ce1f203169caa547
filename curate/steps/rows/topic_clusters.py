"""Records of hashed terms in, clusters of them out: TF-IDF vectors and spherical k-means, seeded, in numpy alone.

Dhillon and Modha 2001: vectors of length 1, compared by their cosine. All sums run in a fixed
order, so the same sample gives the same clusters.
"""

from typing import NamedTuple

import numpy as np

VOCABULARY = 30_000
"""Terms that are told apart: those of the most rows of the sample."""
ROUNDS = 30
RESTARTS = 4


class Vocabulary(NamedTuple):
    """The terms of a sample that occur in two rows and more."""

    terms: np.ndarray
    """uint32, ascending."""
    weights: np.ndarray
    """float32: inverse document frequency, one for each term, and 0 at the end for a term that is unknown."""


class Vectors(NamedTuple):
    """Sparse rows: term numbers int32 [rows, 32] and weights float32 [rows, 32], each row of length 1 or all 0."""

    numbers: np.ndarray
    weights: np.ndarray


def vocabulary(records: np.ndarray) -> Vocabulary:
    """The vocabulary of a sample."""
    terms, rows = np.unique(records["terms"][records["counts"] > 0], return_counts=True)
    common = np.flatnonzero(rows >= min(2, rows.max(initial=0)))
    common = common[np.lexsort((terms[common], -rows[common]))][:VOCABULARY]
    common.sort()
    weights = np.log((1 + len(records)) / (1 + rows[common])) + 1
    return Vocabulary(terms[common], np.append(weights, 0).astype(np.float32))


def vectors(records: np.ndarray, known: Vocabulary) -> Vectors:
    """TF-IDF of each row, the frequency of a term damped by its logarithm."""
    unknown = len(known.terms)
    numbers = np.searchsorted(known.terms, records["terms"])
    found = known.terms[np.minimum(numbers, unknown - 1)] == records["terms"] if unknown else np.zeros(numbers.shape, bool)
    numbers = np.where(found & (records["counts"] > 0), numbers, unknown).astype(np.int32)
    weights = (np.log1p(records["counts"].astype(np.float32)) * known.weights[numbers]).astype(np.float32)
    lengths = np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return Vectors(numbers, weights / np.where(lengths > 0, lengths, 1))


def cosines(rows: Vectors, centres: np.ndarray) -> np.ndarray:
    """float32 [rows, centres]; `centres` are dense, [centres, terms + 1]."""
    turned = np.ascontiguousarray(centres.T)
    total = np.zeros((len(rows.numbers), len(centres)), np.float32)
    for place in range(rows.numbers.shape[1]):
        total += rows.weights[:, place, None] * turned[rows.numbers[:, place]]
    return total


def clusters(rows: Vectors, count: int, terms: int, seed: int) -> np.ndarray:
    """Centres float32 [count, terms + 1] of the best of a few starts, the largest cluster first."""
    random = np.random.default_rng(seed)
    best, most = np.empty((0, terms + 1), np.float32), -np.inf
    for _ in range(RESTARTS):
        centres, fit = _one_run(rows, _spread(rows, count, terms, random))
        if fit > most:
            best, most = centres, fit
    sizes = np.bincount(cosines(rows, best).argmax(axis=1), minlength=len(best))
    return best[np.argsort(-sizes, kind="stable")][: max(int((sizes > 0).sum()), 1)]


def _one_run(rows: Vectors, centres: np.ndarray) -> tuple[np.ndarray, float]:
    """k-means from given centres: the centres where no row moves any more, and the sum of cosines with them."""
    before = None
    for _ in range(ROUNDS):
        near = cosines(rows, centres)
        labels = near.argmax(axis=1)
        if before is not None and np.array_equal(labels, before):
            break
        centres, before = _means(rows, labels, centres), labels
    return centres, float(near.max(axis=1).astype(np.float64).sum())


def _means(rows: Vectors, labels: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The mean direction of each cluster; an empty one keeps its centre."""
    flat = (labels[:, None] * centres.shape[1] + rows.numbers).ravel()
    sums = np.bincount(flat, rows.weights.ravel(), minlength=centres.size).reshape(centres.shape)
    lengths = np.sqrt((sums**2).sum(axis=1, keepdims=True))
    return np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), centres).astype(np.float32)


def _spread(rows: Vectors, count: int, terms: int, random: np.random.Generator) -> np.ndarray:
    """Rows far from each other as first centres: k-means++ (Arthur and Vassilvitskii 2007)."""
    chosen = [int(random.integers(len(rows.numbers)))]
    far = np.ones(len(rows.numbers))
    while len(chosen) < count:
        near = cosines(rows, _dense(rows, chosen[-1:], terms))[:, 0]
        far = np.minimum(far, np.maximum(1 - near.astype(np.float64), 0) ** 2)
        far[far < 1e-6] = 0
        if not far.any():
            break
        reached = np.cumsum(far)
        chosen.append(int(np.searchsorted(reached, random.random() * reached[-1], side="right")))
    return _dense(rows, chosen, terms)


def _dense(rows: Vectors, positions: list[int], terms: int) -> np.ndarray:
    dense = np.zeros((len(positions), terms + 1), np.float32)
    for place, position in enumerate(positions):
        dense[place, rows.numbers[position]] = rows.weights[position]
    dense[:, terms] = 0
    return dense
