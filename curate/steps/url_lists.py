"""Lists of domains and URLs: published files come in, fast look-ups go out.

A list of five million names is kept as one sorted array of 64-bit hashes in a cache file that
every worker maps into memory: no worker parses it, and all of them share one copy. Two different
names share a hash once in some 10^12 look-ups.
"""

import functools
import gzip
import importlib.util
import io
import mmap
import os
import re
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from xxhash import xxh3_64, xxh3_64_intdigest

from curate.config import UsageError
from curate.steps.cache_files import folders, write_whole
from curate.steps.url_parts import Address, address, hosts

SHIPPED = Path(__file__).parent / "lists" / "ut1.tar.xz"
"""UT1's smaller categories of the day datatrove's archive was made; see lists/ATTRIBUTION.md."""

ARCHIVE = "url_filterblacklistsv0_3_0.tar.gz"
"""UT1's `adult` and `agressif` of 2024-12-03 in one list, inside datatrove."""

CATEGORIES = (
    "adult", "agressif", "arjel", "chat", "dating", "ddos", "filehosting", "gambling", "mixed_adult", "phishing",
)  # fmt: skip

_DEEPEST = 16
_HEADER = struct.Struct("<8sQQ")
_MAGIC = b"curUT1.1"
_BLOCK = 8 << 20
_PLAIN = re.compile(rb"[a-z0-9._\n-]*")  # Lines that need no rewriting, which is nearly all of them.


class Source(NamedTuple):
    """One category: how to read its lines in blocks, and what identifies its content."""

    category: str
    identity: bytes
    blocks: Callable[[], Iterator[bytes]]


def asset(name: str) -> Path:
    """A file that ships inside datatrove, found without importing it. `UsageError` where it is gone."""
    spec = importlib.util.find_spec("datatrove")
    path = Path(spec.origin).parent / "assets" / name if spec and spec.origin else Path(name)
    if not path.is_file():
        raise UsageError(f"{path}: not in the installed datatrove; install the version that pyproject.toml names")
    return path


def _lines_of(stream: IO[bytes]) -> Iterator[bytes]:
    """Blocks of whole lines."""
    rest = b""
    while block := stream.read(_BLOCK):
        whole, newline, tail = (rest + block).rpartition(b"\n")
        rest = tail
        if newline:
            yield whole
    if rest:
        yield rest


def _members(archive: Path, folder: str) -> Iterator[bytes]:
    """Lines of `domains` and `urls` under a folder of a tar archive ("" is its root)."""
    import tarfile

    wanted = {f"{folder}/domains".lstrip("/"), f"{folder}/urls".lstrip("/")}
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            if member.name.removeprefix("./") in wanted and (stream := tar.extractfile(member)):
                yield from _lines_of(stream)


def _files(paths: tuple[str, ...]) -> Iterator[bytes]:
    for path in paths:
        with io.BytesIO(read_list(path)) as stream:
            yield from _lines_of(stream)


def read_list(path: str) -> bytes:
    """The bytes of a list, plain or gzip. `UsageError` where it cannot be read."""
    try:
        data = Path(path).read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError) as error:
        raise UsageError(f"{path}: cannot be read: {error}; give a text file, one domain or URL a line") from None


def _gzip_identity(path: Path) -> bytes:
    """Size, and the check sum that gzip itself keeps of the content in the last eight bytes."""
    with path.open("rb") as stream:
        stream.seek(-8, os.SEEK_END)
        return struct.pack("<Q", path.stat().st_size) + stream.read()


def sources(categories: tuple[str, ...], lists: dict[str, tuple[str, ...]]) -> list[Source]:
    """Where each category is read; a user's list replaces a shipped category of the same name.

    datatrove's archive is UT1's `adult` and `agressif` merged into one list. So `agressif` is always
    read, and read first, to tell them apart.
    """
    found = [
        Source(name, b"".join(xxh3_64(read_list(path)).digest() for path in paths), functools.partial(_files, paths))
        for name, paths in lists.items()
    ]
    shipped_identity = xxh3_64(SHIPPED.read_bytes()).digest()
    shipped = [name for name in categories if name not in (*lists, "adult")]
    if "adult" in categories and "agressif" not in (*lists, *categories):
        shipped.append("agressif")
    found += [Source(name, shipped_identity, functools.partial(_members, SHIPPED, name)) for name in shipped]
    if "adult" in categories and "adult" not in lists:
        archive = asset(ARCHIVE)
        found.append(Source("adult", _gzip_identity(archive), functools.partial(_members, archive, "")))
    return found


