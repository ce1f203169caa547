"""Conversations written as one text, as chat templates print them: a text in, its turns out, or none where it is no such text.

A form is known by its marks of who speaks. Marks that nobody writes by chance come first; names at
the beginning of a line come last, and only where the text begins with one.
"""

import re
from typing import ClassVar, Literal, NamedTuple

from curate.formats.alpaca import joined
from curate.formats.dialect import TURN_COLUMNS, Dialect, Row, text
from curate.formats.laws import Fields
from curate.formats.turns import TAGS, Refused, Turn, turn


class Form(NamedTuple):
    """One way to write who speaks."""

    name: str
    mark: re.Pattern[str]
    """Before each turn; its group is the speaker."""
    end: re.Pattern[str] | None = None
    """After a turn; nothing of the turn comes later."""
    opens: bool = True
    """The text begins with a mark; else what stands before the first one is the system text."""
    words: bool = False
    """Its marks are words that an answer may hold: only the names by which this text's speakers first went are marks in it."""


_INPUT = "input"
_SPEAKERS = {
    **TAGS, "inst": "user", "/inst": "assistant", "instruction": "user", "instrução": "user", "question": "user", "pergunta": "user",
    "response": "assistant", "resposta": "assistant", "answer": "assistant", "bot": "assistant", "ai": "assistant",
    "input": _INPUT, "entrada": _INPUT,
}  # fmt: skip
_HEADINGS = (
    "system|human|user|instruction|question|input|assistant|response|answer|gpt|"
    "sistema|humano|usuário|usuario|instrução|pergunta|entrada|assistente|resposta"
)
_NAMES = "system|human|user|assistant|gpt|bot|ai|sistema|humano|usuário|usuario|assistente"

FORMS = (
    Form("chatml", re.compile(r"<\|im_start\|> ?(\w+)[ \n]"), re.compile(r"<\|im_end\|>")),
    Form("llama3", re.compile(r"<\|(?:start_header_id|header_start)\|>(\w+)<\|(?:end_header_id|header_end)\|>"), re.compile(r"<\|eo[tm](?:_id)?\|>")),
    Form("gemma", re.compile(r"<start_of_turn>(user|model)\n"), re.compile(r"<end_of_turn>")),
    Form("inst", re.compile(r"\[(/?INST)\]"), re.compile(r"</s>")),
    Form("tags", re.compile(r"<\|(system|user|assistant)\|>"), re.compile(r"</s>|<\|end\|>|<\|endoftext\|>")),
    Form("headings", re.compile(rf"#{{2,3}} ?({_HEADINGS})(?::|(?=\n))", re.IGNORECASE), opens=False, words=True),
    Form("angles", re.compile(r"(?:\A|\n)[ \t]*<(human|user|bot|assistant|system)>:?", re.IGNORECASE), words=True),
    Form("names", re.compile(rf"(?:\A|\n)[ \t]*({_NAMES}):", re.IGNORECASE), words=True),
    Form("vicuna", re.compile(r"(?:\A|(?<=\s)|(?<=</s>))(USER|ASSISTANT):"), re.compile(r"</s>"), opens=False, words=True),
)
"""Every form, the surest first: OpenAI's ChatML, Llama 3 and 4, Gemma, Llama 2 and Mistral, Zephyr and Phi, Alpaca and Guanaco, OIG, names, Vicuna."""

_WHOLE = ("<s>", "</s>", "<bos>", "<eos>", "<|begin_of_text|>", "<|end_of_text|>", "<|endoftext|>")
"""What stands around a whole sequence, or an exchange of it."""
_SYSTEM = re.compile(r"<<SYS>>(.*?)<</SYS>>", re.DOTALL)
"""Llama 2's system text, which stands in the first turn of the user (Touvron et al. 2023)."""


