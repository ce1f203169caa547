"""Recorded verdicts in, the table of verdicts out: each row of the file is one verdict, whatever can be read of it."""

from collections.abc import Iterator
from pathlib import Path

from curate.config import UsageError
from curate.judges.labelled import file_rows
from curate.judges.verdicts import FIRST, SCHEMA, SECOND, TIE, UNREADABLE
from curate.stages.asked import Row
from curate.stages.judge_units import Judged, side_answer

_LABELS = (FIRST, SECOND, TIE)


class Recording:
    """The file's verdicts by row; `unmatched` are those of rows or answers that are not judged here."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.by_row: dict[str, list[Row]] = {}
        self.read = self.matched = 0
        for row in file_rows(Path(path)):
            if not isinstance(row, dict) or not isinstance(row.get("row_id"), str) or "label" not in row:
                raise UsageError(f"{path}: row {self.read + 1} has no `row_id` and `label`; give one verdict a row")
            self.by_row.setdefault(row["row_id"], []).append(row)
            self.read += 1

    @property
    def unmatched(self) -> int:
        return self.read - self.matched

    def verdicts(self, unit: Judged) -> Iterator[Row]:
        """The verdicts on a row, in the order of the file."""
        known = {answer.id for answer in unit.answers}
        own = _own_pair(unit)
        for row in self.by_row.get(unit.id, ()):
            a, b = (row.get(name) or own.get(name) for name in ("a", "b"))
            if {a, b} <= known and a != b:
                self.matched += 1
                yield self._whole(row, a, b)

    def _whole(self, row: Row, a: str, b: str) -> Row:
        label = row["label"] if row["label"] in _LABELS else UNREADABLE
        order = row.get("order") or 0
        if order not in (0, 1):
            raise UsageError(f"{self.path}: a verdict on {row['row_id']} has order {order!r}; 0 where `a` was shown first, else 1")
        known = {name: row.get(name) for name in SCHEMA.names}
        about = {"judge": str(row.get("judge") or "recorded"), "kind": "pairwise", "order": order, "draw": row.get("draw") or 0}
        return {**known, **about, "a": a, "b": b, "label": label, "logit": None if label == UNREADABLE else row.get("logit")}


def _own_pair(unit: Judged) -> dict[str, str]:
    """Of a pair `a` is the chosen answer; of two candidates the first."""
    if "chosen" in unit.row:
        return {"a": side_answer(unit.row, "chosen").id, "b": side_answer(unit.row, "rejected").id}
    return dict(zip("ab", (answer.id for answer in unit.answers), strict=True)) if len(unit.answers) == 2 else {}
