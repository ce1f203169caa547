"""The reference of recipes, a page a stage and one for what stands around them, from the models' own docstrings and fields.

`python docs/stages.py` writes it. Models in; `docs/stages.md` and `docs/stages/<stage>.md` out. A model is described once, on the first
page that needs it; other pages link there.
"""

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from curate.config import models_in
from curate.recipe import KINDS, Recipe, StageBlock
from curate.steps.rows.refined import Placed

HERE = Path(__file__).resolve().parent
COMMAND = "python docs/stages.py"
_PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false", object: "any value", type(None): "null", Path: "path"}
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "max_length": "length ≤", "pattern": "matches"}
_LONGEST_DEFAULT = 60

Model = type[BaseModel]
Homes = dict[Model, str]
"""The page on which each model is described."""


def own(model: Model) -> Model:
    """A web step that a refine stage puts `on` a part of the row is described as the step itself."""
    return model.__mro__[2] if issubclass(model, Placed) and model is not Placed else model


def inside(model: Model) -> Iterator[Model]:
    """A model and those that its fields hold, each before what it holds."""
    yield model
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            yield from inside(own(inner))


def homes() -> Homes:
    """Every model of a recipe, in the order of description, with the page that describes it: its first stage's, or the recipe's own."""
    found: Homes = {}
    for kind in KINDS:
        roots = list(models_in(StageBlock.model_fields[kind].annotation))
        for model in [*roots, *(one for root in roots for one in inside(root))]:
            found.setdefault(model, kind)
    for model in inside(Recipe):
        found.setdefault(model, "recipe")
    return found


def title(model: Model) -> str:
    """What a recipe calls the model: its `use`, where it has one."""
    use = model.model_fields.get("use")
    return str(get_args(use.annotation)[0]) if use and get_origin(use.annotation) is Literal else model.__name__


def link(model: Model, kind: str, known: Homes) -> str:
    page = "" if known[model] == kind else f"{known[model]}.md"
    return f"[{title(model)}]({page}#{title(model).lower()})"


def shape(annotation: object, kind: str, known: Homes) -> str:
    """An annotation in words: `list of text`, `1 or 2`, `[Alarm](#alarm)`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return link(own(annotation), kind, known)
    if origin is Annotated:
        return shape(arguments[0], kind, known)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(shape(one, kind, known) for one in arguments))
    if origin in (list, tuple, set, frozenset):
        return f"list of {shape(arguments[0], kind, known)}"
    if origin is dict:
        return f"mapping to {shape(arguments[1], kind, known)}"
    return _PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)))  # type: ignore[call-overload]


def bounds(field: FieldInfo) -> str:
    """`, ≥ 0, ≤ 1`, from the field's own limits."""
    limits = ((sign, getattr(limit, name, None)) for limit in field.metadata for name, sign in _BOUNDS.items())
    return "".join(f", {sign} `{value}`" if sign == "matches" else f", {sign} {value}" for sign, value in limits if value is not None)


def default(field: FieldInfo) -> str:
    """The default as a recipe would write it; `required` where there is none."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_unset=True) or "its defaults"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)
    return f"`{text}`" if len(text) <= _LONGEST_DEFAULT else f"`{text[:_LONGEST_DEFAULT]} ...`"


def described(model: Model, kind: str, known: Homes) -> str:
    """A model's section: its docstring, then a table of its settings."""
    rows = [
        (field.alias or name, shape(field.annotation, kind, known) + bounds(field), default(field), field.description or "")
        for name, field in model.model_fields.items()
        if name != "use"
    ]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in (f'`{row[0]}`', *row[1:]))} |" for row in rows]
    head = ["| setting | value | default | meaning |", "|---|---|---|---|"] if rows else ["No settings."]
    text = "\n".join(line.strip() for line in (model.__doc__ or "").strip().splitlines())
    return "\n".join([f"### {title(model)}", "", *([text, ""] if text else []), *head, *lines, ""])


def purposes() -> dict[str, str]:
    """Every page's name, with what it describes."""
    return {"recipe": "What stands around the stages."} | {kind: StageBlock.model_fields[kind].description or "" for kind in KINDS}


def page(kind: str, known: Homes) -> str:
    """One stage's page, or the recipe's."""
    models = [model for model, home in known.items() if home == kind]
    purpose = purposes()[kind]
    sections = [described(model, kind, known) for model in models]
    remark = "Steps of [web](web.md) stand here too, with one more setting: `on`, see [Placed](#placed).\n\n" if kind == "refine" else ""
    return f"# {kind}: {purpose}\n\nGenerated by `{COMMAND}`.\n\n{remark}" + "\n".join(sections)


def pages() -> dict[str, str]:
    """Every page by its path below `docs/`."""
    known = homes() | {Placed: "refine"}
    rows = [f"| [{kind}](stages/{kind}.md) | {purpose} |" for kind, purpose in purposes().items()]
    index = f"# Recipes: stages and all their settings\n\nGenerated by `{COMMAND}`.\n\n| page | what it does |\n|---|---|\n" + "\n".join(rows) + "\n"
    return {"stages.md": index, **{f"stages/{kind}.md": page(kind, known) for kind in purposes()}}


if __name__ == "__main__":
    for name, text in pages().items():
        (HERE / name).parent.mkdir(exist_ok=True)
        (HERE / name).write_text(text, encoding="utf-8")
