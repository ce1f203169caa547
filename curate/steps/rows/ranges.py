"""A lower and an upper bound, and what a value outside of them is called."""

from typing import Self

from pydantic import Field, model_validator

from curate.config import Model
from curate.steps.step import Drop


class Range(Model):
    """Bounds, both included; one that is left out does not bind."""

    min: int | None = Field(None, ge=0, description="The least that is kept.")
    max: int | None = Field(None, ge=0, description="The most that is kept.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("neither min nor max is set; set one of them")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; swap them")
        return self

    def below(self, value: float | None, reason: str) -> Drop | None:
        """A drop where the value is under `min`; a missing value breaks nothing."""
        return Drop(reason, value, self.min) if value is not None and self.min is not None and value < self.min else None

    def above(self, value: float | None, reason: str) -> Drop | None:
        """A drop where the value is over `max`."""
        return Drop(reason, value, self.max) if value is not None and self.max is not None and value > self.max else None
