"""A config in; the arguments of TRL's own config out."""

import dataclasses
import difflib
import os
from pathlib import Path

from curate.config import UsageError
from training.config import Run
from training.models import on_gpu, precision_of

CHECKPOINTS = "checkpoints"


def arguments(config: Run, kind: type, **given: object) -> object:
    """An instance of TRL's config class `kind`. Raises UsageError for a word under `trl` that it does not know, or that is ours."""
    known = {field.name for field in dataclasses.fields(kind) if field.init}
    recomputed = next(name for name in ("activation_checkpointing", "gradient_checkpointing") if name in known)  # the second: its old name
    ours = {**common(config), recomputed: config.checkpointing, **given}
    for name in config.trl:
        near = difflib.get_close_matches(name, known, n=1)
        if name not in known:
            raise UsageError(f"trl.{name}: {kind.__name__} has no such argument" + (f"; did you mean '{near[0]}'?" if near else ""))
        if name in ours:
            raise UsageError(f"trl.{name}: set by this config's own keys; take it out")
    return kind(**ours, **config.trl)


def common(config: Run) -> dict[str, object]:
    """What all trainers are told."""
    evaluated = "steps" if config.held_out and config.eval_steps else "no"
    quantised = config.adapter is not None and config.adapter.quantised
    return {
        "output_dir": str(Path(config.output) / CHECKPOINTS),
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps or -1,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.accumulate,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.schedule,
        "warmup_steps": config.warmup,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.clip,
        "seed": config.seed,
        "data_seed": config.seed,
        "optim": "paged_adamw_8bit" if quantised else "adamw_torch_fused",
        "bf16": precision_of(config) == "bf16",
        "use_cpu": not on_gpu(),
        "logging_steps": config.log_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # it hides a loss that is no number, and has a GPU waited for in every step
        "save_steps": config.save_steps,
        "save_total_limit": config.keep_checkpoints,  # two or more: the last may be half written when a run is killed
        "eval_strategy": evaluated,
        "eval_steps": config.eval_steps,
        "report_to": config.report_to,
        "dataloader_pin_memory": on_gpu(),
        "accelerator_config": {"non_blocking": on_gpu()},  # else each tensor that goes to a GPU waits for the step before it
    }


def processes() -> int:
    """Processes of this run, as `accelerate launch` and `torchrun` say."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """True for the one of them that speaks for all."""
    return os.environ.get("RANK", "0") == "0"
