"""One YAML file in; SFT, DPO, GRPO and their orders trained from it, measured alike, and one table with intervals out.

    python -m training.compare training/configs/compare.yaml

An arm is a chain of trainers, each from the model that the one before it made; what arms begin with in
common is trained once a seed. The same command again goes on where it was stopped: finished runs and
finished measurements are not repeated. The comparison itself is one process; on several GPUs it starts each
training by the words of `launch`, and measures on the first.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from curate.artifact import RECEIPT, read_receipt, write_json
from curate.config import UsageError
from training import dpo, grpo, sft
from training.command import finished
from training.config import Dpo, Grpo, Run, Sft, load
from training.data import source_of
from training.evaluation.answers import prompts_of
from training.evaluation.arms import Sheet, sheet, summary, table
from training.evaluation.comparison import Compare, Stage
from training.evaluation.measures import Measure
from training.models import policy_folder, scorer_folder
from training.processes import refuse_missing, trained_apart
from training.receipt import identity
from training.run import Build, Look, report_of, train

RESULT = "comparison.json"


class Way(NamedTuple):
    """A trainer: its config, how it is built, and how its rows are looked at first."""

    shape: type[Run]
    build: Build
    look: Look


WAYS = {"sft": Way(Sft, sft.build, report_of), "dpo": Way(Dpo, dpo.build, report_of), "grpo": Way(Grpo, grpo.build, grpo.look)}


def name_of(arm: list[Stage]) -> str:
    return "+".join(arm)


def config_of(compare: Compare, chain: list[Stage], seed: int, model: str) -> Run:
    """The config of the last trainer of a chain."""
    trainer, output = compare.trainers[chain[-1]], Path(compare.output)
    home = {"model": model, "output": str(output / "models" / f"seed-{seed}" / name_of(chain)), "seed": seed}
    home |= {"reference_store": str(output / "reference_logps")} if chain[-1] == "dpo" else {}
    words = [f"{key}={json.dumps(value)}" for key, value in {**trainer.set, **home}.items()]
    return load(trainer.config, WAYS[chain[-1]].shape, words)


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


def models_of(compare: Compare, seed: int) -> dict[str, Path]:
    """Train every beginning of every arm, each once, unless it is done; the models by the names of their chains."""
    made = {"": Path(compare.base)}
    for chain in sorted((arm[:length] for arm in compare.arms for length in range(1, len(arm) + 1)), key=len):
        if name_of(chain) not in made:
            way, config = WAYS[chain[-1]], config_of(compare, chain, seed, str(made[name_of(chain[:-1])]))
            print(f"training.{chain[-1]}: {config.output}", file=sys.stderr)
            made[name_of(chain)] = trained(compare, chain[-1], config, way)
    return made


def trained(compare: Compare, stage: Stage, config: Run, way: Way) -> Path:
    """The model of a config, trained here or by the comparison's launcher."""
    output = Path(config.output)
    if not compare.launch:
        return train(stage, config, way.build, way.look)
    if not ((output / RECEIPT).exists() and read_receipt(output).fingerprint == identity(stage, config, source_of(config))):
        output.parent.mkdir(parents=True, exist_ok=True)
        trained_apart(stage, config, output.with_name(f"{output.name}.yaml"), compare.launch)
    return output


def compare_arms(compare: Compare) -> tuple[dict[str, dict[str, Measure]], bool]:
    """Train and measure every arm with every seed; its measures, and whether a simulated judge counted the wins."""
    look(compare)
    names = [name_of(arm) for arm in compare.arms]
    sheets: dict[str, list[Sheet]] = {name: [] for name in names}
    for seed in compare.seeds:
        models = models_of(compare, seed)
        for name in names:
            sheets[name].append(sheet(compare, models[name], models[names[0]], f"{name}-seed-{seed}", Path(compare.output)))
    simulated = any(one.simulated for found in sheets.values() for one in found)
    return {name: summary(found) for name, found in sheets.items()}, simulated


def told(config: Compare) -> list[str]:
    """The table of a comparison, and the file in which its numbers stand."""
    arms, simulated = compare_arms(config)
    measured = {arm: {name: one._asdict() for name, one in found.items()} for arm, found in arms.items()}
    file = Path(config.output) / RESULT
    write_json(file, {"arms": measured, "seeds": config.seeds, "simulated": simulated})
    warning = ["SIMULATED: wins are counted by a simulated judge, and say nothing of these models"] if simulated else []
    return [*warning, *table(arms, len(config.seeds)), str(file)]


def main(words: list[str] | None = None) -> int:
    """The command; its exit code: 0 done, 1 stopped and to be run again, 2 the user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m training.compare", description="Compare ways of training from one file.")
    parser.add_argument("config", help="a YAML file, such as training/configs/compare.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="lay a value over the file's")
    given = parser.parse_args(words)
    return finished(lambda: told(load(given.config, Compare, given.set)))


if __name__ == "__main__":
    sys.exit(main())
