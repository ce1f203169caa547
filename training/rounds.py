"""Rounds of generate, judge and DPO: a start checkpoint and a recipe in; one checkpoint after another out, each named by the next.

    python -m training.rounds training/configs/rounds.yaml --set model=models/sft --set rounds=3

In each round the last checkpoint, served on loopback, answers the prompts; a judge compares the answers;
DPO goes on from that checkpoint, which is its reference, too (Touvron et al. 2023, 3.2.3; Dubey et al. 2024,
4.1.6). What is finished is not done again: the same command goes on after a kill. What all rounds need is
looked at before the first.
"""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from curate.artifact import RECEIPT, ParentAccount, Receipt, read_receipt, write_receipt
from training import round_pairs
from training.command import finished
from training.config import Dpo, load
from training.data import source_of
from training.evaluation.checkpoint import answering
from training.models import check_quantised, tokenizer_for, weights_hash
from training.processes import refuse_missing, trained_apart
from training.receipt import identity
from training.round_pairs import Answered
from training.serving import name_of, program


class RoundDpo(Dpo):
    """DPO's settings in every round."""

    model: Literal[""] = Field("", description="Left empty: the checkpoint before.")
    data: Literal[""] = Field("", description="Left empty: the round's own pairs.")
    output: Literal[""] = Field("", description="Left empty: the round's folder.")


class Rounds(Answered):
    """Rounds of answers by the last checkpoint, judgement and DPO."""

    model: str = Field(min_length=1, description="The start: folder of an SFT model, or a Hub id.")
    rounds: int = Field(2, ge=1, le=100, description="How many; raised later, the further ones are added.")
    dpo: RoundDpo = Field(RoundDpo(), description="Settings of DPO, as in training/configs/dpo.yaml.")
    launch: list[str] = Field([], description="Words before `-m training.dpo`, such as [accelerate, launch]; empty: this Python.")
    simulated: bool = Field(False, description="Train on verdicts of a simulated judge.")


def run(config: Rounds) -> Path:
    """Make every round that is not made; the last checkpoint. Raises UsageError and StoppedError with one clear message."""
    ready(config)
    before = config.model
    for number in range(1, config.rounds + 1):
        home = home_of(config, number)
        home.mkdir(parents=True, exist_ok=True)
        model = trained(config, number, before, round_pairs.pairs(config, number, before, home), home)
        _note(number, before, model, config.simulated)
        before = str(model)
    return model


def home_of(config: Rounds, number: int) -> Path:
    return Path(config.output) / f"round-{number}"


def ready(config: Rounds) -> None:
    """Raises UsageError for what any round would be refused for, before a model is loaded and before a call is paid for."""
    program(config.serve)
    answering(config.model)
    refuse_missing(config.launch)
    check_quantised(config.dpo.adapter)
    tokenizer_for(dpo_of(config, config.model, "none", "none"))
    before = name_of(config.model)
    for number in range(1, config.rounds + 1):
        for line in round_pairs.ready(config, number, before):
            print(f"round {number}: {line}", file=sys.stderr)
        made = home_of(config, number) / "model"
        before = name_of(str(made)) if (made / RECEIPT).exists() else round_pairs.UNMADE


def trained(config: Rounds, number: int, before: str, data: Path, home: Path) -> Path:
    """The round's model, trained in a process of its own: the memory of a GPU is then free again for the server."""
    model, file = home / "model", home / "dpo.yaml"
    dpo = dpo_of(config, before, str(data), str(model))
    if not ((model / RECEIPT).exists() and read_receipt(model).fingerprint == identity("dpo", dpo, source_of(dpo))):
        print(f"round {number}: DPO on {data}", file=sys.stderr)
        trained_apart("dpo", dpo, file, config.launch)
    return model


def dpo_of(config: Rounds, model: str, data: str, output: str) -> Dpo:
    own = {"model": model, "data": data, "output": output, "simulated": config.simulated}
    return Dpo.model_validate({**config.dpo.model_dump(), **own})


def _note(number: int, before: str, model: Path, simulated: bool) -> None:
    """The round's receipt, which names the checkpoint before it."""
    made, home = read_receipt(model), model.parent
    told = {"number": number, "before": name_of(before), "after": name_of(str(model)), "curve": made.report["dpo"]["curve"]}
    write_receipt(home, Receipt(
        recipe=home.parent.name, stage="round", fingerprint=hashlib.sha256(f"{told['before']} {made.fingerprint}".encode()).hexdigest(),
        config=made.config, inputs=made.inputs, counts=made.counts, steps=[], files=[], damage=[],
        parents=[ParentAccount(name="model", path=model.name, recipe=made.recipe, stage=made.stage, fingerprint=made.fingerprint)],
        report={"round": told, **({"simulated": True} if simulated else {})}, models=weights_hash(before), versions=made.versions,
    ))  # fmt: skip


def main(words: list[str] | None = None) -> int:
    """The command; its exit code: 0 done, 1 stopped and to be run again, 2 the user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m training.rounds", description="Rounds of generate, judge and DPO as a YAML file says.")
    parser.add_argument("config", help="a YAML file, such as training/configs/rounds.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="lay a value over the file's")
    parser.add_argument("--simulated", action="store_true", help="train on verdicts of a simulated judge")
    given = parser.parse_args(words)
    return finished(lambda: [str(run(load(given.config, Rounds, given.set + (["simulated=true"] if given.simulated else []))))])


if __name__ == "__main__":
    sys.exit(main())
