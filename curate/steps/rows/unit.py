"""A row on its way through the steps of a refine stage, and what a step that knows rows is."""

from dataclasses import dataclass, field
from typing import ClassVar

from curate.rows import SHAPES
from curate.steps.step import Drop, Step, Unit


@dataclass(slots=True)
class RowUnit(Unit):
    """One row; `text` is the part of it that the step in hand looks at (curate.steps.rows.parts)."""

    shape: str = ""
    """Name of its shape (curate.rows.SHAPES)."""
    row: dict = field(default_factory=dict)
    """The row's columns as `pyarrow` reads them; a step that rewrites puts a new value under a column."""


class RowStep(Step):
    """A step that looks at the columns of a row and not only at a text of it."""

    shapes: ClassVar[tuple[str, ...]] = tuple(SHAPES)
    """Shapes that it can work on; a recipe that gives it another is refused before the run."""

    def apply(self, unit: RowUnit) -> Drop | None:
        raise NotImplementedError
