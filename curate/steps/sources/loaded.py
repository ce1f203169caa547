"""Files of text as `datasets` gives them to a trainer: what it stops at, and what it makes of the cells of CSV.

It reads CSV by pandas, which types a column by all of its cells: an answer "4" is a number where every answer is one.
"""

import re
from collections.abc import Callable, Iterable

from curate.config import UsageError
from curate.steps.sources import Source
from curate.steps.sources.csv_layout import separator, stated_separator
from curate.steps.sources.encodings import ahead, marked
from curate.steps.sources.files import InputFile
from curate.steps.sources.lines import decompressed
from curate.steps.sources.remote import open_input

Cell = Callable[[str], object]

_MISSING = frozenset(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]
)
_TRUTH = {**dict.fromkeys(("True", "TRUE", "true"), True), **dict.fromkeys(("False", "FALSE", "false"), False)}
_NUMBER = re.compile(r" *[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|inf(?:inity)?) *", re.ASCII | re.IGNORECASE)


def refuse_unloadable(file: InputFile, source: Source) -> None:
    """UsageError for a file of text that ingest reads and a trainer's loader does not: in UTF-16, or cut by semicolons."""
    if file.format not in ("jsonl", "csv"):
        return
    with open_input(file.path, file.version, source.network) as stream:
        head = ahead(decompressed(stream)).head
    what = None if marked(head) in (None, "utf-8") else f"is {marked(head)}, not UTF-8"
    if what is None and file.format == "csv" and ".tsv" not in file.label.lower():
        beginning = head.decode("utf-8-sig", "replace")
        mark = stated_separator(beginning) or separator(beginning, file.label)
        what = None if mark == "," else f"has its fields between {mark!r}, not commas"
    if what is not None:
        raise UsageError(f"{file.label}: {what}; a trainer's loader stops there; write the file again, or ingest it")


def cell_readers(rows: Iterable[dict[str, str]]) -> dict[str, Cell]:
    """What a loader makes of the cells of each column, by its name, where it does not leave them as texts."""
    numbers: dict[str, bool] = {}
    truths: dict[str, bool] = {}
    for row in rows:
        for name, cell in row.items():
            if cell not in _MISSING:
                numbers[name] = numbers.get(name, True) and _NUMBER.fullmatch(cell) is not None
                truths[name] = truths.get(name, True) and cell in _TRUTH
    of_truth = {name: _TRUTH.__getitem__ for name, all_are in truths.items() if all_are}
    return {name: float for name, all_are in numbers.items() if all_are} | of_truth


def cells(row: dict[str, str], readers: dict[str, Cell]) -> dict[str, object]:
    """A row with the values of its cells; some words stand for none."""
    return {name: None if cell in _MISSING else readers.get(name, str)(cell) for name, cell in row.items()}
