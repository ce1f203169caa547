"""A config file and a way to build a trainer in; a trained model with its receipt out, or one clear line.

The order is the point: the config, the rows and the tokenizer are checked before a model is loaded,
the batches before the first step, and the receipt is written after everything else.
"""

import argparse
import importlib.util
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from curate.config import UsageError
from curate.contract import Report, Tokenizer
from training import checkpoints, curves, faults, guards, place
from training.arguments import CHECKPOINTS, is_first_process, processes
from training.command import finished
from training.config import Run, load
from training.data import Source, Trainer, contract, prepared, source_of, tokenizer_of
from training.models import check_quantised, devices, merged, on_gpu, tokenizer_for
from training.receipt import finish, identity, receipt

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase, TrainerCallback
    from transformers import Trainer as HfTrainer

logger = logging.getLogger(__name__)
_CHECKED = 8
"""Rows of the first batch that guards look at."""
_PATIENCE = timedelta(hours=12)
"""How long a process waits for another: NCCL's ten minutes are over before the first has prepared some millions of rows."""
_MASKED = {"labels", "chosen_labels", "chosen_ids", "completion_ids"}
"""Columns of rows whose collator makes a mask, or a pair; GRPO's makes neither."""


class Material(NamedTuple):
    """What a trainer is built of, all of it checked."""

    config: Run
    source: Source
    tokenizer: "PreTrainedTokenizerBase"
    predicted: Tokenizer
    """The contract's view of the same tokenizer."""
    train: "datasets.Dataset"
    held_out: "datasets.Dataset | None"


Build = Callable[[Material], "HfTrainer"]
Look = Callable[..., Report]
"""`report_of`, or another function of its parameters."""


def main(
    kind: Trainer, shape: type[Run], build: Build, words: list[str] | None = None, look: Look | None = None,
    ready: Callable[[Run], Run] = lambda config: config,
) -> int:  # fmt: skip
    """The command line of a trainer; its exit code: 0 done, 1 stopped and to be run again, 2 the user's mistake.

    `look` reports on the rows where the contract knows no such trainer; `ready` makes what a config still lacks.
    """
    parser = argparse.ArgumentParser(prog=f"python -m training.{kind}", description=f"Train by {kind} as a YAML file says.")
    parser.add_argument("config", help="a YAML file, such as those in training/configs/")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="lay a value over the file's")
    parser.add_argument("--show", type=int, metavar="ROWS", help="print rows with the trained tokens marked, and the contract's report, and stop")
    parser.add_argument("--simulated", action="store_true", help="accept data that was judged by a simulated judge")
    given = parser.parse_args(words)

    def work() -> list[str]:
        config = ready(load(given.config, shape, given.set + (["simulated=true"] if given.simulated else [])))
        if given.show is not None:
            return (look or report_of)(kind, config, source_of(config), given.show).lines()
        return [str(train(kind, config, build, look or report_of))]

    return finished(work)


def report_of(kind: Trainer, config: Run, source: Source, show: int = 0) -> Report:
    """The contract's report over the rows that will be trained."""
    return contract(kind, config, source, tokenizer_of(config), show)


def train(kind: Trainer, config: Run, build: Build, look: Look = report_of) -> Path:
    """Train as the config says, from the last whole checkpoint on where there is one; the model's directory."""
    source, output = source_of(config), Path(config.output)
    _installed(config)
    report = look(kind, config, source)
    for found in report.findings:
        logger.warning(found.sentence(report.read))
    started = time.monotonic()
    try:
        wanted = identity(kind, config, source)
        if place.is_done(output, wanted):
            return output
        with place.held(output):
            place.begin(output, wanted)
            trainer = build(material_of(kind, config, source))
            told = _trained(trainer, config, output)
            _save(trainer, config, output, scores=kind == "reward")
            if trainer.is_world_process_zero():
                finish(output, receipt(kind, config, source, report, told, time.monotonic() - started))
    except (*faults.errors(), KeyboardInterrupt) as error:
        raise faults.explained(error, config) from error
    return output


def _installed(config: Run) -> None:
    """UsageError where a library, or the GPU that QLoRA needs, is missing; or one process sees several GPUs, of which TRL uses one or none."""
    for name in ("trl", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"{name} is missing; `pip install 'curate[train]'`")
    if processes() == 1 and devices() > 1:
        several = "accelerate launch --config_file training/configs/ddp.yaml -m training.sft ..."
        raise UsageError(f"{devices()} GPUs for one process; start one process for each by `{several}`, or show it one by CUDA_VISIBLE_DEVICES=0")
    check_quantised(config.adapter)


@contextmanager
def first_alone() -> Iterator[None]:
    """What is within is done by the first of several processes, and then by the others, who find it done."""
    from accelerate import PartialState

    with PartialState(cpu=not on_gpu(), timeout=_PATIENCE).main_process_first():
        yield


def material_of(kind: Trainer, config: Run, source: Source) -> Material:
    predicted, folder = tokenizer_of(config), Path(config.output) / "prepared"
    with first_alone():
        if is_first_process():
            shutil.rmtree(folder, ignore_errors=True)  # of an earlier start: its cache would be kept beside the new one
        rows = prepared(kind, config, source, config.split, predicted, folder)
        held_out = prepared(kind, config, source, config.held_out, predicted, folder) if config.held_out else None
    return Material(config, source, tokenizer_for(config), predicted, rows, held_out)


