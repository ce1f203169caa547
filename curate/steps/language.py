"""Language of a text: a label and a score for every unit, and a drop where it is not wanted.

The label is read from the text alone. What a page says of itself (`lang`, `Content-Language`) is no
evidence here: English text under a foreign `lang` is English.
"""

import functools
import importlib.util
import math
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from curate.config import FilePath, UsageError, suggestion
from curate.steps.shared import Shared
from curate.steps.step import Drop, Filter, Unit
from curate.steps.url_lists import asset

if TYPE_CHECKING:
    from fasttext.FastText import _FastText
    from py3langid.langid import LanguageIdentifier

MODEL = Path(__file__).parent / "models" / "lid.176.ftz"

LABELS = frozenset(
    "af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de "
    "diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo "
    "io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms "
    "mt mwl my myv mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn "
    "sco sd sh si sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf "
    "yi yo yue zh".split()
)
"""The languages of lid.176."""

SYNONYMS = {"nb": "no", "iw": "he", "in": "id", "ji": "yi", "fil": "tl", "pes": "fa"}
"""Other codes of languages that the models know by one."""

SURE = 0.8
CONFUSED = {"gl": 0.95, "ca": 0.95, "es": 0.95, "pt": 0.95}
"""Neighbours that lid.176 takes for one another: surer than this, the second opinion never moved a label."""
GLANCE = 1000
SURE_AT_A_GLANCE = 0.95
"""Where so many characters, from four places of the text, are surer than this, no more is read: a third of the
cost, and of 1,294 pages in over 26 languages none got another label or fell on the other side of 0.65."""
FOREIGN = 0.3
"""A language that py3langid has no class for stays from this score on: 36 % right of them, not 24 %."""

Guess = tuple[str, float]


class Identified(NamedTuple):
    language: str | None
    """ISO 639-1 where there is one; None where the text has no letter."""
    score: float


def spread(text: str, size: int, count: int) -> list[str]:
    """Up to `count` pieces of about `size` characters, evenly from the first to the last, none much shorter."""
    if len(text) <= size * count:
        size = math.ceil(len(text) / max(round(len(text) / size), 1)) or 1
        return [text[start : start + size] for start in range(0, len(text), size)]
    step = (len(text) - size) / max(count - 1, 1)
    return [text[round(place * step) : round(place * step) + size] for place in range(count)]


def one_line(text: str) -> str:
    """Text as the models take it: white space joined, no lone surrogates, nothing all in capitals.

    Of cuts of 150 characters in twelve languages, set in capitals, 100 % are right in small letters and 95 % as given.
    """
    line = " ".join(text.replace("\0", " ").split()).encode("utf-8", "replace").decode("utf-8")
    return line.lower() if line == line.upper() else line


