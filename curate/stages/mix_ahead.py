"""A mix that is not made yet: rows that its sources will hold in, rows of one of its splits out, for estimates only.

Which rows a split draws is not known before, but how many it may have is: a stated number, a part, or all there are.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations

from curate.stages.asked import Read, Row
from curate.stages.calls_ahead import Ahead
from curate.stages.mix import Mix

_READ = ("document", "preference")
"""Formats whose files are rows that a stage can read."""


def split_ahead(mix: Mix, split: str, sources: Mapping[str, Ahead | None]) -> Ahead | None:
    """What a stage that reads the split will find; None where no bound is known, or the format is none that a stage reads."""
    form = next((one for one in mix.formats if one.split == split and one.output.name in _READ), None)
    if form is None:
        return None
    shape, known = form.output.name, [given for name in form.sources if (given := sources[name])]
    counts = [sum(1 for _ in _written(given, shape)) for given in known]
    there, whole = sum(counts), sum(count * given.times for count, given in zip(counts, known, strict=True))
    if not there or (len(known) < len(form.sources) and form.size.rows is None):
        return None
    rows = form.size.rows or whole * (form.size.share or _repeats(mix))
    basis = [f"for {form.size.rows:,} rows like those of its sources"] if form.size.rows else [given.basis for given in known if given.basis]
    return Ahead(shape, lambda: (read for given in known for read in _written(given, shape)), rows / there, next(iter(basis), ""))


def _repeats(mix: Mix) -> float:
    """How often a row may stand in the split that takes the rest."""
    return max([mix.max_epochs, *(source.epochs or 1 for source in mix.sources.values())])


def _written(given: Ahead, shape: str) -> Iterator[Read]:
    """Rows as the split has them; of candidates every pair, which is the most that a rule makes."""
    for read in given.rows():
        if given.shape == shape:
            yield read
        elif (given.shape, shape) == ("candidates", "preference"):
            answers = [one["text"] for one in read.row["candidates"] if one["kind"] != "critique"]
            yield from (read._replace(row=_pair(read.row, *pair)) for pair in combinations(answers, 2))


def _pair(row: Row, chosen: str, rejected: str) -> Row:
    turns = ([{"role": "assistant", "content": text, "tool_calls": None, "name": None}] for text in (chosen, rejected))
    return {**row, **dict(zip(("chosen", "rejected"), turns, strict=True))}
