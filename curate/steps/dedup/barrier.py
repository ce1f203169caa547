"""Deduplication as a barrier: all but one of each cluster of equal or similar units leave."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.steps.barrier import Barrier


class Dedup(Barrier):
    """A step that drops all but one of each cluster of equal or similar documents."""

    reason: ClassVar[str]

    keep: Literal["first", "longest", "newest", "best_score"] = Field(
        "first",
        description="Which of a cluster stays: the first in source order, the longest text, the newest `date`, "
        "or the highest `score`; ties go to the smaller id. A missing date or score comes last.",
    )
    score: str | None = Field(
        None, description="With `keep: best_score`: the measured value that ranks, such as `quality.score`."
    )

    @model_validator(mode="after")
    def _score_where_it_is_used(self) -> Self:
        if self.keep == "best_score" and self.score is None:
            raise ValueError("keep: best_score ranks by a measured value; name it, as in `score: quality.score`")
        if self.keep != "best_score" and self.score is not None:
            raise ValueError("score is read by `keep: best_score` only; set that, or leave `score` out")
        return self
