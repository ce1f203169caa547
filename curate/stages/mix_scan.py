"""Phase one of a mix: every row of every source read once, measured and tried in the formats it may be written in.

Nothing of the rows' text is held but the signatures of prompts, and those are on disk.
"""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.config import UsageError
from curate.formats import Row
from curate.outputs import holds_tools
from curate.stages.collection import rarely_collected
from curate.stages.given import Given
from curate.stages.mix import Mix
from curate.stages.mix_formats import SourceRow, carrier
from curate.stages.mix_licence import spelled
from curate.stages.mix_near import NearDuplicates, PromptWriter, Union, join_near
from curate.stages.mix_units import Names, Units, hash_of, lots
from curate.steps.tokens import TokenCount

BATCH = 1_000
_BATCH_BYTES = 32 * 2**20
_NO_GROUPS = np.empty((2, 0), np.uint64)


class Batch(NamedTuple):
    """Neighbouring rows of one file."""

    file: Path
    start: int
    """Number of the first row in the file."""
    rows: pa.RecordBatch


def batches(given: Given, limit: int | None, columns: list[str] | None = None) -> Iterator[Batch]:
    """The first `limit` rows of a source, in the order of its files."""
    left = limit
    for file in given.files:
        start = 0
        with pq.ParquetFile(file, pre_buffer=False) as table:  # else it keeps all that it has read
            for rows in table.iter_batches(batch_size=_batch_rows(table.metadata), columns=columns):
                rows = rows if left is None else rows.slice(0, left)
                yield Batch(file, start, rows)
                start += rows.num_rows
                left = None if left is None else left - rows.num_rows
                if left == 0:
                    return


