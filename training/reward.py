"""A reward model: pairs in, with margins where they have them; a model that gives an answer one number out.

    python -m training.reward training/configs/reward.yaml --set model=models/sft --set data=runs/my/04-mix-1a2b3c4d
"""

import sys
from typing import TYPE_CHECKING

from training.arguments import arguments, processes
from training.batches import Batches
from training.config import Reward
from training.models import model_for, peft_config
from training.run import Material, main

if TYPE_CHECKING:
    from trl import RewardTrainer


def build(material: Material) -> "RewardTrainer":
    """TRL's trainer; all pairs of a group stand in one batch (Ouyang et al. 2022, 3.5)."""
    from trl import RewardConfig, RewardTrainer

    from training.batches import Batched

    class Trainer(Batched, RewardTrainer):
        """TRL's trainer with batches that part no group."""

    config, rows = material.config, material.train
    args = arguments(config, RewardConfig, max_length=config.max_length, center_rewards_coefficient=config.centre)
    model = model_for(config, scores=True)
    trainer = Trainer(
        model, args, train_dataset=rows, eval_dataset=material.held_out, processing_class=material.tokenizer,
        peft_config=peft_config(config.adapter, model, scores=True),
    )  # fmt: skip
    trainer.batches = Batches(rows["length"][:], rows["group"][:], config.batch_size, config.seed, processes())
    return trainer


if __name__ == "__main__":
    sys.exit(main("reward", Reward, build))
