"""Lists of phrases in, what a text says of them out: refusals, boilerplate and names of models.

A list is a text file with a phrase or regular expression a line; `lists/refusals_en.txt` says how it is read.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from curate.config import UsageError, suggestion

Kind = Literal["refusal", "boilerplate", "model_name"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LISTS = tuple(Path(__file__).parent / "lists" / f"refusals_{language}.txt" for language in ("en", "pt"))

_WIDE = re.compile(r" [^\S\n]+|\r")
_LEAD = re.compile(
    r"[\t *_-]*(?:(?:hi|hello|hey|olá|oi|no|não|hmm+|well|bem|oh|wow|uh|um|so|então|but|mas|and|e|ok|okay|yes|sim)\b[ ,.!…-]*)?"
)
_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?!\?)")
"""An escape, a class of characters, or the start of a group that captures."""
_ENDS = ("! ", "? ", ": ", "; ", "… ")
_OPENING, _CLOSING = "“«„", "”»"
NOTHING = "(?!)"
"""An expression that is found nowhere."""
BEGINNING = 30
"""Characters of small talk after which a refusal still begins the answer; most that precede one are a greeting."""
MOST = 100
"""Phrases of an answer that are looked at; what surrounds each is read for quotation marks."""


class Found(NamedTuple):
    """What an answer says, as numbers; quotations and code left out."""

    refusal: int
    """1 where it begins with a refusal."""
    refusals_inside: int
    """Sentences further on that begin with one."""
    boilerplate: int
    model_name: int


def entries(path: str | Path) -> Iterator[tuple[Kind, str]]:
    """Kind and expression of each line. UsageError with file and line where one cannot be read."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as UTF-8 text: {error}; give a list of phrases") from None
    kind: Kind = "refusal"
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        heading = re.fullmatch(r"\[(\w+)\]", bare)
        if heading:
            if heading[1] not in KINDS:
                raise UsageError(f"{path}:{number}: no kind '{heading[1]}'{suggestion(heading[1], list(KINDS))}")
            kind = heading[1]
        elif bare and not bare.startswith("#"):
            yield kind, _checked(bare, f"{path}:{number}")


def _checked(expression: str, where: str) -> str:
    """The line as it can stand among others: no names, numbers or flags that reach beyond it, and nothing captured, which is slow."""
    try:
        found = re.compile(f"(?:{expression})")
    except re.error as error:
        raise UsageError(f"{where}: '{expression}' is no regular expression: {error}; escape what is meant as it stands") from None
    if found.match(""):
        raise UsageError(f"{where}: '{expression}' matches nothing at all, so every text; ask for a word at least")
    if found.groupindex or re.search(r"\\[1-9]", expression):
        raise UsageError(f"{where}: '{expression}' names or repeats a group; write out what is meant")
    return _PIECE.sub(lambda piece: "(?:" if piece[0] == "(" else piece[0], expression)


def _any_of(expressions: list[str]) -> str:
    """One expression for several. Those of one first letter share it, which spares most of them at most places."""
    by_letter: dict[str, list[str]] = {}
    for expression in expressions:
        first = re.match(r"\w(?=[\w ('])", expression)
        by_letter.setdefault(first[0] if first and _is_whole(expression) else "", []).append(expression)
    alone = by_letter.pop("", [])
    shared = [f"{letter}(?:{'|'.join(one[1:] for one in those)})" for letter, those in by_letter.items()]
    return "|".join(shared + alone) or NOTHING


def _is_whole(expression: str) -> bool:
    """True where no `|` stands outside of groups, so that the first letter is that of every match."""
    left = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "", expression)
    while (outer := re.sub(r"\([^()]*\)", "", left)) != left:
        left = outer
    return "|" not in left


def plain(text: str) -> str:
    """Lower case, straight apostrophes, single spaces; line breaks stay."""
    said = text.lower().replace("’", "'").replace("‘", "'").replace("\xa0", " ").replace("\t", " ")
    return (_WIDE.sub(" ", said) if "  " in said or "\r" in said else said).strip()


class Phrases:
    """The phrases of several lists, ready to be looked for."""

    def __init__(self, lists: tuple[str | Path, ...]) -> None:
        said: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
        for path in lists:
            for kind, expression in entries(path):
                said[kind].append(expression)
        self.refusal = re.compile(f"(?:{_any_of(said['refusal'])})(?!\\w)")
        anywhere = "|".join(f"(?P<{kind}>{_any_of(said[kind])})" for kind in KINDS[1:])
        self.anywhere = re.compile(f"(?<!\\w)(?:{anywhere})(?!\\w)")

    def found(self, text: str, prompt: str) -> Found:
        """What an answer says; a model's name that the prompt says too is an answer to it and no boilerplate."""
        said = plain(text)
        refusals = [place for place in islice(self._refusals(said), MOST) if not quoted(said, place)]
        begins = bool(refusals) and _at_the_beginning(said, refusals[0])
        counts = {"boilerplate": 0, "model_name": 0}
        for hit in islice(self.anywhere.finditer(said), MOST):
            asked = hit.lastgroup == "model_name" and hit[0] in plain(prompt)
            counts[hit.lastgroup] += not asked and not quoted(said, hit.start())
        return Found(int(begins), len(refusals) - begins, **counts)

    def refuses(self, text: str) -> bool:
        """True where an answer begins with a refusal."""
        said = plain(text[: 4 * BEGINNING])
        return any(_at_the_beginning(said, place) and not quoted(said, place) for place in self._refusals(said))

    def _refusals(self, said: str) -> Iterator[int]:
        """Where a sentence begins with a refusal, after a word of greeting or none."""
        for start in sentence_starts(said):
            lead = _LEAD.match(said, start).end()
            if self.refusal.match(said, lead) or (lead > start and self.refusal.match(said, start)):
                yield lead


def _at_the_beginning(text: str, place: int) -> bool:
    """True for a place after small talk at most; what follows a line of its own, as in a letter, is no beginning."""
    return place <= BEGINNING and "\n" not in text[:place]


def sentence_starts(text: str) -> Iterator[int]:
    """Where lines and sentences begin."""
    marked = text.replace("\n", "\0")
    for end in _ENDS:
        marked = marked.replace(end, ".\0")
    start = 0
    for sentence in marked.replace(". ", ".\0").split("\0"):
        if sentence:
            yield start
        start += len(sentence) + 1


def quoted(text: str, place: int) -> bool:
    """True where a place of the text lies in quotation marks of its line, in a line quoted by `>`, or in code."""
    line = text[text.rfind("\n", 0, place) + 1 : place]
    opened = sum(map(line.count, _OPENING)) > sum(map(line.count, _CLOSING))
    return opened or line.count('"') % 2 == 1 or line.lstrip().startswith(">") or text.count("```", 0, place) % 2 == 1
