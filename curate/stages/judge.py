"""The judge stage: answers, pairs or documents in; the same rows with ratings, ranks or probabilities out, and every verdict.

It makes no pairs: a mix does, of the ratings, so that another rule for pairs costs no call.
"""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.config import FilePath, Model
from curate.judges.endpoint import ChatModel
from curate.judges.prompts import ConstitutionFile, PromptFile, refuse_scale, refuse_unfit
from curate.judges.statistics.methods import Method
from curate.stages.asked import Files, RowsAsked

ASPECTS = ("instruction_following", "honesty", "truthfulness", "helpfulness", "harmlessness")


class JudgeModel(ChatModel):
    """A model that judges; with `logprobs` its verdict on a pair is read off the odds of its tokens."""

    temperature: float | None = Field(0.0, ge=0, le=2, description="Sampling temperature; null leaves it to the endpoint.")

    @property
    def name(self) -> str:
        """What verdicts call it."""
        return f"{self.endpoint}/{self.model}"

    @model_validator(mode="after")
    def _one_way_to_read(self) -> Self:
        if self.logprobs and self.structured:
            raise ValueError("a judge answers by log-probabilities or by JSON; leave `logprobs` or `structured` out")
        return self


class Select(Model):
    """Keep the largest set of labels whose rate of contradictions to gold is proven to be small (Angelopoulos et al. 2021)."""

    gold: FilePath | None = Field(
        None, description="Parquet or JSONL file of labelled pairs, met by their texts; null: the labels that the judged pairs came with."
    )
    max_flip_rate: float = Field(0.05, gt=0, lt=1, description="Most labels that gold may contradict.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="How sure that must be.")


class Aggregated(Model):
    """How verdicts on pairs become labels."""

    aggregate: Method = Field(
        "logits", description="How orders and judges are put together; bradley_terry takes off what a judge gives for place and length."
    )
    select: Select | None = Field(None, description="Keep only labels that gold proves; null: keep all.")


class Judging(RowsAsked):
    """What all ways of judging have."""

    version: ClassVar[int] = 5
    takes: ClassVar[tuple[str, ...]] = ("candidates", "preference")

    seed: int = Field(1, ge=0, description="Of what is drawn: principles, and who is shown first where one order is asked.")

    @property
    def asked(self) -> list[JudgeModel]:
        """Every model that is asked."""
        return []


class Panel(Judging):
    """Judging by models."""

    shown: ClassVar[tuple[str, ...]] = ("prompt", "answer")
    """Placeholders of its prompts that hold texts to be judged."""
    words: ClassVar[tuple[str, ...]] = ()
    """Those that hold words of ours."""
    bare: ClassVar[str] = "bare"
    """The ending of a reply that is a verdict and nothing else."""

    judges: list[JudgeModel] = Field(min_length=1, description="Who judges; each has its own column of verdicts.")
    rationale: bool = Field(False, description="Reasons first, then the verdict.")
    max_failed: float = Field(
        0.05, ge=0, le=1, description="Most calls that may fail for good, refusals aside; more stop the run, which can be resumed."
    )

    @property
    def asked(self) -> list[JudgeModel]:
        return self.judges

    def ending(self, judge: JudgeModel) -> str:
        """How the judge's replies end: which of the prompt's `endings`."""
        if judge.structured:
            return "json" if self.rationale else "json_bare"
        return "line" if self.rationale else self.bare

    @model_validator(mode="after")
    def _prompts_fit(self) -> Self:
        for judge in self.judges:
            for prompt in self.steps[0].prompts:  # type: ignore[attr-defined]
                refuse_unfit(prompt, self.shown, self.words, self.ending(judge))
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [judge.name for judge in self.judges]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"judge '{twice}' stands twice; ask it more often by `calls_per_pair` or `draws`")
        return self


