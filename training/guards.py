"""The mistakes that cost weeks, each a function: what a trainer is about to learn in, a sentence or None out.

Those of the rows and the template are `curate.contract`'s and are refused before a model is loaded;
these look at what only the trainer sees: batches, the reference, the first loss.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import TemplateError

from curate.config import UsageError
from curate.contract import Tokenizer, template_problem
from curate.contract.files import Row

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel

LN2 = math.log(2)
FIRST_LOSS_MISSES = 0.01
"""How far from ln 2 a first loss may be: other padding moves it by less, another reference by more."""
BF16_NATS = 0.5
"""How far apart two sums of log-probabilities over the same long answers may be, on the mean, where batches differ and all is rounded to bf16."""
ROWS_DIFFER, BF16_DIFFERS = 0.005, 0.05
"""How far a row's logits may be from those behind another row, at the root mean square, in standard deviations: rounding is less."""
IGNORED = -100
_ROW = 8
"""Tokens of a row that is made to look whether rows read each other."""
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
    if not all(ids and ids[0] in special for ids in found):
        return Headers(*found, False)
    return Headers(found[0], tokenizer.encode(answer.rstrip()).ids, True)  # some templates mark the line's end before the words, too


def system_left_out(tokenizer: Tokenizer, rows: Iterable[Row]) -> str | None:
    """Templates that know no system turn mostly stop at one; some print the conversation without it, and a model learns to ignore it."""
    if tokenizer.template() is None:
        return None
    try:
        if _WORDS in tokenizer.render([{"role": "system", "content": _WORDS}, {"role": "user", "content": "?"}]).text:
            return None
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError):
        return None  # which is said of its first such row
    found = next((row.name for row in rows for name in ("messages", "prompt") if _begins_with_system(row.columns.get(name))), None)
    return f"{found}: the chat template leaves the system turn out, without a word; use another by `template`, or drop such turns" if found else None


def _begins_with_system(turns: object) -> bool:
    return isinstance(turns, list) and bool(turns) and isinstance(turns[0], dict) and turns[0].get("role") == "system"


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


def rows_mix(model: "PreTrainedModel", collator: Callable[[list[dict]], dict], longest: int) -> str | None:
    """Rows of a packed line must not read each other: the same row behind two others gives the same; `longest` is a line's most tokens.

    Not every architecture tells its layers where rows begin (states and ALiBi's distances mostly do not), and none of them says so.
    """
    import torch

    if str(model.config._attn_implementation).startswith("flash"):  # of which every row is a sequence; and it needs a GPU, where the model is not yet
        return None
    masks = [mask.size(-1) for mask in model.buffers() if mask.dim() == 4 and mask.size(-2) == mask.size(-1)]
    if masks and min(masks) < longest:
        return f"packing: a line of {longest:,} tokens is over the {min(masks):,} that this model has a mask for; leave `packing` out"
    row, others = list(range(3, 3 + _ROW)), ([1] * _ROW, [2] * _ROW)
    line = [*others[0], *row, *others[1], *row]
    batch = {**collator([{"input_ids": line, "labels": line, "seq_lengths": [_ROW] * 4}]), "labels": None}
    training = model.training
    try:
        with torch.no_grad():
            given = {name: value.to(model.device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
            said = model.eval()(**given, use_cache=False).logits[0].view(4, _ROW, -1)
    except ValueError as error:
        return f"packing: {str(error).splitlines()[0]}; leave `packing` out"
    finally:
        model.train(training)
    most = ROWS_DIFFER if said.dtype == torch.float32 else BF16_DIFFERS
    differ = (said[1] - said[3]).float().square().mean().sqrt() > most * said.float().std()
    return "packing: the rows of a line would read each other in this model; leave `packing` out" if differ else None


def one_label(labels: Sequence[bool]) -> str | None:
    """A KTO batch of one label has no reference point (Ethayarajh et al. 2024, 4.1)."""
    alike = len(labels) > 1 and len(set(labels)) == 1
    return f"a KTO batch of {len(labels)} rows holds one label alone; interleave labels, as the output `kto` does" if alike else None


def identical_pairs(rows: Sequence[Mapping[str, Sequence[int]]]) -> str | None:
    """A pair of equal tokens has no gradient."""
    alike = sum(list(row["chosen_ids"]) == list(row["rejected_ids"]) for row in rows)
    return f"{alike:,} pairs are identical after truncation; raise max_length, or drop them" if alike else None
