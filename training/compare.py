"""One YAML file in; SFT, DPO, GRPO and their orders trained from it, measured alike, and one table with intervals out.

    python -m training.compare training/configs/compare.yaml

An arm is a chain of trainers, each from the model that the one before it made; what arms begin with in
common is trained once a seed. The same command again goes on where it was stopped: finished runs and
finished measurements are not repeated. An arm whose training fails is left out and named; the others are
trained, measured and told, and the command ends with exit code 1. The comparison itself is one process; on
several GPUs it starts each training by the words of `launch`, and measures on the first.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import NamedTuple

from curate.artifact import write_json
from curate.config import StoppedError, UsageError
from training.chains import WAYS, Failure, config_of, models_of, name_of
from training.command import finished
from training.config import load
from training.data import source_of
from training.evaluation.answers import prompts_of
from training.evaluation.arms import Sheet, sheet, summary, table
from training.evaluation.comparison import Compare
from training.evaluation.measures import Measure
from training.models import policy_folder, scorer_folder
from training.processes import refuse_missing

RESULT = "comparison.json"


def look(compare: Compare) -> None:
    """Raises UsageError for any mistake that can be seen before a model is loaded, in any of the arms."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("training.compare is one process, which starts those of each training; use `python -m`, and `launch: [accelerate, launch]`")
    refuse_missing(compare.launch)
    policy_folder(compare.base)
    scorer_folder(compare.reward)
    if compare.judge:
        compare.judge.refuse_mistakes()
    for held_out in (compare.texts, compare.pairs):
        held_out.files()
    prompts_of(compare.prompts.data, compare.prompts.split, compare.prompts.limit)
    for stage in dict.fromkeys(stage for arm in compare.arms for stage in arm):
        config = config_of(compare, [stage], compare.seeds[0], compare.base)
        WAYS[stage].look(stage, config, source_of(config))


class Compared(NamedTuple):
    """The measures of each arm, why others have none, and whether a simulated judge counted the wins."""

    arms: dict[str, dict[str, Measure]]
    failed: dict[str, str]
    simulated: bool


def compare_arms(compare: Compare) -> Compared:
    """Train and measure every arm with every seed. Raises what the first arm fails by: wins are counted over it."""
    look(compare)
    sheets: dict[str, list[Sheet]] = {name_of(arm): [] for arm in compare.arms}
    failed: dict[str, str] = {}
    for seed in compare.seeds:
        models = models_of(compare, seed)
        first = models[name_of(compare.arms[0])]
        if isinstance(first, Failure):
            raise first
        for name, found in sheets.items():
            if isinstance(models[name], Failure):
                failed.setdefault(name, f"seed {seed}: {models[name]}")
            else:
                found.append(sheet(compare, models[name], first, f"{name}-seed-{seed}", Path(compare.output)))
    whole = {name: found for name, found in sheets.items() if name not in failed}
    simulated = any(one.simulated for found in whole.values() for one in found)
    return Compared({name: summary(found) for name, found in whole.items()}, failed, simulated)


def told(config: Compare) -> list[str]:
    """The table of a comparison, and the file in which its numbers stand. Raises StoppedError, with the table, where an arm has failed."""
    arms, failed, simulated = compare_arms(config)
    measured = {arm: {name: one._asdict() for name, one in found.items()} for arm, found in arms.items()}
    file = Path(config.output) / RESULT
    write_json(file, {"arms": measured, "failed": failed, "seeds": config.seeds, "simulated": simulated})
    warning = ["SIMULATED: wins are counted by a simulated judge, and say nothing of these models"] if simulated else []
    lines = [*warning, *table(arms, len(config.seeds)), *(f"{name} is left out: {why}" for name, why in failed.items()), str(file)]
    if failed:
        raise StoppedError("\n".join(lines))
    return lines


def main(words: list[str] | None = None) -> int:
    """The command; its exit code: 0 done, 1 stopped and to be run again, 2 the user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m training.compare", description="Compare ways of training from one file.")
    parser.add_argument("config", help="a YAML file, such as training/configs/compare.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="lay a value over the file's")
    given = parser.parse_args(words)
    return finished(lambda: told(load(given.config, Compare, given.set)))


if __name__ == "__main__":
    sys.exit(main())
