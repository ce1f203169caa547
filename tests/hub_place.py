"""A dataset to publish to: on the emulated Hub of hub_server, or on the real one by `make test-hub`.

The emulation speaks LFS, so there the client is told to leave Xet; the real Hub is reached as a user's client
would, by Xet where `hf-xet` is installed. What is made on the real Hub is private, and deleted at the end.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import huggingface_hub.constants
import pytest
from hub_server import Hub, serving
from huggingface_hub import HfApi
from huggingface_hub.utils import disable_progress_bars

from curate.artifact import Artifact
from curate.hub.contents import contents
from curate.hub.push import Pushed, push

ON_THE_REAL_HUB = bool(os.environ.get("CURATE_TEST_HUB"))


class Place(NamedTuple):
    """A dataset's name, the client, and what the emulation holds; None of the real Hub."""

    name: str
    api: HfApi
    server: Hub | None

    def push(self, artifact: Artifact, **settings: object) -> Pushed:
        return push(artifact, self.name, **{"private": self.server is None, **settings})

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """What lies there, but for what a Hub puts there itself."""
        if self.server:
            found = self.server.repos[self.name].files(revision)
            return {path: content for path, content in found.items() if path != ".gitattributes"}
        paths = set(self.api.list_repo_files(self.name, repo_type="dataset", revision=revision)) - {".gitattributes"}
        return {path: Path(self.api.hf_hub_download(self.name, path, repo_type="dataset", revision=revision)).read_bytes() for path in paths}

    def head(self, revision: str = "main") -> str:
        return self.api.repo_info(self.name, repo_type="dataset", revision=revision).sha

    def commits(self, revision: str = "main") -> int:
        """How many there are beside the one that made the dataset."""
        if self.server:
            return len(self.server.repos[self.name].log) - 1
        return len(self.api.list_repo_commits(self.name, repo_type="dataset", revision=revision)) - 1

    def holds(self, artifact: Artifact) -> bool:
        """Exactly what was to go is there."""
        sent = contents(artifact, self.name, False)
        return self.files() == {one.path: one.content if isinstance(one.content, bytes) else one.content.read_bytes() for one in sent}

    def environment(self, home: Path) -> dict[str, str]:
        """Variables that lead a process of its own there."""
        return {**os.environ, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **(addresses(self.server) if self.server else {})}


def addresses(server: Hub) -> dict[str, str]:
    return {"HF_ENDPOINT": server.url, "HF_TOKEN": "hf_writer", "HF_HUB_DISABLE_XET": "1"}


@contextmanager
def emulated(cache: Path) -> Iterator[Hub]:
    """An empty Hub on loopback, to which this process's client speaks."""
    with serving() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
        patch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
        patch.setenv("HF_TOKEN", "hf_writer")
        disable_progress_bars()
        yield server


@contextmanager
def real() -> Iterator[Place]:
    """A name that is free on the real Hub; skips without a token."""
    if not os.environ.get("HF_TOKEN"):
        pytest.skip("set HF_TOKEN to one that may write, to publish private datasets on the real Hub")
    api = HfApi()
    name = f"{api.whoami()['name']}/curate-test-{uuid.uuid4().hex[:12]}"
    try:
        yield Place(name, api, None)
    finally:
        api.delete_repo(name, repo_type="dataset", missing_ok=True)


@contextmanager
def place(cache: Path) -> Iterator[Place]:
    if ON_THE_REAL_HUB:
        with real() as found:
            yield found
    else:
        with emulated(cache) as server:
            yield Place("owner/pages", HfApi(), server)
