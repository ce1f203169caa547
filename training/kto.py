"""Kahneman-Tversky optimisation: single answers called good or bad in; an aligned model out.

TRL reads the rows in the order of the file, which the output `kto` interleaves by label; it reads no weights.

    python -m training.kto training/configs/kto.yaml --set model=models/sft --set data=runs/my/04-mix-1a2b3c4d
"""

import sys
from typing import TYPE_CHECKING

from training import guards
from training.arguments import arguments
from training.config import Kto
from training.models import loaded, model_for, peft_config
from training.run import Material, main

if TYPE_CHECKING:
    from trl import KTOTrainer


def build(material: Material) -> "KTOTrainer":
    """TRL's trainer, its reference the model as it stands on disk. Raises UsageError where the first batch holds one label."""
    from trl import KTOConfig, KTOTrainer

    config = material.config
    guards.refuse(guards.one_label(material.train["label"][: config.batch_size]))
    args = arguments(
        config, KTOConfig, max_length=config.max_length, beta=config.beta, train_sampling_strategy="sequential",
        desirable_weight=config.desirable_weight, undesirable_weight=config.undesirable_weight,
    )  # fmt: skip
    model, reference = model_for(config), None if config.adapter else loaded(config, config.model)
    if reference is not None:
        guards.refuse(guards.reference_differs(model, reference))
    return KTOTrainer(
        model, reference, args, train_dataset=material.train, eval_dataset=material.held_out, processing_class=material.tokenizer,
        peft_config=peft_config(config.adapter, model),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main("kto", Kto, build))
