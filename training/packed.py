"""Attention inside the rows of a line: one long line of tokens and where each row starts in; no row sees another, out.

SDPA would be given a mask of every token by every token of a batch, which takes the causal kernels away and grows with
the square of the batch. Where each row starts is known, so each is attended by itself: on a GPU by torch's own
FlashAttention for rows of many lengths (Dao 2023; in torch from 2.10 on, no further package), elsewhere row by row.
"""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from curate.config import UsageError
from training.models import attends_to_all

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "sdpa_by_row"


class Rows(NamedTuple):
    """Where rows begin in a line of queries and in one of keys, each with its end, shape (rows + 1,), int32; and the longest of each.

    The last query of a row reads all of its keys, the one before it one less, and so on.
    """

    queries: torch.Tensor
    longest: int
    keys: torch.Tensor
    longest_keys: int


class Keys(NamedTuple):
    """What the rows of a line read where that is more than themselves: tokens of the line by number, row after row, and the rows' bounds in it."""

    places: torch.Tensor
    bounds: torch.Tensor
    longest: int


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
    line_keys: Keys | None = None,
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
    query, key, value = (part[0].transpose(0, 1).to(value.dtype) for part in (query, key, value))  # rotation leaves fp32
    rows = Rows(cu_seq_lens_q, max_length_q, cu_seq_lens_q, max_length_q)
    if line_keys is not None:
        key, value = (part.index_select(0, line_keys.places) for part in (key, value))
        rows = Rows(cu_seq_lens_q, max_length_q, line_keys.bounds, line_keys.longest)
    way = by_kernel if has_kernel(query, key) else one_by_one
    return way(query, key, value, rows, scaling)[None], None


def one_by_one(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: Rows, scaling: float | None) -> torch.Tensor:
    """Every row by SDPA; all of shape (tokens, heads, size), keys and values of as many heads or fewer, each for a group of queries."""
    groups = query.size(1) // key.size(1)
    if groups > 1:
        key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    lengths = (lengths_of(rows.queries), *[lengths_of(rows.keys)] * 2)
    parts = (part.transpose(0, 1).split(length, dim=1) for part, length in zip((query, key, value), lengths, strict=True))
    return torch.cat([_row(*row, scaling) for row in zip(*parts, strict=True)], dim=1).transpose(0, 1)


def _row(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """One row by SDPA, shape (heads, tokens, size); its first query reads what its keys begin with, too."""
    before, mask = key.size(1) - query.size(1), None
    if before:
        mask = torch.ones(query.size(1), key.size(1), dtype=torch.bool, device=query.device).tril(before)
    return scaled_dot_product_attention(query[None], key[None], value[None], mask, is_causal=not before, scale=scaling)[0]


@lru_cache(maxsize=4)
def lengths_of(bounds: torch.Tensor) -> list[int]:
    """The length of each row: one wait for the device a batch, not one a layer; a tensor is found again by its identity."""
    return bounds.diff().tolist()


@lru_cache(maxsize=4)
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


def has_kernel(query: torch.Tensor, key: torch.Tensor) -> bool:
    """True where torch's kernel for rows of many lengths takes these queries and keys, shape (tokens, heads, size)."""
    halves = query.dtype in (torch.bfloat16, torch.float16)
    if not (query.is_cuda and halves and query.size(-1) % 8 == 0 and query.size(-1) <= 256):
        return False
    capable = {"scale", "window_size"} <= _words() and torch.cuda.get_device_capability(query.device) >= (8, 0)
    return capable and agrees(by_kernel, query.device, query.dtype, query.size(-1), query.size(1) // key.size(1))


@cache
def agrees(kernel: Callable[..., torch.Tensor], device: torch.device, dtype: torch.dtype, size: int, groups: int = 1) -> bool:
    """True where a kernel gives the values and gradients of `one_by_one` here; else it says so on stderr, once.

    It is asked with two short rows, one of which reads more than itself, before it is trusted with a training: a young
    function of torch, on any card.
    """
    draw = torch.Generator().manual_seed(0)  # of its own: the run's draws stay what they are
    given = [torch.randn(tokens, heads, size, generator=draw).to(device, dtype) for tokens, heads in ((8, 2 * groups), (10, 2), (10, 2))]
    rows = Rows(torch.tensor([0, 3, 8], dtype=torch.int32, device=device), 5, torch.tensor([0, 3, 10], dtype=torch.int32, device=device), 7)
    found = []
    try:
        for way in (kernel, one_by_one):
            parts = [part.clone().requires_grad_() for part in given]
            with torch.enable_grad():
                read = way(*parts, rows, size**-0.5)
                found.append([read, *torch.autograd.grad(read.float().square().sum(), parts)])
        same = all(torch.allclose(one.float(), other.float(), atol=0.05, rtol=0.05) for one, other in zip(*found, strict=True))
        told = "does not give what SDPA gives"
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        same, told = False, f"cannot be used ({str(error).splitlines()[0]})"
    if not same:
        print(f"packing: torch's kernel for rows of many lengths {told} here; each row is attended by itself", file=sys.stderr)
    return same


@cache
def _words() -> frozenset[str]:
    """The parameters of the kernel of this torch; none where it has no such kernel."""
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return frozenset()
    from torch.nn.attention.varlen import varlen_attn

    return frozenset(inspect.signature(varlen_attn).parameters)


def by_kernel(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: Rows, scaling: float | None) -> torch.Tensor:
    """The same as `one_by_one` by torch's kernel, for which heads need not be repeated where it knows groups."""
    from torch.nn.attention.varlen import varlen_attn

    groups = query.size(1) // key.size(1)
    kernel = partial(varlen_attn, scale=scaling, window_size=(-1, 0))
    if groups > 1 and "enable_gqa" in _words():
        kernel = partial(kernel, enable_gqa=True)
    elif groups > 1:
        key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    return kernel(query, key, value, rows.queries, rows.keys, rows.longest, rows.longest_keys)