class ChatText(Dialect):
    """`text`, a whole conversation as a chat template prints it: ChatML, `[INST]`, `### Human:`, `User:` at the beginning of a line ..."""

    use: Literal["transcript"] = "transcript"
    shape: ClassVar[str] = "conversation"
    needs: ClassVar[tuple[str, ...]] = ("text",)
    refines: ClassVar[tuple[str, ...]] = ("document",)

    def renamed(self, row: Row) -> Row:
        row = super().renamed(row)
        if "text" in row:
            return row
        found = next((name for name in TURN_COLUMNS if form_of(row.get(name)) is not None), None)
        return row if found is None else {("text" if name == found else name): value for name, value in row.items()}

    def fits(self, row: Row) -> bool:
        return form_of(row.get("text")) is not None

    def to_rows(self, row: Row) -> list[Fields]:
        said = text(row, "text")
        form = form_of(said)
        if form is None:
            raise Refused("no_turns")
        return [{"messages": _turns(said, form), "tools": None}]


def form_of(value: object) -> Form | None:
    """The first form in which a text is a question and an answer at least; None where it is a text in none, or no text."""
    if not isinstance(value, str):
        return None
    return next((form for form in FORMS if _is_conversation(value, form)), None)


class Said(NamedTuple):
    """A part of a text, and the name before it."""

    speaker: str
    words: str


def _is_conversation(text: str, form: Form) -> bool:
    before, parts = _parts(_bare(text), form)
    roles = [role for one in parts if (role := _SPEAKERS.get(one.speaker)) != "system"]
    return not (form.opens and before.strip()) and roles[:1] == ["user"] and "assistant" in roles


def _parts(text: str, form: Form) -> tuple[str, list[Said]]:
    """What stands before the first mark, and what follows each."""
    marks = list(form.mark.finditer(text))
    names = [mark[1].lower() for mark in marks]
    if form.words:
        known = _first_names(names)
        marks = [mark for mark, name in zip(marks, names, strict=True) if name in known]
    ends = [*(mark.start() for mark in marks), len(text)]
    said = [Said(mark[1].lower(), text[mark.end() : end]) for mark, end in zip(marks, ends[1:], strict=True)]
    return text[: ends[0]], said


def _first_names(names: list[str]) -> set[str]:
    """The names by which each role is called first; the system's only where it speaks first of all."""
    first: dict[str, str] = {}
    for name in names:
        role = _SPEAKERS[name]
        if role != "system" or not first:
            first.setdefault(role, name)
    return set(first.values())


def _bare(said: str) -> str:
    """The text without the white space and the marks of a whole sequence at its edges."""
    given, said = None, said.strip()
    while said != given:
        given = said
        for mark in _WHOLE:
            said = said.removeprefix(mark).removesuffix(mark).strip()
    return said


def _turns(said: str, form: Form) -> list[Turn]:
    """The turns of a text in a form; the space around a turn is layout and no part of it."""
    before, parts = _parts(_bare(said), form)
    turns = [turn("system", _bare(before))] if _bare(before) else []
    for speaker, words in parts:
        role = _SPEAKERS.get(speaker)
        if role is None:
            raise Refused("unknown_role")
        whole = _ended(words, form)
        if role == _INPUT:
            turns[-1:] = _with_input(turns[-1:], whole)
        else:
            turns += _opened(role, whole)
    return turns


def _ended(words: str, form: Form) -> str:
    """What a turn says, without the mark of its end."""
    said, *after = form.end.split(words) if form.end else (words,)
    if any(_bare(rest) for rest in after):
        raise Refused("broken_turns")
    return _bare(said)


def _with_input(before: list[Turn], given: str) -> list[Turn]:
    """The instruction with the input under it."""
    if not before or before[0]["role"] != "user":
        raise Refused("roles_out_of_order")
    return [turn("user", joined(before[0]["content"], given or None, "\n\n"))]


def _opened(role: str, said: str) -> list[Turn]:
    """A turn, and the system text in it as a turn of its own."""
    system = _SYSTEM.match(said) if role == "user" else None
    if system is None:
        return [turn(role, said)]
    return [turn("system", system[1].strip()), turn(role, said[system.end() :].strip())]
