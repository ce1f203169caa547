"""Attention inside the rows of a packed sequence: one long line of tokens and where each row starts in; no row sees another, out.

SDPA would be given a mask of every token by every token of a batch, which takes the causal kernels away and grows with
the square of the batch. Where each row starts is known, so each is attended by itself: on a GPU by torch's own
FlashAttention for rows of many lengths (Dao 2023; in torch from 2.10 on, no further package), elsewhere row by row.
"""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from curate.config import UsageError
from training.models import attends_to_all

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "sdpa_by_row"


def by_row(model: "PreTrainedModel") -> "PreTrainedModel":
    """The model, its attention set to `attend_by_row`; as it is where a layer does not read every token before it: a mask says what it reads."""
    if not attends_to_all(model):
        return model
    AttentionInterface.register(NAME, attend_by_row)
    AttentionMaskInterface.register(NAME, _mask)
    model.set_attn_implementation(NAME)
    return model


def _mask(q_length: int, kv_length: int, attention_mask: torch.Tensor | None = None, **rest: object) -> torch.Tensor | None:
    """SDPA's mask for a padded batch or a cache; none for whole sequences, which are attended causally or by their bounds."""
    if attention_mask is None and q_length == kv_length:
        return None
    return sdpa_mask(q_length=q_length, kv_length=kv_length, attention_mask=attention_mask, **rest)


def attend_by_row(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    position_ids: torch.Tensor | None = None,
    **rest: object,
) -> tuple[torch.Tensor, None]:
    """What the heads have read, shape (1, tokens, heads, size); all given are (1, heads, tokens, size), and the bounds (rows + 1,).

    TRL's collator gives the bounds; else they are where the positions begin anew, if they do. What has a mask, as a padded
    batch, goes to SDPA. Raises UsageError in training where nothing tells where rows start: they would see each other.
    """
    if cu_seq_lens_q is None and attention_mask is None and query.size(2) == key.size(2):
        if position_ids is None and module.training:
            raise UsageError("packing: this model does not tell its attention where rows start; set `attention: eager`, or leave `packing` out")
        cu_seq_lens_q, max_length_q = bounds_of(position_ids)
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **rest)
    groups = query.size(1) // key.size(1)
    query, key, value = query.to(value.dtype), repeat_kv(key, groups).to(value.dtype), repeat_kv(value, groups)  # rotation leaves fp32
    if has_kernel(value):
        return by_kernel(query, key, value, cu_seq_lens_q, max_length_q, scaling), None
    return one_by_one(query, key, value, cu_seq_lens_q, scaling), None


def one_by_one(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bounds: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """Every row by SDPA; of shape (1, tokens, heads, size)."""
    parts = zip(*(part.split(bounds.diff().tolist(), dim=2) for part in (query, key, value)), strict=True)
    read = [scaled_dot_product_attention(*part, is_causal=True, scale=scaling) for part in parts]
    return torch.cat(read, dim=2).transpose(1, 2)


def bounds_of(position_ids: torch.Tensor | None) -> tuple[torch.Tensor | None, int | None]:
    """Where rows begin in one line of positions, with its end, and the longest row's length; nothing where every line is one row."""
    if position_ids is None:
        return None, None
    if len(position_ids) > 1:
        if (position_ids[:, 1:] == 0).any():
            raise UsageError("packing: a batch of several packed lines; make it one line, as TRL's collator does, or set `attention: eager`")
        return None, None
    starts = (position_ids[0] == 0).nonzero().flatten()
    if len(starts) < 2:
        return None, None
    bounds = torch.cat([starts, starts.new_tensor([position_ids.size(1)])]).to(torch.int32)
    return bounds, int(bounds.diff().max())


def has_kernel(value: torch.Tensor) -> bool:
    """True where torch's kernel for rows of many lengths takes these values."""
    halves = value.dtype in (torch.bfloat16, torch.float16)
    if not (value.is_cuda and halves and value.size(-1) % 8 == 0 and value.size(-1) <= 256):
        return False
    capable = _has_varlen() and torch.cuda.get_device_capability(value.device) >= (8, 0)
    return capable and agrees(by_kernel, value.device, value.dtype, value.size(-1))


@cache
def agrees(kernel: Callable[..., torch.Tensor], device: torch.device, dtype: torch.dtype, size: int) -> bool:
    """True where a kernel gives the values and gradients of `one_by_one` here; else it says so on stderr, once.

    It is asked with two short rows before it is trusted with a training: a young function of torch, on any card.
    """
    draw = torch.Generator().manual_seed(0)  # of its own: the run's draws stay what they are
    given = [torch.randn(1, 2, 8, size, generator=draw).to(device, dtype) for _ in range(3)]
    bounds, found = torch.tensor([0, 3, 8], dtype=torch.int32, device=device), []
    try:
        for way in (partial(kernel, longest=5), one_by_one):
            parts = [part.clone().requires_grad_() for part in given]
            with torch.enable_grad():
                read = way(*parts, bounds=bounds, scaling=size**-0.5)
                found.append([read, *torch.autograd.grad(read.float().square().sum(), parts)])
        same = all(torch.allclose(one.float(), other.float(), atol=0.05, rtol=0.05) for one, other in zip(*found, strict=True))
        told = "does not give what SDPA gives"
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        same, told = False, f"cannot be used ({str(error).splitlines()[0]})"
    if not same:
        print(f"packing: torch's kernel for rows of many lengths {told} here; each row is attended by itself", file=sys.stderr)
    return same


@cache
def _has_varlen() -> bool:
    """True where this torch has the kernel, and by the words that it is called with here."""
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return False
    from torch.nn.attention.varlen import varlen_attn

    return {"scale", "window_size"} <= inspect.signature(varlen_attn).parameters.keys()


def by_kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bounds: torch.Tensor, longest: int, scaling: float | None
) -> torch.Tensor:
    """The same by torch's kernel; of shape (1, tokens, heads, size)."""
    from torch.nn.attention.varlen import varlen_attn

    lines = (part[0].transpose(0, 1) for part in (query, key, value))  # (tokens, heads, size)
    return varlen_attn(*lines, bounds, bounds, longest, longest, scale=scaling, window_size=(-1, 0))[None]
