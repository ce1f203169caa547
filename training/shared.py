"""Pairs that begin alike: padded batches of pairs in; one line without padding, in which what both sides of a pair begin with stands once, out.

A batch of DPO is every chosen row and then every rejected row, each with its prompt before it. The line is the chosen
rows, then of each rejected row what it does not begin alike with (the prompt, and what both answers begin with); its
rest reads the keys and values of that beginning where the chosen row has them. Loss and gradient are those of whole
rows. A collator makes the line, so that a GPU need not be waited for.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from accelerate.utils import send_to_device
from transformers.modeling_outputs import BaseModelOutputWithPast

from training.models import attends_to_all
from training.packed import Keys, by_row

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Line = dict[str, torch.Tensor | int]
_DIFFER = {"fp32": 1e-4, "rounded": 0.05}
"""How far states may be from those of another way, as a share of their norm, by whether weights are fp32 or rounded more coarsely."""


@dataclass
class InLine:
    """A collator of pairs, whose batches have their `line` beside them."""

    collator: Callable[[list[dict]], dict[str, torch.Tensor]]

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor | Line]:
        batch = self.collator(rows)
        return {**batch, "line": line_of(batch["input_ids"], batch["attention_mask"])}


def line_of(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Line:
    """The line of a batch of pairs, shape (rows, length), padded at the right.

    `input_ids` and `position_ids` are of shape (1, tokens); `place` (rows, length) says where each token of the batch
    stands in the line, `keys` (real tokens,) the same of those that are no padding; the bounds of rows are (rows + 1,), int32.
    """
    half, real = len(input_ids) // 2, attention_mask.bool()
    positions = torch.arange(input_ids.size(1)).expand_as(input_ids)
    fresh = real.clone()
    fresh[half:] &= positions[half:] >= common(input_ids, attention_mask)[:, None]
    place = (fresh.flatten().cumsum(0) - 1).view_as(fresh)
    place[half:] = place[half:].where(fresh[half:], place[:half])
    bounds, longest = zip(*(_bounds(part.sum(1)) for part in (fresh, real)), strict=True)
    return {
        "input_ids": input_ids[fresh][None], "position_ids": positions[fresh][None], "place": place, "keys": place[real],
        "cu_seq_lens_q": bounds[0], "max_length_q": longest[0], "cu_seq_lens_k": bounds[1], "max_length_k": longest[1],
    }  # fmt: skip


def _bounds(lengths: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Where rows of these lengths begin, with their end; and the longest."""
    return torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32), int(lengths.max())


def common(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """How many tokens both rows of each pair begin with, shape (pairs,); one at least is left to either."""
    half = len(input_ids) // 2
    real = attention_mask[:half].bool() & attention_mask[half:].bool()
    same = ((input_ids[:half] == input_ids[half:]) & real).long().cumprod(dim=1).sum(1)
    least = attention_mask.sum(1).view(2, half).min(0).values
    return torch.minimum(same, least - 1).clamp(min=0)


def share_beginnings(model: "PreTrainedModel") -> str | None:
    """Have the body of a model read batches of `InLine` by their line; why it cannot, and None where it does.

    One that does not read a line as it reads rows is left as it was.
    """
    if not attends_to_all(model):
        return "this model has sliding windows, states or experts"
    attention, whole = model.config._attn_implementation, model.base_model.forward
    if attention != "sdpa":
        return f"its attention is {attention}, and sdpa alone reads a prompt for two rows"
    body = by_row(model).base_model

    @functools.wraps(whole)
    def forward(
        input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, line: Line | None = None, **rest: object
    ) -> BaseModelOutputWithPast:
        return whole(input_ids=input_ids, attention_mask=attention_mask, **rest) if line is None else by_line(whole, line, **rest)

    body.forward = forward
    if _reads_alike(body):
        return None
    body.forward = whole
    model.set_attn_implementation(attention)
    return "this model does not read a prompt for two rows"


def _reads_alike(body: "PreTrainedModel") -> bool:
    """True where a body gives the same for a pair by its line as for its whole rows; not every architecture hands down what rows read."""
    ids = torch.tensor([[3, 4, 5, 6, 7, 8, 0], [3, 4, 5, 6, 9, 10, 11]])
    real, training = (ids > 0).long(), body.training
    given = send_to_device({"input_ids": ids, "attention_mask": real, "line": line_of(ids, real)}, body.device)
    try:
        with torch.no_grad():
            line, rows = (body.eval()(**{**given, **way}, use_cache=False).last_hidden_state.float()[real > 0] for way in ({}, {"line": None}))
    except TypeError:  # an unknown word of a call
        return False
    finally:
        body.train(training)
    coarse = any(weight.dtype != torch.float32 for weight in body.parameters())
    return not float((line - rows).norm()) > _DIFFER["rounded" if coarse else "fp32"] * float(rows.norm())


def by_line(whole: Callable[..., BaseModelOutputWithPast], line: Line, **rest: object) -> BaseModelOutputWithPast:
    """The last hidden states, shape (rows, length, width), of `whole`, a body's forward; those of padding mean nothing."""
    keys = Keys(line["keys"], line["cu_seq_lens_k"], line["max_length_k"])
    bounds = {name: line[name] for name in ("input_ids", "position_ids", "cu_seq_lens_q", "max_length_q")}
    states = whole(**{**rest, **bounds, "line_keys": keys}).last_hidden_state[0]
    return BaseModelOutputWithPast(last_hidden_state=states.index_select(0, line["place"].flatten()).view(*line["place"].shape, -1))
