"""One side of the GPU benchmark in a process of its own: a job in; what it trained a second, and the loss of fixed rows, out.

    python -m benchmarks.gpu_side JOB.json      called by benchmarks/gpu.py; the last line of stdout is JSON

`ours` is `training.sft` and `training.dpo` by their own configs. `bare` is the script that TRL's documentation
begins with: a trainer with its defaults, and nothing set but the longest row, the precision and the steps.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import datasets
import torch
from transformers import Trainer, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from training import dpo, sft
from training.config import Dpo, Sft
from training.data import source_of
from training.run import material_of

BATCH = 8
"""TRL's default rows a batch."""
MOVED = 1.5
"""How far the last norm is scaled for DPO's fixed rows: where the model is its reference every loss is ln 2."""


class Built(NamedTuple):
    """A trainer, and the seconds that it took to reckon the reference of one pair beforehand."""

    trainer: Trainer
    reference_s: float = 0.0


class Stopwatch(TrainerCallback):
    """Counts tokens and seconds from the step `warm` on, with the device idle at both ends."""

    def __init__(self, trainer: Trainer, warm: int) -> None:
        self.warm, self.seconds, self.started = warm, 0.0, None
        self.tokens, self.slots, self.rows = 0, 0, 0
        self.inner, trainer.training_step = trainer.training_step, self.step

    def on_step_begin(self, args: object, state: object, control: object, **rest: object) -> None:
        if state.global_step == self.warm:
            self.started = now()

    def on_train_end(self, args: object, state: object, control: object, **rest: object) -> None:
        self.seconds = now() - self.started

    def step(self, model: torch.nn.Module, inputs: dict, *rest: object) -> torch.Tensor:
        if self.started is not None:
            ids, mask = inputs["input_ids"], inputs.get("attention_mask")
            real = ids.numel() if mask is None else mask.sum()  # a tensor: no wait for the device
            self.tokens = self.tokens + real
            self.slots = self.slots + (real if "line" in inputs else ids.numel())  # a line of pairs has no padding
            self.rows += ids.size(0)
        return self.inner(model, inputs, *rest)


def now() -> float:
    """Seconds: of the wall with a GPU that has caught up, of this process's CPU without one."""
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def ours(job: dict) -> Built:
    """The trainer of `training/`, with its packing or its buckets and kept references."""
    values = {
        "model": job["model"], "data": job["data"], "held_out": "probe", "output": f"{job['out']}/ours", "max_length": job["length"],
        "max_steps": job["steps"], "batch_size": BATCH, "precision": job["precision"], "attention": job["attention"], "save_steps": 1_000_000,
        "checkpointing": job.get("checkpointing", False),
    }  # fmt: skip
    if job["trainer"] == "sft":
        config = Sft(**values, packing="bfd_split")
        return Built(sft.build(material_of("sft", config, source_of(config))))
    config = Dpo(**values, reference_store=f"{job['out']}/store")
    took, inner = [], dpo.with_logps

    def timed(trainer: Trainer, rows: datasets.Dataset, store: Path) -> datasets.Dataset:
        started = now()
        made = inner(trainer, rows, store)
        took.append((now() - started) / len(rows))
        return made

    dpo.with_logps = timed
    return Built(dpo.build(material_of("dpo", config, source_of(config))), took[0])


def bare(job: dict) -> Built:
    """TRL's trainer as its documentation has it."""
    rows = {split: datasets.Dataset.from_parquet(f"{job['data']}/{split}-0.parquet") for split in ("train", "probe")}
    trainer, kind = {"sft": (SFTTrainer, SFTConfig), "dpo": (DPOTrainer, DPOConfig)}[job["trainer"]]
    args = kind(
        output_dir=f"{job['out']}/bare", max_length=job["length"], max_steps=job["steps"], bf16=job["precision"] == "bf16",
        use_cpu=not torch.cuda.is_available(), save_strategy="no", report_to="none",
    )  # fmt: skip
    return Built(trainer(model=job["model"], args=args, train_dataset=rows["train"], eval_dataset=rows["probe"]))


def probe_loss(trainer: Trainer, moved: bool) -> float:
    """Loss of the fixed rows before any step; `moved` scales the model away from its reference for it."""
    norm = trainer.model.model.norm.weight
    with torch.no_grad():
        norm.mul_(MOVED if moved else 1.0)
        loss = trainer.evaluate()["eval_loss"]
        norm.fill_(1.0)
    return loss


def measured(job: dict, build: Callable[[dict], Built]) -> dict:
    """Train and tell: rates, memory, padding, and what the fixed rows cost."""
    trainer, reference_s = build(job)
    loss = probe_loss(trainer, job["trainer"] == "dpo")
    watch = Stopwatch(trainer, job["warm"])
    trainer.add_callback(watch)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    pairs = watch.rows / 2 if job["trainer"] == "dpo" else 0
    seconds, tokens = watch.seconds + reference_s * pairs, int(watch.tokens)
    return {
        "tokens_s": tokens / seconds, "pairs_s": pairs / seconds if pairs else None, "padding": 1 - tokens / int(watch.slots), "memory_gb": memory_gb(),
        "loss": loss, "parameters": sum(weight.numel() for weight in trainer.model.parameters()),
        "card": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
    }  # fmt: skip


def memory_gb() -> float:
    """Peak of the device's memory, or of this process where there is no device."""
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return peak / 1e9


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps(measured(given, {"ours": ours, "bare": bare}[given["side"]])))
