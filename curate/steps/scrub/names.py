"""Names of people by a model that the user brings: a text comes in, the places of names go out.

The model is a folder on disk: of a spaCy pipeline, or of a token-classification model of transformers.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, PlainSerializer, SerializationInfo, ValidationInfo

from curate.config import UsageError, anchor
from curate.steps.scrub import token_labels
from curate.steps.scrub.spans import Range

Labels = frozenset[str]
"""What a model calls a person, in upper case."""
_MOST_CHARACTERS = 50_000
_LINE = re.compile(r"[^\n]+")


def _resolve(value: object, info: ValidationInfo) -> object:
    return anchor(str(value), (info.context or {}).get("base", Path.cwd())) if isinstance(value, str | Path) else value


def _identity(folder: str, info: SerializationInfo) -> str:
    """One hash of every file of the model's folder where an identity is wanted, else the path.

    The versions of torch and transformers belong to what a model of theirs finds; spaCy's stands in every
    identity. Hidden files are left out: the Hub's downloads keep their time in some.
    """
    content_hash = (info.context or {}).get("content_hash")
    if content_hash is None:
        return folder
    versions = token_labels.versions(folder) if kind_of(folder) == "transformers" else []
    files = sorted(path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file())
    seen = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    lines = [f"{path.as_posix()} {content_hash(str(Path(folder, path)))}\n" for path in seen]
    return hashlib.sha256("".join([*versions, *lines]).encode()).hexdigest()


ModelFolder = Annotated[str, BeforeValidator(_resolve), PlainSerializer(_identity)]
"""The folder of a saved model, relative to the recipe; in an identity it stands for the content of its files."""


def kind_of(folder: str) -> Literal["spacy", "transformers"]:
    """Which library saved the model, by the file that each writes; UsageError where neither did."""
    if Path(folder, "config.cfg").is_file():
        return "spacy"
    if Path(folder, "config.json").is_file():
        return "transformers"
    raise UsageError(
        f"pii: names {folder}: no model there; give the folder that holds a spaCy pipeline's config.cfg "
        "or the config.json of a transformers token-classification model"
    )


def find_names(text: str, folder: str, labels: Labels) -> Iterator[Range]:
    """What the model in this folder labels as a person, by place; none overlaps another."""
    by_line = kind_of(folder) == "transformers"
    for start, piece in _pieces(text, by_line):
        for first, last in _names_in(piece, folder, labels):
            yield start + first, start + last


@lru_cache(maxsize=1024)
def _names_in(piece: str, folder: str, labels: Labels) -> list[Range]:
    """Remembered, because a scrubbed text is looked at again, and pages of one site share lines."""
    return _reader(folder, labels)(piece)


@lru_cache(maxsize=2)
def _reader(folder: str, labels: Labels) -> Callable[[str], list[Range]]:
    return _pipeline(folder, labels) if kind_of(folder) == "spacy" else token_labels.reader(folder, labels)


def _pipeline(folder: str, labels: Labels) -> Callable[[str], list[Range]]:
    import spacy

    nlp = spacy.load(folder)
    known = {label for found in nlp.pipe_labels.values() for label in found}
    token_labels.check_labels(folder, known, labels)
    return lambda piece: [(one.start_char, one.end_char) for one in nlp(piece).ents if one.label_.upper() in labels]


def _pieces(text: str, by_line: bool) -> Iterator[tuple[int, str]]:
    """The text by lines, or as much of it as a pipeline's memory allows, which grows with the length."""
    for start, end in _ends(text):
        if by_line:
            yield from ((line.start(), line[0]) for line in _LINE.finditer(text, start, end))
        else:
            yield start, text[start:end]


def _ends(text: str) -> Iterator[Range]:
    """Places to cut a long text: at line ends, and in a longer line at a space."""
    start = 0
    while len(text) - start > _MOST_CHARACTERS:
        limit = start + _MOST_CHARACTERS
        end = text.rfind("\n", start, limit) + 1 or text.rfind(" ", start, limit) + 1 or limit
        yield start, end
        start = end
    yield start, len(text)
