"""Direct preference optimisation: pairs in, with soft labels and weights where they have them; an aligned model out.

    python -m training.dpo training/configs/dpo.yaml --set model=models/sft --set data=runs/my/04-mix-1a2b3c4d
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from curate.config import UsageError
from training import guards
from training.arguments import arguments, processes
from training.batches import Batches
from training.config import Dpo
from training.data import JUDGED
from training.models import loaded, model_for, peft_config, precision_of, weights_hash
from training.reference import key_of, with_logps
from training.run import Material, main

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedModel

    from training.soft import SoftDpo


def build(material: Material) -> "SoftDpo":
    """The trainer, its reference the model as it stands on disk. Raises UsageError where another reference is named."""
    from trl import DPOConfig
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    from training.soft import SoftDpo, SoftPairs

    config = material.config
    check_reference(config)
    args = arguments(
        config, DPOConfig, max_length=config.max_length, beta=config.beta, loss_type=config.loss, precompute_ref_log_probs=config.precompute
    )
    model, reference = models_for(config)
    store = Path(config.reference_store) / key_of(config.model, precision_of(config))

    class Trainer(SoftDpo):
        """With this config's store and loss."""

        soft = config.is_soft

        def kept_logps(self, rows: object) -> object:
            return with_logps(self, rows, store)

    collator = SoftPairs if config.is_soft else DataCollatorForPreference
    trainer = Trainer(
        model, reference, args, collator(material.tokenizer.pad_token_id, config.max_length), read_by(config, material.train),
        read_by(config, material.held_out), processing_class=material.tokenizer, peft_config=peft_config(config.adapter),
    )  # fmt: skip
    if config.length_buckets:
        trainer.batches = Batches(material.train["length"][:], None, config.batch_size, config.seed, processes())
    return trainer


def models_for(config: Dpo) -> "tuple[PreTrainedModel, PreTrainedModel | None]":
    """The model, and its reference where that has to be in memory beside it."""
    model, alone = model_for(config), config.precompute or config.adapter is not None
    reference = None if alone else loaded(config, config.model)
    if reference is not None:
        guards.refuse(guards.reference_differs(model, reference))
    if config.share_prompts:
        from training.shared import share_beginnings

        return share_beginnings(model), reference and share_beginnings(reference)
    return model, reference


def read_by(config: Dpo, rows: "datasets.Dataset | None") -> "datasets.Dataset | None":
    """The rows with the columns that the loss reads alone."""
    return rows if rows is None or config.is_soft else rows.remove_columns(JUDGED)


def check_reference(config: Dpo) -> None:
    """The reference of DPO is the SFT model that is trained (Rafailov et al. 2023, 4)."""
    if config.reference is not None and weights_hash(config.reference) != weights_hash(config.model):
        raise UsageError(f"reference: {config.reference} is not the SFT model {config.model}, from which DPO measures; leave `reference` out")


if __name__ == "__main__":
    sys.exit(main("dpo", Dpo, build))
