"""Items in, an index of their n-grams out; a document's token hashes in, the places where an item may stand out."""

from typing import NamedTuple

import numpy as np

from curate.steps.dedup.shingles import rolled
from curate.steps.dedup.tokens import token_hashes
from curate.steps.decontaminate.spans import token_spans

LONGEST_ITEM = 8192
"""Tokens of an item that are compared; the rest of a longer one is left out."""
POSTINGS = 32
"""Items that one n-gram leads to, the first ones; of many items with the same sentence some are found by it."""
MOST_SEEDS = 1 << 20
"""Matches of n-grams in one document that are followed, the rarest first."""
WIDEST = 4
"""Times an item's length that a place may be long; only text that repeats itself makes a longer one."""
LEAST_SEEDS = 0.15
"""Share of an item's n-grams that must be found near each other before its words are compared."""
BITS = range(16, 28)

_SIGN = 1 << 31


class Words(NamedTuple):
    """Token hashes of several texts end to end, uint64, half words of each, and where each text starts."""

    hashes: np.ndarray
    halves: np.ndarray
    starts: np.ndarray

    def place(self, text: int) -> slice:
        start, end = self.starts[text : text + 2].tolist()
        return slice(start, end)


class Candidate(NamedTuple):
    """An item that may stand in a document: its number, and the tokens of the document to compare."""

    item: int
    start: int
    end: int


class Index(NamedTuple):
    """What is known of all items."""

    words: Words
    grams: np.ndarray
    """Distinct hashes of n-grams, ascending uint32."""
    first: np.ndarray
    """Where the postings of each start, uint32; one more than `grams`."""
    postings: np.ndarray
    """Places in `words.hashes`, uint32."""
    known: np.ndarray
    """True where some n-gram's hash begins with these bits."""
    ngram: int

    def tokens(self, item: int) -> np.ndarray:
        """The token hashes of an item, as far as it is compared."""
        return self.words.hashes[self.words.place(item)][:LONGEST_ITEM]

    def halves(self, item: int) -> np.ndarray:
        """The half words of each."""
        return self.words.halves[self.words.place(item)][:LONGEST_ITEM]


def words_of_texts(texts: list[str]) -> Words:
    """The words of each text, in one pass over all."""
    whole = "\n".join(texts)
    spans = token_spans(whole)
    ends = np.cumsum([len(text) + 1 for text in texts])
    starts = np.searchsorted(spans.starts, np.concatenate([[0], ends]))
    return Words(token_hashes([whole]).hashes, spans.halves, starts)


def together(left: Words, right: Words) -> Words:
    """The words of texts, then those of others."""
    starts = np.concatenate([left.starts, right.starts[1:] + left.starts[-1]])
    return Words(np.concatenate([left.hashes, right.hashes]), np.concatenate([left.halves, right.halves]), starts)


def selected(words: Words, texts: list[int]) -> Words:
    """The words of some of the texts, one at least, in the order given."""
    places = [words.place(text) for text in texts]
    starts = np.cumsum([0] + [place.stop - place.start for place in places])
    hashes, halves = (np.concatenate([values[place] for place in places]) for values in (words.hashes, words.halves))
    return Words(hashes, halves, starts)


def index_of(words: Words, ngram: int) -> Index:
    """The index of texts, each at least `ngram` tokens long."""
    places = np.arange(len(words.hashes))
    owners = np.searchsorted(words.starts, places, "right") - 1
    inside = (places + ngram <= words.starts[1:][owners]) & (places - words.starts[owners] < LONGEST_ITEM - ngram)
    places = places[inside]
    grams = rolled(words.hashes, ngram)[places].astype(np.uint32)
    order = np.argsort(grams, kind="stable")
    grams, places = grams[order], places[order]
    rank = np.arange(len(grams)) - np.searchsorted(grams, grams)
    grams, places = grams[rank < POSTINGS], places[rank < POSTINGS]
    distinct, first = np.unique(grams, return_index=True)
    first = np.append(first, len(grams)).astype(np.uint32)
    return Index(words, distinct, first, places.astype(np.uint32), _known(distinct), ngram)


def _known(grams: np.ndarray) -> np.ndarray:
    """A table eight times as large as the n-grams are many, within bounds."""
    bits = min(max(int(len(grams)).bit_length() + 3, BITS.start), BITS.stop)
    known = np.zeros(1 << bits, np.bool_)
    known[grams >> np.uint32(32 - bits)] = True
    return known


def candidates(index: Index, hashes: np.ndarray) -> list[Candidate]:
    """Where items may stand in a document of these tokens, the surest first."""
    places, slots = _seeds(index, hashes)
    if not len(places):
        return []
    first = index.first[slots].astype(np.int64)
    counts = index.first[slots + 1] - first
    ramp = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    postings = index.postings[np.repeat(first, counts) + ramp].astype(np.int64)
    return _clusters(index, np.repeat(places, counts), postings, len(hashes))


def _seeds(index: Index, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the document's n-grams that some item has, and their numbers in `index.grams`."""
    if len(hashes) < index.ngram:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    grams = rolled(hashes, index.ngram)[: len(hashes) - index.ngram + 1].astype(np.uint32)
    shift = np.uint32(32 - (len(index.known).bit_length() - 1))
    places = np.flatnonzero(index.known.take(grams >> shift))
    grams = grams[places]
    slots = np.searchsorted(index.grams, grams)
    slots[slots == len(index.grams)] = 0
    same = index.grams[slots] == grams
    places, slots = places[same], slots[same]
    counts = index.first[slots + 1] - index.first[slots]
    if counts.sum() > MOST_SEEDS:
        order = np.argsort(counts, kind="stable")
        order = np.sort(order[np.cumsum(counts[order]) <= MOST_SEEDS])
        places, slots = places[order], slots[order]
    return places, slots


def _clusters(index: Index, places: np.ndarray, postings: np.ndarray, length: int) -> list[Candidate]:
    """Seeds of one item on about the same diagonal, where they are enough of the item."""
    starts = index.words.starts
    items = np.searchsorted(starts, postings, "right") - 1
    diagonals = places - (postings - starts[items])
    keys = (items << 32) + (diagonals + _SIGN)
    keys.sort()
    items, diagonals = keys >> 32, (keys & 0xFFFFFFFF) - _SIGN
    sizes = np.minimum(starts[items + 1] - starts[items], LONGEST_ITEM)
    slack = _slack(sizes)
    new = np.ones(len(keys), np.bool_)
    new[1:] = (items[1:] != items[:-1]) | (np.diff(diagonals) > slack[1:])
    begins = np.flatnonzero(new)
    counts = np.diff(begins, append=len(keys))
    shares = counts / (sizes[begins] - index.ngram + 1)
    chosen = np.flatnonzero(shares >= LEAST_SEEDS)
    chosen = chosen[np.argsort(-np.minimum(shares[chosen], 1), kind="stable")]
    begins, ends = begins[chosen], begins[chosen] + counts[chosen] - 1
    low = np.maximum(diagonals[begins] - slack[begins], 0)
    high = np.minimum(diagonals[ends] + sizes[begins] + slack[begins], length)
    high = np.minimum(high, low + WIDEST * sizes[begins])
    return [Candidate(*one) for one in zip(items[begins].tolist(), low.tolist(), high.tolist(), strict=True)]


def _slack(sizes: np.ndarray) -> np.ndarray:
    """How far words put in or left out may shift the rest of an item."""
    return 3 + sizes // 10
