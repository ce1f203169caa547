"""A row as it is written in; the ids and the loss mask that TRL 1.16 makes of it out.

Follows `SFTTrainer`, `DPOTrainer`, `KTOTrainer` and `RewardTrainer` through preparation,
truncation and collation, padding aside; tests hold it against them, row for row.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import TemplateError

from curate.contract.columns import Stops, is_chat, opened
from curate.contract.settings import Kind, Settings
from curate.contract.template import Rendered
from curate.contract.tokenizer import Tokenizer

if TYPE_CHECKING:
    from tokenizers import Encoding

class Sequence(NamedTuple):
    """What the model reads, and which tokens it learns; for rewards the one token whose score is read."""

    name: str
    input_ids: list[int]
    loss: list[bool]
    cut: int = 0
    """Tokens that truncation took away."""
    learnt: int = 0
    """Trained tokens before truncation."""


class Prediction(NamedTuple):
    """The sequences of a row, `chosen` before `rejected`, as they stand after truncation."""

    sequences: tuple[Sequence, ...] = ()
    dropped: str | None = None
    """Why the trainer leaves the row out, without a word."""
    stops: str | None = None
    """The trap at which the trainer stops; then there are no sequences."""
    detail: str = ""
    prompt_is_prefix: bool = True
    """False where the prompt alone is tokenised in another way than before its answer."""
    mask_is_exact: bool = True
    """False where transformers' mask is not what the template marks."""


def predict(kind: Kind, row: dict, tokenizer: Tokenizer, settings: Settings) -> Prediction:
    """What the trainer of `kind` makes of a row, given by its written columns."""
    try:
        return _KINDS[kind](opened(row), tokenizer, settings)
    except Stops as stopped:
        return Prediction(stops=stopped.trap, detail=stopped.detail)


class Marked(NamedTuple):
    """A conversation's ids, which of them the template marks, and which transformers takes for marked."""

    ids: list[int]
    marked: list[bool]
    taken: list[bool]


def rendered_text(row: dict, turns: list[dict], tokenizer: Tokenizer, generate: bool = False) -> Rendered:
    """The text of a conversation; Stops where there is no template or it refuses the turns."""
    if tokenizer.template(row.get("tools")) is None:
        raise Stops("no_chat_template")
    try:
        return tokenizer.render(turns, row.get("tools"), generate, **row.get("chat_template_kwargs", {}))
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise Stops("template_refuses", str(error)) from None


def rendered(row: dict, turns: list[dict], tokenizer: Tokenizer, generate: bool = False) -> list[int]:
    """The ids of a conversation."""
    return tokenizer.encode(rendered_text(row, turns, tokenizer, generate).text).ids


def _marked(row: dict, turns: list[dict], tokenizer: Tokenizer) -> Marked:
    """A conversation with its masks; Stops where the template has none to give."""
    made = rendered_text(row, turns, tokenizer)
    if not tokenizer.marked:
        raise Stops("no_generation_marks")
    encoding = tokenizer.encode(made.text)
    taken = _taken(encoding, made.spans)
    if not any(taken):
        raise Stops("no_assistant_token")
    return Marked(encoding.ids, overlapping(tokenizer.places(made.text, encoding), made.spans), taken)


def overlapping(places: list[tuple[int, int]], spans: list[tuple[int, int]]) -> list[bool]:
    """Which tokens hold a character of the spans, which are sorted and apart."""
    starts = [start for start, _ in spans]
    found = []
    for begin, end in places:
        nearest = bisect_left(starts, end) - 1
        found.append(nearest >= 0 and spans[nearest][1] > begin)
    return found


def _taken(encoding: "Encoding", spans: list[tuple[int, int]]) -> list[bool]:
    """Which tokens overlap the spans, as transformers counts them.

    A span whose first character belongs to no token ends the count, and one whose last
    belongs to none (or to the first token) runs to the end.
    """
    found = [False] * len(encoding.ids)
    for start, end in spans:
        first, last = encoding.char_to_token(start), encoding.char_to_token(end - 1)
        if first is None:
            break
        stop = last + 1 if last else len(found)
        found[first:stop] = [True] * (stop - first)
    return found


