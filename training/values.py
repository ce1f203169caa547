"""Rows of a file in; what they say beside their turns (judgements, margins, groups, ready tokens), checked, out.

The contract predicts tokens and masks; a weight that is no number passes it, and makes a whole model NaN.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from curate.config import UsageError
from curate.contract.files import columns_of

JUDGED = ("probability", "weight")
"""What judges say of a pair beside the order of its answers."""
BESIDE = {"dpo": JUDGED, "reward": ("group",)}
"""Columns that the contract does not read."""
_NUMBERS = {"probability": (1.0, 0.0, 1.0), "weight": (1.0, 0.0, 1e9), "margin": (0.0, -1e9, 1e9)}
"""What holds where there is no value, the least and the most of each."""
_ROWS = 1_000


def column_of(file: Path, name: str) -> Iterator[object]:
    """A column of a Parquet file that the contract leaves out; nothing where there is none, and for JSON Lines, whose rows are read whole."""
    if file.suffix != ".parquet" or name not in columns_of(file):
        return
    for batch in pq.ParquetFile(file).iter_batches(_ROWS, columns=[name]):
        yield from batch.column(0).to_pylist()


def check_ids(columns: dict, where: str) -> None:
    """UsageError where tokens or labels are no lists of whole numbers, or not of one length."""
    given = [columns[name] for name in ("input_ids", "labels") if name in columns and "input_ids" in columns]
    whole = all(isinstance(ids, list) and all(type(number) is int for number in ids) for ids in given)
    if not whole or len({len(ids) for ids in given}) > 1:
        raise UsageError(f"{where}: input_ids and labels are not two lists of as many whole numbers; write the rows by the output `tokenised`")


def said(kind: str, columns: dict, where: str) -> dict[str, float | str]:
    """What a row says beside its tokens."""
    if kind == "dpo":
        return {name: _number(columns.get(name), name, where) for name in JUDGED}
    if kind == "reward":
        group = columns.get("group")
        return {"margin": _number(columns.get("margin"), "margin", where), "group": where if group in (None, "") else str(group)}
    return {}


def _number(value: object, name: str, where: str) -> float:
    """The value, or what holds where there is none. Raises UsageError for what is no such number: one NaN makes a whole model NaN."""
    absent, least, most = _NUMBERS[name]
    if value is None:
        return absent
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise UsageError(f"{where}: {name} is {value!r}; write a number from {least:g} to {most:g}, or null")
    return float(value)
