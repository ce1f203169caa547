"""YAML in, validated models out; every mistake in a file is named with its line.

A recipe's block is validated by the model that also does the work, so what the
editor completes, what `curate check` refuses and what runs are one definition.
"""

import difflib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializationInfo,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from curate.errors import StoppedError, UsageError

__all__ = ["Anchored", "FilePath", "InputPath", "Model", "StoppedError", "UsageError"]


class Model(BaseModel):
    """A block of YAML: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Anchored(str):
    """A string that remembers the folder its relative path starts from."""

    base: Path

    def __new__(cls, text: str, base: Path) -> "Anchored":
        anchored = super().__new__(cls, text)
        anchored.base = base
        return anchored


def anchored(value: object, base: Path) -> object:
    """The value with every string in it remembering `base`, except where it remembers another folder."""
    if isinstance(value, str) and not isinstance(value, Anchored):
        return Anchored(value, base)
    if isinstance(value, list | tuple):
        return [anchored(item, base) for item in value]
    if isinstance(value, dict):
        return {key: anchored(item, base) for key, item in value.items()}
    return Anchored(str(value), base) if isinstance(value, Path) else value


def is_url(path: str) -> bool:
    """True for `s3://...`, `https://...` and the like; a Windows drive is no scheme."""
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", path) is not None


def anchor(value: str, base: Path) -> str:
    """The absolute path of `value` seen from `base`; URLs and absolute paths stay."""
    if is_url(value):
        return str(value)
    return str(Path(getattr(value, "base", base), Path(value).expanduser()))


def _resolve(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str | Path):
        return value
    base = (info.context or {}).get("base", Path.cwd())
    return anchor(value if isinstance(value, str) else str(value), base)


def _serialise(path: str, info: SerializationInfo) -> str:
    """A file's content hash where an identity is wanted, else the path.

    Identity must not change when a folder is renamed, and must when a list is edited.
    """
    content_hash: Callable[[str], str] | None = (info.context or {}).get("content_hash")
    return content_hash(path) if content_hash else path


FilePath = Annotated[str, BeforeValidator(_resolve), PlainSerializer(_serialise)]
"""A file that a step reads; relative to the recipe, or to the working directory when given by `--set`.
In an identity it stands for its content."""

InputPath = Annotated[str, BeforeValidator(_resolve)]
"""A path, glob or URL of input data; its content enters the identity by the source's own account."""


class Located(yaml.SafeLoader):
    """The safe loader, except that a key given twice is an error, and that only true and false are truth values.

    That is YAML 1.2's rule; by YAML 1.1's the key `on` and the language `no` would be such values too.
    """

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Located.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))


def _mapping(loader: Located, node: yaml.MappingNode) -> dict:
    seen = set()
    for key, _ in node.value:
        name = loader.construct_object(key, deep=True)
        if name in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {name!r} stands twice", key.start_mark)
        seen.add(name)
    return loader.construct_mapping(node, deep=True)


Located.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> tuple[object, yaml.Node | None]:
    """The data of a YAML file and its node tree, which knows the lines."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    try:
        return yaml.load(text, Located), yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(f"{path}:1: not valid YAML: {error}") from None


def line_of(node: yaml.Node | None, location: tuple[str | int, ...]) -> int:
    """The line where a pydantic error location stands; parts that are no keys are union tags and are skipped."""
    line = node.start_mark.line + 1 if node else 1
    for part in location:
        key, child = _child(node, part)
        if child is not None:
            node, line = child, (key or child).start_mark.line + 1
    return line


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, yaml.Node | None]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return None, node.value[part]
    return None, None


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Every model class inside a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def _union_tag(model: type[BaseModel], tag: str | int) -> bool:
    field = model.model_fields.get("use")
    return field is not None and tag in get_args(field.annotation)


def known_keys(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """The keys that are allowed where an unknown one (the last part of `location`) was found."""
    models = [model]
    for part in location[:-1]:
        tagged = [m for m in models if _union_tag(m, part)]
        fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        if tagged:
            models = tagged
        elif fields:
            models = [m for annotation in fields for m in models_in(annotation)]
    return sorted({field.alias or name for m in models for name, field in m.model_fields.items()})


def explain(error: ValidationError, model: type[BaseModel], path: str, node: yaml.Node | None) -> list[str]:
    """One line for each mistake: `file:line: what; did you mean ...?`"""
    lines = []
    for item in error.errors():
        line = line_of(node, item.get("ctx", {}).get("place", item["loc"]))
        lines.append((line, f"{path}:{line}: {_what(item, model)}"))
    return [text for _, text in dict.fromkeys(sorted(lines, key=lambda pair: pair[0]))]


def mistake_at(place: tuple[str | int, ...], message: str) -> PydanticCustomError:
    """What a validator of the whole raises for a mistake in a part: `explain` names the line of `place`."""
    return PydanticCustomError("mistake", "{message}", {"message": message, "place": place})


def _what(item: dict, model: type[BaseModel]) -> str:
    if item["type"] == "mistake":
        return item["msg"]
    key = next((str(part) for part in reversed(item["loc"]) if isinstance(part, str)), "recipe")
    if item["type"] == "extra_forbidden":
        return f"unknown key '{key}'{suggestion(key, known_keys(model, item['loc']))}"
    if item["type"] == "missing":
        return f"'{key}' is missing; add it"
    if item["type"] == "union_tag_invalid":
        names = [name.strip().strip("'") for name in item["ctx"]["expected_tags"].split(",")]
        return f"unknown choice '{item['ctx']['tag']}'{suggestion(item['ctx']['tag'], names)}"
    if item["type"] == "union_tag_not_found":
        return f"'{key}': say which step by `use: name`"
    message = item["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = item.get("input")
    shown = f", not {given!r}" if repr(given) not in message and isinstance(given, str | int | float | bool) and len(str(given)) < 60 else ""
    return f"'{key}': {message}{shown}"


def suggestion(word: str, known: list[str]) -> str:
    """`; did you mean 'x'?` where one is near, else the list of what is known."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(known)}" if known else ""