def plain_ids(text: str, tokenizer: Tokenizer, prompt: str = "") -> list[int]:
    """Ids of a text that ends with EOS, once, after its prompt; Stops where the tokenizer has none."""
    if tokenizer.eos is None:
        raise Stops("no_eos_token")
    closed = text if text.endswith(tokenizer.eos) else text + tokenizer.eos
    return tokenizer.encode(prompt + closed, special=True).ids


def common_prefix(one: list[int], other: list[int]) -> int:
    """How many ids two sequences begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _cut(name: str, ids: list[int], loss: list[bool], settings: Settings, mode: str) -> Sequence:
    """The sequence within `max_length`."""
    limit = settings.max_length
    part = slice(None) if limit is None else slice(None, limit) if mode == "keep_start" else slice(-limit, None)
    return Sequence(name, ids[part], loss[part], len(ids) - len(ids[part]), sum(loss))


class Whole(NamedTuple):
    """An SFT row before truncation; see `Prediction` for the flags."""

    ids: list[int]
    loss: list[bool]
    prompt_is_prefix: bool = True
    mask_is_exact: bool = True


def _sft(row: dict, tokenizer: Tokenizer, settings: Settings) -> Prediction:
    ids, loss, *flags = whole(row, tokenizer, settings)
    name = "tokens" if "input_ids" in row else "text"
    if settings.packing or settings.max_length is None:
        return Prediction((Sequence(name, ids, loss, 0, sum(loss)),), None, None, "", *flags)
    made = _cut(name, ids, loss, settings, settings.truncation_mode)
    return Prediction((made,), None if any(made.loss) else "no_trained_token", None, "", *flags)


def whole(row: dict, tokenizer: Tokenizer, settings: Settings) -> Whole:
    """The ids and the mask of an SFT row, whichever columns it has."""
    if "input_ids" in row:
        return Whole(row["input_ids"], _given(row, settings))
    if "prompt" in row or "completion" in row:
        return _completion(row, tokenizer, settings)
    only = settings.assistant_only_loss
    if "messages" in row and is_chat(row, "messages"):
        if only is False:
            ids = rendered(row, row["messages"], tokenizer)
            return Whole(ids, [True] * len(ids))
        made = _marked(row, row["messages"], tokenizer)
        return Whole(made.ids, made.taken, True, made.marked == made.taken)
    if not isinstance(row.get("text"), str):
        raise Stops("wrong_columns", "messages, prompt and completion, text, or input_ids and labels")
    if only:
        raise Stops("plain_strings")
    ids = plain_ids(row["text"], tokenizer)
    return Whole(ids, [True] * len(ids))


def _given(row: dict, settings: Settings) -> list[bool]:
    """The mask that tokenised columns give: `labels`, else the masks that the settings let count."""
    ids = row["input_ids"]
    if "labels" in row:
        return [label != -100 for label in row["labels"]]
    names = ["completion_mask"] if settings.completion_only_loss else []
    masks = [row[name] for name in [*names, "assistant_masks"] if name in row]
    return [all(bits) for _, *bits in zip(ids, *masks, strict=False)]


def _completion(row: dict, tokenizer: Tokenizer, settings: Settings) -> Whole:
    chat = is_chat(row, "prompt", "completion")
    if settings.assistant_only_loss and not chat:
        raise Stops("plain_strings")
    alone, ids = _prompt(row, chat, tokenizer), _answer(row, "completion", chat, tokenizer)
    start = common_prefix(alone, ids)
    only = settings.completion_only_loss is not False
    loss = [place >= start or not only for place in range(len(ids))]
    if not settings.assistant_only_loss:
        return Whole(ids, loss, start == len(alone))
    made = _marked(row, row["prompt"] + row["completion"], tokenizer)
    both = [one and other for one, other in zip(loss, made.taken, strict=True)]
    return Whole(ids, both, start == len(alone), made.marked == made.taken)


def _prompt(row: dict, chat: bool, tokenizer: Tokenizer) -> list[int]:
    """The ids of the prompt alone, with the header of an answer."""
    if chat:
        return rendered(row, row["prompt"], tokenizer, generate=True)
    return tokenizer.encode(row["prompt"], special=True).ids


def _answer(row: dict, name: str, chat: bool, tokenizer: Tokenizer) -> list[int]:
    """The ids of the prompt, if there is one, with an answer."""
    if chat:
        return rendered(row, row.get("prompt", []) + row[name], tokenizer)
    return plain_ids(row[name], tokenizer, row.get("prompt", ""))


def _dpo(row: dict, tokenizer: Tokenizer, settings: Settings) -> Prediction:
    if "prompt" not in row and {"chosen", "rejected"} <= row.keys():
        row = {**row, **split_prompt(row["chosen"], row["rejected"])}
    chat = is_chat(row, "prompt", "chosen", "rejected")
    alone = _prompt(row, chat, tokenizer)
    answered = {name: _answer(row, name, chat, tokenizer) for name in ("chosen", "rejected")}
    start = min(common_prefix(alone, ids) for ids in answered.values())
    mode = settings.truncation_mode
    made = tuple(_learnt(name, ids, start, settings, mode) for name, ids in answered.items())
    dropped = "prompt_too_long" if mode == "keep_start" and _fills(start, settings) else None
    return Prediction(made, dropped, prompt_is_prefix=start == len(alone))


def split_prompt(chosen: str | list, rejected: str | list) -> dict:
    """What TRL takes for the prompt where there is none: what both begin with, character by character or turn by turn."""
    if type(chosen) is not type(rejected) or not isinstance(chosen, str | list) or not chosen or not rejected:
        raise Stops("mixed_shapes")
    place = 0
    for place, (one, other) in enumerate(zip(chosen, rejected, strict=False)):
        if one != other:
            place -= 1 if chosen[place - 1] == " " else 0
            break
    return {"prompt": chosen[:place], "chosen": chosen[place:], "rejected": rejected[place:]}


def _learnt(name: str, ids: list[int], start: int, settings: Settings, mode: str) -> Sequence:
    """The sequence, trained from `start` on, within `max_length`."""
    return _cut(name, ids, [place >= start for place in range(len(ids))], settings, mode)


def _fills(start: int, settings: Settings) -> bool:
    """True where the prompt alone leaves no room for an answer."""
    return settings.max_length is not None and start >= settings.max_length


def _kto(row: dict, tokenizer: Tokenizer, settings: Settings) -> Prediction:
    if "chosen" in row and "rejected" in row:
        raise Stops("pairs_for_kto")
    if "label" not in row:
        raise Stops("wrong_columns", "prompt, completion, label")
    chat = is_chat(row, "prompt", "completion")
    alone, ids = _prompt(row, chat, tokenizer), _answer(row, "completion", chat, tokenizer)
    start = common_prefix(alone, ids)
    made = _learnt("completion", ids, start, settings, "keep_start")
    return Prediction((made,), "prompt_too_long" if _fills(start, settings) else None, prompt_is_prefix=start == len(alone))


def _reward(row: dict, tokenizer: Tokenizer, settings: Settings) -> Prediction:
    names = ("chosen", "rejected")
    chat = is_chat(row, *(("prompt", *names) if "prompt" in row else names))
    made = [_answer(row, name, chat, tokenizer) for name in names]
    long = settings.max_length is not None and any(len(ids) > settings.max_length for ids in made)
    scored = tuple(Sequence(name, ids, _scored(ids, tokenizer), 0, 1) for name, ids in zip(names, made, strict=True))
    return Prediction(scored, "row_too_long" if long else None)


def _scored(ids: list[int], tokenizer: Tokenizer) -> list[bool]:
    """The token whose score is the reward: the last one that is not padding, which EOS is where there is no other."""
    padding = tokenizer.id_of("pad_token")
    last = max((place for place, number in enumerate(ids) if number != padding), default=0)
    return [place == last for place in range(len(ids))]


_KINDS = {"sft": _sft, "dpo": _dpo, "kto": _kto, "reward": _reward}


def runs(loss: list[bool]) -> Iterator[tuple[int, int]]:
    """(start, end) of each stretch of trained tokens."""
    start = None
    for place, trained in enumerate([*loss, False]):
        if trained and start is None:
            start = place
        elif not trained and start is not None:
            yield start, place
            start = None
