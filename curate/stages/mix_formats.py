"""Source rows in, rows of a split's format out: as they are where the format takes their shape, else by way of pairs."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import pyarrow.parquet as pq

from curate.config import UsageError
from curate.formats import Refused, Row
from curate.outputs import Output, Packed
from curate.outputs.texts import Text
from curate.pairs import PairRule
from curate.stages.given import Given
from curate.stages.mix import Mix
from curate.stages.mix_units import Units


def carrier(output: Output) -> Output:
    """What a row is held as until the split is written: packed tokens are made of texts at the very end."""
    return Text() if isinstance(output, Packed) else output


class SourceRow:
    """A row of a source; its pairs are made once for all formats."""

    def __init__(self, row: Row, shape: str, rule: PairRule | None) -> None:
        self.row, self.shape, self.rule = row, shape, rule

    @cached_property
    def _pairs(self) -> list[Row] | Refused:
        """Whole rows, which take longer than their columns."""
        return _or_refused(self.rule.rows, self.row)

    @cached_property
    def _columns(self) -> list[Row] | Refused:
        return _or_refused(lambda row: [fields for fields, _ in self.rule.lawful(row).pairs], self.row)

    def written(self, output: Output) -> list[Row]:
        """The rows that it gives, never none, the true labels first. Raises Refused."""
        shape, given = self._given(output, plain=False)
        made = [one for row in given for one in output.rows(shape, row)]
        return sorted(made, key=lambda one: not one["label"]) if output.order == "label" else made

    def _given(self, output: Output, plain: bool) -> tuple[str, list[Row]]:
        """The rows that the format is given, and their shape: itself, or its pairs."""
        if self.shape != "candidates" or self.rule is None or self.shape in output.accepts:
            return self.shape, [self.row]
        pairs = self._columns if plain else self._pairs
        if isinstance(pairs, Refused):
            raise pairs
        return "preference", pairs

    def tried(self, output: Output, plain: bool) -> tuple[int, int, str]:
        """How many rows it gives, those of them labelled true, and the law by which it is refused."""
        try:
            shape, given = self._given(output, plain)
            told = [output.told(shape, row, plain) for row in given]
        except Refused as refused:
            return 0, 0, refused.reason
        return sum(rows for rows, _ in told), sum(true for _, true in told), ""


def _or_refused(made: Callable[[Row], list[Row]], row: Row) -> list[Row] | Refused:
    try:
        return made(row)
    except Refused as refused:
        return refused


def refuse_shapes(mix: Mix, given: dict[str, Given]) -> None:
    """UsageError where a split's format cannot take the rows of one of its sources, or a source has a pair rule in vain."""
    for name, source in mix.sources.items():
        if source.pairs and given[name].shape != "candidates":
            raise UsageError(f"source '{name}': holds {given[name].shape} rows, of which no pairs are made; leave its `pairs` out")
    for form in mix.formats:
        accepts = carrier(form.output).accepts
        for name in form.sources:
            shape = given[name].shape
            if shape in accepts or (shape == "candidates" and mix.rule(name) and "preference" in accepts):
                continue
            if shape == "candidates" and "preference" in accepts:
                raise UsageError(f"split '{form.split}': source '{name}' holds candidates; say how they become pairs by `pairs: best_worst`")
            others = [one for one in form.sources if given[one].shape in accepts]
            instead = f"list its `sources:` without '{name}'" if others else f"choose a format that takes {shape} rows"
            raise UsageError(
                f"split '{form.split}': format {form.output.name} takes {', '.join(accepts)} rows, not the {shape} rows of source '{name}'; {instead}"
            )


def refuse_ratings(mix: Mix, given: dict[str, Given], units: Units) -> None:
    """UsageError where not one row of a source has the ratings that its pair rule names."""
    lacking = np.flatnonzero(units.laws == "no_such_rating")
    for number, (name, source) in enumerate(given.items()):
        mine = units.law[:, units.source == number]
        if len(lacking) and (mine == lacking[0]).all(axis=1).any():
            rule = mix.rule(name)
            wanted = ", ".join(rule.ratings or [rule.by])
            there = ", ".join(_ratings(source)) or "none"
            raise UsageError(f"source '{name}': no row has the ratings that its pairs are made by ({wanted}); they have {there}; set the source's `pairs`")


def _ratings(source: Given) -> list[str]:
    """Names of the ratings in the first rows of a source."""
    first = next(pq.ParquetFile(source.files[0]).iter_batches(100, columns=["candidates"]), None)
    rows = first.column(0).to_pylist() if first is not None else []
    return sorted({rating["aspect"] for answers in rows for one in answers for rating in one["ratings"]})
