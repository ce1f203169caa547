"""A root on an object store: a local folder that stands for it, filled before a run and copied back after.

In: `s3://bucket/runs` or any URL that fsspec writes. Out: the same tree there as a local
root would have. A stage's receipt is sent last, so there too it means done. The local folder
keeps what is unfinished, and a second machine fetches what another one has finished.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import orjson

from curate.artifact import RECEIPT, Artifact
from curate.executors.travel import Travel
from curate.steps.sources.opt_outs import LIST, STATE

_FOLDERS = ("data", "extra", "ledger", "dropped", "pairs", "verdicts")
_STAGE = re.compile(r"\d\d-[a-z]+-[0-9a-f]{8}")


def url_of(root: str | Path) -> str | None:
    """The root as a URL, None where it is a path; a `Path` has folded the two slashes to one."""
    found = re.fullmatch(r"([a-z][a-z0-9+.-]+):/{1,2}([^/].*?)/*", str(root))
    return f"{found[1]}://{found[2]}" if found else None


def local_root(root: str | Path) -> Path:
    """The root itself, or the local folder that stands for a remote one, with every recipe's latest run in it."""
    url = url_of(root)
    if url is None:
        return Path(root)
    mirror = Mirror(url)
    mirror.fetch_latest("*")
    return mirror.root


def local_run(run: str | Path) -> Path:
    """A recipe's directory or an artifact below a root, brought here where the root is remote."""
    url = url_of(run)
    if url is None:
        return Path(run)
    root, _, name = url.rpartition("/")
    if not _STAGE.fullmatch(name):
        mirror = Mirror(root)
        mirror.fetch_latest(name)
        return mirror.root / name
    root, _, recipe = root.rpartition("/")
    mirror = Mirror(root)
    mirror.fetch(mirror.root / recipe / name)
    return mirror.root / recipe / name


class RemoteArtifact(Artifact):
    """An artifact whose `path` is the local copy of what lies at `url`."""

    def __init__(self, path: Path, url: str) -> None:
        super().__init__(path)
        self.url = url


class Mirror:
    """The local folder of one remote root, below `$CURATE_CACHE` or the user's cache."""

    def __init__(self, url: str) -> None:
        self.url, self.travel = url, Travel(url)
        cache = Path(os.environ.get("CURATE_CACHE") or Path.home() / ".cache" / "curate")
        self.root = cache / "roots" / hashlib.sha256(url.encode()).hexdigest()[:16]
        self.root.mkdir(parents=True, exist_ok=True)
        self.fetch_notes()

    def fetch_notes(self) -> None:
        """Bring the list of what the root leaves out, and what became of it, which every plan goes by."""
        for name in (LIST, STATE):
            if self.travel.holds(name):
                self.travel.pull(self.root, name)

    def send_notes(self) -> None:
        for name in (LIST, STATE):
            if (self.root / name).exists():
                self.travel.push(self.root, name)

    def fetch_lock(self, recipe: str) -> None:
        """Bring the recipe's `lock.json`, which says what its remote inputs resolved to."""
        if self.travel.holds(name := f"{recipe}/lock.json"):
            self.travel.pull(self.root, name)

    def fetch(self, directory: Path) -> None:
        """Bring a stage that is finished there and not here; its receipt last."""
        name = directory.relative_to(self.root).as_posix()
        if (directory / RECEIPT).exists() or not self.travel.holds(f"{name}/{RECEIPT}"):
            return
        for part in (*_FOLDERS, RECEIPT):
            if self.travel.holds(f"{name}/{part}"):
                self.travel.pull(self.root, f"{name}/{part}")

    def fetch_latest(self, recipe: str) -> None:
        """Bring the stages of the latest run of a recipe, or of every one by `*`."""
        for name in self.travel.matching(f"{recipe}/latest.json"):
            self.travel.pull(self.root, name)
            home = (self.root / name).parent
            for stage in orjson.loads((self.root / name).read_bytes()):
                self.fetch(home / stage)

    def fetch_all(self) -> list[str]:
        """Bring every finished stage, and which are the latest; the names of all that are there, half sent ones too."""
        there = [name for name in self.travel.matching("*/*-*-*") if _STAGE.fullmatch(name.rpartition("/")[2])]
        for name in there:
            self.fetch(self.root / name)
        self.fetch_latest("*")
        return there

    def replace(self, there: Iterable[str], successors: Iterable[str]) -> None:
        """Send what has taken the place of other stages, then what says so; last, of those `there` all that are not here any more go."""
        for name in successors:
            self.send(self.root / name)
        self.send_notes()
        for path in sorted(self.root.glob("*/latest.json")):
            self.send_files(path.parent.name)
        for name in there:
            if not (self.root / name).exists():
                self.delete(name)

    def done(self, directory: Path) -> bool:
        """There is such a finished stage, here or there."""
        name = directory.relative_to(self.root).as_posix()
        return (directory / RECEIPT).exists() or self.travel.holds(f"{name}/{RECEIPT}")

    def unneeded(self) -> list[str]:
        """Stages there that no recipe's latest run names."""
        found = []
        for name in self.travel.matching("*/*-*-*"):
            recipe, _, stage = name.partition("/")
            if _STAGE.fullmatch(stage) and stage not in self._latest(recipe):
                found.append(name)
        return found

    def _latest(self, recipe: str) -> list[str]:
        if not self.travel.holds(f"{recipe}/latest.json"):
            return []
        self.travel.pull(self.root, f"{recipe}/latest.json")
        return orjson.loads((self.root / recipe / "latest.json").read_bytes())

    def delete(self, name: str) -> None:
        """Remove a stage there and here, its receipt first."""
        self.travel.clear(f"{name}/{RECEIPT}")
        self.travel.clear(name)
        shutil.rmtree(self.root / name, ignore_errors=True)

    def send(self, directory: Path) -> None:
        """Copy a finished stage there, its receipt last; nothing where the receipt is there."""
        name = directory.relative_to(self.root).as_posix()
        if self.travel.holds(f"{name}/{RECEIPT}"):
            return
        for part in (*_FOLDERS, RECEIPT):
            if (directory / part).exists():
                self.travel.push(self.root, f"{name}/{part}", mark=False)

    def send_files(self, recipe: str) -> None:
        """Copy what stands beside the stages: which are the latest, and what remote inputs resolved to."""
        for name in ("lock.json", "latest.json"):
            if (self.root / recipe / name).exists():
                self.travel.push(self.root, f"{recipe}/{name}")