def sample(text: str, characters: int) -> str:
    """At most so many characters, from four places of the text; a page often begins or ends in a menu.

    Where those places are blank, the start of what is not.
    """
    found = one_line(" ".join(spread(text, max(characters // 4, 1), 4))) if len(text) > characters else one_line(text)
    return found if _has_letter(found) else one_line(text)[:characters]


def _has_letter(text: str) -> bool:
    return re.search(r"[^\W\d_]", text) is not None


@functools.lru_cache(maxsize=4)
def _fasttext(path: str) -> "_FastText":
    import fasttext

    try:
        return fasttext.load_model(path)
    except (ValueError, OSError) as error:
        raise UsageError(f"{path}: not a fastText model: {error}; give a .bin or .ftz that fastText wrote") from None


@functools.cache
def _langid() -> "LanguageIdentifier":
    from curate.steps.langid_tables import identifier

    return identifier(_second_model())


def _second_model() -> Path:
    spec = importlib.util.find_spec("py3langid")
    return Path(spec.origin).parent / "data" / "model.npz.xz"


@functools.cache
def _two_letters() -> dict[str, str]:
    """ISO 639-3 to 639-1, from datatrove's table of languages."""
    rows = [line.split(",")[:2] for line in asset("tokenizer_assignment.csv").read_text(encoding="utf-8").splitlines()]
    return {three: two for three, two in rows[1:] if two}


@functools.lru_cache(1024)
def code(label: str) -> str:
    """`pt` of `__label__pt`, `pt-BR`, `pt_PT` and GlotLID's `por_Latn`."""
    name, script = re.fullmatch(r"([^_-]*)[_-]?(.*)", label.removeprefix("__label__"), re.DOTALL).groups()
    if len(name) == 3 and len(script) == 4:
        name = _two_letters().get(name, name)
    return SYNONYMS.get(name.lower(), name.lower())


def first_opinion(line: str, model: str = str(MODEL), best: int = 5) -> list[Guess]:
    """fastText's best labels of one line, best first (Joulin et al. 2016, lid.176)."""
    found = _fasttext(model).f.predict(line + "\n", best, 0.0, "strict")
    return [(code(label), min(score, 1.0)) for score, label in found]


def second_opinion(text: str) -> dict[str, float]:
    """py3langid's probability of each language, the mean over pieces of the text.

    One call on a whole mixed page is sure of one of its languages; the pieces vote for what each of them is.
    """
    pieces = [piece for piece in map(one_line, spread(text, 200, 8)) if _has_letter(piece)]
    total: dict[str, float] = {}
    for piece in pieces:
        for language, probability in _langid().rank(piece)[:6]:
            total[language] = total.get(language, 0.0) + probability / len(pieces)
    return total


def wants_second(guesses: list[Guess]) -> bool:
    """True where the first opinion is unsure, and the second could know better."""
    language, score = guesses[0]
    if score >= CONFUSED.get(language, SURE):
        return False
    return score < FOREIGN or language in _known_to_second()


@functools.cache
def _known_to_second() -> frozenset[str]:
    return frozenset(_langid().labels)


def pooled(guesses: list[Guess], second: dict[str, float]) -> Guess:
    """The language of the highest mean probability: a linear opinion pool of equal weights.

    Its score is the mean, or what the opinion that had it first says where that is more. So a second opinion that
    agrees takes nothing away, and a label that it moved has py3langid's own probability, of which 0.9 and more
    was right in 95 % of 1,034 short texts.
    """
    total = {language: probability / 2 for language, probability in second.items()}
    for language, score in guesses:
        total[language] = total.get(language, 0.0) + score / 2
    language, mean = max(total.items(), key=lambda pair: (pair[1], pair[0]))
    said = guesses[0][1] if language == guesses[0][0] else second.get(language, 0.0)
    return language, max(mean, said)


def identify(text: str, model: str = str(MODEL), characters: int = 4000, second: bool = True) -> Identified:
    """The language of a text with a score in [0, 1].

    lid.176 alone where it is sure; else the mean with py3langid. benchmarks/language.py has the reasons.
    """
    for size in (min(GLANCE, characters), characters):
        line = sample(text, size)
        guesses = first_opinion(line, model) if _has_letter(line) else []
        if len(text) <= size or (guesses and guesses[0][1] >= SURE_AT_A_GLANCE):
            break
    if not guesses:
        return Identified(None, 0.0)
    best = pooled(guesses, second_opinion(text)) if second and wants_second(guesses) else guesses[0]
    return Identified(*best)


Languages = str | tuple[str, ...] | dict[str, float]


def checked(given: Languages) -> tuple[str, ...] | dict[str, float]:
    """Languages as a recipe gives them, each by the code of the models; ValueError for a threshold that is none."""
    if isinstance(given, str):
        given = tuple(re.findall(r"[^\s,]+", given))
    if isinstance(given, dict):
        for name, score in given.items():
            if not 0 <= score <= 1:
                raise ValueError(f"the threshold of {name} is {score}; give one between 0 and 1")
        return {code(name): score for name, score in given.items()}
    return tuple(dict.fromkeys(map(code, given)))


def refuse_unknown(languages: Languages) -> None:
    """ValueError for a language that lid.176 does not know."""
    unknown = [name for name in languages if name not in LABELS]
    if unknown:
        raise ValueError(f"no language '{unknown[0]}' in lid.176{suggestion(unknown[0], sorted(LABELS))}")


class Language(Filter):
    """Label each unit with its language, and drop the languages that are not kept.

    The threshold of 0.65 is RefinedWeb's and FineWeb's (Penedo et al. 2023, 2024).
    """

    version: ClassVar[int] = 2

    use: Literal["language"]
    languages: Languages = Field(
        (),
        description="Languages to keep: en, or [en, pt], or with a threshold each, {en: 0.65, pt: 0.7}.",
    )
    threshold: float = Field(0.65, ge=0, le=1, description="Least score of a kept language without its own.")
    label_only: bool = Field(False, description="Label and score, and drop nothing.")
    model: FilePath | None = Field(None, description="Another fastText model; none is lid.176, which ships.")
    second_opinion: bool = Field(True, description="Ask py3langid where fastText is unsure or known to err.")
    characters: int = Field(4000, ge=200, description="Read at most so many of a text, from four places of it.")

    @field_validator("languages")
    @classmethod
    def _checked(cls, given: Languages) -> tuple[str, ...] | dict[str, float]:
        return checked(given)

    @model_validator(mode="after")
    def _known(self) -> "Language":
        if not self.languages and not self.label_only:
            raise ValueError("no language is kept; give `languages: en`, or `label_only: true` to drop nothing")
        if self.model is None:
            refuse_unknown(self.languages)
        return self

    @cached_property
    def keep(self) -> dict[str, float]:
        """The least score of each kept language, by ISO 639-1 code."""
        if isinstance(self.languages, dict):
            return dict(self.languages)
        return {name: self.threshold for name in self.languages}

    def reads(self) -> list[Path]:
        return ([] if self.model else [MODEL]) + ([_second_model()] if self.second_opinion else [])

    def warm_up(self) -> None:
        _fasttext(self.model or str(MODEL))
        if self.second_opinion:
            _langid()

    def identify(self, text: str) -> Identified:
        return identify(text, self.model or str(MODEL), self.characters, self.second_opinion)

    def _values(self, found: Identified) -> dict[str, float]:
        values = {"score": found.score}
        if found.language is None:
            return values
        place = list(self.keep).index(found.language) + 1 if found.language in self.keep else 0
        return values | {"kept": place}

    def measure(self, text: str, shared: Shared) -> dict[str, float]:
        """`score`, and `kept`: the place of the label among the kept languages from 1, or 0."""
        return self._values(self.identify(text))

    def decide(self, values: dict[str, float]) -> Drop | None:
        if self.label_only or "score" not in values:
            return None
        if "kept" not in values:
            return Drop("no_language")
        if values["kept"] == 0:
            return Drop("language", values["score"])
        threshold = list(self.keep.values())[int(values["kept"]) - 1]
        return Drop("language_score", values["score"], threshold) if values["score"] < threshold else None

    def apply(self, unit: Unit) -> Drop | None:
        found = self.identify(unit.text)
        unit.language, unit.language_score = found.language, found.score if found.language else None
        values = self._values(found)
        unit.values.update({f"{self.name}.{key}": value for key, value in values.items()})
        return self.decide(values)