def _batch_rows(metadata: pq.FileMetaData) -> int:
    """Few where rows are large, so that a batch fits into memory as Python objects."""
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    return max(1, min(BATCH, _BATCH_BYTES * metadata.num_rows // max(size, 1)))


class Scan:
    """Gathers the units of all sources."""

    def __init__(self, mix: Mix, directory: Path, shapes: list[str]) -> None:
        self.mix, self.shapes, self.counter = mix, shapes, mix.counter
        self.laws, self.licences = Names(), Names()
        self.prompts = Prompts(directory, mix.near_duplicates)
        self.blocks: list[dict[str, np.ndarray]] = []

    def add(self, number: int, source: str, rows: pa.RecordBatch) -> None:
        """Measure a batch of the source of this number and name."""
        shape = self.shapes[number]
        listed = rows.to_pylist()
        rule = self.mix.rule(source)
        tried = self._tried([SourceRow(row, shape, rule) for row in listed], source, not holds_tools(rows))
        groups = [hash_of(row["group"] or row["id"]) for row in listed]
        for row, group in zip(listed, groups, strict=True):
            self.prompts.add(row, shape, group)
        block = {
            "source": np.full(len(listed), number, np.int16),
            "id": np.array([hash_of(row["id"]) for row in listed], np.uint64),
            "group": np.array(groups, np.uint64),
            "size": np.array([_size(row, shape, self.mix.unit, self.counter) for row in listed], np.int64),
            "licence": np.array(self._licences([row["licence"] for row in listed]), np.int32),
            "parts": np.array([[one[0] for one in split] for split in tried], np.int32),
            "positive": np.array([[one[1] for one in split] for split in tried], np.int32),
            "law": np.array([[self.laws.number(one[2]) if one[2] else 0 for one in split] for split in tried], np.int16),
        }
        self.blocks.append(block)

    def _licences(self, stated: list[str | None]) -> list[int]:
        numbers = {licence: self.licences.number(spelled(licence)) for licence in dict.fromkeys(stated)}
        return [numbers[licence] for licence in stated]

    def _tried(self, rows: list[SourceRow], source: str, plain: bool) -> list[list[tuple[int, int, str]]]:
        """For every split what each row gives in its format; splits of one format are tried once."""
        outputs = [carrier(form.output) if source in form.sources else None for form in self.mix.formats]
        distinct = {repr(output): output for output in outputs if output is not None}
        made = {name: [row.tried(output, plain) for row in rows] for name, output in distinct.items()}
        return [made.get(repr(output), [(0, 0, "")] * len(rows)) for output in outputs]

    def close(self) -> Units:
        """All units, their groups joined with near duplicates of prompts."""
        columns = {name: np.concatenate([block[name] for block in self.blocks], axis=-1) for name in self.blocks[0]}
        self.blocks = []
        stated = len(np.unique(columns["group"]))
        columns["group"] = self.prompts.joined(columns["group"])
        return Units(
            **columns,
            joined=np.array(stated - 1 - int(columns["group"].max())),
            lot=lots(self.mix.seed, columns["id"]),
            laws=self.laws.array,
            licences=self.licences.array,
        )


def _size(row: Row, shape: str, unit: str, counter: TokenCount | None) -> int:
    """The source row in the mix's unit, all its turns and answers counted."""
    if unit == "rows":
        return 1
    if shape == "document" and row.get(unit) is not None:
        return row[unit]
    texts = _texts(row, shape)
    if unit == "words":
        return sum(len(text.split()) for text in texts)
    if unit == "bytes":
        return sum(len(text.encode("utf-8")) for text in texts)
    if counter is None:
        raise UsageError("mix: `unit: tokens` counts rows that state no tokens; give a `tokenizer:`, or count words or bytes")
    return sum(counter.count(text) for text in texts)


def _texts(row: Row, shape: str) -> list[str]:
    if shape == "document":
        return [row["text"]]
    turns = [one["content"] for name in ("messages", "prompt", "chosen", "rejected", "completion") for one in row.get(name) or ()]
    return turns + [one["text"] for one in row.get("candidates") or ()]


class Prompts:
    """Joins the groups of rows whose prompts are equal or nearly so."""

    def __init__(self, directory: Path, near: NearDuplicates | None) -> None:
        self.directory, self.near = directory, near
        self.writer = PromptWriter(directory, near) if near else None
        self.seen: set[int] = set()
        self.written = array("Q")
        """Group of each written prompt."""
        self.asked: list[np.ndarray] = []
        """Blocks of hashes of prompts and of their groups."""
        self.block: list[tuple[int, int]] = []

    def add(self, row: Row, shape: str, group: int) -> None:
        for text in self._compared(row, shape):
            key = hash_of(text)
            self.block.append((key, group))
            if key not in self.seen and self.writer is not None:
                self.seen.add(key)
                self.writer.add(text)
                self.written.append(group)
        if len(self.block) >= BATCH:
            self._flush()

    def _compared(self, row: Row, shape: str) -> list[str]:
        """The first question, which is what a group is known by, and all that the user says."""
        if shape == "document":
            return [row["text"]] if self.near is not None and self.near.documents else []
        turns = row["messages"] if shape == "conversation" else row["prompt"]
        said = [one["content"].strip() for one in turns if one["role"] == "user"]
        return list(dict.fromkeys([said[0], "\n".join(said)])) if said else []

    def _flush(self) -> None:
        if self.block:
            self.asked.append(np.array(self.block, np.uint64).T)
        self.block = []

    def joined(self, groups: np.ndarray) -> np.ndarray:
        """int64: the number of each unit's group, of its uint64 hash of the `group` column."""
        self._flush()
        self.seen.clear()  # a tenth of a mix's memory, and what follows needs the room
        known, numbers = np.unique(groups, return_inverse=True)
        union = Union(len(known))
        asked = np.concatenate([_NO_GROUPS, *self.asked], axis=1)
        asked = asked[:, np.argsort(asked[0], kind="stable")]
        same = np.flatnonzero((asked[0, 1:] == asked[0, :-1]) & (asked[1, 1:] != asked[1, :-1]))
        for left, right in zip(*np.searchsorted(known, asked[1, [same, same + 1]]).tolist(), strict=True):
            union.join(left, right)
        if self.writer is not None:
            self.writer.close()
            join_near(self.directory, np.searchsorted(known, np.array(self.written)), self.near, union)
        return np.unique(union.roots(), return_inverse=True)[1][numbers]


def scan(
    mix: Mix, given: dict[str, Given], directory: Path, limit: int | None, on_batch: Callable[[str, int], None]
) -> Units:
    """The units of all sources; signatures are left in `directory`."""
    scan = Scan(mix, directory, [one.shape for one in given.values()])
    for number, (name, source) in enumerate(given.items()):
        before = len(scan.blocks)
        for batch in rarely_collected(batches(source, limit)):
            scan.add(number, name, batch.rows)
            on_batch(name, batch.rows.num_rows)
        if len(scan.blocks) == before:
            raise UsageError(f"source '{name}': {source.artifact.path} holds no rows; leave it out, or see its ledger for what dropped them")
    return scan.close()
