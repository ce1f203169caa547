"""Pairs that begin alike: a model in; the same model, which reads what both sides of a pair have in common once, out.

A batch of DPO is every chosen row and then every rejected row, each with its prompt before it. Here the tokens that row n
has in common with row n + half (the prompt, and what both answers begin with) go through the model once; their keys and
values, with their gradients, are then read by the rest of both rows. Loss and gradient are those of the whole rows; a
batch in which the parts would be more positions than the whole rows is read whole.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast

from curate.config import UsageError
from training.models import attends_to_all

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def share_beginnings(model: "PreTrainedModel") -> "PreTrainedModel":
    """The model, its body reading pairs in two parts. Raises UsageError for a model other than a plain causal decoder."""
    if not attends_to_all(model):
        raise UsageError("share_prompts: this model has sliding windows, states or experts; leave it out")
    body, whole = model.base_model, model.base_model.forward

    @functools.wraps(whole)
    def forward(input_ids: torch.Tensor, attention_mask: torch.Tensor, **rest: object) -> BaseModelOutputWithPast:
        return in_two_parts(whole, input_ids, attention_mask, **rest)

    body.forward = forward
    return model


def in_two_parts(
    whole: Callable[..., BaseModelOutputWithPast], input_ids: torch.Tensor, attention_mask: torch.Tensor, **rest: object
) -> BaseModelOutputWithPast:
    """The last hidden states, shape (rows, length, width), of `whole`, a body's forward; rows are padded at the right."""
    half, length = len(input_ids) // 2, input_ids.size(1)
    alike = common(input_ids, attention_mask)
    first, second = torch.stack([alike.max(), (attention_mask.sum(1) - alike).max()]).tolist()  # one wait for the device a batch
    if not first or first + 2 * second >= 2 * length:
        return whole(input_ids=input_ids, attention_mask=attention_mask, **rest)
    places, cache, alike = torch.arange(length, device=input_ids.device), DynamicCache(), alike[:, None]
    beginning = whole(input_ids=input_ids[:half, :first], past_key_values=cache, **rest).last_hidden_state
    at = alike + places[:second]  # where the ends stand in the whole rows
    within, at = at < length, at.clamp(max=length - 1)
    seen = torch.cat([places[:first] < alike, attention_mask.gather(1, at).bool() & within], dim=1).to(attention_mask)
    end = whole(
        input_ids=input_ids.gather(1, at), attention_mask=seen, position_ids=at, past_key_values=doubled(cache), **rest
    ).last_hidden_state  # fmt: skip
    made = torch.cat([beginning.repeat(2, 1, 1), end], dim=1)
    source = torch.where(places < alike, places.clamp(max=first - 1), first + (places - alike).clamp(0, second - 1))
    return BaseModelOutputWithPast(last_hidden_state=made.gather(1, source[..., None].expand(-1, -1, made.size(-1))))


def common(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """How many tokens each row begins with that its partner begins with, too, shape (rows,); one at least is left to either."""
    half = len(input_ids) // 2
    real = attention_mask[:half].bool() & attention_mask[half:].bool()
    same = ((input_ids[:half] == input_ids[half:]) & real).long().cumprod(dim=1).sum(1)
    least = attention_mask.sum(1).view(2, half).min(0).values
    return torch.minimum(same, least - 1).clamp(min=0).repeat(2)


def doubled(cache: DynamicCache) -> DynamicCache:
    """The keys and values for both halves of a batch; gradients of both flow into the one that they come from."""
    made = DynamicCache()
    for number, layer in enumerate(cache.layers):
        made.update(layer.keys.repeat(2, 1, 1, 1), layer.values.repeat(2, 1, 1, 1), number)
    return made
