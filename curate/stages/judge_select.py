"""Labels and gold in, the labels that are kept out: the surest, as far as gold proves them (curate.judges.statistics.selection)."""

from pathlib import Path

from curate.config import UsageError
from curate.judges.labelled import labelled, pair_key, text_key
from curate.judges.statistics.selection import Selection, select
from curate.stages.asked import Row
from curate.stages.judge import Select
from curate.stages.judge_labels import Decided
from curate.stages.judge_units import side_answer

Key = tuple[str, str, str]


class Candidacy:
    """The labels of a run, one a row: its best answer over its worst."""

    def __init__(self, wanted: Select, shape: str) -> None:
        if wanted.gold is None and shape != "preference":
            raise UsageError("judge: select: answers bring no labels of their own; name labelled pairs under `gold:`")
        self.wanted = wanted
        self.gold = _gold(wanted.gold) if wanted.gold else None
        self.sure: list[float] = []
        self.flipped: list[float] = []
        self._prompts: set[str] = set()

    def note(self, row: Row, made: Decided) -> None:
        """Count a row; one without a label has confidence NaN and is never kept."""
        nan = float("nan")
        if made.probability is None:
            self.sure.append(nan)
            self.flipped.append(nan)
            return
        key = pair_key(row["prompt"], made.best, made.worst)
        flip = self._flip(row, made, key)
        # The proof wants independent gold: one pair a prompt.
        if flip is not None and key[0] in self._prompts:
            flip = None
        if flip is not None:
            self._prompts.add(key[0])
        self.sure.append(made.probability)
        self.flipped.append(nan if flip is None else flip)

    def _flip(self, row: Row, made: Decided, key: Key) -> float | None:
        """1 where gold contradicts, 0.5 where it is a tie, 0 where it agrees; None where it says nothing."""
        if self.gold is None:
            return float(made.best != side_answer(row, "chosen").text)
        first_better = self.gold.get(key)
        if first_better is None or first_better == 0.5:
            return first_better
        return float((key[1] == text_key(made.best)) != (first_better > 0.5))

    def selection(self) -> Selection:
        return select(self.sure, self.flipped, self.wanted.max_flip_rate, self.wanted.confidence)


def _gold(path: str) -> dict[Key, float]:
    """By pair, how likely the answer whose key sorts first is the better one."""
    return {label.key: label.probability if label.one.key == label.key[1] else 1 - label.probability for label in labelled(Path(path)).labels}
