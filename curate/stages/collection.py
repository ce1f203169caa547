"""When Python looks for garbage while rows stream by: every so often, and not all the time."""

import gc
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def rarely_collected(items: Iterable[T], every: int = 1) -> Iterator[T]:
    """The items, with no collection but one of what is young before every so many of them.

    Rows hold no cycles, and to look for some whenever a few hundred objects are new doubles the cost of a row.
    """
    gc.disable()
    try:
        for number, item in enumerate(items):
            if number % every == 0:
                gc.collect(1)
            yield item
    finally:
        gc.enable()
