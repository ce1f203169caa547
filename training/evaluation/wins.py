"""Two models' answers to the same prompts in; which of them a judge calls better, prompt by prompt, out.

A judge is a recipe whose last stage is one: its calls are journalled, paid once and gone on with after
a kill. Or it is a reward model, which knows no order.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Self

import polars as pl
from pydantic import Field, model_validator

import curate
from curate.artifact import Artifact
from curate.config import Model, UsageError
from curate.judges.verdicts import FIRST, TIE, UNREADABLE
from training.evaluation.answers import Prompt
from training.evaluation.candidates import side_of, write_candidates
from training.evaluation.checkpoint import opened
from training.evaluation.likelihood import rewards, right
from training.models import scorer_folder

CANDIDATES = "candidates"
"""The recipe's parameter that takes the artifact of answers."""
Wins = dict[str, float | None]
"""By row, the share of orders in which the first model's answer won, a draw counting half; None where that is not known."""


class Judge(Model):
    """Who says which of two answers is the better one."""

    recipe: str | None = Field(None, description="A recipe whose last stage judges the artifact `candidates`, a parameter of it.")
    params: dict[str, object] = Field({}, description="The recipe's other parameters.")
    reward: str | None = Field(None, description="Folder of a reward model that judges instead.")
    simulated: bool = Field(False, description="Count the verdicts of a judge that calls itself a simulation.")

    @model_validator(mode="after")
    def _one_judge(self) -> Self:
        if (self.recipe is None) == (self.reward is None):
            raise ValueError("one judge: give a `recipe`, or a reward model under `reward`")
        return self

    def refuse_mistakes(self) -> None:
        """Raises UsageError where the recipe or the reward model is none, before anything is asked."""
        if self.reward:
            scorer_folder(self.reward)
            return
        sets = [f"--set={name}={json.dumps(value)}" for name, value in {**self.params, CANDIDATES: CANDIDATES}.items()]
        checked = subprocess.run([sys.executable, "-m", "curate.cli", "check", self.recipe, *sets], capture_output=True, text=True, check=False)
        if checked.returncode:
            raise UsageError(checked.stderr.strip())


class Compared(NamedTuple):
    """What was said of every prompt."""

    wins: list[float | None]
    """By prompt, over all judges: 1 where the first model won in every order, 0 where it lost, between them else."""
    judges: dict[str, Wins]
    report: dict
    """What the judge stage says of its judges; empty of a reward model."""
    simulated: bool


def compared(judge: Judge, output: Path, models: tuple[str, str], prompts: list[Prompt], sides: list[list[str]]) -> Compared:
    """The verdicts on two lists of answers; equal answers are draws, and nobody is asked about them."""
    if judge.reward:
        scorer, turns = opened(judge.reward), [prompt.turns for prompt in prompts]
        first, second = (rewards(scorer, turns, side) for side in sides)
        return Compared([right(one - two) for one, two in zip(first, second, strict=True)], {}, {}, False)
    same = equal(sides)
    if all(same):
        return Compared([0.5] * len(prompts), {}, {}, False)
    ids, candidates = write_candidates(output / "candidates", models, prompts, sides)
    judged = curate.run(judge.recipe, root=output / "runs", **{**judge.params, CANDIDATES: str(candidates.resolve())})
    found = wins_of(_verdicts(judged, judge))
    wins = [0.5 if alike else _mean([said.get(row) for said in found.values()]) for row, alike in zip(ids, same, strict=True)]
    return Compared(wins, found, judged.receipt.report.get("judges", {}), bool(judged.receipt.report.get("simulated")))


def equal(sides: list[list[str]]) -> list[bool]:
    """For each prompt, whether both models say the same."""
    return [one.strip() == two.strip() for one, two in zip(*sides, strict=True)]


def _verdicts(judged: Artifact, judge: Judge) -> pl.DataFrame:
    files = sorted((judged.path / "verdicts").glob("*.parquet"))
    if not files:
        raise UsageError(f"{judge.recipe}: its last stage is no judge; end it with one that reads ${{{CANDIDATES}}}")
    if judged.receipt.report.get("simulated") and not judge.simulated:
        raise UsageError(f"{judged.path}: its verdicts come from a simulated judge; count them by `simulated: true`, for a trial alone")
    return pl.read_parquet(files)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def wins_of(verdicts: pl.DataFrame) -> dict[str, Wins]:
    """The wins of each judge, from its verdicts on pairs, or from the numbers that it gave to each answer."""
    found: dict[str, Wins] = {}
    for part in verdicts.partition_by("judge", maintain_order=True):
        pairs = part["b"].is_not_null().any()
        found[part["judge"][0]] = _by_pairs(part) if pairs else _by_numbers(part)
    return found


def _by_pairs(verdicts: pl.DataFrame) -> Wins:
    """The mean of each order first, then over the orders, so that no place weighs more.

    None where an order that was asked has no readable verdict: the other alone would carry the judge's lean.
    """
    a_won = pl.when(pl.col("label") == TIE).then(0.5).otherwise(((pl.col("label") == FIRST) == (pl.col("order") == 0)).cast(float))
    a_won = pl.when(pl.col("label") != UNREADABLE).then(a_won)
    won = pl.when(_side("a") == 0).then(a_won).otherwise(1 - a_won)
    by_order = verdicts.group_by("row_id", "order", maintain_order=True).agg(won.mean().alias("won"))
    rows = by_order.group_by("row_id", maintain_order=True).agg(pl.col("won").mean(), pl.col("won").null_count().alias("unread"))
    return {row: None if unread else mean for row, mean, unread in rows.iter_rows()}


def _by_numbers(verdicts: pl.DataFrame) -> Wins:
    """Which answer has the higher mean, a place in a ranking counting downwards; None where one has no number."""
    value = pl.when(pl.col("kind") == "ranking").then(-pl.col("value")).otherwise(pl.col("value"))
    means = [value.filter(_side("a") == side).mean().alias(str(side)) for side in (0, 1)]
    rows = verdicts.group_by("row_id", maintain_order=True).agg(*means)
    return {row: None if None in (one, two) else right(one - two) for row, one, two in rows.iter_rows()}


def _side(column: str) -> pl.Expr:
    return pl.col(column).map_elements(side_of, return_dtype=pl.Int64)
