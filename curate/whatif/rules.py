"""A step in; the limits by which it decides from measured values alone out, and whether a moved setting reaches further.

The limits say the same as the step's own `decide`, in a form that whole columns can be held to.
"""

from typing import Literal, NamedTuple

from curate.steps.decontaminate import Decontaminate
from curate.steps.extract import Extract
from curate.steps.filters.heuristic import ByLanguage, Rule
from curate.steps.language import Language
from curate.steps.quality import Quality
from curate.steps.rows.length import Length
from curate.steps.scrub import Scrub
from curate.steps.step import Rewrite, Step
from curate.steps.tokens import TokenCount
from curate.steps.toxicity import Toxicity
from curate.steps.url import Url

Kind = Literal["count", "ratio", "real"]


class Limit(NamedTuple):
    """Drop for `reason` where a value is `below` or `above` a limit, or `reaches` it."""

    value: str
    side: Literal["below", "above", "reaches"]
    limit: float
    reason: str
    kind: Kind
    """Whole numbers, ratios of whole numbers (lines, words, characters of a text), or any number."""
    needed: bool = False
    """A value that is not there tells nothing; else it breaks no rule."""


Limits = tuple[Limit, ...]

_DECIDES = {
    "language": {"languages", "threshold", "label_only"},
    "quality": {"threshold"},
    "toxicity": {"threshold"},
    "decontaminate": {"threshold", "action"},
    "url": {"soft_words"},
    "extract": {"max_html_chars"},
    "length": {"prompt", "answer", "row", "max_ratio"},
}
"""Settings, by step, that change what is decided and not what is measured; of rule filters, those that its rules name."""

_BY_LANGUAGE = {"language_limits", "language_files", "per_language"}


def limits(step: Step, language: str | None) -> Limits | None:
    """The limits in the order of the step's `decide`; None where values cannot tell what it would decide."""
    match step:
        case ByLanguage():
            settled = step.for_language(language)
            return tuple(limit for rule in step.rules if (limit := _of_rule(settled, rule)))
        case Language():
            return _of_language(step, language)
        case Quality():
            return () if step.threshold is None else (Limit("score", "below", step.threshold, "low_quality", "real"),)
        case Toxicity():
            return () if step.threshold is None else (Limit("score", "reaches", step.threshold, "toxic", "real"),)
        case Decontaminate():
            return () if step.action != "drop" else (Limit("share", "reaches", step.threshold, "contaminated", "ratio"),)
        case Url():
            return _of_url(step)
        case Extract():
            largest = Limit("html_chars", "above", step.max_html_chars, "too_large", "count")
            return (largest, Limit("text_chars", "below", 1, "empty_text", "count", needed=True))
        case Length():
            return _of_length(step)
        case TokenCount():
            return ()
    return () if isinstance(step, Scrub) and step.max_items is None else None


def _of_rule(settled: ByLanguage, rule: Rule) -> Limit | None:
    limit = getattr(settled, rule.limit) if isinstance(rule.limit, str) else rule.limit
    if limit is None:
        return None
    return Limit(rule.value, rule.side, limit, rule.reason, "count" if isinstance(limit, int) else "ratio")


def _of_language(step: Language, language: str | None) -> Limits:
    """By the label that stands in the ledger, since the value `kept` counts in the languages of the first run."""
    if step.label_only:
        return ()
    if language in step.keep:
        return (Limit("score", "below", step.keep[language], "language_score", "real", needed=True),)
    return (Limit("score", "reaches", 0, "language" if language else "no_language", "count", needed=True),)


def _of_url(step: Url) -> Limits:
    """Only the soft words are counted; which of the words after them a URL holds is on no ledger."""
    soft = (Limit("soft_words", "reaches", step.soft_words, "soft_words", "count", needed=True),) if step.soft_words else ()
    return (*soft, Limit("banned_subword", "reaches", 1, "banned_subword", "count", needed=True)) if step.banned_subwords else soft


def _of_length(step: Length) -> Limits:
    found = []
    for part, wanted, least, most in (
        ("prompt", step.prompt, "prompt", "prompt"),
        ("answer", step.answer, "answer_min", "answer_max"),
        ("row", step.row, "row", "row"),
    ):
        if wanted and wanted.min is not None:
            found.append(Limit(least, "below", wanted.min, f"{part}_too_short", "count"))
        if wanted and wanted.max is not None:
            found.append(Limit(most, "above", wanted.max, f"{part}_too_long", "count"))
    if step.max_ratio is not None:
        found.append(Limit("ratio", "above", step.max_ratio, "answers_of_unequal_length", "ratio"))
    return tuple(found)


def remeasures(old: Step, new: Step, language: str | None) -> bool:
    """True where what was moved changes what a text of this language measures, or what becomes of the text."""
    if old == new:
        return False
    if not isinstance(old, ByLanguage):
        moved = {name for name in type(old).model_fields if getattr(old, name) != getattr(new, name)}
        return not moved <= _DECIDES.get(old.name, set())
    one, other = old.for_language(language), new.for_language(language)
    named = {rule.limit for rule in old.rules}
    moved = {name for name in type(old).model_fields if getattr(one, name) != getattr(other, name)} - _BY_LANGUAGE
    uncounted = isinstance(old, Rewrite) and any(getattr(one, name) is None for name in moved & named)
    return uncounted or not moved <= named


def unmoved(step: Step, setting: str, languages: list[str]) -> list[str]:
    """The languages with a limit of their own, which a setting for all languages leaves as it is."""
    return [code for code in languages if setting in step.own_limits(code)] if isinstance(step, ByLanguage) else []


def by_language(step: Step) -> bool:
    """True where the limits depend on a text's language."""
    return isinstance(step, ByLanguage | Language)


class Knob(NamedTuple):
    """A setting of a step that is a limit of one measured value."""

    setting: str
    limit: Limit


def knobs(step: Step, language: str | None = None) -> list[Knob]:
    """The settings that limit a measured value, as they stand in the recipe, or as they hold for a language."""
    if isinstance(step, ByLanguage):
        settled = step.for_language(language) if language else step
        found = [(rule, _of_rule(settled, rule)) for rule in step.rules if isinstance(rule.limit, str)]
        return [Knob(rule.limit, limit) for rule, limit in found if limit]
    if isinstance(step, Language):
        return _language_knobs(step)
    if isinstance(step, Url):
        return [Knob("soft_words", limit) for limit in _of_url(step) if limit.value == "soft_words"]
    single = isinstance(step, Quality | Toxicity | Decontaminate)
    return [Knob("threshold", limit) for limit in limits(step, None) or ()] if single else []


def _language_knobs(step: Language) -> list[Knob]:
    own = isinstance(step.languages, dict)
    settings = {f"languages.{name}": score for name, score in step.keep.items()} if own else {"threshold": step.threshold}
    found = [Knob(name, Limit("score", "below", score, "language_score", "real")) for name, score in settings.items()]
    return [] if step.label_only else found
