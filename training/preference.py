"""ORPO and SimPO: pairs in; an aligned model out, without a reference model.

Experimental in TRL: they live in `trl.experimental`, and may change or go with any release. IPO and
the other losses that have a reference are loss types of `training.dpo`. TRL's ORPO takes the likelihood
of prompt and answer; here it is of the answer alone, as the paper has it (Hong et al. 2024, eq. 6).

    python -m training.preference training/configs/simpo.yaml --set model=models/sft --set data=runs/my/04-mix-1a2b3c4d
"""

import os
import sys
from typing import TYPE_CHECKING

from training.arguments import arguments
from training.config import Preference
from training.models import model_for, peft_config
from training.run import Material, main

if TYPE_CHECKING:
    from transformers import Trainer


def build(material: Material) -> "Trainer":
    """TRL's ORPO trainer, or its CPO trainer with SimPO's loss (and without CPO's likelihood term, as Meng et al. 2024 have it)."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # it is said here, in the config and in the receipt
    from trl.experimental.cpo import CPOConfig, CPOTrainer
    from trl.experimental.orpo import ORPOConfig

    from training.odds import AnswersOrpo

    config = material.config
    given = {"max_length": config.max_length, "beta": config.beta, "remove_unused_columns": False}
    if config.loss == "orpo":
        kind, args = AnswersOrpo, arguments(config, ORPOConfig, **given)
    else:
        kind, args = CPOTrainer, arguments(config, CPOConfig, loss_type="simpo", simpo_gamma=config.gamma, cpo_alpha=0.0, **given)
    model = model_for(config)
    return kind(
        model, args, train_dataset=material.train, eval_dataset=material.held_out, processing_class=material.tokenizer,
        peft_config=peft_config(config.adapter, model),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main("preference", Preference, build))
