"""What is compared: the YAML of a comparison in, its arms, their trainers and what measures them, validated, out."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from curate.config import Model
from training.config import Run
from training.data import Source, source_of
from training.evaluation.answers import Sampling
from training.evaluation.wins import Judge

Stage = Literal["sft", "dpo", "grpo"]
ARMS: list[list[Stage]] = [["sft"], ["sft", "dpo"], ["sft", "grpo"], ["sft", "grpo", "dpo"], ["sft", "dpo", "grpo"]]


class HeldOut(Model):
    """Rows that no arm has been trained on."""

    data: str = Field(min_length=1, description="An artifact's directory, files, or a Hub id.")
    split: str = Field("test", description="Split that is measured.")
    limit: int | None = Field(None, ge=1, description="Rows that are measured, from the first on; null: all.")

    def files(self) -> list[Path]:
        """The files of the split. Raises UsageError where there is none."""
        return self._source().files(self.split)

    def rows(self) -> Iterator[dict]:
        """The columns of the rows."""
        return islice((row.columns for row in self._source().rows(self.split)), self.limit)

    def _source(self) -> Source:
        return source_of(Run(model="none", data=self.data, split=self.split, output="none", simulated=True))


class Measured(Sampling):
    """What every trained model is measured by."""

    texts: HeldOut = Field(description="Conversations or texts, for perplexity.")
    pairs: HeldOut = Field(description="Pairs, for the share in which the model finds chosen likelier than rejected.")
    prompts: HeldOut = Field(description="Prompts that are answered, for the mean reward and the win rate.")
    reward: str = Field(min_length=1, description="Folder of the reward model that scores answers; best not the one that GRPO earned.")
    judge: Judge | None = Field(None, description="Who counts wins over the first arm; null: the reward model.")
    max_length: int = Field(1024, ge=8, description="Longest measured sequence in tokens.")


class Trainer(Model):
    """A trainer's config file, and what is laid over it; model, output and seed are set here."""

    config: str = Field(min_length=1, description="A YAML file of that trainer.")
    set: dict[str, object] = Field({}, description="Values over the file's, by key.")

    @field_validator("set")
    @classmethod
    def _not_ours(cls, values: dict[str, object]) -> dict[str, object]:
        if taken := {"model", "output", "seed"} & values.keys():
            raise ValueError(f"the comparison itself sets {', '.join(sorted(taken))}; take it out")
        return values


class Compare(Measured):
    """The arms, and what they have in common."""

    base: str = Field(min_length=1, description="Folder of the model that every arm starts from.")
    trainers: dict[Stage, Trainer] = Field(min_length=1, description="By the name that arms use.")
    arms: list[list[Stage]] = Field(ARMS, min_length=1, description="Chains of trainers; wins are counted over the first.")
    seeds: list[int] = Field([0, 1, 2], min_length=1, description="Every arm is trained with each.")
    output: str = Field(min_length=1, description="Directory of the models, the measurements and the table.")
    launch: list[str] = Field([], description="Words before `-m training.sft` and the like, such as [accelerate, launch]; empty: trained in this process.")

    @field_validator("arms")
    @classmethod
    def _trained(cls, arms: list[list[Stage]], info: object) -> list[list[Stage]]:
        missing = {stage for arm in arms for stage in arm} - set(info.data.get("trainers", {}))
        if missing or not all(arms):
            raise ValueError(f"arms use {', '.join(sorted(missing))}; describe it under `trainers`" if missing else "an arm has a trainer or more")
        if any(arms.count(arm) > 1 for arm in arms):
            raise ValueError("an arm stands twice; take one out, and give more `seeds` for more runs of it")
        return arms

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice, and would count as two runs")
        return seeds
