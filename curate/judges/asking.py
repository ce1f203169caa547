"""What a stage needs to ask: the recipe's endpoints and budget in, an open caller and its account out.

None of it is part of a stage's identity: where a model answers, how fast and at what price changes no reply.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import orjson

from curate.artifact import write_json
from curate.config import StoppedError
from curate.judges.budget import Budget, Spent
from curate.judges.caller import Caller
from curate.judges.calls import Reply
from curate.judges.endpoint import ChatModel, Endpoint
from curate.judges.replies import ANSWERS

JOURNAL = "calls.sqlite"
"""Beside the stages' directories, so that a changed stage finds the replies of the old one."""


class Asking(NamedTuple):
    """What stands outside the stages."""

    endpoints: dict[str, Endpoint]
    """By name; one that is not named has the default limits, no price, and its address from the environment."""
    budget: Budget
    run: str
    """Whose budget it is: the same for all stages of a recipe and for all parts of a resumed run; empty: the stage's own."""


def used_endpoints(models: Iterable[ChatModel], asking: Asking) -> dict[str, Endpoint]:
    """The endpoints that these models are behind."""
    return {name: asking.endpoints.get(name, Endpoint()) for name in sorted({model.endpoint for model in models})}


def caller(models: Iterable[ChatModel], asking: Asking, directory: Path) -> Caller:
    """A caller for the stage in `directory`; a UsageError where an address is missing."""
    return Caller(used_endpoints(models, asking), directory.parent / JOURNAL, asking.run or directory.name, asking.budget)


WINDOW = 2_000
"""Rows under way at once: enough that one that waits for a slow reply holds up no other."""
WINDOW_OF_BATCHES = 20_000
"""The same where replies come in files, hours later: the more in each, the fewer waits."""


def window(models: Iterable[ChatModel], asking: Asking) -> int:
    """How many rows to begin before the first is done."""
    batched = any(endpoint.mode == "batch" for endpoint in used_endpoints(models, asking).values())
    return WINDOW_OF_BATCHES if batched else WINDOW


class Bill:
    """What one stage used, by endpoint, all its processes included; replies that were known cost nothing."""

    def __init__(self, asked: Caller, work: Path) -> None:
        self.asked = asked
        path = work / "spent_before.json"
        if not path.exists():
            write_json(path, {name: vars(spent) for name, spent in asked.spent.items()})
        self.path = path

    def as_json(self) -> dict[str, dict[str, float]]:
        """Calls, tokens and cost, by endpoint."""
        before = {name: Spent(**spent) for name, spent in orjson.loads(self.path.read_bytes()).items()}
        bill = {}
        for name, spent in self.asked.spent.items():
            mine = Spent(**vars(spent))
            mine.add(before.get(name, Spent()), -1)
            bill[name] = {"host": self.asked.hosts[name], **vars(mine)}
        return bill


class Heard:
    """What the replies of a stage have in common, counted: failures, the models that answered, and whether they are simulated."""

    def __init__(self) -> None:
        self.calls = 0
        self.simulated = False
        self.failed: Counter[str] = Counter()
        self.answered_by: Counter[tuple[str, str]] = Counter()
        """By the model's name as asked and as the endpoint gives it."""

    def note(self, model: ChatModel, reply: Reply) -> None:
        self.calls += 1
        self.simulated |= reply.simulated
        if reply.failed:
            self.failed[reply.failed] += 1
        else:
            self.answered_by[model.model, reply.model] += 1

    def refuse_failures(self, most: float) -> None:
        """StoppedError where more than this share of the calls failed for a reason that the next run may not meet."""
        lost = Counter({reason: count for reason, count in self.failed.items() if reason not in ANSWERS})
        if lost.total() > most * self.calls:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in lost.most_common())
            raise StoppedError(
                f"{lost.total():,} of {self.calls:,} calls failed ({reasons}), over max_failed {most:.0%}; "
                "correct what they name and run again: what was answered is kept"
            )

    def as_json(self) -> dict:
        return {
            "calls": self.calls,
            "failed": dict(sorted(self.failed.items())),
            "answered_by": {f"{asked} -> {named}": count for (asked, named), count in sorted(self.answered_by.items())},
            "simulated": self.simulated,
        }

    def warnings(self) -> list[str]:
        """A sentence for each thing that a reader of the labels must know. A dated name of the model that was asked is none."""
        others = {pair: count for pair, count in sorted(self.answered_by.items()) if not pair[1].startswith(pair[0])}
        named = [f"asked for model '{asked}', answered by '{named}' {count:,} times" for (asked, named), count in others.items()]
        return named + (["the replies are simulated: no model judged or wrote anything"] if self.simulated else [])
