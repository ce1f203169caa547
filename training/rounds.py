"""Rounds of generate, judge and DPO: a start checkpoint and a recipe in; one checkpoint after another out, each named by the next.

    python -m training.rounds training/configs/rounds.yaml --set model=models/sft --set rounds=3

In each round the last checkpoint, served on loopback, answers the prompts; a judge compares the answers;
DPO goes on from that checkpoint, which is its reference, too (Touvron et al. 2023, 3.2.3; Dubey et al. 2024,
4.1.6). What is finished is not done again: the same command goes on after a kill.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from curate.artifact import RECEIPT, ParentAccount, Receipt, read_receipt, write_json, write_receipt
from curate.config import Model, StoppedError, UsageError
from training.command import finished
from training.config import Dpo, load
from training.data import source_of
from training.evaluation.checkpoint import answering
from training.models import weights_hash
from training.receipt import identity
from training.serving import Serve, guarded, name_of, program, served

WRITER = "writer"
"""The recipe's parameter that takes the checkpoint's name, and its endpoint, whose address the round gives."""


class RoundDpo(Dpo):
    """DPO's settings in every round."""

    model: Literal[""] = Field("", description="Left empty: the checkpoint before.")
    data: Literal[""] = Field("", description="Left empty: the round's own pairs.")
    output: Literal[""] = Field("", description="Left empty: the round's folder.")


class Rounds(Model):
    """Rounds of answers by the last checkpoint, judgement and DPO."""

    model: str = Field(min_length=1, description="The start: folder of an SFT model, or a Hub id.")
    output: str = Field(min_length=1, description="Directory of the rounds, each with its model, and of the artifacts.")
    rounds: int = Field(2, ge=1, le=100, description="How many; raised later, the further ones are added.")
    recipe: str = Field(min_length=1, description="Recipe from prompts to pairs, with a parameter and an endpoint `writer`.")
    params: dict[str, object] = Field({}, description="The recipe's other parameters; `{round}` in a text becomes the round's number.")
    serve: Serve = Field(
        "transformers", description="Server of the checkpoint, by name or as words with `{model}` and `{port}`, run in the folder of `{model}`."
    )
    serve_wait_s: float = Field(600, gt=0, description="Seconds within which the server must answer.")
    dpo: RoundDpo = Field(RoundDpo(), description="Settings of DPO, as in training/configs/dpo.yaml.")
    launch: list[str] = Field([], description="Words before `-m training.dpo`, such as [accelerate, launch]; empty: this Python.")
    simulated: bool = Field(False, description="Train on verdicts of a simulated judge.")


def run(config: Rounds) -> Path:
    """Make every round that is not made; the last checkpoint. Raises UsageError and StoppedError with one clear message."""
    program(config.serve)
    answering(config.model)
    before = config.model
    for number in range(1, config.rounds + 1):
        home = Path(config.output) / f"round-{number}"
        home.mkdir(parents=True, exist_ok=True)
        model = trained(config, number, before, pairs(config, number, before, home), home)
        _note(number, before, model, config.simulated)
        before = str(model)
    return model


def pairs(config: Rounds, number: int, before: str, home: Path) -> Path:
    """The artifact of the round's pairs; the checkpoint is served only where the artifact is not made yet."""
    params = {name: value.replace("{round}", str(number)) if isinstance(value, str) else value for name, value in config.params.items()}
    sets = [f"--set={name}={json.dumps(value)}" for name, value in {**params, WRITER: name_of(before)}.items()]
    words = [config.recipe, "--root", str(Path(config.output) / "runs"), *sets]
    last = json.loads(_said([sys.executable, "-m", "curate.cli", "plan", *words, "--json"]))[-1]
    if last["done"]:
        return Path(last["directory"])
    print(f"round {number}: {name_of(before)} answers", file=sys.stderr)
    with served(before, config.serve, home, config.serve_wait_s) as url:
        direct = f"127.0.0.1,{os.environ.get('no_proxy') or os.environ.get('NO_PROXY', '')}"  # the lower case is what is heard first
        here = {f"CURATE_ENDPOINT_{WRITER.upper()}_URL": url, "no_proxy": direct}
        return Path(_said([sys.executable, "-m", "curate.cli", "run", *words], here).splitlines()[-1])


def trained(config: Rounds, number: int, before: str, data: Path, home: Path) -> Path:
    """The round's model, trained in a process of its own: the memory of a GPU is then free again for the server."""
    model, file = home / "model", home / "dpo.yaml"
    own = {"model": before, "data": str(data), "output": str(model), "simulated": config.simulated}
    dpo = Dpo.model_validate({**config.dpo.model_dump(), **own})
    if not ((model / RECEIPT).exists() and read_receipt(model).fingerprint == identity("dpo", dpo, source_of(dpo))):
        print(f"round {number}: DPO on {data}", file=sys.stderr)
        write_json(file, dpo.model_dump(mode="json"))  # JSON is YAML
        _said([*(config.launch or [sys.executable]), "-m", "training.dpo", str(file)])
    return model


def _said(words: list[str], environment: dict[str, str] | None = None) -> str:
    """What a command of ours prints; its progress and its errors go to our own stderr."""
    with guarded(words, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}) as process:
        said = process.stdout.read()
        code = process.wait()
    if code:
        raise (UsageError if code == 2 else StoppedError)(f"{' '.join(words[:4])}: failed with exit code {code}; see above")
    return said


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
