"""Prompt templates: a row in, the same row with its prompt put into a template out."""

from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import orjson
import xxhash
from pydantic import Field

from curate.steps.rows.sides import key_of, metadata_of
from curate.steps.rows.template_files import TaskTemplate, TemplateName, filled, path_of, read_jinja, read_task
from curate.steps.rows.unit import RowStep, RowUnit
from curate.steps.step import Drop


class Drawn(NamedTuple):
    """A template that fits a row."""

    name: str
    number: int
    """Place in its file, from 1."""
    template: TaskTemplate


class Template(RowStep):
    """Put prompts into templates: of a chat as text (Alpaca, Vicuna, Llama 2, ChatML), or one drawn from many of a task.

    A chat's template makes one user turn of the whole prompt, for trainers that apply no template of their own.
    A task's template is drawn by a hash of the row's id from those of the row's language whose placeholders it can
    fill, and rewrites the first user turn; inverted ones swap question and answer of a single exchange. More and
    more varied templates help up to ten a task (FLAN: Wei et al. 2022, 2.1; Longpre et al. 2023, 3.3).
    """

    use: Literal["template"]
    shapes: ClassVar[tuple[str, ...]] = ("conversation", "candidates", "preference", "feedback")

    templates: list[TemplateName] = Field(
        ..., min_length=1, description="Shipped ones by name (alpaca, vicuna, llama2, chatml, instructions_en, instructions_pt) or files: "
        "one Jinja file, or YAML files of tasks; a row whose language is none of theirs takes the first."
    )  # fmt: skip
    inverted: bool = Field(True, description="Draw inverted templates too, where a row is a single exchange.")
    field: str = Field("template", min_length=1, description="Field of the metadata that gets the drawn template's name and number.")
    seed: int = Field(1, ge=0, lt=2**64, description="Of the draw.")

    def reads(self) -> list[Path]:
        return [path_of(name) for name in self.templates if not Path(name).is_absolute()]

    def warm_up(self) -> None:
        """Read every file, so that a mistake in one shows before work starts."""
        for name in self.templates:
            read_task(name) if self._is_task(name) else read_jinja(name)

    @staticmethod
    def _is_task(name: str) -> bool:
        return path_of(name).suffix in (".yaml", ".yml")

    def apply(self, unit: RowUnit) -> Drop | None:
        name = self._for_language(unit)
        if not self._is_task(name):
            return self._as_text(unit, name)
        fields = _fields(unit)
        drawn = self._drawn(unit, name, fields)
        if drawn is None:
            return Drop("no_template_fits")
        self._rewrite(unit, drawn, fields)
        return None

    def _for_language(self, unit: RowUnit) -> str:
        language = key_of(unit, "language") if len(self.templates) > 1 else None
        spoken = (name for name in self.templates if self._is_task(name) and read_task(name).language == language)
        return next(spoken, self.templates[0]) if language else self.templates[0]

    def _as_text(self, unit: RowUnit, name: str) -> Drop | None:
        """The whole prompt as one user turn."""
        from jinja2 import TemplateError

        column, answer = ("messages", unit.row["messages"][-1:]) if unit.shape == "conversation" else ("prompt", [])
        turns = unit.row[column][: len(unit.row[column]) - len(answer)]
        if unit.row.get("tools") or any(turn["tool_calls"] or turn["role"] == "tool" for turn in turns):
            return Drop("tools_in_text_template")
        system = turns[0]["content"] if turns[0]["role"] == "system" else ""
        try:
            text = read_jinja(name).render(messages=turns, system=system, metadata=metadata_of(unit.row))
        except (TemplateError, TypeError, ValueError):  # a field that this row lacks, or of another type
            return Drop("no_template_fits")
        unit.row = {**unit.row, column: [_user(text), *answer]} | self._noted(unit, name, 1)
        unit.values[f"{self.name}.number"] = 1.0
        return None

    def _drawn(self, unit: RowUnit, name: str, fields: dict[str, str]) -> Drawn | None:
        """A template of the file that can be filled from the row; the same one in every run."""
        single = _single_exchange(unit)
        fitting = [
            Drawn(name, number, one)
            for number, one in enumerate(read_task(name).templates, 1)
            if (one.leaves_answer or single) and (self.inverted or not one.inverted) and one.needs <= fields.keys()
        ]
        draw = xxhash.xxh3_64_intdigest(unit.row["id"], self.seed)
        return fitting[draw % len(fitting)] if fitting else None

    def _rewrite(self, unit: RowUnit, drawn: Drawn, fields: dict[str, str]) -> None:
        one = drawn.template
        column = "messages" if unit.shape == "conversation" else "prompt"
        turns, asking = unit.row[column], _first_user(unit)
        turns = [{**turn, "content": filled(one.prompt, fields)} if turn is asking else turn for turn in turns]
        if not one.leaves_answer:
            turns[-1] = {**turns[-1], "content": filled(one.said, fields)}
        unit.row = {**unit.row, column: turns} | self._noted(unit, drawn.name, drawn.number)
        unit.values |= {f"{self.name}.number": float(drawn.number), f"{self.name}.inverted": float(one.inverted)}

    def _noted(self, unit: RowUnit, name: str, number: int) -> dict[str, str]:
        """The metadata with the template's name and number."""
        noted = metadata_of(unit.row) | {self.field: path_of(name).stem, f"{self.field}_number": number}
        return {"metadata": orjson.dumps(noted).decode()}


def _fields(unit: RowUnit) -> dict[str, str]:
    """What placeholders stand for; the answer only where it can be moved."""
    known = {key: value if isinstance(value, str) else str(value) for key, value in metadata_of(unit.row).items() if _plain(value)}
    known.pop("answer", None)
    if _single_exchange(unit):
        known["answer"] = unit.row["messages"][-1]["content"]
    return known | {"prompt": _first_user(unit)["content"]}


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _user(text: str) -> dict:
    return {"role": "user", "content": text, "tool_calls": None, "name": None}


def _first_user(unit: RowUnit) -> dict:
    turns = unit.row["messages" if unit.shape == "conversation" else "prompt"]
    return next(turn for turn in turns if turn["role"] == "user")


def _single_exchange(unit: RowUnit) -> bool:
    """True for one question and one answer, without tools: only those can be turned round."""
    if unit.shape != "conversation" or unit.row.get("tools"):
        return False
    roles = [turn["role"] for turn in unit.row["messages"] if turn["role"] != "system"]
    return roles == ["user", "assistant"] and not unit.row["messages"][-1]["tool_calls"]
