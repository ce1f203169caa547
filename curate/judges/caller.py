"""Calls come in, replies go out: cached, journalled, paced, retried and held to a budget.

Every call ends as a `Reply`, one with a text or one with a reason. Only what would meet every further call
too (a refused key, a used-up quota or budget, an endpoint that is gone) ends the run, after the calls under
way are journalled; the next run goes on from there.
"""

import asyncio
from collections import Counter
from pathlib import Path
from types import TracebackType

from curate.config import StoppedError, UsageError
from curate.judges.batch import Batches
from curate.judges.budget import Budget, Purse, Spent, used
from curate.judges.calls import Call, Reply
from curate.judges.endpoint import Endpoint, address, refused
from curate.judges.journal import Attempt, Journal
from curate.judges.replies import STOPS, UNHEARD, UNREACHED, Raw, Reading, read
from curate.judges.retry import backoff
from curate.judges.wire import Wire


class Caller:
    """`async with Caller(endpoints, journal, run, budget) as caller: reply = await caller.ask(call)`; for many, `in_order(calls, caller.ask)`.

    `run` names whose calls they are: its earlier processes count towards every budget too. Addresses and keys are looked up at once,
    so that a missing one is a UsageError before any call.
    """

    def __init__(self, endpoints: dict[str, Endpoint], journal: Path, run: str, *budgets: Budget) -> None:
        self.endpoints = endpoints
        self.base_urls = {name: address(name, endpoint).base_url for name, endpoint in endpoints.items()}
        """Where each endpoint is, as it may be written down."""
        self.faults: Counter[str] = Counter()
        """Failed attempts of this process by reason, those that a later try made good included."""
        self.cached = 0
        self._journal = Journal(journal, run)
        spent = {name: Spent() for name in endpoints}
        for endpoint, model, calls, tokens_in, tokens_out in self._journal.sums():
            if endpoint in endpoints:
                spent[endpoint].add(used(endpoints[endpoint], model, tokens_in, tokens_out, calls))
        self._purse = Purse(budgets, spent)
        self._flights: dict[bytes, asyncio.Task[Reply]] = {}
        self._begun = 0
        self._halted: UsageError | StoppedError | None = None
        self._wires: dict[str, Wire] = {}
        self._batches: dict[str, Batches] = {}

    async def __aenter__(self) -> "Caller":
        for name, endpoint in self.endpoints.items():
            self._wires[name] = wire = Wire(name, endpoint, address(name, endpoint))
            if endpoint.mode == "batch":
                self._batches[name] = Batches(wire, self._journal, self._purse)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Wait until what is under way is journalled; begin nothing new."""
        self._halted = self._halted or StoppedError("the caller is closed")
        for batches in self._batches.values():
            await batches.close()
        await asyncio.gather(*self._flights.values(), return_exceptions=True)
        for wire in self._wires.values():
            await wire.client.close()
        self._journal.close()

    @property
    def spent(self) -> dict[str, Spent]:
        """What the run has used, by endpoint, its earlier processes and unusable replies included."""
        return self._purse.spent

    async def ask(self, call: Call) -> Reply:
        """The reply to a call, from the cache where it is known; equal calls under way are one.

        Raises UsageError where the key is refused, StoppedError where the run must stop and can be resumed.
        """
        flight = self._flights.get(call.key)
        if flight is None:
            known, tries = self._journal.known(call.key, self.endpoints[call.model.endpoint].tries)
            if known:
                self.cached += 1
                return self._reply(call, known, cached=True)
            self._go_on()
            flight = self._flights[call.key] = asyncio.create_task(self._fly(call, tries))
            flight.add_done_callback(lambda task: self._landed(call.key, task))
        # A caller that is cancelled must not cut a call that is paid for.
        return await asyncio.shield(flight)

    def _landed(self, key: bytes, task: asyncio.Task[Reply]) -> None:
        del self._flights[key]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, UsageError | StoppedError):
            self._halted = self._halted or error

    async def _fly(self, call: Call, tries: int) -> Reply:
        """Attempts at a call until one is final or all tries are used."""
        wire = self._wires[call.model.endpoint]
        heard: int | None = None
        self._begun += 1
        age = self._begun
        while True:
            raw = await self._attempt(call, wire, age)
            reading = read(raw)
            tries += 1
            if reading.failed:
                self.faults[reading.failed] += 1
            heard = (wire.heard if heard is None else heard) if raw.status == UNREACHED else None
            self._stop_on(reading, wire, gone=heard == wire.heard and tries >= wire.endpoint.tries)
            if reading.final or tries >= wire.endpoint.tries:
                return self._reply(call, reading)
            # A batch waits by itself, and calls that are asked again together share the next one.
            batched = wire.endpoint.mode == "batch"
            await self._wait(0 if batched else backoff(tries, wire.endpoint.backoff_s, call.key, raw.wait_s))

    async def _attempt(self, call: Call, wire: Wire, age: int) -> Raw:
        """One attempt: promised to the budget, paced, sent, journalled, and only then read."""
        if call.model.endpoint in self._batches:
            return await self._batches[call.model.endpoint].attempt(call)
        async with wire.slots.taken(age):
            promised = await self._purse.promise(call, wire.endpoint)
            actual = Spent()
            try:
                await wire.pace.turn(promised.tokens_in + promised.tokens_out, self._wait)
                raw = await wire.send(call)
                if raw.status in (200, UNHEARD):
                    await self._journal.add(Attempt(call.key, wire.name, call.model.model, raw.status, raw.body))
                    reading = read(raw)
                    actual = used(wire.endpoint, call.model.model, reading.tokens_in, reading.tokens_out)
            finally:
                await self._purse.settle(wire.name, promised, actual)
        wire.pace.settle(actual.tokens_in + actual.tokens_out - promised.tokens_in - promised.tokens_out)
        return raw

    async def _wait(self, seconds: float) -> None:
        """Sleep, but wake for a stop."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0 and not self._halted:
            await asyncio.sleep(min(left, 0.5))
        self._go_on()

    def _go_on(self) -> None:
        """Raise what stopped the run, if anything did: a copy, since one error would gather the traces of all who raise it."""
        if self._halted:
            raise type(self._halted)(*self._halted.args)

    def _stop_on(self, reading: Reading, wire: Wire, gone: bool) -> None:
        """Raise where no further call can do better: `gone`, nobody at this endpoint answered any call while this one was tried."""
        name, host = wire.name, wire.address.host
        if reading.failed == "key_refused":
            raise refused(name, host, reading.detail if reading.detail.startswith("403 ") else "")
        if reading.failed in STOPS:
            raise StoppedError(f"endpoint '{name}' ({host}): its quota is used up; add credit and run again to go on from here")
        if gone:
            raise StoppedError(f"endpoint '{name}' ({host}): cannot be reached; start it, or correct its address, and run again")

    def _reply(self, call: Call, reading: Reading, cached: bool = False) -> Reply:
        cost = used(self.endpoints[call.model.endpoint], call.model.model, reading.tokens_in, reading.tokens_out).cost
        return Reply(
            text=reading.text, failed=reading.failed, detail=reading.detail, finish=reading.finish, positions=reading.positions,
            model=reading.model or call.model.model, tokens_in=reading.tokens_in, tokens_out=reading.tokens_out,
            cost=cost, simulated=reading.simulated, cached=cached,
        )  # fmt: skip
