"""Files of prompt templates: a name or path in, checked templates out, and texts filled in.

A `.yaml` file holds the templates of one task, with `{placeholders}`; any other file is one Jinja
template of a whole prompt.
"""

import re
from collections.abc import Mapping
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BeforeValidator, Field, PlainSerializer, SerializationInfo, ValidationError, ValidationInfo, model_validator

from curate.config import Model, UsageError, anchor, explain, read_yaml, suggestion

if TYPE_CHECKING:
    from jinja2 import Template as JinjaTemplate

FOLDER = Path(__file__).parent / "templates"
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\w+)\}|[{}]")


@cache
def shipped() -> dict[str, Path]:
    """The templates that come with the step, by name."""
    return {path.stem: path for path in sorted(FOLDER.iterdir()) if path.suffix in (".jinja", ".yaml")}


def _resolve(value: object, info: ValidationInfo) -> object:
    """A shipped name as it is, anything else as an absolute path."""
    if not isinstance(value, str | Path) or str(value) in shipped():
        return value
    path = anchor(value if isinstance(value, str) else str(value), (info.context or {}).get("base", Path.cwd()))
    if not Path(path).is_file() and not Path(path).suffix:
        raise ValueError(f"no template '{value}'{suggestion(str(value), list(shipped()))}; or give the path of a file")
    return path


def _identity(value: str, info: SerializationInfo) -> str:
    content_hash = (info.context or {}).get("content_hash")
    return content_hash(value) if content_hash and value not in shipped() else value


TemplateName = Annotated[str, BeforeValidator(_resolve), PlainSerializer(_identity)]
"""A shipped template's name, or a file, relative to the recipe."""


def path_of(name: str) -> Path:
    return shipped().get(name) or Path(name)


def placeholders(text: str) -> set[str]:
    return {found[1] for found in _PLACEHOLDER.finditer(text) if found[1]}


def filled(text: str, fields: Mapping[str, str]) -> str:
    """The text with each placeholder replaced once: braces in what was put in stay as they are."""

    def put(found: re.Match[str]) -> str:
        return fields[found[1]] if found[1] else found[0][0]

    return _PLACEHOLDER.sub(put, text)


class TaskTemplate(Model):
    """One way to ask."""

    prompt: str = Field(
        ..., min_length=1, description="What the user says; `{prompt}`, `{answer}` and fields of the metadata are filled in."
    )
    answer: str = Field("", description="What the assistant says; none: the row's answer, or its prompt where inverted.")
    inverted: bool = Field(False, description="Asks for what the row's prompt was, given its answer.")

    @model_validator(mode="after")
    def _fillable(self) -> Self:
        stray = [found[0] for text in (self.prompt, self.answer) for found in _PLACEHOLDER.finditer(text) if len(found[0]) == 1]
        if stray:
            raise ValueError(f"a '{stray[0]}' stands alone; write '{stray[0] * 2}' for a brace")
        needed = "answer" if self.inverted else "prompt"
        if not self.names or (self.inverted and needed not in self.names):
            raise ValueError(f"the prompt holds no '{{{needed}}}', so every row would be asked the same; put it in")
        return self

    @cached_property
    def names(self) -> set[str]:
        """Placeholders of the prompt."""
        return placeholders(self.prompt)

    @cached_property
    def said(self) -> str:
        """The template of the answer."""
        return self.answer or ("{prompt}" if self.inverted else "{answer}")

    @cached_property
    def needs(self) -> set[str]:
        """Fields that a row must have; the answer only where it is moved or rewritten."""
        return self.names if self.leaves_answer else self.names | placeholders(self.said)

    @property
    def leaves_answer(self) -> bool:
        """True where the answer stays what it is and does not show in the prompt: also several answers can follow."""
        return self.said == "{answer}" and "answer" not in self.names


class Task(Model):
    """The templates of one task."""

    language: str | None = Field(None, description="ISO 639-1 code of the language in which the templates speak.")
    templates: list[TaskTemplate] = Field(..., min_length=1, description="The templates; a row draws one.")


@lru_cache(maxsize=64)
def read_task(name: str) -> Task:
    """The task of a YAML file. UsageError with file and line where it is none."""
    path = path_of(name)
    data, node = read_yaml(path)
    try:
        return Task.model_validate(data)
    except ValidationError as error:
        raise UsageError(explain(error, Task, str(path), node)[0]) from None


@lru_cache(maxsize=64)
def read_jinja(name: str) -> "JinjaTemplate":
    """A prompt's template, run in a sandbox since a recipe may come from a stranger. UsageError where it cannot be read."""
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    path = path_of(name)
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=False)
    try:
        return environment.from_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as UTF-8 text: {error}; give a Jinja or YAML file of templates") from None
    except TemplateError as error:
        raise UsageError(f"{path}:{getattr(error, 'lineno', 1)}: not a Jinja template: {error}; mend it") from None
