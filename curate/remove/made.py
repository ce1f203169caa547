"""What was made of an artifact and lies beyond a removal: models, and revisions on the Hub."""

import re
from collections.abc import Iterable
from pathlib import Path

import orjson

from curate.artifact import Artifact
from curate.hub.push import PUBLISHED
from curate.steps.sources.opt_outs import STATE

_PLACE = ("to", "revision", "commit", "url")
"""What a push notes of itself, and a publish stage among other things."""
_LARGEST = 64 * 2**20
_FINGERPRINT = re.compile(rb"\b[0-9a-f]{64}\b")


def trained_on(fingerprints: set[str], places: Iterable[Path], artifacts: set[Path]) -> list[str]:
    """Directories below the places, other than artifacts, whose receipt names one of the fingerprints."""
    wanted = {fingerprint.encode() for fingerprint in fingerprints}
    found = set()
    for place in places:
        for path in place.rglob("*receipt*.json"):
            home = path.parent
            if home.resolve() not in artifacts and path.stat().st_size <= _LARGEST and not wanted.isdisjoint(_FINGERPRINT.findall(path.read_bytes())):
                found.add(str(home))
    return sorted(found)


def published(artifact: Artifact) -> list[dict]:
    """Where the artifact was pushed to, as `curate push` noted it beside it; or where its stage did, as its receipt says wherever it travels."""
    path = artifact.path / PUBLISHED
    noted = orjson.loads(path.read_bytes()) if path.is_file() else []
    told = artifact.receipt.report.get("publish")
    return noted + ([{name: told[name] for name in _PLACE}] if told else [])


def noted_before(root: Path) -> tuple[list[str], list[dict]]:
    """Models and places that earlier removals listed: nobody can tell from here whether they were replaced."""
    noted = orjson.loads((root / STATE).read_bytes()) if (root / STATE).exists() else {}
    return noted.get("models", []), noted.get("published", [])
