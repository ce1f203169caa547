"""Refusals: a row in, what its answers refuse, recite or name is measured, and the row kept or dropped."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from curate.config import FilePath
from curate.steps.rows.parts import texts
from curate.steps.rows.refusal_lists import KINDS, LISTS, Found, Kind, Phrases
from curate.steps.rows.sides import JUDGED, answers_of, prompt_of
from curate.steps.rows.unit import RowStep, RowUnit
from curate.steps.step import Drop


_NOTHING = Found(0, 0, 0, 0)


def _sides(unit: RowUnit) -> Iterator[tuple[str, list[str]]]:
    """The answers that are measured as one, and how their values are marked; in a conversation every turn is an answer."""
    if unit.shape in ("preference", "candidates"):
        yield from ((f"{side}_", [text]) for side, text in answers_of(unit).items())
    else:
        yield "", texts(unit.shape, unit.row, "answer")


class Refusals(RowStep):
    """Measure refusals, boilerplate ("As an AI language model") and names of models in the answers, and drop such rows.

    An answer that begins with a refusal is one; one that mentions a refusal later, or quotes it, may be a good
    answer. Rows that judge an answer are marked only, unless `action: drop` is said: a pair may rightly prefer a
    refusal. Candidates are never dropped, since one of several answers is no reason to lose the others.
    """

    use: Literal["refusals"]

    lists: tuple[FilePath, ...] = Field((), description="Further lists, written like the shipped curate/steps/rows/lists/refusals_en.txt.")
    shipped: bool = Field(True, description="Read the shipped English and Portuguese lists too.")
    kinds: list[Kind] = Field(list(KINDS), min_length=1, description="What a row is dropped for; all are measured.")
    action: Literal["drop", "mark"] | None = Field(
        None, description="Drop the row, or measure only; none: drop, but mark candidates, pairs and feedback."
    )
    sides: list[Literal["chosen", "rejected"]] = Field(
        ["chosen", "rejected"], min_length=1, description="The answers of a pair that drop it, where pairs are dropped."
    )

    @model_validator(mode="after")
    def _some_list(self) -> Self:
        if not self.shipped and not self.lists:
            raise ValueError("no list is left; name one in `lists`, or leave `shipped` on")
        return self

    @cached_property
    def phrases(self) -> Phrases:
        return Phrases((LISTS if self.shipped else ()) + self.lists)

    def reads(self) -> list[Path]:
        return list(LISTS) if self.shipped else []

    def warm_up(self) -> None:
        """Read every list, so that a mistake in one shows before work starts."""
        _ = self.phrases

    def measure(self, unit: RowUnit) -> dict[str, float]:
        """Of each side, as in `chosen_refusal`: `refusal` (answers that begin with one), `refusals_inside`, `boilerplate`, `model_name`."""
        prompt, values = prompt_of(unit), {}
        for lead, said in _sides(unit):
            found = [self.phrases.found(text, prompt) for text in said]
            values |= {f"{lead}{name}": float(sum(counts)) for name, counts in zip(Found._fields, zip(*found, _NOTHING, strict=True), strict=True)}
        return values

    def apply(self, unit: RowUnit) -> Drop | None:
        values = self.measure(unit)
        unit.values.update({f"{self.name}.{key}": value for key, value in values.items()})
        dropping = self.action == "drop" or (self.action is None and unit.shape not in JUDGED)
        return self.decide(values) if dropping else None

    def decide(self, values: dict[str, float]) -> Drop | None:
        """The first kind that a side shows: `refusal`, `chosen_boilerplate` ..."""
        for name in (f"{lead}{kind}" for lead in ("", *(f"{side}_" for side in self.sides)) for kind in self.kinds):
            if values.get(name):
                return Drop(name, values[name], 0.0)
        return None
