"""A receipt and `step.setting=value` in; the steps as they were and as they would be out."""

import copy
from typing import NamedTuple

import yaml
from pydantic import TypeAdapter, ValidationError

from curate.artifact import Receipt
from curate.config import UsageError, suggestion
from curate.steps import AnyStep
from curate.steps.rows.refined import AnyRefined, name_of
from curate.steps.step import Step

_STEPS = {"web": TypeAdapter(AnyStep), "refine": TypeAdapter(AnyRefined)}


class Pair(NamedTuple):
    """A step before and after; `place` is its number in the stage, from 0."""

    place: int
    name: str
    old: Step
    new: Step

    @property
    def moved(self) -> bool:
        return self.old != self.new


class Setting(NamedTuple):
    """One thing that is moved."""

    step: str
    path: tuple[str, ...]
    value: object

    def __str__(self) -> str:
        return f"{self.step}.{'.'.join(self.path)}"


def pairs(receipt: Receipt, given: list[str]) -> list[Pair]:
    """The steps of a stage, each with what it would be; UsageError where a setting does not exist or has no such value."""
    if receipt.stage not in _STEPS:
        raise UsageError(f"{receipt.recipe}/{receipt.stage}: {receipt.stage} stages have no thresholds; name an artifact of web or refine")
    adapter = _STEPS[receipt.stage]
    blocks = receipt.config["steps"]
    old = [_built(adapter, block, receipt.recipe) for block in blocks]
    names = [name_of(step) for step in old]
    moved = copy.deepcopy(blocks)
    for text in given:
        setting = parse(text, names)
        _put(moved[names.index(setting.step)], setting, text)
    new = [step if block == was else _built(adapter, block, receipt.recipe) for block, was, step in zip(moved, blocks, old, strict=True)]
    return [Pair(place, name, *steps) for place, (name, *steps) in enumerate(zip(names, old, new, strict=True))]


def parse(text: str, names: list[str]) -> Setting:
    """`gopher_quality.min_words=40`, or deeper: `language.languages.pt=0.5`; the value is YAML."""
    path, equals, value = text.partition("=")
    name = max((name for name in names if path.startswith(f"{name}.")), key=len, default=None)
    if not equals or name is None:
        near = suggestion(path.partition(".")[0], names)
        raise UsageError(f"'{text}': no step of this artifact is named so{near}; write step.setting=value")
    try:
        return Setting(name, tuple(path.removeprefix(f"{name}.").split(".")), yaml.safe_load(value))
    except yaml.YAMLError:
        raise UsageError(f"'{text}': the value is not valid YAML; write a number, true, null or [a, b]") from None


def _put(block: dict, setting: Setting, text: str) -> None:
    """Write a setting into a step's block, in place; a list of languages becomes a table where one gets its own value."""
    *above, last = setting.path
    if above and above[0] == "languages" and isinstance(block.get("languages"), list):
        block["languages"] = dict.fromkeys(block["languages"], block["threshold"])
    for key in above:
        if not isinstance(block, dict) or not isinstance(block.setdefault(key, {}), dict):
            raise UsageError(f"'{text}': '{key}' holds no settings of its own; set it as a whole")
        block = block[key]
    block[last] = setting.value


def _built(adapter: TypeAdapter, block: dict, recipe: str) -> Step:
    try:
        return adapter.validate_python(block)
    except ValidationError as error:
        where = f"{recipe}: step {block['use']}"
        wrong = error.errors()[0]
        name = ".".join(str(part) for part in wrong["loc"][1:])
        if wrong["type"] == "extra_forbidden":
            known = sorted(set(block) - {"use", wrong["loc"][-1]})
            raise UsageError(f"{where}: unknown setting '{name}'{suggestion(str(wrong['loc'][-1]), known)}") from None
        raise UsageError(f"{where}: '{name}': {wrong['msg'].removeprefix('Value error, ')}, not {wrong['input']!r}") from None
