"""What the rule filters share: a table of rules, and limits that may differ by language."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self, get_args

from pydantic import Field, ValidationError, field_serializer, field_validator

from curate.config import FilePath, Model
from curate.steps import tokenizers
from curate.steps.languages import files, limits_in, limits_of
from curate.steps.shared import Shared
from curate.steps.step import Drop, Filter, Step, Unit
from curate.steps.words import words_of

Values = dict[str, float]


def is_code(language: str) -> bool:
    """True for what looks like a code of ISO 639-1 or 639-3."""
    return language.isalpha() and language.islower() and 2 <= len(language) <= 3


class Rule(NamedTuple):
    """Drop for `reason` where a value lies `below` or `above` a limit: a field's name, or a number that is fixed."""

    value: str
    side: Literal["below", "above"]
    limit: str | float
    reason: str


class ByLanguage(Step):
    """A step whose limits may differ by language.

    What a recipe says for all languages gives way to the published limits of a language
    (`curate/steps/languages`) or of a file of the user's own, and these to what the recipe says in `per_language`.
    A rule that it turns off, by null, is off in every language but those.
    """

    rules: ClassVar[tuple[Rule, ...]]

    language_limits: bool = Field(
        True, description="Put the published limits of the text's language over those above. English has none of its own."
    )
    language_files: dict[str, FilePath] = Field(
        {}, description="Files that `curate fit-language` wrote, by ISO 639-1 code, in place of the published limits."
    )
    per_language: dict[str, Model] = Field({}, description="Limits for one language, by ISO 639-1 code; they win.")

    @field_validator("per_language", "language_files")
    @classmethod
    def _codes(cls, value: dict[str, Model] | dict[str, str]) -> dict[str, Model] | dict[str, str]:
        for code in value:
            if not is_code(code):
                raise ValueError(f"{code!r} is no language code; write it as in ISO 639-1, such as 'pt'")
        return value

    @field_validator("language_files")
    @classmethod
    def _readable(cls, value: dict[str, str]) -> dict[str, str]:
        """So that a wrong limit in a file is told before a run starts."""
        (use,) = get_args(cls.model_fields["use"].annotation)
        for path in value.values():
            try:
                cls.model_validate({**limits_in(path, use), "use": use})
            except ValidationError as error:
                wrong = error.errors()[0]
                raise ValueError(f"{path}: {'.'.join(map(str, (use, *wrong['loc'])))}: {wrong['msg']}") from None
        return value

    @field_serializer("per_language")
    def _as_said(self, value: dict[str, Model]) -> dict[str, dict]:
        """Only what was said: a default that came back as a limit would override the language's own."""
        return {code: limits.model_dump(exclude_unset=True) for code, limits in value.items()}

    @cached_property
    def _by_language(self) -> dict[str, Self]:
        return {}

    def reads(self) -> list[Path]:
        return [*(files() if self.language_limits else []), *sorted(tokenizers.FOLDER.glob("*.json.gz"))]

    def warm_up(self) -> None:
        words_of(None).numbers("Warm words.")

    def for_language(self, language: str | None) -> Self:
        """This step with the limits of a language (None is English) in place; its own are then final."""
        if not self.language_limits and not self.per_language and not self.language_files:
            return self
        code = language or "en"
        if code not in self._by_language:
            self._by_language[code] = self._settled(code)
        return self._by_language[code]

    def own_limits(self, language: str | None) -> set[str]:
        """The limits that a language has of its own: what a recipe says for all languages does not move them."""
        code = language or "en"
        return {*self._said(code), *(name for name in self._found(code) if not self._off(name))}

    def overruled(self, languages: list[str]) -> list[str]:
        """A sentence for each limit that the recipe sets and that languages have of their own, which then holds for them."""
        own = {code: self.own_limits(code) - self._said(code) for code in languages}
        set_here = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        kept = {name: [code for code in languages if name in own[code]] for name in set_here}
        return [
            f"{name} does not hold for {', '.join(codes)}, which have limits of their own; say `per_language: {{{codes[0]}: {{{name}: ...}}}}` for them"
            for name, codes in kept.items()
            if codes
        ]

    def _said(self, code: str) -> set[str]:
        return self.per_language[code].model_fields_set if code in self.per_language else set()

    def _settled(self, code: str) -> Self:
        said = self.per_language[code].model_dump(exclude_unset=True) if code in self.per_language else {}
        fields = self.model_dump(exclude={"per_language", "language_files"})
        found = {name: limit for name, limit in self._found(code).items() if not self._off(name)}
        return type(self).model_validate({**fields, **found, **said, "language_limits": False})

    def _off(self, name: str) -> bool:
        return getattr(self, name) is None and type(self).model_fields[name].default is not None

    def _found(self, code: str) -> dict[str, float | None | list[str]]:
        if code in self.language_files:
            return limits_in(self.language_files[code], self.name)
        return limits_of(code, self.name) if self.language_limits else {}

    @cached_property
    def _active(self) -> list[tuple[str, bool, float, str]]:
        limits = [(rule, self._limit(rule)) for rule in self.rules]
        return [(rule.value, rule.side == "below", limit, rule.reason) for rule, limit in limits if limit is not None]

    def _limit(self, rule: Rule) -> float | None:
        return getattr(self, rule.limit) if isinstance(rule.limit, str) else rule.limit

    def decide(self, values: Values) -> Drop | None:
        """The first broken rule; by the step's own limits, so ask `for_language` first."""
        for name, below, limit, reason in self._active:
            value = values.get(name)
            if value is not None and (value < limit if below else value > limit):
                return Drop(reason, value, limit)
        return None

    def apply(self, unit: Unit) -> Drop | None:
        settled = self.for_language(unit.language)
        return super().apply(unit) if settled is self else settled.apply(unit)


class Heuristic(ByLanguage, Filter):
    """A filter by rules: measured in groups, the cheap ones first, up to the group that drops the text."""

    def groups(self, text: str, shared: Shared) -> Iterator[Values]:
        """Values in the order of the rules, a few at a time."""
        raise NotImplementedError

    def measure(self, text: str, shared: Shared) -> Values:
        settled = self.for_language(shared.language)
        values: Values = {}
        for group in settled.groups(text, shared):
            values.update(group)
            if not shared.full and settled.decide(group):
                break
        return values
