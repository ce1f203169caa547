"""The web stage: archives, pages and texts in, a clean Document set out.

Steps are cut into segments at the barriers (deduplication), which must see all documents:
within a segment each rank streams alone, between two segments the barriers decide once.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from curate.config import Model
from curate.stages.segments import Job, Segment, segments_of
from curate.stages.web_alarm import Alarm
from curate.steps import AnyStep
from curate.steps.sources import Source, or_paths
from curate.steps.sources.files import Rank
from curate.steps.step import Unit

_HEAD = 2_000
_ORDER = (
    ("extract", "licence", "the page's licence is read there"),
    ("opt_out", "extract", "a page's own reservation is gone once its text is extracted"),
)
"""Steps that must stand in this order, and why."""


class Web(Model):
    """Turn raw archives into clean documents, with an account of every record."""

    version: ClassVar[int] = 1

    source: Source = Field(
        description="What to read: a path, glob, folder, URL or a list of them, or a block with options.",
        json_schema_extra=or_paths,
    )
    steps: list[AnyStep] = Field(description="What is done to each document, in this order.")
    measure: Literal["first", "all"] = Field("first", description="all: later filters also measure what an earlier one dropped.")
    dropped_text: Literal["none", "head", "full"] = Field("head", description="How much text of a dropped document is kept.")
    alarm: Alarm = Field(Alarm(), description="What to do when a step drops most of one source, domain or language.")
    shard_bytes: int = Field(256 * 2**20, ge=1, description="Bytes of text after which a new output shard begins.")
    unit_cpu_s: float = Field(60, gt=0, description="CPU seconds after which a document's worker is killed and it is dropped.")

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Web":
        names = [step.name for step in self.steps]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"step '{twice[0]}' stands twice; give each step once")
        for early, late, why in _ORDER:
            if early in names and late in names and names.index(late) < names.index(early):
                raise ValueError(f"'{late}' stands before '{early}'; put it after, since {why}")
        return self

    def segments(self) -> list[Segment]:
        """The steps cut at the barriers; the last segment has none and writes the rows."""
        return segments_of(self.steps)

    def excerpt(self, unit: Unit, text: str | None = None) -> str | None:
        """As much of a dropped unit's text (its page, before extraction) as the recipe keeps."""
        if self.dropped_text == "none":
            return None
        whole = text or unit.text or unit.html or ""
        return whole[:_HEAD] if self.dropped_text == "head" else whole


class WebJob(Job):
    """All that a worker must know."""

    stage: Web
    ranks: list[Rank]
    limit: int | None
