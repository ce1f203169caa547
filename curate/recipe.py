"""A recipe: a YAML file that names its parameters and a straight line of stages."""

import re
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from curate.card.words import CardWords
from curate.config import Located, Model, UsageError, anchored, explain, line_of, mistake_at, read_yaml, suggestion
from curate.executors import Executor, LocalExecutor
from curate.judges.budget import Budget
from curate.judges.endpoint import Endpoint
from curate.stages.generate import Generate
from curate.stages.given import From
from curate.stages.ingest import Ingest
from curate.stages.judge import Judge
from curate.stages.mix import Mix
from curate.stages.publish import Publish
from curate.stages.refine import Refine
from curate.stages.web import Web

_PARAMETER = re.compile(r"\$\{([^}]*)\}")
RESERVED = ("root", "workers", "limit", "update", "trust_code", "on_progress")


Stage = Web | Ingest | Refine | Generate | Judge | Mix | Publish
KINDS = ("web", "ingest", "refine", "generate", "judge", "mix", "publish")
ASKING = ("generate", "judge")
"""Kinds of stages that call models."""


class StageBlock(Model):
    """One stage of a recipe: one key that says its kind, and a name where other stages are to find it."""

    name: str | None = Field(None, pattern=r"^[a-z][a-z0-9_]*$", description="What later stages call it; by default its kind.")
    web: Web | None = Field(None, description="Turn raw archives, pages and texts into clean documents.")
    ingest: Ingest | None = Field(None, description="Read instruction and preference datasets, in the dialect that they are written in.")

    refine: Refine | None = Field(None, description="Filter, scrub and deduplicate rows of an artifact.")
    generate: Generate | None = Field(None, discriminator="use", description="Have models answer prompts, write from documents, or criticise and revise.")
    judge: Judge | None = Field(None, discriminator="use", description="Have judges compare, rate or rank answers, or rate documents.")
    mix: Mix | None = Field(None, description="Make training sets of artifacts: pairs, weights, splits, each in a trainer's format.")
    publish: Publish | None = Field(None, description="Push an artifact with its card and provenance to the Hub or an object store.")

    @model_validator(mode="after")
    def _exactly_one(self) -> "StageBlock":
        if len(self.model_fields_set - {"name"}) != 1:
            raise ValueError(f"one stage an entry; known: {', '.join(KINDS)}")
        return self

    @property
    def kind(self) -> str:
        return next(iter(self.model_fields_set - {"name"}))

    @property
    def stage(self) -> Stage:
        return getattr(self, self.kind)

    @property
    def inputs(self) -> dict[str, From]:
        """Artifacts that it reads, by the name that it gives them; none where it reads files."""
        return getattr(self.stage, "inputs", {})


