"""Benchmarks in, all that is looked for out: the texts of their items, an index of them, and what was left out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from curate.config import UsageError
from curate.steps.decontaminate.index import Index, Words, index_of, selected, together, words_of_texts
from curate.steps.decontaminate.items import Benchmark, Item, ItemText, items_of
from curate.steps.decontaminate.spans import NUMBER, WORD

SHOWN = 20
"""Items that a report names one by one."""


class Loaded(NamedTuple):
    """All benchmarks, ready to be looked up."""

    items: Sequence[Item]
    """One for each text of the index."""
    index: Index
    report: list[dict]


def load(benchmarks: tuple[Benchmark, ...], ngram: int, min_words: int) -> Loaded:
    """Read the benchmarks; UsageError where one cannot be read or has nothing to look for."""
    found = [one for number, benchmark in enumerate(benchmarks) for one in items_of(number, benchmark)]
    words = words_of_texts([one.text for one in found])
    rows = {_row(found[number]) for number in _long_enough(words, min_words)}
    joined = _joined([one for one in found if _row(one) not in rows])
    every, words = found + joined, together(words, words_of_texts([one.text for one in joined]))
    chosen = sorted(_long_enough(words, min_words), key=lambda number: _row(every[number]))
    distinct = _first_of_equals(words, chosen)
    stages = (range(len(found)), chosen, distinct)
    of_each = [[_of(number, every, some) for some in stages] for number in range(len(benchmarks))]
    report = [_report(benchmark, *items) for benchmark, items in zip(benchmarks, of_each, strict=True)]
    return Loaded([every[number].item for number in distinct], index_of(selected(words, distinct), ngram), report)


def _row(one: ItemText) -> tuple[int, int]:
    return one.item.benchmark, one.item.row


def _of(benchmark: int, texts: list[ItemText], numbers: Iterable[int]) -> list[Item]:
    """Those of the numbered items that are of one benchmark."""
    return [texts[number].item for number in numbers if texts[number].item.benchmark == benchmark]


def _long_enough(words: Words, min_words: int) -> list[int]:
    """The numbers of the texts that have so many words; here numbers count, since the whole of a text is evidence."""
    halves = np.where(words.halves == NUMBER, WORD, words.halves)
    totals = np.concatenate([[0], np.cumsum(halves, dtype=np.int64)])
    return np.flatnonzero(np.diff(totals[words.starts]) >= WORD * min_words).tolist()


def _joined(texts: list[ItemText]) -> list[ItemText]:
    """One text of all fields of a row: short ones are looked for together."""
    joined = []
    for _, group in groupby(texts, key=_row):
        parts = list(group)
        if len(parts) > 1:
            item = parts[0].item._replace(field="+".join(part.item.field for part in parts))
            joined.append(ItemText(item, "\n".join(part.text for part in parts)))
    return joined


def _first_of_equals(words: Words, numbers: list[int]) -> list[int]:
    """Those of the texts that have not the same words as an earlier one of them."""
    seen: dict[bytes, int] = {}
    for number in numbers:
        seen.setdefault(words.hashes[words.place(number)].tobytes(), number)
    return list(seen.values())


def _report(benchmark: Benchmark, found: list[Item], chosen: list[Item], distinct: list[Item]) -> dict:
    """What is looked for and what is not; `too_short` counts texts by field, `unmatched` rows of which nothing is left."""
    if not chosen:
        raise UsageError(f"{benchmark.path}: no item is long enough to be looked for; name more `fields`, or lower `min_words`")
    whole = {(item.row, field) for item in chosen for field in item.field.split("+")}
    short = Counter(item.field for item in found if (item.row, item.field) not in whole)
    matched = {item.row for item in chosen}
    unmatched = {item.row: item.item for item in found if item.row not in matched}
    return {
        "name": benchmark.name,
        "rows": len({item.row for item in found}),
        "texts": len(chosen),
        "repeated": len(chosen) - len(distinct),
        "too_short": {field: short[field] for field in benchmark.fields if field in short},
        "unmatched": len(unmatched),
        "unmatched_items": list(unmatched.values())[:SHOWN],
    }
