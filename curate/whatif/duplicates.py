"""Verified pairs and a changed population in; which documents a deduplication would keep now, out.

A document falls to a kept one before it in the order of preference. When one that led a cluster is
gone, its copies look for another; when one comes back, it may stand before others and take them along.
Small clusters are formed anew, since all their pairs are on file. Of a large one only those with the documents that
led it are: what one that moves up resembles besides, they do not say, unless its shingles are all those of the lost
one: then whatever fell to that one falls to it, and no other does.
"""

from typing import NamedTuple

import numpy as np

from curate.steps.dedup import ExactDedup, MinHashDedup
from curate.steps.step import Step
from curate.whatif.clusters import Pairs, Reformed, reformed
from curate.whatif.columns import Columns
from curate.whatif.settings import Pair


class Alive(NamedTuple):
    """bool: units that remain for certain, and those that may."""

    sure: np.ndarray
    possible: np.ndarray


def deduplicated(pair: Pair, columns: Columns, before: Alive, strict: bool) -> Alive:
    """Who remains after a deduplication. Not `strict`: a document that comes back or moves up takes no kept one along."""
    reached = columns.place >= pair.place
    if not pair.moved and np.array_equal(before.sure, before.possible) and _led_as_before(pair, columns, before):
        kept = before.possible & (columns.place > pair.place)
        return Alive(kept, kept)
    old, new = pair.old, pair.new
    if not isinstance(old, ExactDedup | MinHashDedup) or not _only_stricter(old, new):
        return Alive(np.zeros(len(reached), bool), before.possible)
    found = Pairs(*columns.pairs(pair.name))
    if isinstance(new, ExactDedup) or not new.verify:
        return _in_groups(pair, columns, before, found, strict)
    anew = _anew(pair, columns, before, found)
    alike = _led(pair, columns, found) & (found.jaccard >= np.float32(new.threshold))
    return _by_leaders(pair, columns, before, found.where(alike), anew, strict)


def _led(pair: Pair, columns: Columns, found: Pairs) -> np.ndarray:
    """bool: pairs of which one document has fallen to the other, or might have."""
    return (columns.place[found.kept] > pair.place) & (columns.place[found.dropped] == pair.place)


def _anew(pair: Pair, columns: Columns, before: Alive, found: Pairs) -> Reformed:
    """Clusters of which all pairs are on file; none where the run has not looked for them."""
    unclear = before.possible & ~before.sure
    if "fellow_pairs" not in columns.artifact.receipt.report.get(pair.name, {}):
        return Reformed(np.zeros(len(unclear), bool), np.zeros(len(unclear), bool))
    unclear[found.kept[found.kept == found.dropped]] = True  # it had too many fellows to be compared with
    return reformed(found.where(found.jaccard >= np.float32(pair.new.threshold)), unclear, before.possible & (columns.place >= pair.place))


def _led_as_before(pair: Pair, columns: Columns, before: Alive) -> bool:
    """True where nobody came back, and no kept document is gone that others fell to."""
    if (before.possible & (columns.place < pair.place)).any():
        return False
    gone = ~before.possible & (columns.place >= pair.place)
    if not gone.any():
        return True
    if not isinstance(pair.old, ExactDedup | MinHashDedup):
        return False
    found = Pairs(*columns.pairs(pair.name))
    if isinstance(pair.old, MinHashDedup) and not pair.old.verify:
        return not (gone[found.kept] | gone[found.dropped]).any()
    return not (gone[found.kept] & before.possible[found.dropped] & _led(pair, columns, found)).any()


def _only_stricter(old: Step, new: Step) -> bool:
    """True where no setting moved but a threshold upwards, which finds no new duplicate."""
    if old == new:
        return True
    raised = isinstance(old, MinHashDedup) and old.verify and new.threshold >= old.threshold
    return raised and old.model_copy(update={"threshold": new.threshold}) == new


