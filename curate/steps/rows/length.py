"""A row's length measured: kept where its prompt, its answers and both together are neither too short nor too long."""

from collections.abc import Callable
from functools import cached_property
from typing import Literal, Self

from pydantic import Field, model_validator

from curate.steps.rows.ranges import Range
from curate.steps.rows.sides import answers_of, prompt_of
from curate.steps.rows.unit import RowStep, RowUnit
from curate.steps.step import Drop
from curate.steps.tokens import TokenCount, TokenizerName


class Length(RowStep):
    """Drop rows by the length of their texts; a chat template's own tokens are not counted.

    Of several answers the shortest is held to `min`, the longest to `max`. `row` is what a trainer
    reads at once: the prompt and one answer, the longest.
    """

    use: Literal["length"]

    unit: Literal["words", "characters", "tokens"] = Field("words", description="What is counted; words lie between white space.")
    tokenizer: TokenizerName | None = Field(None, description="With `unit: tokens`: a tokenizer.json, its folder, or a Hub id.")
    prompt: Range | None = Field(None, description="Bounds of all turns before the answer, or that are not the assistant's.")
    answer: Range | None = Field(None, description="Bounds of each answer; of a conversation, of the assistant's turns together.")
    row: Range | None = Field(None, description="Bounds of the prompt and its longest answer.")
    max_ratio: float | None = Field(
        None, ge=1, description="Most times that one answer of a pair may be as long as the other; other shapes have none."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.unit == "tokens") != (self.tokenizer is not None):
            raise ValueError("`unit: tokens` and `tokenizer` belong together; set both, or neither")
        if not (self.prompt or self.answer or self.row or self.max_ratio):
            raise ValueError("nothing is bounded; set `prompt`, `answer`, `row` or `max_ratio`")
        return self

    @cached_property
    def count(self) -> Callable[[str], int]:
        """The length of a text in the step's unit."""
        if self.tokenizer is not None:
            return TokenCount(use="tokens", tokenizer=self.tokenizer).count
        return len if self.unit == "characters" else lambda text: len(text.split())

    def warm_up(self) -> None:
        self.count("")

    def measure(self, unit: RowUnit) -> dict[str, float]:
        """`prompt`, `answer_min`, `answer_max`, `row`, and of a pair `ratio`; an answer of no length counts as 1 there."""
        prompt = self.count(prompt_of(unit))
        lengths = [self.count(text) for text in answers_of(unit).values()] or [0]
        shortest, longest = min(lengths), max(lengths)
        values = {"prompt": prompt, "answer_min": shortest, "answer_max": longest, "row": prompt + longest}
        if unit.shape == "preference":
            values["ratio"] = max(longest, 1) / max(shortest, 1)
        return {key: float(value) for key, value in values.items()}

    def decide(self, values: dict[str, float]) -> Drop | None:
        for part, wanted, least, most in (
            ("prompt", self.prompt, "prompt", "prompt"),
            ("answer", self.answer, "answer_min", "answer_max"),
            ("row", self.row, "row", "row"),
        ):
            drop = wanted and (
                wanted.below(values.get(least), f"{part}_too_short") or wanted.above(values.get(most), f"{part}_too_long")
            )
            if drop:
                return drop
        ratio = values.get("ratio")
        if self.max_ratio is not None and ratio is not None and ratio > self.max_ratio:
            return Drop("answers_of_unequal_length", ratio, self.max_ratio)
        return None

    def apply(self, unit: RowUnit) -> Drop | None:
        values = self.measure(unit)
        unit.values.update({f"{self.name}.{key}": value for key, value in values.items()})
        return self.decide(values)
