"""A step and a row in; the step looks at its part of the row, and the row is measured, rewritten or dropped.

A filter looks at one text after the other, and the first that breaks it drops the row; its
values are of that text, else of the first. What counts or rewrites does so in every text, and its
counts are summed. Barriers see the texts as one.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from curate.steps.decontaminate import Decontaminate
from curate.steps.language import Language
from curate.steps.licence import Licence
from curate.steps.python import Python
from curate.steps.rows.parts import JOINT, Part, joined, rewritten, texts
from curate.steps.rows.refined import Placed, name_of
from curate.steps.rows.sides import metadata_of
from curate.steps.rows.unit import RowUnit
from curate.steps.step import Drop, Filter, Rewrite, Step
from curate.steps.tokens import TokenCount

_READ_METADATA = (Decontaminate, Licence, Python)
_HITS = "contamination"


class Look(NamedTuple):
    """What a step made of one text."""

    text: str
    drop: Drop | None
    values: dict[str, float]
    language: str | None
    language_score: float | None
    hits: list[dict]


def apply(step: Step, unit: RowUnit) -> Drop | None:
    """Change the row's unit in place, or say why it is dropped."""
    reads_metadata = isinstance(step, _READ_METADATA)
    known = metadata_of(unit.row) if reads_metadata else {}
    unit.metadata = dict(known)
    drop = _to_texts(step, unit) if isinstance(step, Placed) else step.apply(unit)
    if reads_metadata and unit.metadata != known:
        unit.row["metadata"] = orjson.dumps(unit.metadata, option=orjson.OPT_SORT_KEYS).decode()
    if unit.licence != unit.row["licence"]:
        unit.row["licence"] = unit.licence
    return drop


def _to_texts(step: Placed, unit: RowUnit) -> Drop | None:
    before, earlier = unit.values, unit.metadata.pop(_HITS, []) if isinstance(step, Decontaminate) else []
    given = _looked_at(step, unit)
    looks = list(_looks(step, unit, given))
    unit.values = before
    if not looks:
        return None
    if isinstance(step, Filter):
        last = looks[-1]
        _note(step, unit, last if last.drop else looks[0], earlier + [hit for look in looks for hit in look.hits])
        return last.drop
    return _counted(step, unit, given, looks)


def _looked_at(step: Placed, unit: RowUnit) -> list[str]:
    """The texts that a step looks at, each by itself; a language is told from all turns of one side."""
    if isinstance(step, Decontaminate):  # most rows hold no word of a benchmark, and one look tells
        unit.text = joined(unit.shape, unit.row, step.on)
        if unit.text and not step.found(unit.text, unit.shared):
            return [unit.text]
    if not isinstance(step, Language):
        return texts(unit.shape, unit.row, step.on)
    sides = [] if step.on == "answer" else [joined(unit.shape, unit.row, "prompt")]
    if step.on != "prompt":
        one = unit.shape == "conversation"
        sides += [joined(unit.shape, unit.row, "answer")] if one else texts(unit.shape, unit.row, "answer")
    return [side for side in sides if side]


def _looks(step: Placed, unit: RowUnit, given: list[str]) -> Iterator[Look]:
    """Up to the text that drops the row; what rewrites is asked about every text, since its sum decides."""
    for place, text in enumerate(given):
        unit.text, unit.values = text, {}
        drop = step.apply(unit)
        hits = unit.metadata.pop(_HITS, []) if isinstance(step, Decontaminate) else []
        if unit.shape != "document":
            hits = [{**hit, "on": step.on, "text": place} for hit in hits]
        yield Look(unit.text, drop, unit.values, unit.language, unit.language_score, hits)
        if drop and not isinstance(step, Rewrite):
            return


def _note(step: Placed, unit: RowUnit, look: Look, hits: list[dict]) -> None:
    """What a filter found out."""
    unit.values.update(_named(step, look.values))
    unit.language, unit.language_score = look.language, look.language_score
    if hits:
        unit.metadata[_HITS] = hits


def _counted(step: Placed, unit: RowUnit, given: list[str], looks: list[Look]) -> Drop | None:
    """What a step that counts or rewrites made of all texts."""
    values = sum((Counter(look.values) for look in looks), Counter()) if len(looks) > 1 else looks[0].values
    values = {key: float(values[key]) for key in looks[0].values}
    unit.values.update(_named(step, values))
    if isinstance(step, TokenCount):
        unit.tokens = int(values[f"{step.name}.tokens"])
    drop = looks[-1].drop
    if isinstance(step, Rewrite):
        drop = step.decide({key.removeprefix(f"{step.name}."): value for key, value in values.items()})
    if drop is None:
        _rewrite(step.on, unit, given, [look.text for look in looks])
    return drop


def _rewrite(part: Part, unit: RowUnit, given: list[str], new: list[str]) -> None:
    if unit.shape == "document" and unit.title != unit.row["title"]:
        unit.row = {**unit.row, "title": unit.title}
    if new != given:
        waiting = iter(new)
        unit.row = rewritten(unit.shape, unit.row, part, lambda _: next(waiting))
        unit.tokens = None  # of the text that was


def _named(step: Placed, values: dict[str, float]) -> dict[str, float]:
    """Values under the step's name in this stage, which tells the part."""
    name = name_of(step)
    return values if name == step.name else {name + key.removeprefix(step.name): value for key, value in values.items()}


def compared(unit: RowUnit, part: Part) -> str:
    """What a barrier compares: the part's texts, and the calls of its assistant turns, in which two rows may differ."""
    text = joined(unit.shape, unit.row, part)
    calls = [turn["tool_calls"] for turn in _calling(unit, part) if turn["tool_calls"]]
    return JOINT.join([text, *calls]) if calls else text


def _calling(unit: RowUnit, part: Part) -> list[dict]:
    row = unit.row
    answers = [] if part == "prompt" else row.get("messages") or [*row.get("chosen", ()), *row.get("rejected", ()), *row.get("completion", ())]
    return answers if part == "answer" else [*row.get("prompt", ()), *answers]