class Pairwise(Panel, Aggregated):
    """Two answers side by side, in both orders; answers get log-odds as rating `worth`, pairs a probability."""

    shown: ClassVar[tuple[str, ...]] = ("prompt", "answer_a", "answer_b")
    bare: ClassVar[str] = "letter"

    use: Literal["pairwise"] = "pairwise"
    prompt: PromptFile = Field("pairwise.en", description="A shipped prompt, or a `.md` file of your own.")
    orders: Literal["both", "one"] = Field("both", description="one: half the calls; then only `aggregate: bradley_terry` takes off a lean.")
    calls_per_pair: float = Field(
        2, ge=1, le=64, description="Mean calls a pair and judge where no log-probabilities come: the least sure are asked again, 6 keeps 90 %."
    )
    active: float | None = Field(
        None, gt=0, le=1, description="Share of a prompt's pairs that is asked, the least sure first; null: all of them."
    )

    @model_validator(mode="after")
    def _draws_differ(self) -> Self:
        if self.calls_per_pair > 2 and any(judge.temperature == 0 for judge in self.judges):
            raise ValueError("calls_per_pair asks the same again, and at temperature 0 the answer is the same; set the judges' `temperature: 1`")
        if self.active and (self.orders == "one" or self.calls_per_pair > 2):
            raise ValueError("active choice asks each chosen pair once in both orders; leave `orders` and `calls_per_pair` out")
        return self

    @property
    def principles(self) -> str | None:
        """Name of the principles of which one is drawn a row."""
        return None

    @property
    def steps(self) -> list[Files]:
        return [Files(self.use, (self.prompt,), (self.principles,) if self.principles else ())]


class Constitutional(Pairwise):
    """The same under one drawn principle a row (Constitutional AI: Bai et al. 2022)."""

    words: ClassVar[tuple[str, ...]] = ("principle",)

    use: Literal["constitutional"] = "constitutional"
    prompt: PromptFile = Field("constitutional_choice.en", description="A shipped prompt, or a `.md` file of your own, with `principle`.")
    constitution: ConstitutionFile = Field("constitution", description="The principles: a name, or a `.yaml` file of your own.")

    @property
    def principles(self) -> str:
        return self.constitution


