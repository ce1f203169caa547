"""`format: auto`: the first rows of the files in, the one dialect that they are written in out, with the evidence.

A guess is refused where none fits and where two do: a dataset read wrongly is worse than one not read.
"""

from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

from curate.config import Model, UsageError
from curate.formats import DIALECTS, Dialect, Refused, Row, read, together
from curate.formats.chat_texts import ChatText, form_of
from curate.formats.instructions import but_for
from curate.formats.safety import PkuSafeRlhf
from curate.formats.texts import Texts

SAMPLE = 200
"""Rows of a file that are looked at."""
FITTING = 0.9
"""Share of the rows that must have the columns of a dialect."""
SOME = 0.1
"""Share of texts that are conversations from which on the user must say which of the two the file is."""
READABLE = 0.5
"""Share of them that must keep its laws, where two dialects have the same columns."""


class Auto(Model):
    """The dialect that the first rows are written in; refused where none fits, or two."""

    use: Literal["auto"] = "auto"

    @property
    def name(self) -> str:
        return self.use

    @property
    def version(self) -> int:
        """Changes with the guess itself, and with any dialect that it may choose."""
        return 2 + sum(kind.version for kind in DIALECTS)

    def reads(self) -> list[Path]:
        return []


class Fit(NamedTuple):
    """How far a dialect fits the rows."""

    dialect: Dialect
    fits: int
    """Rows with its columns."""
    reads: int
    """Those of them that break none of its laws."""
    broken: Counter[str]

    def evidence(self, rows: list[Row]) -> str:
        """What speaks for the dialect, in words."""
        laws = "".join(f", {count:,} {reason}" for reason, count in self.broken.most_common(3))
        columns = ", ".join(_columns(self.dialect, rows))
        talk = _conversations(rows) if isinstance(self.dialect, Texts | ChatText) else ""
        return f"{self.dialect.name}: columns {columns} in {self.fits:,} of {len(rows):,} rows, {self.reads:,} keep its laws{laws}{talk}"


def _forms(rows: list[Row]) -> Counter[str]:
    """How many of the rows hold a conversation written as one text, by its form."""
    return Counter(form.name for row in rows if (form := form_of(row.get("text"))) is not None)


def _conversations(rows: list[Row]) -> str:
    forms = ", ".join(f"{count:,} of form {name}" for name, count in _forms(rows).most_common(3))
    return f"; texts that are conversations: {forms}" if forms else ""


def _columns(dialect: Dialect, rows: list[Row]) -> list[str]:
    """The dialect's columns that the rows have, each with the file's name for it where that is another."""
    told: dict[str, str] = {}
    for row in rows:
        renamed = dialect.renamed(row)
        for name in (*dialect.needs, *dialect.takes):
            if name in renamed and name not in told:
                told[name] = name if name in row else f"{_theirs(name, row, renamed)} as {name}"
    return [told[name] for name in (*dialect.needs, *dialect.takes) if name in told]


def _theirs(name: str, row: Row, renamed: Row) -> str:
    """The file's column that a dialect reads under its own name; several where it joined them."""
    gone = [key for key in row if key not in renamed]
    same = [key for key in gone if row[key] is renamed[name]]
    return same[0] if same else " and ".join(key for key in gone if all(row[key] is not value for value in renamed.values()))


class Guess(NamedTuple):
    """The dialect that fits, and why."""

    dialect: Dialect
    evidence: str


def guess(rows: list[Row], where: str) -> Guess:
    """The dialect of the rows. Raises UsageError, with the evidence, where none fits or more than one."""
    fits = [fit for fit in (_fit(kind, rows) for kind in DIALECTS) if rows and fit.fits >= FITTING * len(rows)]
    best = _best(fits)
    if not best:
        raise UsageError(f"{where}: no dialect fits; {_nearly(rows)}")
    if len(best) > 1:
        told = "; ".join(fit.evidence(rows) for fit in best)
        raise UsageError(f"{where}: {len(best)} dialects fit: {told}; set `format:` to the one that is meant")
    if isinstance(best[0].dialect, PkuSafeRlhf) and any("safer_response_id" in row for row in rows):
        raise UsageError(
            f"{where}: {best[0].evidence(rows)}; say which judgement chooses: `format: {{use: pku_saferlhf, by: better}}` or `by: safer`"
        )
    if isinstance(best[0].dialect, Texts) and _forms(rows).total() >= SOME * len(rows):
        raise UsageError(
            f"{where}: {best[0].evidence(rows)}; set `format: document` to take them all as texts, or `format: transcript` to take the conversations alone"
        )
    return Guess(best[0].dialect, best[0].evidence(rows))


def _nearly(rows: list[Row]) -> str:
    """What there is instead of a dialect, and what to do about it."""
    found = ", ".join(sorted({name for row in rows for name in row})) or "none"
    known = ", ".join(kind.model_fields["use"].default for kind in DIALECTS)
    if rows and _judges_steps(rows[0]):
        return f"columns are {found}, with a label for every step of an answer, which no dialect reads; set `format:` to read the rest of it"
    near = but_for(rows[0]) if rows else None
    return f"columns are {found}; {near or f'set `format:` to one of {known}, and `columns:` in it'}"


def _judges_steps(row: Row) -> bool:
    """Labels of single steps, as process reward models are trained on: PRM800K's, and TRL's layout of them."""
    return {"completions", "labels"} <= row.keys() or (isinstance(row.get("label"), dict) and "steps" in row["label"])


def _fit(kind: type[Dialect], rows: list[Row]) -> Fit:
    dialect = kind(by="better") if kind is PkuSafeRlhf else kind()
    fitting = [row for row in rows if dialect.fits(dialect.renamed(row))]
    broken: Counter[str] = Counter()
    for group in together(fitting, lambda row: dialect.key(dialect.renamed(row))):
        try:
            read(dialect, group)
        except Refused as refused:
            broken[refused.reason] += len(group)
    return Fit(dialect, len(fitting), len(fitting) - sum(broken.values()), broken)


def _best(fits: list[Fit]) -> list[Fit]:
    """Those that no other outranks, and of these the ones that keep their laws, where any does."""
    outranked = {name for fit in fits for name in fit.dialect.refines}
    left = [fit for fit in fits if fit.dialect.name not in outranked]
    return [fit for fit in left if fit.reads >= READABLE * fit.fits] or left
