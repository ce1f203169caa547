"""Single questions with one answer: Dolly, and plain prompt and completion."""

from typing import ClassVar, Literal

from pydantic import Field

from curate.formats.alpaca import joined
from curate.formats.dialect import TURN_COLUMNS, Dialect, Row, column, is_turns, optional, system_of, text, with_system
from curate.formats.laws import Fields
from curate.formats.messages import as_turns, message
from curate.formats.transcripts import prompt_turns
from curate.formats.turns import Refused, tools_of, turn

_ASKED = ("prompt", "instruction", "question", "query", "problem", "inputs", "instrução", "instrucao", "pergunta")
_SAID = ("completion", "response", "output", "targets", "solution", "generated_solution", "answer", "saída", "saida", "resposta")
_CONTEXT = {"instruction": "input", "instrução": "entrada", "instrucao": "entrada"}
_MORE = (
    *TURN_COLUMNS, "chosen", "rejected", "label", "labels", "kto_tag", "is_safe", "is_correct", "correct", "rating", "preference",
    "context", "contexto", "passage", "history", "choices", "options", "alternatives", "alternativas", "answers", "definition",
)  # fmt: skip
"""Columns beside which a question and an answer are not all there is to a row: turns, a judgement, a text that is asked about."""


def _usual(row: Row) -> tuple[str, str] | None:
    """The two columns that hold a question and its answer under other usual names; None where that is not plain."""
    if ("instruction" in row and "output" in row) or any(_is_more(name) for name in row):
        return None
    asked, said = _holding(row, _ASKED) or _holding(row, ("input", "entrada")), _holding(row, _SAID)
    if set(said) == {"solution", "answer"}:  # the answer is what the solution comes to
        said = ["solution"]
    return (asked[0], said[0]) if len(asked) == len(said) == 1 else None


def _is_more(name: str) -> bool:
    return name in _MORE or name.endswith(("_label", "_labels"))


def but_for(row: Row) -> str | None:
    """What keeps a row that holds a question and an answer from being taken for no more than that, and how to say that it is."""
    more = [name for name in row if _is_more(name)]
    usual = _usual({name: value for name, value in row.items() if name not in more})
    if not more or usual is None:
        return None
    meant = "{use: prompt_completion, columns: {prompt: %s, completion: %s}}" % usual
    return f"{' and '.join(usual)} are no plain question and answer beside {', '.join(more)}; where they are, set `format: {meant}`"


def _holding(row: Row, names: tuple[str, ...]) -> list[str]:
    """Those of the columns that hold a text or turns; where none does, those that are empty."""
    found = [name for name in names if isinstance(row.get(name), str) or is_turns(row.get(name), "role", "content")]
    return found or [name for name in names if name in row and row[name] is None]


class Dolly(Dialect):
    """`instruction`, `context`, `response` and a `category` (Conover et al. 2023)."""

    version: ClassVar[int] = 2
    use: Literal["dolly"] = "dolly"
    shape: ClassVar[str] = "conversation"
    needs: ClassVar[tuple[str, ...]] = ("instruction", "context", "response")
    refines: ClassVar[tuple[str, ...]] = ("transcript",)

    joiner: str = Field("\n\n", description="What stands between instruction and context in the user's turn.")

    def to_rows(self, row: Row) -> list[Fields]:
        asked = joined(text(row, "instruction"), optional(row, "context"), self.joiner)
        return [{"messages": [turn("user", asked), turn("assistant", text(row, "response"))], "tools": None}]


class PromptCompletion(Dialect):
    """`prompt` and `completion` (or `question` and `answer`, `instruction` and `response` ...), each a text or a list of turns."""

    version: ClassVar[int] = 3
    use: Literal["prompt_completion"] = "prompt_completion"
    shape: ClassVar[str] = "conversation"
    needs: ClassVar[tuple[str, ...]] = ("prompt", "completion")
    takes: ClassVar[tuple[str, ...]] = ("system", "system_prompt", "tools")
    refines: ClassVar[tuple[str, ...]] = ("transcript",)

    def renamed(self, row: Row) -> Row:
        row = super().renamed(row)
        if "prompt" in row and "completion" in row:
            return row
        usual = _usual(row)
        if usual is None:
            return row
        asked, said = usual
        prompt, context = row[asked], row.get(_CONTEXT.get(asked))
        given = isinstance(prompt, str) and isinstance(context, str) and context.strip()
        read = {*usual, *self.needs, *((_CONTEXT[asked],) if given else ())}
        rest = {name: value for name, value in row.items() if name not in read}
        return {"prompt": f"{prompt}\n\n{context}" if given else prompt, "completion": row[said], **rest}

    def to_rows(self, row: Row) -> list[Fields]:
        said = column(row, "completion")
        if said is None:
            raise Refused("missing_answer")
        turns = [*prompt_turns(column(row, "prompt")), *as_turns(said, "assistant")]
        return [{"messages": with_system(system_of(row), turns), "tools": tools_of(row.get("tools"))}]

    def from_row(self, fields: Fields) -> Row:
        if fields["tools"]:
            raise Refused("not_in_dialect")
        *prompt, answer = (message(one) for one in fields["messages"])
        return {"prompt": prompt, "completion": [answer]}