def _trained(trainer: "HfTrainer", config: Run, output: Path) -> dict:
    """Train under the guards; what the trainer says of itself."""
    check_batch(trainer)
    trainer.add_callback(_marks(trainer, output))
    if trainer.is_world_process_zero():
        checkpoints.clear_broken(output / CHECKPOINTS)
    trainer.accelerator.wait_for_everyone()
    last = checkpoints.last_whole(output / CHECKPOINTS)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    measured = trainer.evaluate() if config.held_out else {}
    if trainer.is_world_process_zero():
        curves.draw(trainer.state.log_history, output)
    curve = [entry for entry in trainer.state.log_history if "loss" in entry]
    return {"metrics": measured, "curve": curve, "steps": trainer.state.global_step, "epochs": trainer.state.epoch}


def _marks(trainer: "HfTrainer", output: Path) -> "TrainerCallback":
    """What puts into a checkpoint all that the curves go on from, says of it that it is whole, and draws the curves up to it."""
    from transformers import TrainerCallback

    class Marks(TrainerCallback):
        def on_train_begin(self, args: object, state: object, control: object, **rest: object) -> None:
            counted = (entry["num_tokens"] for entry in reversed(state.log_history) if "num_tokens" in entry)
            trainer._total_train_tokens = next(counted, 0)  # TRL counts from zero at every start

        def on_epoch_begin(self, args: object, state: object, control: object, train_dataloader: object, **rest: object) -> None:
            begin_epoch(train_dataloader, int(state.epoch))

        def on_log(self, args: object, state: object, control: object, logs: dict, **rest: object) -> None:
            if not math.isfinite(logs.get("loss", 0.0)):  # before the checkpoint of this step is written
                raise faults.NoNumber(state.global_step)

        def on_step_end(self, args: object, state: object, control: object, **rest: object) -> None:
            control.should_log |= control.should_save  # the losses since the last log are in no checkpoint

        def on_save(self, args: object, state: object, control: object, **rest: object) -> None:
            trainer.accelerator.wait_for_everyone()  # each process writes its own random state
            if state.is_world_process_zero:
                checkpoints.mark(output / CHECKPOINTS / f"checkpoint-{state.global_step}")
                curves.draw(state.log_history, output)

    return Marks()


def begin_epoch(loader: object, epoch: int) -> None:
    """Give the epoch's number to the sampler under a loader, so that it draws the same rows at every start of the same run.

    accelerate does not reach one below two of its own, as in a resumed run of several processes; TRL's sampler of GRPO has no
    epochs, and would draw those of the first.
    """
    from trl.trainer.utils import RepeatSampler

    part = loader
    while part is not None:
        inner = getattr(part, "batch_sampler", None)
        part = inner if inner is not None else getattr(part, "sampler", None)
        if isinstance(part, RepeatSampler):
            part.generator.manual_seed(part.seed + epoch)
        elif hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


def check_batch(trainer: "HfTrainer") -> None:
    """Look at the first rows as the collator gives them to the model. Raises UsageError for padding or other turns in the loss."""
    rows = [trainer.train_dataset[place] for place in range(min(_CHECKED, len(trainer.train_dataset)))]
    names = set(trainer.train_dataset.column_names)
    if not rows or not names & _MASKED:
        return
    batch = trainer.data_collator([dict(row) for row in rows])
    guards.refuse(guards.padding_in_loss(batch))
    if "labels" in names and "attention_mask" in batch:
        guards.refuse(guards.trained_differs(batch, sum(label != guards.IGNORED for row in rows for label in row["labels"])))
    if {"prompt_ids", "chosen_ids"} <= names:
        guards.refuse(guards.trained_differs(batch, sum(len(row[name]) for row in rows for name in ("chosen_ids", "rejected_ids"))))
    if "chosen_ids" in names:
        guards.refuse(guards.identical_pairs(rows))


def _save(trainer: "HfTrainer", config: Run, output: Path, scores: bool) -> None:
    """The model, safetensors with its chat template, beside its adapters; each file by a rename."""
    staging = output / ".saving"
    if trainer.is_world_process_zero():
        shutil.rmtree(staging, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()  # else one process would remove what another has begun to save
    trainer.save_model(str(staging / "adapter" if config.adapter else staging))
    if not trainer.is_world_process_zero():
        return
    if config.adapter:
        merged(config, staging / "adapter", scores).save_pretrained(staging)
    trainer.processing_class.save_pretrained(staging)
    readable = (staging / "config.json").stat().st_mode  # safetensors writes for its owner alone, who may not be the one who serves
    for path in sorted(staging.rglob("*")):
        if path.is_file() and path.name != "training_args.bin":  # a pickle, with this machine's paths
            target = output / path.relative_to(staging)
            target.parent.mkdir(exist_ok=True)
            path.chmod(readable)
            os.replace(path, target)
    shutil.rmtree(staging)
