"""An artifact's ledger as columns of numbers, each read when it is first asked for.

A row's number is its place in the order of the input, in which deduplication prefers documents.
"""

from functools import cached_property

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import Artifact
from curate.rows import shape_of
from curate.steps.rows.refined import Placed
from curate.steps.step import Filter, Step

_NO_TEXT = -1
"""The place of `read`: what the source itself dropped never reached a step."""


class Columns:
    """The ledger of one artifact; every array has an element a unit."""

    def __init__(self, artifact: Artifact, names: list[str]) -> None:
        self.artifact, self.names = artifact, names
        self.frame = artifact.ledger()
        self.known = set(self.frame.collect_schema().names())
        self.all_measured = artifact.receipt.config.get("measure") == "all"
        self._values: dict[str, np.ndarray] = {}
        self._pairs: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def _codes(self, name: str) -> tuple[np.ndarray, list[str]]:
        """Numbers of a column of few different texts, -1 for null, and the texts; the file holds it so already."""
        files = sorted(self.artifact.path.glob("ledger/*.parquet"))
        table = pa.concat_tables(pq.read_table(file, columns=[name], read_dictionary=[name]) for file in files)
        column = table.unify_dictionaries().column(name).combine_chunks()
        return column.indices.fill_null(-1).to_numpy(zero_copy_only=False), column.dictionary.to_pylist()

    @cached_property
    def place(self) -> np.ndarray:
        """Number of the step that dropped each unit; the number of steps where none did."""
        codes, steps = self._codes("step")
        number = {name: place for place, name in enumerate(self.names)}
        places = [number.get(step, _NO_TEXT) for step in steps] + [len(self.names)]
        return np.array(places, np.int32)[codes]

    @cached_property
    def reasons(self) -> tuple[np.ndarray, list[str]]:
        """The recorded reason of each unit, as a number and as texts."""
        return self._codes("reason")

    @cached_property
    def languages(self) -> tuple[np.ndarray, list[str | None]]:
        """The language of each unit, as a number (the last is: not known) and as texts."""
        codes, names = self._codes("language")
        return np.where(codes < 0, len(names), codes), [*names, None]

    def met(self, place: int) -> list[str]:
        """The languages of the units that came to a step, those of most units first."""
        codes, names = self.languages
        counts = np.bincount(codes[self.place >= place], minlength=len(names))
        return [names[code] for code in np.argsort(-counts, kind="stable") if counts[code] and names[code]]

    @cached_property
    def dropping_value(self) -> np.ndarray:
        """The value that dropped a unit, in double precision."""
        return self._column("value")

    @cached_property
    def characters(self) -> np.ndarray:
        """At most so many words, lines or characters can have been counted in a unit; inf where that is not known.

        Twice the text, since placeholders may be longer than what they replace.
        """
        name = next((name for name in ("extract.text_chars", "gopher_repetition.characters") if name in self.known), None)
        return np.full(len(self.place), np.inf) if name is None else np.nan_to_num(2 * self.value(name), nan=np.inf)

    def value(self, name: str) -> np.ndarray:
        """A measured value of every unit, nan where it was not measured."""
        if name not in self._values:
            self._values[name] = self._column(name)
        return self._values[name]

    def _column(self, name: str) -> np.ndarray:
        if name not in self.known:
            return np.full(len(self.place), np.nan)
        return self.frame.select(pl.col(name).cast(pl.Float64)).collect().to_series().fill_null(np.nan).to_numpy()

    def measured(self, step: str) -> np.ndarray:
        """bool: units of which the step has left any value."""
        found = np.zeros(len(self.place), bool)
        for name in self.known:
            if name.startswith(f"{step}."):
                found |= ~np.isnan(self.value(name))
        return found

    @cached_property
    def of_documents(self) -> bool:
        """True where a unit is one text: elsewhere a filter looks at several, and the ledger has the values of one."""
        files = sorted(self.artifact.path.glob("data/*.parquet"))
        return self.artifact.receipt.stage == "web" or bool(files) and shape_of(pq.read_schema(files[0]).names) == "document"

    def one_of_several(self, step: Step) -> bool:
        """True where the values of a step may be those of one text among others."""
        return isinstance(step, Placed) and isinstance(step, Filter) and not self.of_documents

    def pairs(self, step: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Verified duplicates of a step: row of the kept unit, row of the dropped one, their similarity."""
        if step not in self._pairs:
            self._pairs[step] = self._joined(step)
        return self._pairs[step]

    def _joined(self, step: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = pl.scan_parquet(sorted(self.artifact.path.glob("pairs/*.parquet"))).filter(pl.col("step") == step).collect()
        ids = pl.concat([found["kept"], found["dropped"]]).unique()
        rows = self.frame.select("id").with_row_index("row").filter(pl.col("id").is_in(ids.implode())).collect()
        for side in ("kept", "dropped"):
            found = found.join(rows.select(pl.col("id").alias(side), pl.col("row").alias(f"{side}_row")), on=side, how="inner", maintain_order="left")
        return found["kept_row"].cast(pl.Int64).to_numpy(), found["dropped_row"].cast(pl.Int64).to_numpy(), found["jaccard"].to_numpy()
