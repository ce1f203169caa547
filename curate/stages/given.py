"""Where a stage that works on rows takes them from: the recipe's block in, a finished artifact's files out."""

from pathlib import Path
from typing import NamedTuple, Self

import pyarrow.parquet as pq
from pydantic import Field, SerializationInfo, SerializerFunctionWrapHandler, ValidationInfo, field_validator, model_serializer, model_validator

from curate.artifact import Artifact
from curate.config import InputPath, Model, UsageError, anchored
from curate.rows import shape_of


class From(Model):
    """Rows of an artifact: of an earlier stage of this recipe, of another recipe, or in a directory."""

    stage: str | None = Field(None, description="Name (or kind) of a stage: of this recipe, or with `recipe` of that one; by default the last.")
    recipe: InputPath | None = Field(None, description="Another recipe's file: what it makes now; it is run first where it is not done.")
    set: dict[str, object] = Field({}, description="Parameters of that recipe.")
    artifact: InputPath | None = Field(None, description="Directory of a finished artifact.")
    split: str = Field("train", pattern=r"^[A-Za-z0-9_]+$", description="Which of its splits.")

    @field_validator("set")
    @classmethod
    def _from_here(cls, given: dict[str, object], info: ValidationInfo) -> dict[str, object]:
        """Relative paths in it start where this recipe lies, not where that one does."""
        return anchored(given, (info.context or {}).get("base", Path.cwd()))

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.artifact and (self.stage or self.recipe):
            raise ValueError("an artifact is a directory of its own; leave `stage` and `recipe` out beside it")
        if self.set and not self.recipe:
            raise ValueError("`set` gives parameters to another recipe; name it under `recipe`")
        return self

    @model_serializer(mode="wrap")
    def _without_places(self, serialise: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict:
        """In an identity the artifact stands for itself, wherever it lies and whoever has made it."""
        dumped = serialise(self)
        places = ("stage", "recipe", "set", "artifact", "split") if (info.context or {}).get("content_hash") else ()
        return {name: value for name, value in dumped.items() if name not in places}


class Given(NamedTuple):
    """A finished artifact that a stage reads."""

    name: str
    """What the stage calls it; the first part of the name of its files in accounts."""
    artifact: Artifact
    split: str

    @property
    def files(self) -> list[Path]:
        """Its data files, in order; never none."""
        found = sorted((self.artifact.path / "data").glob(f"{self.split}-*.parquet"))
        if not found:
            raise UsageError(f"{self.artifact.path}: no split '{self.split}'; it has {', '.join(self.artifact.splits) or 'no data'}")
        return found

    @property
    def shape(self) -> str:
        """Name of the shape of its rows (curate.rows.SHAPES)."""
        columns = pq.read_schema(self.files[0]).names
        shape = shape_of(columns)
        if shape is None:
            raise UsageError(f"{self.artifact.path}: its columns ({', '.join(columns)}) are no row of ours; read the files by an `ingest` stage")
        return shape
