"""The decontamination step: a document comes in, its benchmark items are named, and it is dropped or marked."""

from collections import Counter
from functools import cached_property
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from curate.steps.decontaminate.align import core
from curate.steps.decontaminate.index import Candidate, candidates
from curate.steps.decontaminate.items import Benchmark, Item
from curate.steps.decontaminate.load import Loaded
from curate.steps.decontaminate.spans import WORD, token_spans
from curate.steps.decontaminate.stored import stored
from curate.steps.shared import Shared
from curate.steps.step import Drop, Filter, Unit

MOST_WORK = 1 << 32
"""Of comparing candidates, for one document: some 5,000 ordinary ones, the surest first, or about a second."""
WORD_WORK = 1 << 12
"""What a word of a document costs beside the words of the item, each 1: short integers are no cheaper to handle."""


class Found(NamedTuple):
    """An item in a document: half-open range of the document's tokens, share of the item's tokens in it."""

    item: Item
    start: int
    end: int
    share: float
    words: float


class Hit(NamedTuple):
    """An item that a document is held to contain: half-open range of its characters, share of the item's words."""

    item: Item
    start: int
    end: int
    share: float


class Decontaminate(Filter):
    """Drop, or mark, documents that hold an item of a benchmark, verbatim or with a few words changed.

    GPT-3 (Brown et al. 2020, C) removes what shares 13 words in a row with a test item, Llama 2 (Touvron et al.
    2023, A.6) counts how much of an item is covered. Here a few words in a row propose, and the item's own words,
    aligned to the document's, decide: an edit in the middle of a short question does not hide it, and a phrase
    that everybody uses does not accuse. Words are deduplication's: case, marks and punctuation do not count.
    """

    use: Literal["decontaminate"]
    benchmarks: tuple[Benchmark, ...] = Field(..., min_length=1, description="What must not be in the text.")
    action: Literal["drop", "mark"] = Field(
        "drop", description="`mark` only writes the hits to `metadata.contamination` and to the values."
    )
    threshold: float = Field(
        0.7, ge=0.3, le=1, description="Share of an item's words, in order, from which on the document holds it."
    )
    min_words: int = Field(
        8,
        ge=5,
        le=200,
        description="So many words must be shared at least, a character of a script without spaces counted half, and "
        "numbers only where the item stands there verbatim; shorter items are not looked for, see `report`.",
    )
    ngram: int = Field(5, ge=3, le=13, description="Words in a row that make a place in the text a candidate.")
    most_hits: int = Field(20, ge=1, le=1000, description="Hits that are written for one document, the fullest first.")

    @field_validator("benchmarks")
    @classmethod
    def _names_differ(cls, benchmarks: tuple[Benchmark, ...]) -> tuple[Benchmark, ...]:
        for name, times in Counter(benchmark.name for benchmark in benchmarks).items():
            if times > 1:
                raise ValueError(f"benchmark '{name}' stands twice; give each a name of its own")
        return benchmarks

    @model_validator(mode="after")
    def _ngram_fits(self) -> Self:
        if self.ngram > self.min_words:
            raise ValueError(f"ngram: {self.ngram} is more than min_words: {self.min_words}; lower it")
        return self

    @cached_property
    def _loaded(self) -> Loaded:
        return stored(self.benchmarks, self.ngram, self.min_words)

    def warm_up(self) -> None:
        """Read and index the benchmarks, so that a mistake in one shows before work starts."""
        _ = self._loaded

    def items(self) -> list[Item]:
        """Whose texts are looked for: each text once, under the first item that has it."""
        return list(self._loaded.items)

    def report(self) -> list[dict]:
        """For each benchmark: `name`, `rows`, `texts` looked for, `repeated` ones, texts `too_short` by field,
        and the rows `unmatched`, since they have no other text, with the first `unmatched_items`.
        """
        return self._loaded.report

    def found(self, text: str, shared: Shared) -> list[Found]:
        """The items that stand in a text, whole or in part, the fullest first; at most one place for each."""
        _, index, _ = self._loaded
        best: dict[int, Found] = {}
        work = 0
        for candidate in candidates(index, shared.token_hashes):
            known = best.get(candidate.item)
            if known and known.share == 1:
                continue
            work += (candidate.end - candidate.start) * (len(index.tokens(candidate.item)) + WORD_WORK)
            if work > MOST_WORK:
                break
            one = self._compared(candidate, shared.token_hashes)
            if one and (known is None or one.share > known.share):
                best[candidate.item] = one
        return sorted(best.values(), key=lambda one: (-one.share, -one.words, one.item))

    def _compared(self, candidate: Candidate, hashes: np.ndarray) -> Found | None:
        items, index, _ = self._loaded
        tokens = index.tokens(candidate.item).tolist()
        best = core(hashes[candidate.start : candidate.end].tolist(), tokens)
        if best is None:
            return None
        words = int(index.halves(candidate.item)[best.matched].sum()) / WORD
        share = len(best.matched) / len(tokens)
        verbatim = len(best.matched) == len(tokens) == best.end - best.start
        if words < self.min_words and not verbatim:
            return None
        return Found(items[candidate.item], candidate.start + best.start, candidate.start + best.end, share, words)

    def hits(self, text: str, shared: Shared) -> list[Hit]:
        """The items of which the text holds enough, the fullest first, `most_hits` of them."""
        return self._hits(text, self.found(text, shared))

    def _hits(self, text: str, found: list[Found]) -> list[Hit]:
        full = [one for one in found if one.share >= self.threshold][: self.most_hits]
        if not full:
            return []
        spans = token_spans(text)
        return [Hit(one.item, int(spans.starts[one.start]), int(spans.ends[one.end - 1]), one.share) for one in full]

    def measure(self, text: str, shared: Shared) -> dict[str, float]:
        found = self.found(text, shared)
        return self._values(found, self._hits(text, found))

    def _values(self, found: list[Found], hits: list[Hit]) -> dict[str, float]:
        """Share of the fullest item and number of hits; of the first hit, for the ledger, where it is from and stands."""
        values = {"share": found[0].share if found else 0.0, "hits": len(hits)}
        for item, start, end, _ in hits[:1]:
            values |= {"benchmark": item.benchmark, "row": item.row, "start": start, "end": end}
        return {name: float(value) for name, value in values.items()}

    def decide(self, values: dict[str, float]) -> Drop | None:
        share = values.get("share", 0.0)
        if self.action == "drop" and share >= self.threshold:
            return Drop("contaminated", share, self.threshold)
        return None

    def apply(self, unit: Unit) -> Drop | None:
        found = self.found(unit.text, unit.shared)
        hits = self._hits(unit.text, found)
        if hits:
            unit.metadata["contamination"] = [self._shown(hit) for hit in hits]
        values = self._values(found, hits)
        unit.values.update({f"{self.name}.{key}": value for key, value in values.items()})
        return self.decide(values)

    def _shown(self, hit: Hit) -> dict[str, str | int | float]:
        """A hit as a row's metadata hold it."""
        name = self.benchmarks[hit.item.benchmark].name
        place = {"start": hit.start, "end": hit.end, "share": round(hit.share, 4)}
        return {"benchmark": name, "item": hit.item.item, "field": hit.item.field, **place}
