"""The mistakes that cost weeks, each a function: what a trainer is about to learn in, a sentence or None out.

Those of the rows and the template are `curate.contract`'s and are refused before a model is loaded;
these look at what only the trainer sees: batches, the reference, the first loss.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from curate.config import UsageError
from curate.contract import Tokenizer, template_problem

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

LN2 = math.log(2)
FIRST_LOSS_MISSES = 0.01
"""How far from ln 2 a first loss may be: other padding moves it by less, another reference by more."""
BF16_NATS = 0.5
"""How far apart two sums of log-probabilities over the same long answers may be, on the mean, where batches differ and all is rounded to bf16."""
IGNORED = -100
_WORDS = "Qq7"
"""Of a turn that is rendered to see what a template writes around it."""


def refuse(problem: str | None) -> None:
    """UsageError where a guard has found something."""
    if problem:
        raise UsageError(problem)


def padding_in_loss(batch: Mapping[str, "Tensor"]) -> str | None:
    """Padding must not be learnt: trained places are among those that attention reads."""
    lost = sum(int((trained & ~attention.bool()).sum()) for trained, attention in _masks(batch))
    return f"{lost:,} padding tokens are in the loss; mask labels where attention_mask is 0" if lost else None


def _masks(batch: Mapping[str, "Tensor"]) -> Iterator[tuple["Tensor", "Tensor"]]:
    """Every mask of a batch with the attention of the same rows: KTO's and ORPO's batches have two of each."""
    for name, value in batch.items():
        kind = next((kind for kind in ("labels", "completion_mask") if name.endswith(kind)), None)
        attention = batch.get(name.removesuffix(kind) + "attention_mask") if kind else None
        if attention is not None and attention.shape == value.shape:
            yield (value != IGNORED if kind == "labels" else value.bool()), attention


def trained_differs(batch: Mapping[str, "Tensor"], expected: int) -> str | None:
    """A batch must train as many tokens as its rows have marked."""
    trained = batch["labels"] != IGNORED if "labels" in batch else batch["completion_mask"].bool()
    found = int(trained.sum())
    return None if found == expected else f"the collator trains {found:,} tokens where the rows mark {expected:,}"


class Headers(NamedTuple):
    """The ids by which a template begins a user's turn, and those from its words to the next answer."""

    user: list[int]
    answer: list[int]
    special: bool
    """Both begin with special tokens; those of plain words may be quoted, or grow into the words beside them."""


def user_tokens_in_loss(ids: Sequence[int], labels: Sequence[int], headers: Headers) -> str | None:
    """Nothing is the assistant's before the first answer, nor from a user's header to the next answer; by plain words only a row's start is known."""
    answers = _places(ids, headers.answer)
    if not answers:
        return None
    turns = dict.fromkeys(_places(ids, headers.user), False) | {place + len(headers.answer): True for place in answers}
    inside, wrong = False, 0
    for place, label in enumerate(labels):
        if label == IGNORED and not headers.special:
            break
        inside = turns.get(place, inside)
        wrong += label != IGNORED and not inside
    return f"{wrong:,} tokens outside the answers are in the loss: user turns or headers; write labels for answers alone" if wrong else None


def _places(ids: Sequence[int], header: list[int]) -> list[int]:
    """Where a header begins."""
    return [place for place in range(len(ids) - len(header) + 1) if header and list(ids[place : place + len(header)]) == header]


def headers_of(tokenizer: Tokenizer) -> Headers:
    """What the template writes before the words of a user's turn that follows an answer, and from its words to the next answer."""
    if tokenizer.template() is None:
        return Headers([], [], False)
    turns = [{"role": role, "content": _WORDS} for role in ("user", "assistant", "user")]
    answered, asking = tokenizer.render(turns[:2]).text, tokenizer.render(turns, None, True).text
    user, _, answer = asking.removeprefix(answered).partition(_WORDS) if asking.startswith(answered) else ("", "", "")
    special = {number for number, token in tokenizer.backend.get_added_tokens_decoder().items() if token.special}
    found = [tokenizer.encode(text).ids for text in (user, answer)]
    return Headers(*found, all(ids and ids[0] in special for ids in found))


def template_missing(tokenizer: Tokenizer) -> str | None:
    """Trainers that generate need the template that SFT was done by, with marks around the assistant's turns."""
    marks = "the chat template has no {% generation %} marks, by which SFT knows the answers; name one by `template`"
    problem = template_problem(tokenizer) or (None if tokenizer.marked else marks)
    return f"{tokenizer.name}: {problem}" if problem else None


def first_loss_misses(loss: float, weight: float, rounding: float = 0.0) -> str | None:
    """At the first step the model is its reference, so each pair's loss is ln 2 (Rafailov et al. 2023, eq. 7); `rounding` is what z may be off."""
    expected = LN2 * weight
    if weight and abs(loss - expected) / weight > FIRST_LOSS_MISSES + rounding / 2:  # the slope of the loss at z = 0 is a half
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
