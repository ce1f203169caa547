"""What a stage needs to ask: the recipe's endpoints and budget in, an open caller and its account out.

None of it is part of a stage's identity: where a model answers, how fast and at what price changes no reply.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from curate.config import StoppedError
from curate.judges.budget import Budget, SharedBudget, Spent, refuse_unpriced, used
from curate.judges.caller import Caller
from curate.judges.calls import Call, Reply
from curate.judges.endpoint import ChatModel, Endpoint, address
from curate.judges.journal import Journal
from curate.judges.replies import ANSWERS

Ask = Callable[[Call], Awaitable[Reply]]
JOURNAL = "calls.sqlite"
"""Beside the stages' directories, so that a changed stage finds the replies of the old one."""


class Payer(NamedTuple):
    """A stage as its journal knows it."""

    journal: Path
    run: str
    """Its fingerprint."""
    endpoints: dict[str, Endpoint]
    """Of its recipe, with the prices that it pays."""


class Limit(NamedTuple):
    """The budget of a recipe that a stage belongs to, or is built on by."""

    recipe: str
    budget: Budget
    others: tuple[Payer, ...] = ()
    """The other stages that spend it."""


class Asking(NamedTuple):
    """What stands outside the stages."""

    endpoints: dict[str, Endpoint] = {}
    """By name; one that is not named has the default limits, no price, and its address from the environment."""
    limits: tuple[Limit, ...] = ()
    run: str = ""
    """The stage's fingerprint: what it has paid in all parts of a resumed run goes by it; empty: the name of its directory."""


def used_endpoints(models: Iterable[ChatModel], asking: Asking) -> dict[str, Endpoint]:
    """The endpoints that these models are behind."""
    return {name: asking.endpoints.get(name, Endpoint()) for name in sorted({model.endpoint for model in models})}


def refuse_unready(models: Iterable[ChatModel], asking: Asking) -> None:
    """UsageError where these models have no address that can be used, or no price though money is limited."""
    for model in models:
        endpoint = asking.endpoints.get(model.endpoint, Endpoint())
        address(model.endpoint, endpoint)
        for limit in asking.limits:
            refuse_unpriced(limit.budget, model, endpoint)


def paid(payers: Iterable[Payer]) -> Spent:
    """What these stages have used, over all their processes."""
    total = Spent()
    for payer in payers:
        if payer.journal.exists():
            book = Journal(payer.journal, payer.run)
            for endpoint, model, calls, tokens_in, tokens_out in book.sums():
                total.add(used(payer.endpoints.get(endpoint, Endpoint()), model, tokens_in, tokens_out, calls))
            book.close()
    return total


WINDOW = 2_000
"""Rows under way at once: enough that one that waits for a slow reply holds up no other."""
WINDOW_OF_BATCHES = 20_000
"""The same where replies come in files, hours later: the more in each, the fewer waits."""


def window(models: Iterable[ChatModel], asking: Asking) -> int:
    """How many rows to begin before the first is done."""
    batched = any(endpoint.mode == "batch" for endpoint in used_endpoints(models, asking).values())
    return WINDOW_OF_BATCHES if batched else WINDOW


HOPELESS = 100
"""Calls after which a stage of which none was answered is given up: a model of that name is not there, say."""


class Heard:
    """An open caller, and what its replies have in common: failures, the models that answered, whether they are simulated, the bill."""

    def __init__(self, asked: Caller, max_failed: float) -> None:
        self._asked, self._max_failed = asked, max_failed
        self.calls = 0
        self.simulated = False
        self.failed: Counter[str] = Counter()
        self.details: dict[str, str] = {}
        """What an endpoint said of a failure, the first for each reason."""
        self.unbilled = 0
        """Replies that state no tokens, so that no budget can hold them."""
        self.unweighed: Counter[str] = Counter()
        """Replies without the log-probabilities that were asked for, by the model's name."""
        self.answered_by: Counter[tuple[str, str]] = Counter()
        """By the model's name as asked and as the endpoint gives it."""

    async def ask(self, call: Call) -> Reply:
        """The reply to a call, counted; StoppedError where the first so many all failed, since more would too."""
        reply = await self._asked.ask(call)
        self.calls += 1
        self.simulated |= reply.simulated
        if reply.failed:
            self.failed[reply.failed] += 1
            self.details.setdefault(reply.failed, reply.detail)
        else:
            self.answered_by[call.model.model, reply.model] += 1
            self.unbilled += not reply.tokens_in + reply.tokens_out
            self.unweighed[call.model.model] += bool(call.model.logprobs) and not reply.positions
        if self.calls == HOPELESS and self.failed.total() == HOPELESS:
            self.refuse_failures()
        return reply

    def refuse_failures(self) -> None:
        """StoppedError where too great a share of the calls failed for a reason that the next run may not meet."""
        lost = Counter({reason: count for reason, count in self.failed.items() if reason not in ANSWERS})
        if lost.total() > self._max_failed * self.calls:
            told = ((f"{reason} {count:,}", self.details.get(reason)) for reason, count in lost.most_common())
            reasons = ", ".join(f"{counted}: {detail}" if detail else counted for counted, detail in told)
            raise StoppedError(
                f"{lost.total():,} of {self.calls:,} calls failed ({reasons}), over max_failed {self._max_failed:.0%}; "
                "correct what they name and run again: what was answered is kept"
            )

    def as_json(self) -> dict:
        """`bill` holds address, calls, tokens and cost by endpoint, all processes of the stage included; replies that were known cost nothing."""
        return {
            "calls": self.calls,
            "failed": dict(sorted(self.failed.items())),
            "answered_by": {f"{asked} -> {named}": count for (asked, named), count in sorted(self.answered_by.items())},
            "simulated": self.simulated,
            "bill": {name: {"base_url": self._asked.base_urls[name], **vars(spent)} for name, spent in self._asked.spent.items()},
            "warnings": self.warnings(),
        }

    def warnings(self) -> list[str]:
        """A sentence for each thing that a reader of the labels must know. A dated name of the model that was asked is none."""
        others = {pair: count for pair, count in sorted(self.answered_by.items()) if not pair[1].startswith(pair[0])}
        named = [f"asked for model '{asked}', answered by '{named}' {count:,} times" for (asked, named), count in others.items()]
        named += [
            f"{count:,} replies of model '{asked}' hold no log-probabilities, though they were asked for: "
            "read as plain text; take an endpoint that gives them, or set `logprobs: 0`"
            for asked, count in sorted((+self.unweighed).items())
        ]
        if self.unbilled:
            named.append(f"{self.unbilled:,} replies state no `usage`: their tokens and cost are not counted, and no limit but max_calls holds")
        return named + (["the replies are simulated: no model judged or wrote anything"] if self.simulated else [])


@asynccontextmanager
async def listening(models: Iterable[ChatModel], asking: Asking, directory: Path, max_failed: float) -> AsyncIterator[Heard]:
    """A caller for the stage in `directory` that counts what it hears; at its end StoppedError where too much of that failed.

    Raises UsageError where an address is missing.
    """
    journal = directory.parent / JOURNAL
    budgets = [SharedBudget(**dict(one.budget), recipe=one.recipe, elsewhere=paid(one.others)) for one in asking.limits]
    async with Caller(used_endpoints(models, asking), journal, asking.run or directory.name, *budgets) as asked:
        yield (heard := Heard(asked, max_failed))
    heard.refuse_failures()
