"""Chains of trainers, each from the model that the one before it made: a comparison and a seed in, the trained models out."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

from curate.artifact import RECEIPT, read_receipt
from curate.config import StoppedError, UsageError
from training import dpo, grpo, sft
from training.config import Dpo, Grpo, Run, Sft, load
from training.data import source_of
from training.evaluation.comparison import Compare, Stage
from training.processes import trained_apart
from training.receipt import identity
from training.run import Build, Look, report_of, train


class Way(NamedTuple):
    """A trainer: its config, how it is built, and how its rows are looked at first."""

    shape: type[Run]
    build: Build
    look: Look


WAYS = {"sft": Way(Sft, sft.build, report_of), "dpo": Way(Dpo, dpo.build, report_of), "grpo": Way(Grpo, grpo.build, grpo.look)}

Failure = UsageError | StoppedError
"""Why a chain has no model."""


def name_of(arm: list[Stage]) -> str:
    return "+".join(arm)


def config_of(compare: Compare, chain: list[Stage], seed: int, model: str) -> Run:
    """The config of the last trainer of a chain."""
    trainer, output = compare.trainers[chain[-1]], Path(compare.output)
    home = {"model": model, "output": str(output / "models" / f"seed-{seed}" / name_of(chain)), "seed": seed}
    home |= {"reference_store": str(output / "reference_logps")} if chain[-1] == "dpo" else {}
    words = [f"{key}={json.dumps(value)}" for key, value in {**trainer.set, **home}.items()]
    return load(trainer.config, WAYS[chain[-1]].shape, words)


def models_of(compare: Compare, seed: int) -> dict[str, Path | Failure]:
    """Train every beginning of every arm, each once, unless it is done; the models, or why there is none, by the names of their chains."""
    made: dict[str, Path | Failure] = {"": Path(compare.base)}
    for chain in sorted((arm[:length] for arm in compare.arms for length in range(1, len(arm) + 1)), key=len):
        if name_of(chain) not in made:
            before = made[name_of(chain[:-1])]
            made[name_of(chain)] = before if isinstance(before, Failure) else _attempted(compare, chain, seed, str(before))
    return made


def _attempted(compare: Compare, chain: list[Stage], seed: int, before: str) -> Path | Failure:
    config = config_of(compare, chain, seed, before)
    print(f"training.{chain[-1]}: {config.output}", file=sys.stderr)
    try:
        return trained(compare, chain[-1], config, WAYS[chain[-1]])
    except (UsageError, StoppedError) as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise
        print(error, file=sys.stderr)
        return error.with_traceback(None)  # its frames hold a model


def trained(compare: Compare, stage: Stage, config: Run, way: Way) -> Path:
    """The model of a config, trained here or by the comparison's launcher."""
    output = Path(config.output)
    if not compare.launch:
        return train(stage, config, way.build, way.look)
    if not ((output / RECEIPT).exists() and read_receipt(output).fingerprint == identity(stage, config, source_of(config))):
        output.parent.mkdir(parents=True, exist_ok=True)
        trained_apart(stage, config, output.with_name(f"{output.name}.yaml"), compare.launch)
    return output
