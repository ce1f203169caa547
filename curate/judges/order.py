"""Many items at once, results in order: items and an asynchronous work come in, results go out one by one."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
WINDOW = 10_000
"""Items that are begun before the oldest is done: enough that one that waits long does not hold up the others."""


async def in_order(items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], window: int = WINDOW) -> AsyncIterator[Result]:
    """The results of `work` in the order of the items, at most `window` of them in memory.

    An item's error is raised in its turn; whatever was begun after it is cancelled.
    """
    waiting: deque[asyncio.Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(asyncio.ensure_future(work(item)))
            if len(waiting) >= window:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
