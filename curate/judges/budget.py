"""Money: limits and prices come in; what was spent, whether one more call fits, and an estimate before a run go out."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from curate.config import Model, StoppedError, UsageError
from curate.judges.calls import Call
from curate.judges.endpoint import ChatModel, Endpoint, Price
from curate.judges.journal import Journal


class Budget(Model):
    """Limits of a recipe, over its stages, the recipes that it builds on, and all resumed parts of its run; a call that might pass one is not begun."""

    max_cost: float | None = Field(None, gt=0, description="Most money, in the currency of the prices.")
    max_calls: int | None = Field(None, gt=0, description="Most billed attempts.")
    max_tokens: int | None = Field(None, gt=0, description="Most tokens, prompt and reply together.")


@dataclass
class Spent:
    """What was used: billed attempts, tokens and money."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0

    def add(self, other: "Spent", sign: int = 1) -> None:
        self.calls += sign * other.calls
        self.tokens_in += sign * other.tokens_in
        self.tokens_out += sign * other.tokens_out
        self.cost += sign * other.cost


class SharedBudget(Budget):
    """A budget of which other stages may have used a part."""

    recipe: str = Field(description="Name of the recipe that states it.")
    elsewhere: Spent = Field(description="What they used.")


class Estimate(NamedTuple):
    """What a run would use at most, its answered calls taken off; tokens are estimated from characters."""

    calls: int
    cached: int
    tokens_in: int
    tokens_out: int
    cost: float
    basis: str = ""
    """What it rests on where not on all rows themselves; then it may be passed."""


def estimate(calls: Iterable[Call], endpoints: dict[str, Endpoint], journal: Path) -> Estimate:
    """Calls, tokens and cost of what the journal does not know yet; needs no address and asks nobody.

    Every reply counts with its max_tokens and no retry counts, so that a usual run costs less.
    """
    total, cached = Spent(), 0
    book = Journal(journal, "") if journal.exists() else None
    for call in calls:
        endpoint = endpoints[call.model.endpoint]
        if book and book.known(call.key, endpoint.tries)[0]:
            cached += 1
        else:
            total.add(most(call, endpoint))
    if book:
        book.close()
    return Estimate(total.calls, cached, total.tokens_in, total.tokens_out, total.cost)


def most(call: Call, endpoint: Endpoint) -> Spent:
    """The most that one attempt at a call can use, as far as characters tell."""
    return used(endpoint, call.model.model, call.tokens_in, call.model.max_tokens)


def used(endpoint: Endpoint, model: str, tokens_in: int, tokens_out: int, calls: int = 1) -> Spent:
    price = endpoint.prices.get(model, Price(input=0, output=0))
    return Spent(calls, tokens_in, tokens_out, price.cost(tokens_in, tokens_out))


def refuse_unpriced(budget: Budget, model: ChatModel, endpoint: Endpoint) -> None:
    """UsageError where money is limited and nobody knows what the model costs."""
    if budget.max_cost is not None and model.model not in endpoint.prices:
        raise UsageError(f"budget.max_cost: no price of '{model.model}' at endpoint '{model.endpoint}'; give it under `prices:`")


def passed(budget: Budget, spent: Spent) -> list[str]:
    """Names of the limits that are passed where so much is spent."""
    values = {"max_calls": spent.calls, "max_tokens": spent.tokens_in + spent.tokens_out, "max_cost": spent.cost}
    return [name for name, value in values.items() if (most := getattr(budget, name)) is not None and value > most]


class Purse:
    """Budgets in use: what is spent at each endpoint, and what the calls under way may still cost."""

    def __init__(self, budgets: Sequence[Budget], spent: dict[str, Spent]) -> None:
        self.budgets = budgets
        self.spent = spent
        self._promised = Spent()
        self._settled = asyncio.Condition()

    async def promise(self, call: Call, endpoint: Endpoint, wait: bool = True) -> Spent:
        """Set the call's most aside; with `wait`, until calls under way cost less than feared. StoppedError where it cannot fit."""
        wanted = most(call, endpoint)
        for budget in self.budgets:
            refuse_unpriced(budget, call.model, endpoint)
        async with self._settled:
            while (said := self._passed(wanted)) and wait and self._promised.calls:
                await self._settled.wait()
            if said:
                raise StoppedError(said)
            self._promised.add(wanted)
        return wanted

    async def settle(self, endpoint: str, promised: Spent, actual: Spent) -> None:
        """Replace what was set aside by what was used."""
        self.spent[endpoint].add(actual)
        async with self._settled:
            self._promised.add(promised, -1)
            self._settled.notify_all()

    def total(self, budget: Budget) -> Spent:
        """What is spent of a budget at all endpoints, by other stages too."""
        total = Spent(**vars(budget.elsewhere)) if isinstance(budget, SharedBudget) else Spent()
        for part in self.spent.values():
            total.add(part)
        return total

    def _passed(self, wanted: Spent) -> str | None:
        """The first limit that this call might pass, in words."""
        for budget in self.budgets:
            sums = self.total(budget)
            sums.add(self._promised)
            sums.add(wanted)
            if names := passed(budget, sums):
                return self._said(budget, names[0])
        return None

    def _said(self, budget: Budget, limit: str) -> str:
        spent = self.total(budget)
        where = f" in recipe '{budget.recipe}'" if isinstance(budget, SharedBudget) else ""
        return (
            f"budget.{limit}: the next call might pass {getattr(budget, limit):,}; used so far by all stages: {spent.calls:,} calls, "
            f"{spent.tokens_in + spent.tokens_out:,} tokens, cost {spent.cost:.4f}; raise it{where} first, what is paid is kept"
        )
