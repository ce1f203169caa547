"""How a file of CSV is laid out: its beginning in, the mark between its fields out.

Where numbers have a decimal comma, as in Portugal and Brazil, spreadsheets separate fields by semicolons.
"""

import csv
import io
import re
from collections.abc import Iterator
from itertools import islice

_SEPARATORS = (",", ";", "\t", "|")
_RECORDS = 50
_STATED = re.compile(r"sep=(.)\r?\n")


def stated_separator(beginning: str) -> str | None:
    """What a first line of `sep=;` says, by which spreadsheets tell one another; that line is no record."""
    found = _STATED.match(beginning)
    return found[1] if found else None


def separator(beginning: str, name: str) -> str:
    """The mark that cuts the header into columns and most records into as many fields; a comma where none does."""
    if ".tsv" in name.lower():
        return "\t"
    shares = {mark: _share(beginning, mark) for mark in _SEPARATORS}
    best = max(_SEPARATORS, key=lambda mark: shares[mark])
    return best if shares[best] > 0.5 else ","


def _share(beginning: str, mark: str) -> float:
    """Share of the first records that are as wide as the header; none where the header is not cut."""
    header, *records = list(islice(_records(beginning, mark), _RECORDS)) or [[]]
    if len(header) < 2:
        return 0.0
    return sum(len(record) == len(header) for record in records) / len(records) if records else 1.0


def _records(beginning: str, mark: str) -> Iterator[list[str]]:
    """The records before the first that is broken; without the last one, which may be cut."""
    before: list[str] | None = None
    try:
        for record in csv.reader(io.StringIO(beginning), delimiter=mark):
            if before is not None:
                yield before
            before = record or before
    except csv.Error:
        return
    if before is not None and beginning.endswith("\n"):
        yield before
