"""What a judge's reply says: strict, pure readers of a label, a rating or a ranking.

Whatever is not plainly said is `unreadable`, a value that is counted and never trained on. A judge that
quotes a verdict of the text it judges, and gives another itself, has said nothing plain.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

from curate.judges.calls import Position
from curate.judges.verdicts import FIRST, SECOND, TIE, UNREADABLE

Label = Literal["first", "second", "tie", "unreadable"]
MOST_MISSING = 0.5
"""Where more of the probability than this is on no letter at all, the judge has not answered."""
_BLANKS = " \t\r\nĠ▁Ċ"
"""White space, and what raw vocabularies write for it."""
_LABELS = {"a": FIRST, "b": SECOND, "tie": TIE, "empate": TIE}
_MARKERS = {"verdict": r"verdict|veredito|veredicto", "rating": r"rating|nota", "ranking": r"ranking|classificação"}
_LINES = {
    name: re.compile(rf"[\s*_`#>]*(?:final\s+)?(?:{words})(?:\s+final)?[\s*_`]*[:：][\s*_`]*(.+?)", re.IGNORECASE) for name, words in _MARKERS.items()
}
_VERDICT = re.compile(rf"(?:{_MARKERS['verdict']})(?:\s+final)?[\s*_`]*[:：]", re.IGNORECASE)
_ANSWER_OF = re.compile(r"^(?:answer|response|resposta)\s+(?=[ab]$)")
_NUMBER = re.compile(r"(\d{1,3}(?:[.,]\d{1,2})?)(?:\s*\(?(?:/|out of|de)\s*(\d{1,3}))?")
T = TypeVar("T")
_DECORATION = " \t*_`#>[](){}\"':!"


class Choice(NamedTuple):
    """A pairwise verdict. `logit`: log-odds that the answer shown first is better; `missing_mass`: probability on no letter."""

    label: Label
    logit: float | None = None
    missing_mass: float | None = None
    flags: tuple[str, ...] = ()
    rationale: str | None = None


class Rating(NamedTuple):
    """A number on a scale; None: unreadable."""

    value: float | None
    rationale: str | None = None


class Ranking(NamedTuple):
    """The place of each answer, 1 is best, equal places are ties; None: unreadable."""

    ranks: tuple[int, ...] | None
    rationale: str | None = None


def pairwise_schema(rationale: bool = True) -> dict:
    return _schema({"verdict": {"type": "string", "enum": ["A", "B", "tie"]}}, rationale)


def rating_schema(low: int, high: int, rationale: bool = True) -> dict:
    return _schema({"rating": {"type": "integer", "minimum": low, "maximum": high}}, rationale)


def ranking_schema(rationale: bool = True) -> dict:
    return _schema({"ranking": {"type": "string", "description": "Numbers of the answers, best first, such as 2 > 1 = 3."}}, rationale)


def verdict_schema(words: Sequence[str], rationale: bool = True) -> dict:
    return _schema({"verdict": {"type": "string", "enum": list(words)}}, rationale)


def _schema(answer: dict, rationale: bool) -> dict:
    """A rationale stands first, since what is written first shapes what follows."""
    properties = {"rationale": {"type": "string"}, **answer} if rationale else answer
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def pairwise_letter(positions: Sequence[Position]) -> Choice:
    """The verdict of the token that answers, from the log-probabilities of what might have stood there.

    Variants of a letter ("A", " A", "A.") are summed. A letter that is not among the alternatives gets the most
    that it can have (the least alternative's share, or what is left), and the flag `floored`.
    """
    position = _answer(positions)
    if position is None:
        return Choice(UNREADABLE, flags=("no_logprobs",))
    odds = {token: math.exp(min(value, 0.0)) for token, value in position.top if not math.isnan(value)}
    mass = {letter: sum(part for token, part in odds.items() if _letter(token) == letter) for letter in "AB"}
    missing = max(0.0, 1.0 - mass["A"] - mass["B"])
    flags = ("mass_over_one",) if sum(odds.values()) > 1.05 else ()
    if missing > MOST_MISSING or not any(mass.values()):
        return Choice(UNREADABLE, None, missing, (*flags, "mass_missing"))
    if not all(mass.values()):
        floor = max(1e-9, min(min(part for part in odds.values() if part > 0), missing))
        mass = {letter: part or floor for letter, part in mass.items()}
        flags = (*flags, "floored")
    logit = math.log(mass["A"] / mass["B"])
    return Choice(FIRST if logit > 0 else SECOND if logit < 0 else TIE, logit, missing, flags)


def _answer(positions: Sequence[Position]) -> Position | None:
    """The first token that is no blank; after the last `Verdict:` where a rationale came first."""
    ends = [match.end() for match in _VERDICT.finditer("".join(one.token for one in positions))]
    begun, start = ends[-1] if ends else 0, 0
    for one in positions:
        if start >= begun and one.token.strip(_BLANKS):
            return one
        start += len(one.token)
    return None


def _letter(token: str) -> str:
    """The bare capital of a token; a small `a` is an article and no answer."""
    return _bare(token.strip(_BLANKS + ",;"))


def _bare(text: str) -> str:
    """Without the marks that models put around an answer; a leading point stays, since `.7` is not 7."""
    return text.strip(_DECORATION).rstrip(_DECORATION + ".")


def pairwise_letter_text(text: str) -> Choice:
    """The verdict of a reply that is one letter and no more, where no log-probabilities are given."""
    return Choice({"A": FIRST, "B": SECOND}.get(_letter(text), UNREADABLE))


def pairwise_line(text: str) -> Choice:
    """The verdict of a last line `Verdict: A`, `Answer B` or `tie`."""
    said, before = _last_line(text, "verdict", lambda value: _LABELS.get(_ANSWER_OF.sub("", value.lower())))
    return Choice(said or UNREADABLE, rationale=before)


def pairwise_json(text: str) -> Choice:
    """The verdict of a reply that is one JSON object with `verdict`."""
    reply = _object(text)
    said = reply.get("verdict")
    label = {"A": FIRST, "B": SECOND, "tie": TIE, "empate": TIE}.get(said) if isinstance(said, str) else None
    return Choice(label or UNREADABLE, rationale=_rationale(reply))


def verdict_line(text: str, words: Sequence[str]) -> str | None:
    """Which of the words a last line `Verdict: word` says; None: none of them plainly."""
    known = {word.lower(): word for word in words}
    return _last_line(text, "verdict", lambda value: known.get(value.lower()))[0]


def verdict_json(text: str, words: Sequence[str]) -> str | None:
    """Which of the words a reply that is one JSON object has as `verdict`; None: none of them."""
    said = _object(text).get("verdict")
    return said if isinstance(said, str) and said in words else None


def rating_line(text: str, low: int, high: int) -> Rating:
    """The number of a last line `Rating: 7`, `[[7]]`, `7/10`, `8.5`, or of a reply that is only that."""
    bare = _number(text.strip(), low, high)
    if bare is not None:
        return Rating(bare)
    said, before = _last_line(text, "rating", lambda value: _number(value, low, high))
    return Rating(said, before)


def rating_json(text: str, low: int, high: int) -> Rating:
    """The number of a reply that is one JSON object with `rating`."""
    reply = _object(text)
    value = reply.get("rating")
    fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    return Rating(float(value) if fits else None, _rationale(reply))


def ranking_line(text: str, count: int) -> Ranking:
    """The order of a last line `Ranking: 2 > 1 = 3`, which must name each of `count` answers once."""
    said, before = _last_line(text, "ranking", lambda value: _ranks(value, count))
    return Ranking(said, before)


def ranking_json(text: str, count: int) -> Ranking:
    """The order of a reply that is one JSON object with `ranking`."""
    reply = _object(text)
    said = reply.get("ranking")
    return Ranking(_ranks(said, count) if isinstance(said, str) else None, _rationale(reply))


def _last_line(text: str, marker: str, value_of: Callable[[str], T | None]) -> tuple[T | None, str | None]:
    """What the last line says after its marker, and the text before it.

    None where the last line has no marker, an unknown value, or where another line says something else:
    a verdict that the judged text forged and the judge copied.
    """
    line = _LINES[marker]
    lines = [one for one in text.splitlines() if one.strip()]
    said = [_bare(match[1]) for one in lines if (match := line.fullmatch(one.rstrip()))]
    if not lines or not line.fullmatch(lines[-1].rstrip()):
        return None, None
    values = {value_of(one) for one in said}
    before = "\n".join(lines[:-1]).strip() or None
    return (values.pop() if len(values) == 1 else None), before


def _number(text: str, low: int, high: int) -> float | None:
    """The number that the whole text is; `8/10` only on a scale that ends at 10."""
    match = _NUMBER.fullmatch(_bare(text).replace("]]", ""))
    if not match or (match[2] and int(match[2]) != high):
        return None
    value = float(match[1].replace(",", "."))
    return value if low <= value <= high else None


def _ranks(text: str, count: int) -> tuple[int, ...] | None:
    """Places of answers 1 to `count` from `2 > 1 = 3`; None unless each is named exactly once."""
    groups = [group.split("=") for group in re.split(r"[>,]", text)]
    names = [[_bare(name) for name in group] for group in groups]
    flat = [name for group in names for name in group]
    if sorted(flat) != sorted(str(number) for number in range(1, count + 1)):
        return None
    places: dict[str, int] = {}
    for group in names:
        place = len(places) + 1
        places.update(dict.fromkeys(group, place))
    return tuple(places[str(number)] for number in range(1, count + 1))


def _object(text: str) -> dict:
    """The JSON object that the whole text is, in a code fence or not; an empty one where it is none, or names a key twice."""
    body = re.sub(r"^```(?:json)?\s*\n(.*)\n```$", r"\1", text.strip(), flags=re.DOTALL)
    try:
        value = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _once(pairs: list[tuple[str, object]]) -> dict:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _rationale(reply: dict) -> str | None:
    """Halves of surrogate pairs, which JSON can spell, become question marks: no file could hold them."""
    said = reply.get("rationale")
    return said.encode("utf-8", "replace").decode() if isinstance(said, str) and said else None
