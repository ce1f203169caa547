"""Direct preference optimisation: pairs in, with soft labels and weights where they have them; an aligned model out.

    python -m training.dpo training/configs/dpo.yaml --set model=models/sft --set data=runs/my/04-mix-1a2b3c4d
"""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from curate.config import UsageError
from training import guards
from training.arguments import arguments, is_first_process, processes
from training.batches import Batches
from training.config import Dpo
from training.data import JUDGED
from training.models import loaded, model_for, on_gpu, peft_config, precision_of, weights_hash
from training.reference import key_of, with_logps
from training.run import Material, main

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedModel

    from training.soft import SoftDpo

logger = logging.getLogger(__name__)


class Models(NamedTuple):
    """What is trained, its reference where that has to be in memory beside it, and whether both read what pairs begin with once."""

    policy: "PreTrainedModel"
    reference: "PreTrainedModel | None"
    share: bool


def build(material: Material) -> "SoftDpo":
    """The trainer, its reference the model as it stands on disk. Raises UsageError where another reference is named."""
    from trl import DPOConfig
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    from training.shared import InLine
    from training.soft import SoftDpo, SoftPairs

    config = material.config
    check_reference(config)
    args = arguments(
        config, DPOConfig, max_length=config.max_length, beta=config.beta, loss_type=config.loss, precompute_ref_log_probs=config.precompute
    )
    models = models_for(config)
    store = Path(config.reference_store) / key_of(config.model, precision_of(config))

    class Trainer(SoftDpo):
        """With this config's store and loss."""

        soft = config.is_soft

        def kept_logps(self, rows: object) -> object:
            return with_logps(self, rows, store)

    collator = (SoftPairs if config.is_soft else DataCollatorForPreference)(material.tokenizer.pad_token_id, config.max_length)
    trainer = Trainer(
        models.policy, models.reference, args, InLine(collator) if models.share else collator, read_by(config, material.train),
        read_by(config, material.held_out), processing_class=material.tokenizer, peft_config=peft_config(config.adapter, models.policy),
    )  # fmt: skip
    if config.length_buckets:
        trainer.batches = Batches(material.train["length"][:], None, config.batch_size, config.seed, processes())
    return trainer


def models_for(config: Dpo) -> Models:
    """The models of a run, loaded. Raises UsageError where they cannot share prompts, which were to be shared."""
    model, alone = model_for(config), config.precompute or config.adapter is not None
    reference = None if alone else loaded(config, config.model)
    if reference is not None:
        guards.refuse(guards.reference_differs(model, reference))
    return Models(model, reference, sharing(config, [model] if reference is None else [model, reference]))


def sharing(config: Dpo, models: "list[PreTrainedModel]") -> bool:
    """True where all models have been set to read a prompt once; it is not tried in fp32 on a GPU, which attends row by row."""
    from training.shared import share_beginnings

    tried = config.share_prompts is None and not (on_gpu() and precision_of(config) == "fp32")
    if not (config.share_prompts or tried):
        return False
    why = next(filter(None, map(share_beginnings, models)), None)
    if why and config.share_prompts:
        raise UsageError(f"share_prompts: {why}; leave it out")
    if why and is_first_process():
        logger.warning("warning: pairs are read whole, each prompt twice: %s", why)
    return why is None


def read_by(config: Dpo, rows: "datasets.Dataset | None") -> "datasets.Dataset | None":
    """The rows with the columns that the loss reads alone."""
    return rows if rows is None or config.is_soft else rows.remove_columns(JUDGED)


def check_reference(config: Dpo) -> None:
    """The reference of DPO is the SFT model that is trained (Rafailov et al. 2023, 4)."""
    if config.reference is not None and weights_hash(config.reference) != weights_hash(config.model):
        raise UsageError(f"reference: {config.reference} is not the SFT model {config.model}, from which DPO measures; leave `reference` out")


if __name__ == "__main__":
    sys.exit(main("dpo", Dpo, build))
