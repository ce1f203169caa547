"""Rows as the steps of a refine stage get them, made from a few words; and a barrier run over them."""

import json
from pathlib import Path

import numpy as np

from curate.rows import content_id
from curate.steps.barrier import Barrier, Decisions
from curate.steps.rows.unit import RowUnit


def turn(role: str, content: str, tool_calls: str | None = None) -> dict:
    return {"role": role, "content": content, "tool_calls": tool_calls, "name": None}


def unit(shape: str, id: str, columns: dict, metadata: dict, source: str = "a.jsonl") -> RowUnit:
    about = {"id": id, "content_id": content_id(json.dumps(columns)), "origins": [], "source": source, "licence": None, "group": None}
    row = about | columns | {"metadata": json.dumps(metadata)}
    return RowUnit(text="", id=id, shape=shape, row=row)


def chat(*said: str, id: str = "1", system: str = "", tools: str | None = None, source: str = "a.jsonl", **metadata: object) -> RowUnit:
    """A conversation: user and assistant by turns."""
    turns = [turn("system", system)] if system else []
    turns += [turn(("user", "assistant")[place % 2], text) for place, text in enumerate(said)]
    return unit("conversation", id, {"messages": turns, "tools": tools}, metadata, source)


def pair(prompt: str, chosen: str, rejected: str, id: str = "1", **metadata: object) -> RowUnit:
    columns = {"prompt": [turn("user", prompt)], "chosen": [turn("assistant", chosen)], "rejected": [turn("assistant", rejected)]}
    return unit("preference", id, columns, metadata)


def feedback(prompt: str, completion: str, label: bool, id: str = "1") -> RowUnit:
    return unit("feedback", id, {"prompt": [turn("user", prompt)], "completion": [turn("assistant", completion)], "label": label}, {})


def candidates(prompt: str, *answers: str, id: str = "1") -> RowUnit:
    return unit("candidates", id, {"prompt": [turn("user", prompt)], "candidates": [{"text": text} for text in answers]}, {})


def document(text: str, id: str = "1", **columns: object) -> RowUnit:
    return unit("document", id, {"text": text, "language": None} | columns, {})


def decided(step: Barrier, units: list[RowUnit], folder: Path, cuts: tuple[int, ...] = (), alive: np.ndarray | None = None) -> Decisions:
    """What a barrier decides about rows, read by one rank or, cut at some places, by several."""
    directories = []
    bounds = [0, *cuts, len(units)]
    for number, (start, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        directories.append(folder / f"{number:05d}")
        directories[-1].mkdir(parents=True)
        writer = step.writer(directories[-1])
        for one in units[start:end]:
            writer.add(one)
        writer.close()
    return step.resolve(directories, np.ones(len(units), bool) if alive is None else alive)


def kept_ids(units: list[RowUnit], decisions: Decisions) -> set[str]:
    return {one.id for one, leaves in zip(units, decisions.leaving.tolist(), strict=True) if not leaves}
