"""The mistakes that cost weeks, each a function: what a trainer is about to learn in, a sentence or None out.

Those of the rows and the template are `curate.contract`'s and are refused before a model is loaded;
these look at what only the trainer sees: batches, the reference, the first loss.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from curate.config import UsageError
from curate.contract import Tokenizer, template_problem

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

LN2 = math.log(2)
FIRST_LOSS_MISSES = 0.01
"""How far from ln 2 a first loss may be: bf16 and other padding move it by less, another reference by more."""
IGNORED = -100


def refuse(problem: str | None) -> None:
    """UsageError where a guard has found something."""
    if problem:
        raise UsageError(problem)


def padding_in_loss(batch: Mapping[str, "Tensor"]) -> str | None:
    """Padding must not be learnt: trained places are among those that attention reads."""
    trained = batch["labels"] != IGNORED if "labels" in batch else batch.get("completion_mask")
    attention = batch.get("attention_mask")
    if trained is None or attention is None or trained.shape != attention.shape:
        return None
    lost = int((trained.bool() & ~attention.bool()).sum())
    return f"{lost:,} padding tokens are in the loss; mask labels where attention_mask is 0" if lost else None


def trained_differs(batch: Mapping[str, "Tensor"], expected: int) -> str | None:
    """A batch must train as many tokens as its rows have marked."""
    trained = batch["labels"] != IGNORED if "labels" in batch else batch["completion_mask"].bool()
    found = int(trained.sum())
    return None if found == expected else f"the collator trains {found:,} tokens where the rows mark {expected:,}"


def user_tokens_in_loss(ids: Sequence[int], labels: Sequence[int], header: Sequence[int]) -> str | None:
    """Nothing up to the header of the first answer is the assistant's; `header` is what the template asks for an answer by."""
    size = len(header)
    starts = (place for place in range(len(ids) - size + 1) if list(ids[place : place + size]) == list(header))
    first = next(starts, None) if size else None
    if first is None:
        return None
    wrong = sum(label != IGNORED for label in labels[: first + size])
    return f"{wrong:,} tokens before the first answer are in the loss: user turns or headers; write labels for answers alone" if wrong else None


def answer_header(tokenizer: Tokenizer) -> list[int]:
    """The ids by which the template asks for an answer; empty where it has no template."""
    if tokenizer.template() is None:
        return []
    turns = [{"role": "user", "content": "a"}]
    bare, asking = (tokenizer.render(turns, None, generate).text for generate in (False, True))
    return tokenizer.encode(asking.removeprefix(bare)).ids if asking.startswith(bare) else []


def template_missing(tokenizer: Tokenizer) -> str | None:
    """Trainers that generate need the template that SFT was done by, with marks around the assistant's turns."""
    marks = "the chat template has no {% generation %} marks, by which SFT knows the answers; name one by `template`"
    problem = template_problem(tokenizer) or (None if tokenizer.marked else marks)
    return f"{tokenizer.name}: {problem}" if problem else None


def first_loss_misses(loss: float, weight: float) -> str | None:
    """At the first step the model is its reference, so each pair's loss is ln 2 (Rafailov et al. 2023, eq. 7)."""
    expected = LN2 * weight
    if weight and abs(loss - expected) / weight > FIRST_LOSS_MISSES:
        return f"the first loss is {loss:.4f}, not ln 2 x mean weight = {expected:.4f}: the reference is not the model that is trained"
    return None


def reference_differs(model: "Module", reference: "Module") -> str | None:
    """The reference has to be the SFT model itself, weight for weight."""
    import torch

    others = dict(reference.named_parameters())
    for name, weight in model.named_parameters():
        if name not in others or others[name].shape != weight.shape or not torch.equal(others[name].data, weight.data):
            return f"the reference is not the SFT model: {name} differs; leave `reference` out, or name the model itself"
    return None


def one_label(labels: Sequence[bool]) -> str | None:
    """A KTO batch of one label has no reference point (Ethayarajh et al. 2024, 4.1)."""
    alike = len(labels) > 1 and len(set(labels)) == 1
    return f"a KTO batch of {len(labels)} rows holds one label alone; interleave labels, as the output `kto` does" if alike else None


def identical_pairs(rows: Sequence[Mapping[str, Sequence[int]]]) -> str | None:
    """A pair of equal tokens has no gradient."""
    alike = sum(list(row["chosen_ids"]) == list(row["rejected_ids"]) for row in rows)
    return f"{alike:,} pairs are identical after truncation; raise max_length, or drop them" if alike else None