def _hashes(source: Source) -> np.ndarray:
    arrays = [np.empty(0, np.uint64)]
    for block in source.blocks():
        lines = block.split(b"\n")
        if not _PLAIN.fullmatch(block):
            text = block.decode("utf-8", "replace")
            lines = [name.encode() for line in text.split("\n") for name in _names(line)]
        arrays.append(np.fromiter(map(xxh3_64_intdigest, lines), np.uint64, len(lines)))
    return np.concatenate(arrays)


def _names(line: str) -> Iterator[str]:
    """What a look-up asks for: a domain, or a URL and `host/`, which tells that the host has listed URLs."""
    entry = line.lstrip("\ufeff").partition("#")[0].strip()
    if not entry:
        return
    place = address(entry)
    if place.path == "/":
        yield place.host
    else:
        yield place.host.removeprefix("www.") + "/"
        yield place.bare


def build(found: list[Source]) -> bytes:
    """The table's file: header, sorted hashes, and for each the number of the first source that lists it."""
    parts = [_hashes(source) for source in found]
    labels = np.repeat(np.arange(len(parts), dtype=np.uint8), [len(part) for part in parts])
    hashes = np.concatenate([np.empty(0, np.uint64), *parts])
    del parts
    order = np.argsort(hashes, kind="stable")
    hashes, labels = hashes[order], labels[order]
    del order
    first = np.ones(len(hashes), bool)
    first[1:] = hashes[1:] != hashes[:-1]
    body = hashes[first].astype("<u8").tobytes() + labels[first].tobytes()
    return _HEADER.pack(_MAGIC, int(first.sum()), xxh3_64_intdigest(body)) + body


def find(hashes: Sequence[int], name: str) -> int | None:
    """The place of a name in a sorted sequence of hashes."""
    wanted = xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))
    place = bisect_left(hashes, wanted)
    return place if place < len(hashes) and hashes[place] == wanted else None


def _starts(bare: str) -> Iterator[str]:
    """A URL, then what stands before its `?` and each of its last few slashes; UT1 lists folders too."""
    yield bare
    bare = bare.partition("?")[0].rstrip("/")
    for _ in range(_DEEPEST):
        if "/" not in bare:
            return
        yield bare
        bare = bare.rpartition("/")[0].rstrip("/")


class Table:
    """Hashes and categories of listed names; pickled as its recipe, since each process maps the file itself."""

    def __init__(self, categories: tuple[str, ...], lists: dict[str, tuple[str, ...]]) -> None:
        self._recipe = (categories, lists)
        found = sources(categories, lists)
        enabled = {*categories, *lists}
        self.names = [source.category if source.category in enabled else None for source in found]
        self._data = _mapped(found) if found else memoryview(_HEADER.pack(_MAGIC, 0, 0))
        count = (len(self._data) - _HEADER.size) // 9
        self._hashes = self._data[_HEADER.size : _HEADER.size + 8 * count].cast("Q")
        self._labels = self._data[_HEADER.size + 8 * count :]

    def __reduce__(self) -> tuple[type["Table"], tuple[tuple[str, ...], dict[str, tuple[str, ...]]]]:
        return Table, self._recipe

    def __len__(self) -> int:
        return len(self._hashes)

    def category(self, place: Address) -> str | None:
        """The enabled category that lists the host, a parent domain of it, or the start of the URL."""
        for name in hosts(place.host):
            if found := self._exact(name):
                return found
        bare = place.bare
        site, slash, _ = bare.partition("/")
        if not slash or find(self._hashes, site + "/") is None:
            return None
        return next(filter(None, map(self._exact, _starts(bare))), None)

    def _exact(self, name: str) -> str | None:
        found = find(self._hashes, name)
        return None if found is None else self.names[self._labels[found]]


def _mapped(found: list[Source]) -> memoryview:
    """The table of these sources from the cache; made anew where it is missing or damaged."""
    key = xxh3_64(_MAGIC)
    for source in found:
        key.update(source.category.encode() + b"\0" + source.identity)
    name = f"urls-{key.hexdigest()}.table"
    for folder in folders():
        if (data := _opened(folder / name)) is not None:
            return data
    table = build(found)
    for folder in folders():
        if write_whole(folder / name, table) and (data := _opened(folder / name)) is not None:
            return data
    return memoryview(table)


def _opened(path: Path) -> memoryview | None:
    """The file mapped into memory; None where it is missing or not what was written."""
    try:
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    data = memoryview(mapped)
    if len(data) < _HEADER.size:
        return None
    magic, count, checksum = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    whole = magic == _MAGIC and len(body) == 9 * count and xxh3_64_intdigest(body) == checksum
    return data if whole else None
