"""The refine stage: rows of an artifact in, the same rows out, fewer and cleaner, with an account of each.

The steps of the web stage work on the prompt, the answers or the whole row; others look at a
row's columns. They are cut into segments at the barriers, which must see all rows.
"""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from curate.config import Model, UsageError
from curate.stages.given import From
from curate.stages.segments import Job, Segment, segments_of
from curate.stages.web_alarm import Alarm
from curate.steps.rows.refined import AnyRefined, name_of, part_of
from curate.steps.rows.unit import RowStep

_BY_DESIGN = ["read", "url", "language", "opt_out", "licence", "caps", "balance", "shortcuts"]
"""Steps that may drop all of a group."""


class Refine(Model):
    """Filter, scrub and deduplicate rows: pages, conversations, answers, pairs and labels."""

    version: ClassVar[int] = 1

    source: From = Field(From(), description="Rows of which artifact; by default of the stage before.")
    steps: list[AnyRefined] = Field(description="What is done to each row, in this order; `on` says to which of its texts.")
    measure: Literal["first", "all"] = Field("first", description="all: later filters also measure what an earlier one dropped.")
    dropped_text: Literal["none", "head", "full"] = Field("head", description="How much text of a dropped row is kept.")
    alarm: Alarm = Field(Alarm(ignore=_BY_DESIGN), description="What to do when a step drops most of one source, domain or language.")
    shard_bytes: int = Field(256 * 2**20, ge=1, description="Bytes of rows after which a new output shard begins.")
    unit_cpu_s: float = Field(60, gt=0, description="CPU seconds after which a row's worker is killed and it is dropped.")

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Refine":
        names = [name_of(step) for step in self.steps]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"step '{twice}' stands twice; give each step once for a part of the row")
        return self

    @property
    def inputs(self) -> dict[str, From]:
        """What the stage reads, by the name that accounts use."""
        return {"rows": self.source}

    def segments(self) -> list[Segment]:
        """The steps cut at the barriers; the last segment has none and writes the rows."""
        return segments_of(self.steps)


class RowRank(Model):
    """A piece of the input: some row groups of a file."""

    path: Path
    source: str
    """The file's name in accounts."""
    row_groups: tuple[int, ...]
    start: int
    """Number of its first row in the input artifact."""
    rows: int
    """So many rows are read."""


class RefineJob(Job):
    """All that a worker must know."""

    stage: Refine
    shape: str
    ranks: list[RowRank]


def refuse_wrong_shape(refine: Refine, shape: str) -> None:
    """UsageError where a step cannot work on rows of this shape."""
    for step in refine.steps:
        shapes = step.shapes if isinstance(step, RowStep) else (shape,)
        if shape not in shapes:
            raise UsageError(f"refine: step '{step.name}' works on {', '.join(shapes)} rows, and these are {shape} rows; leave it out")
        if shape == "document" and part_of(step) == "prompt":
            raise UsageError(f"refine: step '{step.name}' is on the prompt, and document rows have none; set `on: row`")
