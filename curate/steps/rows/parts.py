"""Parts of a row: the texts under `prompt`, `answer` or the whole row, and the row with them replaced.

| shape | prompt | answer |
|---|---|---|
| document | | text |
| conversation | every turn that is not the assistant's | the assistant's turns |
| candidates | the prompt's turns | each candidate's text |
| preference | the prompt's turns | chosen, then rejected |
| feedback | the prompt's turns | the completion |
"""

from collections.abc import Callable, Iterator
from typing import Literal

Part = Literal["prompt", "answer", "row"]

JOINT = "\n\n"
"""Between the texts of a part where a step needs it as one."""

_TURNS = {"conversation": ("messages",), "candidates": ("prompt",), "preference": ("prompt", "chosen", "rejected"), "feedback": ("prompt", "completion")}


def texts(shape: str, row: dict, part: Part) -> list[str]:
    """The texts of a part, in the order in which they stand; empty ones (of a turn that only calls a tool) left out."""
    return [text for asks, text in _texts(shape, row) if text and (part == "row" or asks == (part == "prompt"))]


def joined(shape: str, row: dict, part: Part) -> str:
    return JOINT.join(texts(shape, row, part))


def rewritten(shape: str, row: dict, part: Part, rewrite: Callable[[str], str]) -> dict:
    """The row with `rewrite` applied to every text of the part; the given row is left as it is."""

    def one(asks: bool, text: str) -> str:
        return rewrite(text) if text and (part == "row" or asks == (part == "prompt")) else text

    if shape == "document":
        return {**row, "text": one(False, row["text"])}
    turns = {
        column: [{**turn, "content": one(_asks(column, turn), turn["content"])} for turn in row[column]] for column in _TURNS[shape]
    }
    if shape == "candidates":
        turns["candidates"] = [{**answer, "text": one(False, answer["text"])} for answer in row["candidates"]]
    return {**row, **turns}


def _texts(shape: str, row: dict) -> Iterator[tuple[bool, str]]:
    """Each text, with whether it belongs to the prompt."""
    if shape == "document":
        yield False, row["text"]
        return
    for column in _TURNS[shape]:
        for turn in row[column]:
            yield _asks(column, turn), turn["content"]
    if shape == "candidates":
        for answer in row["candidates"]:
            yield False, answer["text"]


def _asks(column: str, turn: dict) -> bool:
    """True for a turn that is part of the prompt: in a conversation, any but the assistant's."""
    return turn["role"] != "assistant" if column == "messages" else column == "prompt"
