"""ORPO on TRL's own trainer, whose likelihood term learns the chosen answer and not the prompt before it."""

from typing import TYPE_CHECKING

from torch.nn.functional import cross_entropy
from trl.experimental.orpo import ORPOTrainer

from training.guards import IGNORED

if TYPE_CHECKING:
    import torch


class AnswersOrpo(ORPOTrainer):
    """TRL 1.16 takes the likelihood of the whole chosen sequence: the user's turns would be in the loss."""

    def concatenated_forward(self, model: "torch.nn.Module", batch: dict) -> tuple:
        """What TRL's gives, with the mean likelihood of the chosen answers' tokens in the fifth place."""
        chosen_logps, rejected_logps, chosen_logits, rejected_logits, _, *more = super().concatenated_forward(model, batch)
        labels = batch["chosen_labels"][:, 1:].to(chosen_logits.device)
        logits = chosen_logits[:, : labels.size(1)]
        likelihood = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        return chosen_logps, rejected_logps, chosen_logits, rejected_logits, likelihood, *more
