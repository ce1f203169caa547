"""KTO: one answer and whether it is a good one (Ethayarajh et al. 2024)."""

from typing import ClassVar, Literal

from curate.formats.alpaca import joined
from curate.formats.dialect import Dialect, Row, column, labelled, optional, text, with_system
from curate.formats.laws import Fields
from curate.formats.messages import as_turns, message
from curate.formats.pairs import parted
from curate.formats.transcripts import prompt_turns
from curate.formats.turns import Refused, Turn, turn, turns_of

_LABELS = ("label", "kto_tag")
_TURNS = ("messages", "conversations")


class Kto(Dialect):
    """`label` (or `kto_tag`) beside `prompt` and `completion`, a conversation, or `instruction` and `output`."""

    version: ClassVar[int] = 3
    use: Literal["kto"] = "kto"
    shape: ClassVar[str] = "feedback"
    needs: ClassVar[tuple[str, ...]] = ()
    takes: ClassVar[tuple[str, ...]] = (
        "label", "kto_tag", "prompt", "completion", "messages", "conversations", "instruction", "input", "output", "system",
    )  # fmt: skip
    refines: ClassVar[tuple[str, ...]] = ("messages", "tulu3", "sharegpt", "prompt_completion", "alpaca")

    def fits(self, row: Row) -> bool:
        labels = [row[name] for name in _LABELS if name in row]
        return any(_looks_like_label(label) for label in labels) and _has_answer(row)

    def to_rows(self, row: Row) -> list[Fields]:
        if not _has_answer(row):
            raise Refused("missing_column")
        prompt, completion = _said(row)
        label = labelled(next((row[name] for name in _LABELS if row.get(name) is not None), None))
        prompt = with_system(optional(row, "system"), prompt)
        return [{"prompt": prompt, "completion": completion, "label": label, "weight": 1.0}]

    def from_row(self, fields: Fields) -> Row:
        written = {name: [message(one) for one in fields[name]] for name in ("prompt", "completion")}
        return {**written, "label": fields["label"]}


def _looks_like_label(value: object) -> bool:
    """Also -1, which is no lawful label: such rows are to be dropped by name, not read without their label."""
    return value is None or isinstance(value, bool) or str(value).lower() in ("true", "false", "-1", "0", "1")


def _has_answer(row: Row) -> bool:
    return any(row.get(name) is not None for name in (*_TURNS, "completion", "output"))


def _said(row: Row) -> tuple[list[Turn], list[Turn]]:
    """The prompt and its answer."""
    for name in _TURNS:
        if row.get(name) is not None:
            return parted(turns_of(row[name]))
    if row.get("completion") is not None:
        return prompt_turns(column(row, "prompt")), as_turns(row["completion"], "assistant")
    asked = joined(text(row, "instruction"), optional(row, "input"), "\n\n")
    return [turn("user", asked)], [turn("assistant", text(row, "output"))]