class Recipe(Model):
    """A straight line of stages, each reading artifacts or sources and writing one artifact."""

    name: str = Field("", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$|^$", description="Directory below the root; by default the file's name.")
    description: str = Field("", description="What comes out, in a sentence.")
    params: dict[str, object] = Field({}, description="Named values and their defaults; `${name}` uses one, `--set name=value` sets it.")
    card: CardWords = Field(CardWords(), description="What only you can say of the dataset; never part of the identity.")
    executor: Executor = Field(LocalExecutor(), description="Where the work runs; never part of the identity.")
    endpoints: dict[str, Endpoint] = Field({}, description="Where models answer, by the name that stages use; never part of the identity.")
    budget: Budget | None = Field(
        None,
        description="Limits of money, calls and tokens over all stages of this recipe and of the recipes that it builds on, whichever "
        "command ran them; the run stops there and can be resumed.",
    )
    stages: list[StageBlock] = Field(min_length=1, description="What is done, in this order.")

    @model_validator(mode="after")
    def _stages_find_each_other(self) -> "Recipe":
        for place, block in enumerate(self.stages):
            before = self.stages[:place]
            if block.name in [other.name for other in before if other.name]:
                raise mistake_at(("stages", place, "name"), f"stage {place + 1}: the name '{block.name}' is taken; give it another")
            for name, wanted in block.inputs.items():
                if wanted.recipe is None and wanted.artifact is None:
                    _expect_stage(wanted.stage, before, ("stages", place, block.kind, "sources", name))
        return self

    @field_validator("params")
    @classmethod
    def _names(cls, params: dict[str, object]) -> dict[str, object]:
        for name in params:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in RESERVED:
                raise ValueError(f"'{name}' cannot name a parameter; use snake_case, and none of {', '.join(RESERVED)}")
        return params


def _expect_stage(wanted: str | None, before: list[StageBlock], place: tuple[str, int, str, str, str]) -> None:
    """Refuse a stage that reads one which does not stand before it."""
    if not before:
        raise mistake_at(place, f"stage {place[1] + 1} reads rows, and no stage stands before it; name a `recipe:` or an `artifact:`")
    known = list(dict.fromkeys([block.name for block in before if block.name] + [block.kind for block in before]))
    if wanted is not None and wanted not in known:
        raise mistake_at(place, f"stage {place[1] + 1}: no stage '{wanted}' before it{suggestion(wanted, known)}")


class Loaded(NamedTuple):
    """A recipe with the file it came from and the values its parameters took."""

    recipe: Recipe
    path: Path
    params: dict[str, object]
    trust_code: bool = True
    """Whether recipes that it names may run Python code of their own."""


def parse_set(text: str) -> tuple[str, object]:
    """`name=value`, the value read as YAML; relative paths in it start at the working directory."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: say name=value")
    try:
        return name.strip(), yaml.load(value, Located)
    except yaml.YAMLError:
        return name.strip(), value


def load(path: str | Path, sets: dict[str, object] | None = None, trust_code: bool = True) -> Loaded:
    """Read and validate a recipe; raises UsageError with every mistake in it, one a line.

    Without `trust_code` a recipe that would call Python code of its own is refused.
    """
    path = Path(path)
    data, node = read_yaml(path)
    if not isinstance(data, dict):
        raise UsageError(f"{path}:1: a recipe is a mapping with `stages:`; this is {type(data).__name__}")
    declared = data.get("params") or {}
    declared = declared if isinstance(declared, dict) else {}
    params = {**declared, **_given(sets or {}, declared, path)}
    mistakes: list[str] = []
    filled = {key: value if key == "params" else _fill(value, params, (key,), path, node, mistakes) for key, value in data.items()}
    try:
        recipe = Recipe.model_validate(filled, context={"base": path.resolve().parent})
    except ValidationError as error:
        mistakes += explain(error, Recipe, str(path), node)
    if mistakes:
        raise UsageError("\n".join(mistakes))
    if not trust_code:
        _refuse_code(recipe, path)
    if not recipe.name:
        recipe = recipe.model_copy(update={"name": path.stem})
    return Loaded(recipe, path, params, trust_code)


def _refuse_code(recipe: Recipe, path: Path) -> None:
    for block in recipe.stages:
        for step in block.stage.steps:
            if step.name == "python":
                raise UsageError(f"{path}: the recipe runs {step.path}; read that code, then run with --trust-code")


def _given(sets: dict[str, object], declared: dict, path: Path) -> dict[str, object]:
    unknown = [name for name in sets if name not in declared]
    if unknown:
        known = [str(name) for name in declared]
        raise UsageError("\n".join(f"{path}: no parameter '{name}'{suggestion(name, known)}" for name in unknown))
    return {name: anchored(value, Path.cwd()) for name, value in sets.items()}


def _fill(value: object, params: dict, where: tuple, path: Path, node: yaml.Node, mistakes: list[str]) -> object:
    """The value with `${name}` replaced: alone it takes the parameter's type, inside a text its words."""
    if isinstance(value, dict):
        return {key: _fill(item, params, (*where, key), path, node, mistakes) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, params, (*where, place), path, node, mistakes) for place, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in _PARAMETER.findall(value):
        if name not in params:
            known = suggestion(name, [str(key) for key in params])
            mistakes.append(f"{path}:{line_of(node, where)}: no parameter '{name}' is declared under `params:`{known}")
            return value
    whole = _PARAMETER.fullmatch(value)
    return params[whole[1]] if whole else _PARAMETER.sub(lambda match: str(params[match[1]]), value)
