"""Is the answer in the prompt's language? A row in, both languages identified, kept or dropped; an unsure case is kept."""

import functools
import re
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from curate.config import FilePath, suggestion
from curate.steps.language import CONFUSED, LABELS, Identified, Language, code
from curate.steps.rows.parts import JOINT, joined
from curate.steps.rows.sides import answers_of
from curate.steps.rows.unit import RowStep, RowUnit
from curate.steps.step import Drop

NAMES = Path(__file__).parent / "lists" / "language_names.txt"
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|\$\$.*?\$\$|<[^<>\n]{1,200}>|https?://\S+", re.S)
_NO_LETTER = re.compile(r"[\W\d_]+")
_WORD = re.compile(r"[^\W\d_]+")
LONGEST = 50_000
"""Characters of a text that are looked at."""
PROSE = 0.5
"""Share of the letters outside of code below which an answer is code with some words around it."""


@functools.cache
def language_names() -> dict[str, str]:
    """ISO 639-1 code by name, `*` for words that speak of translation."""
    lines = [line.split(": ", 1) for line in NAMES.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    return {name: code for code, names in lines for name in names.split(", ")}


def named_languages(text: str) -> set[str]:
    """Codes of the languages that a text names."""
    names = language_names()
    return {names[word] for word in set(map(str.lower, _WORD.findall(text))) if word in names}


def prose(text: str) -> tuple[str, int]:
    """A text without code, formulas, tags and addresses, and its letters; the empty text where most of it was such."""
    text = text[:LONGEST]
    left = _NOT_PROSE.sub(" ", text)
    letters = _letters(left)
    return (left, letters) if left == text or letters >= PROSE * _letters(text) else ("", 0)


def _letters(text: str) -> int:
    return len(_NO_LETTER.sub("", text))


def asked(unit: RowUnit) -> str:
    """What the user says; the system's instructions may be in any language."""
    turns = unit.row["messages" if unit.shape == "conversation" else "prompt"]
    return JOINT.join(turn["content"] for turn in turns if turn["role"] == "user")


def among(found: Identified, languages: tuple[str, ...]) -> bool:
    """True where a language is one of those, or may well be: a neighbour that the models take for it, not surely told."""
    unsure = found.score < CONFUSED.get(found.language, 0)
    return found.language in languages or (unsure and not CONFUSED.keys().isdisjoint(languages))


class AnswerLanguage(RowStep):
    """Drop rows whose answer is in another language than the prompt, or in none of the wanted ones.

    It abstains, and keeps the row, where either is short, mostly code, or not surely of one language, and where
    the prompt names another language or speaks of translation. Of a pair the chosen answer counts; feedback
    counts where it is good: a bad answer may be bad for its language.
    """

    use: Literal["answer_language"]
    shapes: ClassVar[tuple[str, ...]] = ("conversation", "preference", "feedback")

    languages: tuple[str, ...] = Field((), description="Languages that an answer may have, such as [en, pt]; none: any.")
    match_prompt: bool = Field(True, description="Whether the answer must be in the prompt's language.")
    threshold: float = Field(0.8, ge=0, le=1, description="Least score of a language that counts.")
    min_letters: int = Field(30, ge=1, description="Fewer letters of prose: too short to tell.")
    model: FilePath | None = Field(None, description="Another fastText model; none is lid.176, which ships.")

    @field_validator("languages")
    @classmethod
    def _codes(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        known = tuple(map(code, given))
        for name in known:
            if name not in LABELS:
                raise ValueError(f"no language '{name}' in lid.176{suggestion(name, sorted(LABELS))}")
        return known

    @functools.cached_property
    def _language(self) -> Language:
        return Language(use="language", label_only=True, model=self.model)

    def reads(self) -> list[Path]:
        return [NAMES, *self._language.reads()]

    def warm_up(self) -> None:
        self._language.warm_up()

    def identify(self, text: str) -> Identified | None:
        """The language of a text; None where it cannot be told."""
        left, letters = prose(text)
        return self._language.identify(left) if letters >= self.min_letters else None

    def apply(self, unit: RowUnit) -> Drop | None:
        question, answer = asked(unit), self._answer(unit)
        said = self.identify(answer)
        wanted = self.identify(question) if self.match_prompt and said else None
        measured = {"prompt_score": wanted, "answer_score": said}
        unit.values.update({f"{self.name}.{key}": found.score for key, found in measured.items() if found})
        if said is None or said.score < self.threshold:
            return None
        if self.languages and not among(said, self.languages):
            return Drop("language_not_wanted", said.score, self.threshold)
        if wanted is None or wanted.score < self.threshold or named_languages(question) - {wanted.language}:
            return None
        same = among(said, (wanted.language,)) or among(wanted, (said.language,))
        unit.values[f"{self.name}.same"] = float(same)
        return None if same else Drop("other_language_than_prompt", said.score, self.threshold)

    def _answer(self, unit: RowUnit) -> str:
        if unit.shape == "preference":
            return answers_of(unit)["chosen"]
        return joined(unit.shape, unit.row, "answer") if unit.row.get("label") is not False else ""