def _in_groups(pair: Pair, columns: Columns, before: Alive, found: Pairs, strict: bool) -> Alive:
    """Of each group of equal (or, unverified, linked) documents the preferred one remains.

    Who comes back belongs to a group that no pair names: he may be the preferred one of any, and of linked
    groups he may make one. A group of links that lost a document may fall apart.
    """
    count = len(before.sure)
    group = np.arange(count)
    group[found.dropped] = found.kept
    back = before.possible & (columns.place < pair.place)
    leads = (columns.place > pair.place) | (group == np.arange(count))
    rank = np.arange(count) if pair.new.keep == "first" else np.where(leads, -1, 0)
    last = np.full(count, count)
    first_possible, first_sure, members = last.copy(), last.copy(), np.zeros(count, np.int64)
    known = np.flatnonzero(before.possible & ~back)
    np.minimum.at(first_possible, group[known], rank[known])
    np.add.at(members, group[known], 1)
    np.minimum.at(first_sure, group[known], np.where(before.sure, rank, count)[known])
    alone = (members[group] == 1) | (rank < 0) | (pair.new.keep == "first")
    sure = before.sure & ~back & (rank == first_possible[group]) & alone
    possible = before.possible & (back | (rank <= first_sure[group]))
    linked = isinstance(pair.new, MinHashDedup)
    if linked:
        lost = np.zeros(count, bool)
        gone = np.flatnonzero((columns.place >= pair.place) & ~before.sure)
        lost[group[gone]] = True
        possible |= before.possible & lost[group]
    if strict and back.any():
        sure &= (np.arange(count) < np.flatnonzero(back)[0]) & (not linked and pair.new.keep == "first")
        possible |= before.possible & linked
    return Alive(sure, possible & before.possible)


def _by_leaders(pair: Pair, columns: Columns, before: Alive, found: Pairs, anew: Reformed, strict: bool) -> Alive:
    """A document falls to a kept one that it resembles; one that no longer does moves up, and may take later ones along."""
    count, (known, stays) = len(before.sure), anew
    kept = columns.place > pair.place
    back = before.possible & (columns.place < pair.place)
    fell = before.possible & (columns.place == pair.place)
    leads = before.sure & kept & (stays | ~known)
    up = fell & ~known & ~_any(found, leads, count)
    if pair.new.keep == "first":
        found, heirs = _inherited(found, up, before, count)
        kept, leads = kept | heirs, leads | heirs
        up = fell & ~known & ~heirs & ~_any(found, leads, count)
    comers = np.flatnonzero(back | up)
    if strict and len(comers):
        sooner = (np.arange(count) < comers[0]) & (pair.new.keep == "first")
        leads, known = leads & sooner, known & sooner
        up = fell & ~known & ~_any(found, leads, count)
    possible = np.where(known, stays, (before.possible & kept) | back | up)
    sure = leads if strict else leads | (_first_of_cluster(found, up, before, count) & ~_any(found, before.possible & kept, count))
    return Alive(np.where(known, stays, sure), possible)


def _inherited(found: Pairs, up: np.ndarray, before: Alive, count: int) -> tuple[Pairs, np.ndarray]:
    """Pairs in which a lost document's place is taken by its first copy, where that has the same shingles; and who these copies are."""
    first = np.full(count, count)
    orphaned = up[found.dropped] & ~before.possible[found.kept]
    np.minimum.at(first, found.kept[orphaned], found.dropped[orphaned])
    equal = orphaned & (found.jaccard == 1) & before.sure[found.dropped] & (first[found.kept] == found.dropped)
    now, heirs = np.arange(count), np.zeros(count, bool)
    now[found.kept[equal]] = found.dropped[equal]
    heirs[found.dropped[equal]] = True
    others = ~heirs[found.dropped]
    return found._replace(kept=now[found.kept]).where(others), heirs


def _any(found: Pairs, among: np.ndarray, count: int) -> np.ndarray:
    """bool: dropped units of which at least one kept one is among the given."""
    there = np.zeros(count, bool)
    there[found.dropped[among[found.kept]]] = True
    return there


def _first_of_cluster(found: Pairs, up: np.ndarray, before: Alive, count: int) -> np.ndarray:
    """bool: of the units that move up, those that do so for certain and before every other of the leaders that they had."""
    first = np.full(count, count)
    moving = up[found.dropped]
    np.minimum.at(first, found.kept[moving], found.dropped[moving])
    behind = np.zeros(count, bool)
    behind[found.dropped[moving & (first[found.kept] < found.dropped)]] = True
    return up & before.sure & ~behind
