"""Group relative policy optimisation: prompts and a reward in; a model that earns more of it out.

The reward is a model that `training.reward` made, or a function `package.module:name` as TRL has it
(lists `prompts`, `completions` and every further column in, a list of numbers out).

    python -m training.grpo training/configs/grpo.yaml --set model=models/sft --set reward=models/reward
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from curate.config import UsageError
from curate.contract import Report, Tokenizer
from training import guards
from training.arguments import arguments
from training.config import Grpo
from training.data import Source, Trainer, fits, tokenizer_of, turns_of
from training.models import loaded, model_for, peft_config, scorer_folder, tokenizer_for
from training.run import Material, main

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import GRPOTrainer


def look(kind: Trainer, config: Grpo, source: Source, show: int = 0) -> Report:
    """The report over the prompts. Raises UsageError for a template without marks, prompts that are no turns, and a reward that is none."""
    if config.batch_size * config.accumulate % config.generations:
        raise UsageError(f"generations: {config.generations} must divide batch_size x accumulate = {config.batch_size * config.accumulate}")
    check_reward(config)
    tokenizer = tokenizer_of(config)
    guards.refuse(guards.template_missing(tokenizer) or guards.system_left_out(tokenizer, source.rows(config.split)))
    read, lengths, shown = 0, [], []
    for row in source.rows(config.split):
        read += 1
        ids = prompt_ids(row.columns, tokenizer)
        if ids is None:
            raise UsageError(f"{source.name}: {row.name}: prompt is no list of turns that waits for an answer; write rows by the output `grpo`")
        if len(ids) > config.max_length:
            if config.too_long == "drop":
                continue
            over = f"its prompt of {len(ids):,} tokens is over max_length; raise it, or leave such rows out by `too_long: drop`"
            raise UsageError(f"{source.name}: {row.name}: {over}")
        lengths.append(len(ids))
        shown += [f"{row.name} prompt, {len(ids):,} tokens:\n{tokenizer.decode(ids)}"] if len(shown) < show else []
    if not lengths:
        raise UsageError(f"{source.name}: split '{config.split}' has no prompt that fits into max_length")
    fits(source.name, config.model, max(lengths) + config.answer_length)
    return Report(kind, {"beta": config.beta}, read, len(lengths), sum(lengths), 0, max(lengths), (), tuple(shown))


def prompt_ids(columns: dict, tokenizer: Tokenizer) -> list[int] | None:
    """The ids of a prompt with the header of its answer; None where it is no list of turns that waits for one."""
    prompt = turns_of(columns.get("prompt"))
    if prompt is None or prompt[-1]["role"] == "assistant":
        return None
    return tokenizer.encode(tokenizer.render(prompt, columns.get("tools"), True).text).ids


def build(material: Material) -> "GRPOTrainer":
    """TRL's trainer with the KL term that the config asks for; TRL's own default has none."""
    from trl import GRPOConfig, GRPOTrainer

    config = material.config
    scorer, scorers = reward_of(config)
    args = arguments(
        config, GRPOConfig, beta=config.beta, num_generations=config.generations, max_completion_length=config.answer_length,
        temperature=config.temperature,
    )  # fmt: skip
    model, read = model_for(config), material.train
    fitting = [number for number, row in enumerate(read) if len(prompt_ids(row, material.predicted)) <= config.max_length]
    return GRPOTrainer(
        model, scorer, args, read.select(fitting), material.held_out, material.tokenizer, reward_processing_classes=scorers,
        peft_config=peft_config(config.adapter, model),
    )  # fmt: skip


def check_reward(config: Grpo) -> None:
    """UsageError where the reward is neither a reward model nor code that may run."""
    if Path(config.reward).exists():
        scorer_folder(config.reward)
    elif ":" not in config.reward:
        raise UsageError(f"reward: {config.reward} is neither a reward model's folder nor `package.module:function`")
    elif not config.trust_code:
        raise UsageError(f"reward: {config.reward} is code, which runs only with `trust_code: true`")


def reward_of(config: Grpo) -> "tuple[PreTrainedModel | Callable, PreTrainedTokenizerBase | None]":
    """The reward, and its tokenizer where it is a model."""
    if Path(config.reward).exists():
        judge = config.model_copy(update={"model": config.reward, "tokenizer": None})
        return loaded(config, config.reward, scores=True), tokenizer_for(judge)
    module, _, name = config.reward.partition(":")
    try:
        return getattr(importlib.import_module(module), name), None
    except (ImportError, AttributeError) as error:
        raise UsageError(f"reward: {config.reward}: {error}") from None


if __name__ == "__main__":
    sys.exit(main("grpo", Grpo, build, look=look))
