"""Names by a token-classification model of transformers: a line comes in, the places of names go out.

The only room that imports torch, and only where a recipe names such a model. A process that does pays some
4 CPU seconds and 300 MB for the two libraries, and 4 bytes for each of the model's parameters: a BERT base
takes 430 MB in every worker. Each window is read by itself, in single precision and on one thread, so that
what is found depends neither on the texts beside it nor on the number of workers, who have a core each.
"""

from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

import regex

from curate.config import UsageError
from curate.steps.scrub.spans import Range
from curate.steps.words import SCRIPTS

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_LIBRARIES = ("torch", "transformers")
_LONGEST_WINDOW = 512
"""Tokens, special ones included: what most of these models were trained with, and what bounds the memory of a window."""
_OVERLAP = 4
"""A window shares a quarter of itself with the next one."""
_KEPT_POSITIONS = 2
"""RoBERTa and its kin count positions from 2."""
_PREFIX = regex.compile(r"[BIESLU][-_](?=.)")
_BEGINS = ("B", "S", "U")
_WORD = regex.compile(rf"[{SCRIPTS}]|(?:[\w--[{SCRIPTS}]]\p{{M}}*)+", regex.V1)
_LETTER = regex.compile(r"\p{L}")
_JOINT = regex.compile(r"[\s.'’´-]{0,3}")
"""What may stand between two words of one name: `J. K. Souza-Lima`, `D'Ávila`."""


class Token(NamedTuple):
    """A token or a word: where it stands in the line, and the model's label of it."""

    start: int
    end: int
    label: str


def versions(folder: str) -> list[str]:
    """The libraries' versions, which decide what a model finds; UsageError where one is missing."""
    try:
        return [f"{name} {metadata.version(name)}\n" for name in _LIBRARIES]
    except metadata.PackageNotFoundError:
        raise _missing(folder) from None


def _missing(folder: str) -> UsageError:
    return UsageError(f"pii: names {folder}: a transformers model needs torch and transformers; pip install 'curate[ner]'")


def check_labels(folder: str, known: Iterable[str], wanted: frozenset[str]) -> None:
    """UsageError where a model has no label of people: it would find nothing, and nobody would know."""
    if not wanted & {label.upper() for label in known}:
        shown = ", ".join(sorted(known)) or "none"
        raise UsageError(f"pii: names {folder}: its labels are {shown}; name those of people in name_labels")


def reader(folder: str, wanted: frozenset[str]) -> Callable[[str], list[Range]]:
    """A function from a line to the places of its names; loads the model, so call it once. UsageError where that fails."""
    tokenizer, labels_of = _load(folder, wanted)
    shared = tokenizer.truncation["stride"]

    def find(line: str) -> list[Range]:
        if not _LETTER.search(line):
            return []
        # a lone surrogate is no text to a tokenizer; what stands for it is one character, too, so places hold
        encoding = tokenizer.encode(line.encode("utf-8", "replace").decode("utf-8"))
        windows = [_tokens(window, labels_of(window.ids)) for window in (encoding, *encoding.overflowing)]
        return list(_names(line, _joined(windows, shared), wanted))

    return find


def _load(folder: str, wanted: frozenset[str]) -> tuple["Tokenizer", Callable[[list[int]], list[str]]]:
    """The tokenizer, which cuts into windows, and a function from the ids of a window to their labels."""
    try:
        import torch
        import transformers
        from safetensors import SafetensorError
    except ImportError:
        raise _missing(folder) from None
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, loading = transformers.AutoModelForTokenClassification.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        line = " ".join(str(error).split())[:300]
        raise UsageError(f"pii: names {folder}: cannot be loaded: {line}; save a whole model and its tokenizer there") from None
    if loading["missing_keys"]:
        lacking = ", ".join(sorted(loading["missing_keys"])[:3])
        raise UsageError(f"pii: names {folder}: has no weights for {lacking}; give a model that was trained to label tokens")
    known = model.config.id2label
    check_labels(folder, {_PREFIX.sub("", label, count=1) for label in known.values()}, wanted)

    @torch.inference_mode()
    def labels_of(ids: list[int]) -> list[str]:
        return [known[number] for number in model(input_ids=torch.tensor([ids])).logits[0].argmax(-1).tolist()]

    return _cutting(folder, tokenizer, model), labels_of


def _cutting(folder: str, tokenizer: "PreTrainedTokenizerFast", model: "PreTrainedModel") -> "Tokenizer":
    """The tokenizer's own engine, set to windows that the model can read; UsageError for one that is not this model's."""
    special = len(tokenizer.all_special_tokens)
    if not tokenizer.is_fast or not special < len(tokenizer) <= model.get_input_embeddings().num_embeddings:
        raise UsageError(f"pii: names {folder}: no fast tokenizer of this model there; save its tokenizer.json beside it")
    positions = getattr(model.config, "max_position_embeddings", None) or _LONGEST_WINDOW
    longest = min(tokenizer.model_max_length, positions - _KEPT_POSITIONS, _LONGEST_WINDOW)
    engine = tokenizer.backend_tokenizer
    engine.no_padding()
    engine.enable_truncation(longest, stride=longest // _OVERLAP)
    return engine


def _tokens(window: "Encoding", labels: list[str]) -> list[Token]:
    marked = zip(window.offsets, labels, window.special_tokens_mask, strict=True)
    return [Token(*place, label) for place, label, special in marked if not special]


def _joined(windows: list[list[Token]], shared: int) -> list[Token]:
    """The windows as one row of tokens; each gives up half of the `shared` tokens to the next, where that sees more on both sides."""
    half = shared // 2
    last = len(windows) - 1
    kept = (
        window[half if number else 0 : len(window) if number == last else len(window) - shared + half]
        for number, window in enumerate(windows)
    )
    return [token for window in kept for token in window]


def _names(line: str, tokens: list[Token], wanted: frozenset[str]) -> Iterator[Range]:
    """Words whose first token is labelled as a person, put together where the label goes on and nothing but a joint is between."""
    name: Range | None = None
    for start, end, label in _labelled_words(line, tokens):
        prefix = _PREFIX.match(label)
        if label[prefix.end() if prefix else 0 :].upper() not in wanted:
            continue
        goes_on = name is not None and not (prefix and label[0] in _BEGINS) and _JOINT.fullmatch(line, name[1], start)
        if name is not None and not goes_on:
            yield name
        name = (name[0] if name is not None and goes_on else start, end)
    if name is not None:
        yield name


def _labelled_words(line: str, tokens: list[Token]) -> Iterator[Token]:
    """The words of a line, each with the label of its first token; one of which no token is part is left out."""
    place = 0
    for word in _WORD.finditer(line):
        while place < len(tokens) and tokens[place].end <= word.start():
            place += 1
        if place < len(tokens) and tokens[place].start < word.end():
            yield Token(word.start(), word.end(), tokens[place].label)