class Rated(Panel):
    """A number for each answer and aspect, the mean of what all judges say; a pair is turned so that the greater mean is chosen."""

    words: ClassVar[tuple[str, ...]] = ("low", "middle", "high")

    rationale: bool = Field(True, description="Reasons first, then the number.")
    aspects: dict[str, PromptFile] = Field(min_length=1, description="Name of the rating, and the prompt that asks for it.")
    low: int = Field(1, ge=0, description="Least number of the scale; a prompt has it as `{low}`, or states the same number.")
    high: int = Field(5, ge=1, le=100, description="Greatest number of the scale; a prompt has it as `{high}`, or states the same number.")
    draws: int = Field(1, ge=1, le=64, description="How often each judge is asked; needs a temperature.")

    @property
    def steps(self) -> list[Files]:
        return [Files(self.use, tuple(self.aspects.values()))]  # type: ignore[attr-defined]

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"the scale runs from {self.low} to {self.high}; give `low` below `high`")
        if self.draws > 1 and any(judge.temperature == 0 for judge in self.judges):
            raise ValueError("draws asks the same again, and at temperature 0 the answer is the same; set the judges' `temperature: 1`")
        for prompt in self.aspects.values():
            refuse_scale(prompt, self.low, self.high)
        return self

    @property
    def scale(self) -> dict[str, int]:
        """The scale in the words of a prompt; the middle stands in the example of a reply."""
        return {"low": self.low, "middle": (self.low + self.high + 1) // 2, "high": self.high}


class Pointwise(Rated):
    """One number for each answer, by default from 1 to 10 (MT-Bench: Zheng et al. 2023)."""

    use: Literal["pointwise"] = "pointwise"
    aspects: dict[str, PromptFile] = Field({"overall": "pointwise.en"}, min_length=1, description="Name of the rating, and its prompt.")
    high: int = Field(10, ge=1, le=100, description="Greatest number of the scale; a prompt has it as `{high}`, or states the same number.")


class Rubric(Rated):
    """A number from 1 to 5 for each aspect of each answer (UltraFeedback: Cui et al. 2023)."""

    use: Literal["rubric"] = "rubric"
    aspects: dict[str, PromptFile] = Field(
        {name: f"aspect_{name}.en" for name in ASPECTS}, min_length=1, description="Name of each rating, and the prompt that asks for it."
    )


class RatedDocuments(Rated):
    """A number from 0 to 5 for each document under a rubric (FineWeb-Edu: Penedo et al. 2024); it stands in the metadata, as `ratings`."""

    takes: ClassVar[tuple[str, ...]] = ("document",)
    shown: ClassVar[tuple[str, ...]] = ("document",)

    use: Literal["documents"] = "documents"
    aspects: dict[str, PromptFile] = Field({"edu_quality": "edu_quality.en"}, min_length=1, description="Name of the rating, and its prompt.")
    low: int = Field(0, ge=0, description="Least number of the scale.")
    document_chars: int = Field(6_000, ge=100, description="Characters of the document that are shown.")


class Ranking(Panel):
    """All answers at once, put in order; shown in a drawn order and in its reverse, and ranked by their mean place.

    A pair is turned so that the better place is chosen; equal places are a tie, and no pair.
    """

    words: ClassVar[tuple[str, ...]] = ("count",)

    use: Literal["ranking"] = "ranking"
    rationale: bool = Field(True, description="Reasons first, then the order.")
    prompt: PromptFile = Field("ranking.en", description="A shipped prompt, or a `.md` file of your own.")
    orders: Literal["both", "one"] = Field("both", description="one: half the calls.")

    @property
    def steps(self) -> list[Files]:
        return [Files("ranking", (self.prompt,))]


class Factuality(Panel):
    """Answers checked against the text that their question came from (Llama 3: Dubey et al. 2024, 4.3.6).

    Where the model knows, its row stays; what it reliably gets wrong gets a refusal that is
    rated above the wrong answers. In between nothing is reliable, and the row is dropped. Of a
    pair both answers count; what stays is turned where the rejected one alone is borne out.
    """

    shown: ClassVar[tuple[str, ...]] = ("snippet", "question", "reply")

    use: Literal["factuality"] = "factuality"
    rationale: bool = Field(True, description="Reasons first, then the verdict.")
    prompt: PromptFile = Field("factuality_verdict.en", description="A shipped prompt, or a `.md` file of your own.")
    known: float = Field(0.5, gt=0, le=1, description="Least share of correct answers at which the model knows.")
    wrong: float = Field(1.0, gt=0, le=1, description="Least share of incorrect answers at which it reliably errs.")
    refusals: dict[str, ConstitutionFile] = Field(
        {"en": "refusals", "pt": "refusals.pt"}, min_length=1, description="What to say instead, by language; else the first of them."
    )

    @property
    def steps(self) -> list[Files]:
        return [Files("factuality", (self.prompt,), tuple(self.refusals.values()))]


class Recorded(Judging, Aggregated):
    """Verdicts that were given before, by people or models: a Parquet or JSONL file of `row_id, label` and what else is known."""

    use: Literal["recorded"] = "recorded"
    path: FilePath = Field(
        description="Its rows name `row_id`, `label` (first, second, tie), and maybe `judge`, `order`, `draw`, `a`, `b`, `logit`; "
        "of a pair `a` is by default the chosen answer. Any other label is unreadable."
    )

    @property
    def steps(self) -> list[Files]:
        return [Files("recorded", ())]


Judge = Pairwise | Constitutional | Pointwise | Rubric | RatedDocuments | Ranking | Factuality | Recorded
"""The stage, by its `use`."""
