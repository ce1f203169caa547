"""Ports for servers that must be told theirs: a count in, numbers out that nobody else will be lent."""

import contextlib
import os
import random
import socket

_FIRST, _LAST = 20_000, 32_768
"""Below what Linux lends to whoever asks for any port, so that none is taken between this and the server's start."""
_STRIDE = 16


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens; two workers of pytest-xdist never get the same one."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _STRIDE
    drawn = random.SystemRandom().sample(range(_FIRST + worker, _LAST, _STRIDE), 100)
    free: list[int] = []
    for port in drawn:
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            free.append(port)
        if len(free) == count:
            return free
    raise OSError("no port of this machine is free")
