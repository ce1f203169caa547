"""The step: a text comes in, it goes out with placeholders for personal items, counted by type."""

import re
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from curate.steps.scrub.finders import TYPES, ItemType, Options, find
from curate.steps.scrub.names import ModelFolder, find_names
from curate.steps.scrub.spans import Span, covered, uncovered
from curate.steps.shared import Shared
from curate.steps.step import Drop, Rewrite, Unit

PLACEHOLDERS = {kind: f"<{kind.upper()}>" for kind in TYPES}
_MOST_PASSES = 1000
"""Each pass leaves less outside of placeholders, so this is met only where a user's placeholder makes items of its neighbours."""
Region = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


class Scrub(Rewrite):
    """Replace e-mail, IP, phone, card, bank account and tax numbers by constant placeholders such as `<EMAIL>`.

    Numbers must pass their checksums, and look-alikes (versions, dates, ISBNs) are told apart by the words
    beside them. Title and text are scrubbed; a scrubbed one scanned again has no item left.

    `names` takes a model of the user's own, by its folder: of a spaCy pipeline (`config.cfg`) or a transformers
    token-classification model (`config.json`; needs `curate[ner]`). The latter reads line by line, long ones in
    overlapping windows, on one thread; a worker then holds 300 MB more and 4 bytes a parameter.
    """

    use: Literal["pii"]
    types: list[ItemType] = Field(list(TYPES), min_length=1, description="What to scrub.")
    placeholders: dict[ItemType, str] = Field({}, description="Placeholders that differ from `<TYPE>`.")
    private_ips: bool = Field(False, description="Scrub addresses that are not globally routable, too.")
    obfuscated_emails: bool = Field(False, description="Scrub `name [at] host [dot] com`, too.")
    regions: list[Region] | None = Field(
        None, min_length=1, description="Countries (ISO 3166) of national phone formats; else by the text's language."
    )
    presidio: list[str] = Field(
        [], description="Further entity types of presidio's own recognisers, e.g. CRYPTO or UK_NHS; some 2 ms a document."
    )
    presidio_score: float = Field(0.5, ge=0, le=1, description="Take presidio's items of this score or more.")
    names: ModelFolder | None = Field(
        None,
        description="Folder of a spaCy pipeline or of a transformers token-classification model; "
        "what it labels as a person is scrubbed, too.",
    )
    name_labels: list[str] = Field(
        ["PERSON", "PER", "PESSOA"],
        min_length=1,
        description="What the model of `names` calls a person, in any case and without the `B-` or `I-` before it.",
    )
    max_items: int | None = Field(None, ge=0, description="More items than this: drop the document, it is a directory.")

    @field_validator("placeholders")
    @classmethod
    def _never_found(cls, placeholders: dict[str, str]) -> dict[str, str]:
        for kind, placeholder in placeholders.items():
            if find(placeholder, options=Options(private_ips=True, obfuscated_emails=True)):
                raise ValueError(f"placeholder {placeholder!r} of {kind} is itself a personal item; use one like <EMAIL>")
        return placeholders

    @model_validator(mode="after")
    def _known_entities(self) -> "Scrub":
        for entity in self.presidio:
            if not entity.isupper() or entity == "URL":
                raise ValueError(f"presidio: {entity!r} is no entity type that works offline; use one such as CRYPTO")
        return self

    @cached_property
    def _options(self) -> Options:
        regions = tuple(self.regions) if self.regions else None
        return Options(tuple(self.types), regions, self.private_ips, self.obfuscated_emails)

    @cached_property
    def _kinds(self) -> list[str]:
        """Every type that is counted."""
        return [*self.types, *(["person"] if self.names else []), *(entity.lower() for entity in self.presidio)]

    @cached_property
    def _placeholders(self) -> dict[str, str]:
        extra = {kind: f"<{kind.upper()}>" for kind in self._kinds}
        return {**extra, **PLACEHOLDERS, **self.placeholders}

    @cached_property
    def _written(self) -> re.Pattern[str]:
        """The placeholders as they stand in a text."""
        return re.compile("|".join(re.escape(one) for one in sorted(self._placeholders.values(), key=len, reverse=True) if one))

    @cached_property
    def _labels(self) -> frozenset[str]:
        return frozenset(label.upper() for label in self.name_labels)

    def warm_up(self) -> None:
        self.find("call +1 212 555 0142", None)

    def find(self, text: str, language: str | None) -> list[Span]:
        """The items of a text by place, as they would be replaced; none overlaps another."""
        spans = find(text, language, self._options)
        if self.presidio:
            from curate.steps.scrub.presidio import find_entities

            spans += find_entities(text, tuple(self.presidio), self.presidio_score)
        spans = _apart(spans)
        return sorted([*spans, *self._people(text, spans)]) if self.names else spans

    def _people(self, text: str, items: list[Span]) -> list[Span]:
        """Names, and of one that reaches into an item or a placeholder what lies outside: a model may see a name in either."""
        holes = [Span(*match.span(), "placeholder") for match in self._written.finditer(text)]
        names = find_names(text, self.names, self._labels)
        return [Span(start, end, "person") for start, end in uncovered(covered(text, [*items, *holes]), names)]

    def scrub(self, text: str, language: str | None) -> tuple[str, dict[str, int]]:
        """The text with placeholders, and the number of items by type.

        Repeated until nothing is found, because an item may come to light when its neighbour has gone,
        and a model that reads a line with a placeholder may see another name in it.
        """
        counts = dict.fromkeys(self._kinds, 0)
        for _ in range(_MOST_PASSES):
            spans = self.find(text, language)
            replaced = _replaced(text, spans, self._placeholders)
            if replaced == text:
                break
            text = replaced
            for span in spans:
                counts[span.type] += 1
        return text, counts

    def rewrite(self, text: str, shared: Shared) -> tuple[str, dict[str, float]]:
        text, counts = self.scrub(text, shared.language)
        return text, dict(counts)

    def decide(self, values: dict[str, float]) -> Drop | None:
        items = sum(values.values())
        if self.max_items is not None and items > self.max_items:
            return Drop("too_many_items", items, self.max_items)
        return None

    def apply(self, unit: Unit) -> Drop | None:
        title, counts = self.scrub(unit.title, unit.language) if unit.title else (unit.title, {})
        drop = super().apply(unit)
        for kind in self._kinds:
            key = f"{self.name}.{kind}"
            unit.values[key] += counts.get(kind, 0)
            if unit.values[key]:
                unit.pii[kind] = unit.pii.get(kind, 0) + int(unit.values[key])
        if drop is None:
            unit.title = title
        return drop


def _apart(spans: list[Span]) -> list[Span]:
    """Spans in order; of two that overlap the earlier and longer one."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept


def _replaced(text: str, spans: list[Span], placeholders: dict[str, str]) -> str:
    pieces, position = [], 0
    for start, end, kind in spans:
        pieces += [text[position:start], placeholders[kind]]
        position = end
    return "".join(pieces) + text[position:]
