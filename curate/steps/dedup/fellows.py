"""What fell, compared with all that it may resemble: buckets and twins in; pairs that a later what-if needs out.

Verifying finds what each document fell to. Should that one go, the fallen move up, and whether they
fall to each other, or take a kept one after them along, hangs on pairs that nobody has looked at.
They are looked at here, where a fallen document has few such fellows; where it has many, as in
large clusters, that would cost more than the deduplication itself, and it is only noted.
"""

import numpy as np

from curate.steps.barrier import Pairs
from curate.steps.dedup.buckets import Buckets, Members
from curate.steps.dedup.leaders import Found, sorted_pairs
from curate.steps.dedup.similarity import find_similar
from curate.steps.dedup.store import Sets

MOST_FELLOWS = 8
"""Documents that a fallen one is compared with beyond the kept ones before it."""


def fellow_pairs(sets: Sets, buckets: Buckets, order: np.ndarray, found: Found, threshold: float) -> Pairs:
    """Pairs at or above the threshold in which neither document fell to the other, the preferred one as `kept`.

    A document that has too many fellows to be compared is paired with itself, at a similarity of nan.
    """
    fell, later = Members(buckets), Members(buckets)
    linked = order[np.diff(buckets.first)[order] > 0]
    place = np.empty(len(sets.counts), np.int64)
    place[order] = np.arange(len(order))
    for position in linked[found.twin[linked] >= 0].tolist():
        fell.add(position, buckets.of(position))
    pairs: list[tuple[int, int, float]] = []
    open_: set[int] = set()
    for position in linked[::-1].tolist():
        own = buckets.of(position)
        if found.twin[position] < 0:
            later.add(position, own)
            continue
        fellows = _fellows(position, own, fell, later)
        if fellows is None:
            open_.add(position)
            pairs.append((position, position, np.nan))
        else:
            # what fell after it was compared from there, unless that one has too many fellows
            others = [other for other in fellows if place[other] < place[position] or found.twin[other] < 0 or other in open_]
            pairs += _alike(sets, place, position, others, threshold)
    return sorted_pairs(pairs)


def _fellows(position: int, own: np.ndarray, fell: Members, later: Members) -> list[int] | None:
    """Fallen documents and later kept ones of these buckets; None where they are too many."""
    crowd = int((fell.sizes[own] - 1 + later.sizes[own]).max(initial=0))
    if not 0 < crowd <= MOST_FELLOWS:
        return None if crowd > 0 else []
    found = {*fell.of_any(own, MOST_FELLOWS + 1).tolist(), *later.of_any(own, MOST_FELLOWS).tolist()} - {position}
    return sorted(found) if len(found) <= MOST_FELLOWS else None


def _alike(sets: Sets, place: np.ndarray, position: int, others: list[int], threshold: float) -> list[tuple[int, int, float]]:
    """The pairs of a document with those of the others that it resembles."""
    hits = find_similar(sets.shingles(position), [sets.shingles(other) for other in others], threshold) if others else []
    return [(*sorted((position, others[number]), key=lambda one: place[one]), jaccard) for number, jaccard in hits]


def joined(found: Pairs, fellows: Pairs) -> Pairs:
    """Both, ordered by dropped, then kept."""
    columns = [np.concatenate(both) for both in zip(found, fellows, strict=True)]
    order = np.lexsort((columns[0], columns[1]))
    return Pairs(*(column[order] for column in columns))
