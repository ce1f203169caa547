"""One sitting before the browser: an artifact in, a URL to open out; labels are on disk at every moment."""

import secrets
import socket
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from curate.artifact import Artifact
from curate.errors import UsageError
from curate.view.pairs import Pairs
from curate.view.rows import opened
from curate.view.store import LABELS, Store

try:
    from starlette.applications import Starlette

    from curate.view.server import application, bound, serve
except ModuleNotFoundError as missing:
    raise UsageError(f"looking through rows and labelling need {missing.name}: pip install 'curate[view]'") from None


class Session(NamedTuple):
    """A server that is ready to start."""

    url: str
    app: Starlette
    at: socket.socket

    def serve(self) -> None:
        """Answer until interrupted."""
        serve(self.app, self.at)


def view(target: Path, port: int = 0) -> Session:
    """Look through an artifact and its ancestors, or a recipe's latest run. Raises UsageError where there is none."""
    token = secrets.token_urlsafe(24)
    at = bound(port)
    return Session(_url(at, token), application(opened(target), None, token), at)


def label(target: Path, seed: int = 0, port: int | None = None) -> Session:
    """Label the pairs of an artifact; by default at the URL of the time before, so that open pages go on.

    The seed of the first time holds: it decides what annotators have seen on which side.
    """
    artifact = Artifact(target)
    store = Store(artifact.path / LABELS)
    pairs = Pairs(artifact, store, int(store.setting("seed", str(seed))))
    at = bound(int(store.setting("port", "0")) if port is None else port)
    store.remember("port", str(at.getsockname()[1]))
    token = store.token()
    return Session(_url(at, token), application([], pairs, token), at)  # rows would tell which answer was chosen


def export(target: Path, out: Path) -> int:
    """Write the labels given so far as JSON lines; how many."""
    artifact = Artifact(target)
    with closing(Store(artifact.path / LABELS)) as store:
        return Pairs(artifact, store, int(store.setting("seed", "0"))).export(out)


def _url(at: socket.socket, token: str) -> str:
    return f"http://127.0.0.1:{at.getsockname()[1]}/{token}/"
