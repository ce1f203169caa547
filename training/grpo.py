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
from curate.contract import Report
from training import guards
from training.arguments import arguments
from training.config import Grpo
from training.data import Source, Trainer, tokenizer_of, turns_of
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
    guards.refuse(guards.template_missing(tokenizer))
    read, tokens, longest, shown = 0, 0, 0, []
    for row in source.rows(config.split):
        prompt = turns_of(row.columns.get("prompt"))
        if prompt is None or prompt[-1]["role"] == "assistant":
            raise UsageError(f"{source.name}: {row.name}: prompt is no list of turns that waits for an answer; write rows by the output `grpo`")
        ids = tokenizer.encode(tokenizer.render(prompt, row.columns.get("tools"), True).text).ids
        if len(ids) > config.max_length:
            raise UsageError(f"{source.name}: {row.name}: its prompt of {len(ids):,} tokens is over max_length; raise it, or drop the row")
        read, tokens, longest = read + 1, tokens + len(ids), max(longest, len(ids))
        shown += [f"{row.name} prompt, {len(ids):,} tokens:\n{tokenizer.decode(ids)}"] if len(shown) < show else []
    return Report(kind, {"beta": config.beta}, read, read, tokens, 0, longest, (), tuple(shown))


def build(material: Material) -> "GRPOTrainer":
    """TRL's trainer with the KL term that the config asks for; TRL's own default has none."""
    from trl import GRPOConfig, GRPOTrainer

    config = material.config
    scorer, scorers = reward_of(config)
    args = arguments(
        config, GRPOConfig, beta=config.beta, num_generations=config.generations, max_completion_length=config.answer_length,
        temperature=config.temperature,
    )  # fmt: skip
    return GRPOTrainer(
        model_for(config), scorer, args, material.train, material.held_out, material.tokenizer, reward_processing_classes=scorers,
        peft_config=peft_config(config.adapter),
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
