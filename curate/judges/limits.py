"""Limits that are kept: requests and tokens come in, each leaves when the ceiling allows it."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

BURST_S = 0.5
"""Seconds of unused allowance that may be caught up; more would break the windows that providers count in."""


class Bucket:
    """A token bucket kept as the moment at which its allowance is next in balance: constant work for each taker."""

    def __init__(self, per_minute: float | None) -> None:
        self.rate = per_minute / 60 if per_minute else None
        self.balanced: float | None = None

    def wait_s(self, amount: float, now: float) -> float:
        """Take `amount` in turn; the seconds until it may be used. A negative amount gives back."""
        if self.rate is None:
            return 0.0
        # Nothing was left unused before the first taker, and a run may follow right upon one that was killed.
        start = now if self.balanced is None else max(self.balanced, now - BURST_S)
        self.balanced = start + amount / self.rate
        return max(0.0, start - now)


class Pace:
    """The ceilings of one endpoint: requests and tokens a minute."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self.requests, self.tokens = Bucket(requests_per_minute), Bucket(tokens_per_minute)

    async def turn(self, tokens: int, wait: Callable[[float], Awaitable[None]]) -> None:
        """Return when the turn of one request of about so many tokens has come; `wait` sleeps so many seconds.

        A turn that is met late, since the process stood still, is taken anew: all that fell due meanwhile would go out at once.
        """
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            seconds = max(self.requests.wait_s(1, now), self.tokens.wait_s(tokens, now))
            await wait(seconds)
            if loop.time() - now - seconds <= BURST_S:
                return
            self.settle(-tokens)

    def settle(self, surplus: int) -> None:
        """Correct an estimate: `surplus` tokens more were used than were taken (fewer: negative)."""
        self.tokens.wait_s(surplus, asyncio.get_running_loop().time())


class Slots:
    """So many requests at once, the oldest call first: a call that is tried again does not queue behind all others.

    Replies leave in the order of the calls, so one that waited long would hold up everything after it.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def taken(self, age: int) -> AsyncIterator[None]:
        """One slot, for the call with this number; lower numbers are served first."""
        if self._free:
            self._free -= 1
        else:
            turn = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (age, turn))
            await turn
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            turn = heapq.heappop(self._waiting)[1]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
