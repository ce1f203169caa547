"""What a source names: paths, globs, folders and URLs in, a fixed list of files with fingerprints out.

The list depends on names and content alone, so every machine sees the same files in the same order.
"""

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from curate.artifact import sha256_of
from curate.config import UsageError, is_url
from curate.hashes import HashCache
from curate.steps.sources import Source
from curate.steps.sources.expand import Found, expand
from curate.steps.sources.files import InputFile, Version, shown
from curate.steps.sources.remote import pooled_session, probe

if TYPE_CHECKING:
    from multiprocessing.pool import ThreadPool

    import requests

PROBES = 16
"""Remote files asked for at once."""


def list_files(source: Source, cache: Path | None = None) -> list[InputFile]:
    """The files of a source, in the order of `paths`, then by name.

    `cache` keeps the hashes of local files between runs. Raises UsageError where a path
    matches nothing, RemoteError where an address does not answer.
    """
    found = [file for path in source.paths for file in expand(path, source)]
    labels = _unique([file.label for file in found])
    states = _states(found, source, cache)
    seen: Counter[str] = Counter()
    files = []
    for file, label, (size, fingerprint, version) in zip(found, labels, states, strict=True):
        files.append(InputFile(file.path, label, size, file.format, fingerprint, seen[fingerprint], version))
        seen[fingerprint] += 1
    return files


def _unique(labels: list[str]) -> list[str]:
    taken, result = set(labels), []
    given: set[str] = set()
    for label in labels:
        name, number = label, 2
        while name in given or (name != label and name in taken):
            name, number = f"{label}#{number}", number + 1
        given.add(name)
        result.append(name)
    return result


def _states(found: list[Found], source: Source, cache: Path | None) -> list[tuple[int | None, str, Version | None]]:
    """Size, fingerprint and, of a remote file, version of each; many addresses are asked at once."""
    hashes = HashCache(cache)
    versions = _versions([file.path for file in found if is_url(file.path)], source)
    states = []
    for file in found:
        version = versions.get(file.path)
        local = _hashed(file.path, hashes) if version is None else (version.size, version.fingerprint(file.path))
        states.append((*local, version))
    hashes.save()
    return states


def _versions(urls: list[str], source: Source) -> dict[str, Version]:
    """The state of each address."""
    if not urls:
        return {}
    with threads(PROBES) as pool, pooled_session(PROBES) as session:
        return dict(zip(urls, pool.imap(lambda url: _asked(url, source, session), urls), strict=True))


def threads(number: int) -> "ThreadPool":
    """A pool of daemons: an interrupted run does not wait for them."""
    from multiprocessing.pool import ThreadPool

    return ThreadPool(number)


def _hashed(path: str, hashes: HashCache) -> tuple[int | None, str]:
    """Size and SHA-256 of a local file; without size where it cannot be read, and a fingerprint that says so."""
    try:
        size = os.stat(path).st_size
        return size, hashes.sha256(path) if path.isprintable() else sha256_of(Path(path))
    except OSError as error:
        return None, hashlib.sha256(f"unreadable: {type(error).__name__}".encode()).hexdigest()


def _asked(path: str, source: Source, session: "requests.Session | None") -> Version:
    try:
        return probe(path, source.network, session)
    except (FileNotFoundError, PermissionError) as error:
        raise UsageError(f"{shown(path)}: cannot be read: {error}; check the address and your access to it") from None
