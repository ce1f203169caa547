"""Source rows in, rows of a split's format out: as they are where the format takes their shape, else by way of pairs."""

from collections.abc import Callable
from functools import cached_property

from curate.config import UsageError
from curate.formats import Refused, Row
from curate.outputs import Output, Packed
from curate.outputs.texts import Text
from curate.pairs import PairRule
from curate.stages.given import Given
from curate.stages.mix import Mix


def carrier(output: Output) -> Output:
    """What a row is held as until the split is written: packed tokens are made of texts at the very end."""
    return Text() if isinstance(output, Packed) else output


class SourceRow:
    """A row of a source; its pairs are made once for all formats."""

    def __init__(self, row: Row, shape: str, rule: PairRule | None) -> None:
        self.row, self.shape, self.rule = row, shape, rule

    @cached_property
    def _pairs(self) -> list[Row] | Refused:
        try:
            return self.rule.rows(self.row)
        except Refused as refused:
            return refused

    def written(self, output: Output) -> list[Row]:
        """The rows that it gives, never none, the true labels first. Raises Refused."""
        made = self._made(output, output.rows)
        return sorted(made, key=lambda one: not one["label"]) if output.order == "label" else made

    def _made(self, output: Output, said: Callable[[str, Row], list[Row]]) -> list[Row]:
        if self.shape != "candidates" or self.rule is None or self.shape in output.accepts:
            made = said(self.shape, self.row)
        elif isinstance(self._pairs, Refused):
            raise self._pairs
        else:
            made = [one for pair in self._pairs for one in said("preference", pair)]
        if not made:
            raise Refused("not_in_dialect")
        return made

    def tried(self, output: Output) -> tuple[int, int, str]:
        """How many rows it gives, those of them labelled true, and the law by which it is refused."""
        try:
            made = self._made(output, output.said)
        except Refused as refused:
            return 0, 0, refused.reason
        return len(made), sum(one["label"] for one in made) if output.order == "label" else 0, ""


def refuse_shapes(mix: Mix, given: dict[str, Given]) -> None:
    """UsageError where a split's format cannot take the rows of one of its sources."""
    for form in mix.formats:
        accepts = carrier(form.output).accepts
        for name in form.sources:
            shape = given[name].shape
            if shape in accepts or (shape == "candidates" and mix.pairs and "preference" in accepts):
                continue
            if shape == "candidates" and "preference" in accepts:
                raise UsageError(f"split '{form.split}': source '{name}' holds candidates; say how they become pairs by `pairs: best_worst`")
            others = [one for one in form.sources if given[one].shape in accepts]
            instead = f"list its `sources:` without '{name}'" if others else f"choose a format that takes {shape} rows"
            raise UsageError(
                f"split '{form.split}': format {form.output.name} takes {', '.join(accepts)} rows, not the {shape} rows of source '{name}'; {instead}"
            )
