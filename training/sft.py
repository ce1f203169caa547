"""Supervised fine-tuning: conversations, texts or tokenised rows in; a model that answers out.

    python -m training.sft training/configs/sft.yaml --set model=models/base --set data=runs/my/03-mix-1a2b3c4d
"""

import sys
from typing import TYPE_CHECKING

from training import guards
from training.arguments import arguments, processes
from training.batches import Batches
from training.config import Sft
from training.models import model_for, peft_config
from training.run import Material, main

if TYPE_CHECKING:
    from trl import SFTTrainer

_PROBED = 64
"""Rows whose masks are looked at before the model is loaded."""


def build(material: Material) -> "SFTTrainer":
    """TRL's trainer over rows that carry their labels. Raises UsageError where user turns are in them."""
    from trl import SFTConfig, SFTTrainer

    from training.batches import Batched

    class Trainer(Batched, SFTTrainer):
        """TRL's trainer with batches of similar length."""

    config, rows = material.config, material.train
    headers = guards.headers_of(material.predicted)
    for row in rows.select(range(min(_PROBED, len(rows)))):
        guards.refuse(guards.user_tokens_in_loss(row["input_ids"], row["labels"], headers))
    packing = {"packing": True, "packing_strategy": config.packing} if getattr(config, "packing", None) else {}
    args = arguments(config, SFTConfig, max_length=config.max_length, **packing)
    model = model_for(config)
    if packing and model.config._attn_implementation == "sdpa":
        from training.packed import by_row

        model = by_row(model)
    trainer = Trainer(
        model, args, train_dataset=rows, eval_dataset=material.held_out, processing_class=material.tokenizer,
        peft_config=peft_config(config.adapter, model),
    )  # fmt: skip
    if packing:
        guards.refuse(guards.rows_mix(trainer.model, trainer.data_collator, config.batch_size * config.max_length))
    elif config.length_buckets:
        trainer.batches = Batches(rows["length"][:], None, config.batch_size, config.seed, processes())
    return trainer


if __name__ == "__main__":
    sys.exit(main("sft", Sft, build))
