"""TRL's fused head of a model in; one that scores the labels alone on a CPU, as it does on a GPU, out.

Without Triton TRL projects prompts and padding onto the vocabulary, too, for the sake of devices that compile by shape
(`trl.trainer.utils.add_fused_lm_head`). A CPU does not; there that was half of a step of DPO in a small model. The loss
and the gradient are the same.
"""

import torch
from trl.trainer import utils

_NAME = "_use_triton"
"""TRL's function of a device that its head asks whether it is to score the labels alone."""
_BY_TRITON = getattr(utils, _NAME, None)


def score_labels_alone() -> None:
    """Have TRL's heads of this process score labels alone on a CPU, too; a TRL whose head does not ask is left as it is."""
    if _BY_TRITON is not None:
        setattr(utils, _NAME, _alone)


def _alone(device: torch.device) -> bool:
    return device.type == "cpu" or _BY_TRITON(device)
