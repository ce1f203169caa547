"""The steps of a refine stage: a web step with `on: prompt | answer | row`, or a step that knows rows.

The union below is the registry. A step that reads texts is the web's own model with one more
key, so its settings, its checks and its lines in the schema are the same in both stages.
"""

import functools
from typing import Annotated, Union

from pydantic import Field, create_model, model_validator

from curate.config import Model
from curate.steps.decontaminate import Decontaminate
from curate.steps.dedup import ExactDedup, MinHashDedup
from curate.steps.filters import C4, FineWeb, GopherQuality, GopherRepetition
from curate.steps.filters.gopher import TOP
from curate.steps.language import Language
from curate.steps.licence import Licence
from curate.steps.opt_out import OptOut
from curate.steps.python import Python
from curate.steps.quality import Quality
from curate.steps.rows import AnyRowStep
from curate.steps.rows.parts import Part
from curate.steps.scrub import Scrub
from curate.steps.step import Step
from curate.steps.tokens import TokenCount
from curate.steps.toxicity import Toxicity
from curate.steps.url import Url

TEXT_STEPS = (
    Language, GopherRepetition, GopherQuality, C4, FineWeb, Quality, Toxicity, Decontaminate,
    Scrub, TokenCount, Python, ExactDedup, MinHashDedup,
)  # fmt: skip
"""Steps that look at texts, and so at a part of a row."""


class Placed(Model):
    """A step that says which texts of a row it looks at."""

    on: Part = Field("row", description="Which texts: of the prompt, of the answers, or all of the row.")


class PlacedRepetition(Placed):
    """Gopher's limits are those of pages: of 3,831 chosen answers of public sets they drop 43 %, without the three below 1.3 %."""

    on: Part = Field(
        "row",
        description="Which texts: of the prompt, of the answers, or all of the row. On prompts and answers `top_2_gram`, `top_3_gram` and "
        "`top_4_gram` are off unless they are set: in a text of few words any 2-gram is much of it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_limits_of_pages(cls, given: object) -> object:
        if not isinstance(given, dict) or given.get("on", "row") == "row":
            return given
        return {**{f"top_{n}_gram": None for n in TOP}, **given}


@functools.cache
def placed(step: type[Step]) -> type[Step]:
    """The step's model with `on` beside its own settings."""
    base = PlacedRepetition if step is GopherRepetition else Placed
    return create_model(f"{step.__name__}OnRows", __base__=(base, step), __module__=__name__, __doc__=step.__doc__)


AnyRefined = Annotated[Union[*map(placed, TEXT_STEPS), Url, Licence, OptOut, AnyRowStep], Field(discriminator="use")]  # noqa: UP007


def part_of(step: Step) -> Part:
    """The part of a row that a step looks at; of a step that looks at columns, the row."""
    return step.on if isinstance(step, Placed) else "row"


def name_of(step: Step) -> str:
    """What ledger and receipt call a step: `gopher_quality`, and on a part of the row `gopher_quality.answer`."""
    part = part_of(step)
    return step.name if part == "row" else f"{step.name}.{part}"
