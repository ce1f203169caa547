"""What a what-if says: the least and the most after every step, as text and as JSON."""

from typing import NamedTuple


class Span(NamedTuple):
    """The least and the most; equal where it is known."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.least:,}" if self.least == self.most else f"{self.least:,}-{self.most:,}"


class StepSpan(NamedTuple):
    """What goes into a step and what leaves it."""

    name: str
    into: Span
    out: Span


class WhatIf(NamedTuple):
    """The funnel after moving settings."""

    settings: list[str]
    read: int
    kept_before: int
    kept: Span
    """What can remain at all."""
    likely: Span
    """What can remain where no document that comes back, or up in a cluster, has more than its own copies fall."""
    steps: list[StepSpan]
    """By the likely case."""
    dropped: dict[str, int]
    """Units by `step.reason`; of an inexact one, those that are dropped for certain."""
    again: dict[str, int]
    """Steps that would have to run again to know, and for how many documents."""
    unmoved: dict[str, list[str]]
    """By setting the languages with a limit of their own, which it leaves as it is."""

    @property
    def exact(self) -> bool:
        """True where a rerun would give these numbers."""
        return not self.again

    def as_json(self) -> dict:
        """The whole of it; a span is [least, most]."""
        fields = {name: list(value) if isinstance(value, Span) else value for name, value in self._asdict().items()}
        steps = [{"name": step.name, "in": list(step.into), "out": list(step.out)} for step in self.steps]
        return {"exact": self.exact, **fields, "steps": steps}

    def as_text(self) -> str:
        """For people: the funnel, and what remains as the last line."""
        width = max([18, *(len(step.name) + 2 for step in self.steps)])
        lines = [f"{'step':<{width}}{'in':>17}{'out':>17}  dropped"]
        for step in self.steps:
            why = [f"{name.removeprefix(f'{step.name}.')} {count:,}" for name, count in self.dropped.items() if _of(name, step.name)]
            lines.append(f"{step.name:<{width}}{step.into!s:>17}{step.out!s:>17}  {', '.join(why)}".rstrip())
        lines += [f"{name}: would have to run again to know, for {count:,} documents" for name, count in self.again.items()]
        lines += [_own_limits(setting, languages) for setting, languages in self.unmoved.items()]
        return "\n".join([*lines, self._summary()])

    def _summary(self) -> str:
        if self.exact:
            return f"{self.kept} of {self.read:,} remain ({self.kept.least - self.kept_before:+,}), exactly"
        line = f"{self.likely} of {self.read:,} remain (now {self.kept_before:,})"
        if self.likely == self.kept:
            return f"{line}: the least and the most"
        return f"{line}; {self.kept} where documents that come back stand in for several kept ones, or free them"


def _of(reason: str, step: str) -> bool:
    """True where a reason is the step's own, and not that of the same step on another part of a row."""
    return reason.rpartition(".")[0] == step


def _own_limits(setting: str, languages: list[str]) -> str:
    step, _, name = setting.rpartition(".")
    return f"{setting} leaves the own limits of {', '.join(languages)} as they are; for those move {step}.per_language.{languages[0]}.{name}"
