"""DPO with soft labels and weights, on TRL's own trainer and collator.

A pair whose better answer is known with probability p, and that counts w, costs
w * -(p log s(z) + (1 - p) log s(-z)), z = beta * (log-ratio of chosen - log-ratio of rejected): the
likelihood of a Bernoulli label under Bradley-Terry (Rafailov et al. 2023, eq. 7; with noisy labels
Mitchell 2023). At p = w = 1 that is TRL's `sigmoid`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import logsigmoid
from trl import DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from training import guards
from training.batches import Batched
from training.data import JUDGED

if TYPE_CHECKING:
    import datasets

_NOTED = ("rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected", "rewards/accuracies", "rewards/margins")


def soft_loss(z: torch.Tensor, probability: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Loss of each pair, shape (pairs,), of logits, probabilities and weights of that shape; its slope in z is w * (s(z) - p)."""
    return -weight * (probability * logsigmoid(z) + (1 - probability) * logsigmoid(-z))


@dataclass
class SoftPairs(DataCollatorForPreference):
    """TRL's collator, with the columns `probability` and `weight` as tensors of shape (pairs,)."""

    def torch_call(self, examples: list[dict]) -> dict[str, torch.Tensor]:
        judged = {name: torch.tensor([float(row[name]) for row in examples]) for name in JUDGED}
        return {**super().torch_call(examples), **judged}


class SoftDpo(Batched, DPOTrainer):
    """TRL's trainer over rows that are tokenised already, whose `sigmoid` loss reads `probability` and `weight`."""

    soft = True
    """False: TRL's own loss of whatever type, without soft labels."""
    kept_logps: "Callable[[SoftDpo, datasets.Dataset], datasets.Dataset] | None" = None
    """Adds the reference's log-probabilities to rows, from a store."""

    def _prepare_dataset(self, dataset: "datasets.Dataset", *rest: object) -> "datasets.Dataset":
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns = [*dict.fromkeys([*self._signature_columns, *JUDGED])]

    def _precompute_ref_logps(self, dataset: "datasets.Dataset", name: str, batch_size: int) -> "datasets.Dataset":
        return self.kept_logps(dataset)

    def compute_ref_log_probs(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return super().compute_ref_log_probs(model, {name: value for name, value in inputs.items() if name not in JUDGED})

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], return_outputs: bool = False) -> torch.Tensor:
        judged = {name: inputs[name] for name in JUDGED if name in inputs}
        bare = {name: value for name, value in inputs.items() if name not in JUDGED}
        loss = self._soft(model, bare, **judged) if self.soft else super()._compute_loss(model, bare, return_outputs)
        if self.model.training and self.state.global_step == 0 and self.loss_types == ["sigmoid"] and not return_outputs:
            weight = float(judged["weight"].mean()) if self.soft else 1.0  # here alone: a GPU's pipeline waits for a number
            rounding = self.beta * guards.BF16_NATS if self.args.bf16 else 0.0
            guards.refuse(guards.first_loss_misses(float(loss.detach()), weight, rounding))
        return loss

    def _soft(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], probability: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The mean soft loss of a batch; what TRL logs of a batch is logged here too."""
        chosen, rejected = self._logps(model, inputs)
        if "ref_chosen_logps" in inputs:
            ref_chosen, ref_rejected = inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]
        else:
            ref_chosen, ref_rejected = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
        chosen_reward, rejected_reward = self.beta * (chosen - ref_chosen), self.beta * (rejected - ref_rejected)
        loss = soft_loss(chosen_reward - rejected_reward, probability.to(chosen), weight.to(chosen)).mean()
        self._note(torch.stack([chosen_reward, rejected_reward, chosen, rejected], dim=1).detach())
        return loss

    def _logps(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Summed log-probabilities of the chosen and the rejected answers, each of shape (pairs,)."""
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, guards.IGNORED)
        read = {name: inputs[name] for name in ("input_ids", "attention_mask", "line") if name in inputs}
        out = model(**read, labels=labels, use_cache=False, fused_lm_head=True)
        return out.log_probs[:, -(labels.size(1) - 1) :].sum(dim=1).chunk(2, dim=0)

    def _note(self, values: torch.Tensor) -> None:
        """Metrics under TRL's names, of rewards and log-probabilities of both sides, shape (pairs, 4)."""
        values = self.accelerator.gather(values)
        margins = values[:, 0] - values[:, 1]
        means = torch.stack([*values.mean(0), (margins > 0).float().mean(), margins.mean()]).tolist()  # one wait for the device, not six
        noted = self._metrics["train" if self.model.training else "eval"]
        for name, mean in zip(_NOTED, means, strict=True):
            noted[name].append(mean)
