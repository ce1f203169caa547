"""A row and its prediction in; the names of the traps that it walks into out."""

import re
from collections.abc import Iterator

from jinja2 import TemplateError

from curate.contract.columns import TURNS, Stops, opened
from curate.contract.predict import Prediction, Sequence, runs
from curate.contract.settings import Kind, Settings
from curate.contract.tokenizer import Tokenizer
from curate.contract.traps import TRAPS

ROLES = ("system", "user", "assistant", "tool")

_PROBE = [
    {"role": "user", "content": "First?"},
    {"role": "assistant", "content": "Second!"},
    {"role": "user", "content": "Third?"},
    {"role": "assistant", "content": "Fourth!"},
]
_MARKERS = re.compile(r"<\|[^|<>]+\|>|<(?:start|end)_of_turn>")
_HEADER = re.compile(r"assistant|model|response|gpt", re.IGNORECASE)


def row_traps(kind: Kind, row: dict, prediction: Prediction, tokenizer: Tokenizer, settings: Settings) -> set[str]:
    """The traps of one row, written columns and prediction together."""
    found = {prediction.stops, prediction.dropped} - {None}
    try:
        found.update(_column_traps(kind, opened(row), tokenizer, settings))
    except Stops:
        pass  # the prediction has stopped there as well, and says so
    if any(_calls_as_text(row[name]) for name in TURNS if isinstance(row.get(name), list)):
        found.add("tool_calls_as_text")
    if not prediction.dropped:
        found.update(_sequence_traps(kind, row, prediction, tokenizer, settings))
    return found


def _calls_as_text(turns: list) -> bool:
    return any(isinstance(turn, dict) and isinstance(turn.get("tool_calls"), str) for turn in turns)


def _column_traps(kind: Kind, row: dict, tokenizer: Tokenizer, settings: Settings) -> Iterator[str]:
    lists = {name: row[name] for name in TURNS if isinstance(row.get(name), list)}
    if any(turn["role"] not in ROLES for turns in lists.values() for turn in turns):
        yield "unknown_role"
    if any(not isinstance(turn.get("content", ""), str) for turns in lists.values() for turn in turns):
        yield "content_not_text"
    if "input_ids" in row:
        yield from _tokenised_traps(row, settings)
        return
    if tokenizer.templates and any(isinstance(row.get(name), str) for name in TURNS):
        yield "plain_strings"
    if tokenizer.unsaid(row):
        yield "tools_unsaid"
    if kind == "dpo" and "prompt" not in row:
        yield "implicit_prompt"
    if kind == "dpo" and any(_roles(lists, name) not in (None, ["assistant"]) for name in ("chosen", "rejected")):
        yield "diverges_before_last_turn"
    if kind == "kto" and "label" in row and not isinstance(row["label"], bool):
        yield "label_not_bool"
    if kind == "sft" and "text" in row and not lists and tokenizer.templates and "prompt" not in row:
        yield "texts_without_template"
    if kind in ("sft", "kto") and _foreign_turns(kind, row, lists, settings):
        yield "user_turns_in_loss"


def _roles(lists: dict[str, list], name: str) -> list[str] | None:
    return [turn["role"] for turn in lists[name]] if name in lists else None


def _foreign_turns(kind: Kind, row: dict, lists: dict[str, list], settings: Settings) -> bool:
    """True where the settings or the columns put more than the assistant's turns into the loss."""
    if kind == "sft" and settings.assistant_only_loss:
        return False
    if "completion" in row:
        whole = kind == "sft" and settings.completion_only_loss is False
        return whole or set(_roles(lists, "completion") or ["assistant"]) != {"assistant"}
    return "messages" in lists and settings.assistant_only_loss is False


def _tokenised_traps(row: dict, settings: Settings) -> Iterator[str]:
    if "labels" in row:
        if any(label not in (-100, number) for label, number in zip(row["labels"], row["input_ids"], strict=False)):
            yield "labels_differ"
    elif "completion_mask" in row and not settings.completion_only_loss:
        yield "completion_mask_ignored"


def _sequence_traps(kind: Kind, row: dict, prediction: Prediction, tokenizer: Tokenizer, settings: Settings) -> Iterator[str]:
    made = prediction.sequences
    if not prediction.mask_is_exact:
        yield "mask_misses"
    if not prediction.prompt_is_prefix:
        yield "prompt_not_prefix"
    if len(made) == 2 and made[0].input_ids == made[1].input_ids:
        yield "pair_identical"
    bos = tokenizer.id_of("bos_token")
    if bos is not None and any(one.input_ids[:2] == [bos, bos] for one in made):
        yield "double_bos"
    if any(not any(one.loss) for one in made):
        yield "no_trained_token"
    if any(sum(one.loss) < one.learnt for one in made):
        yield "answer_cut"
    if kind != "reward" and any(_never_stops(one, tokenizer) for one in made):
        yield "no_stop_token"
    if settings.packing == "bfd" and any(len(one.input_ids) > (settings.max_length or 0) for one in made):
        yield "packing_cuts"
    if kind == "reward" and "margin" in row and row["margin"] is None:
        yield "margin_missing"


def _never_stops(one: Sequence, tokenizer: Tokenizer) -> bool:
    """True where an answer, white space at its end aside, ends with an ordinary token.

    What is trained as a whole and given as tokens is a piece of a text, which may end anywhere.
    """
    if one.cut or (one.name == "tokens" and all(one.loss)):
        return False
    return any(not _closes(one.input_ids[start:end], tokenizer) for start, end in runs(one.loss))


def _closes(ids: list[int], tokenizer: Tokenizer) -> bool:
    for number in reversed(ids):
        if number in tokenizer.added:
            return True
        if tokenizer.decode([number]).strip():
            return False
    return False


def template_traps(kind: Kind, tokenizer: Tokenizer) -> Iterator[str]:
    """The traps of the chat template itself, found by rendering a conversation of four turns."""
    template = tokenizer.template()
    if template is None:
        return
    if "strftime_now" in template:
        yield "reads_the_clock"
    try:
        whole = tokenizer.render(_PROBE)
        bare, asked = (tokenizer.render(_PROBE[:1], None, generate).text for generate in (False, True))
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError):
        return
    known = set(tokenizer.added.values())
    if any(marker not in known for marker in _MARKERS.findall(whole.text)):
        yield "tokens_missing"
    if kind == "sft" and any(word in whole.text[start:end] for start, end in whole.spans for word in ("First?", "Third?")):
        yield "user_turns_in_loss"
    if kind != "reward" and _header_in_loss(whole.text, whole.spans if kind == "sft" else [], bare, asked):
        yield "headers_in_loss"


def template_problem(tokenizer: Tokenizer) -> str | None:
    """Why ids made by this tokenizer's template should not be kept for training; None where they may."""
    for name in template_traps("sft", tokenizer):
        if TRAPS[name].refused or name == "reads_the_clock":
            return f"{tokenizer.name}: {name}: {TRAPS[name].says} Instead: {TRAPS[name].instead}"
    return None


def _header_in_loss(text: str, spans: list[tuple[int, int]], bare: str, asked: str) -> bool:
    """True where the first answer's trained text begins before the end of what the prompt gives, or with its header."""
    answer = text.find("Second!")
    start = spans[0][0] if spans else len(asked)
    if text.startswith(asked) and asked[start:].strip():
        return True
    return bare == asked and bool(_HEADER.search(text[start:answer]))
