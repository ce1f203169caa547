"""From one given path, glob, folder or URL to the files it names, each with its label and kind."""

import glob
import json
import os
import posixpath
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple, get_args
from urllib.parse import unquote, urlsplit

from curate.config import UsageError, is_url
from curate.steps.sources import Format, Source
from curate.steps.sources.kinds import ARCHIVES, HEAD, kind_of_bytes, kind_of_name
from curate.steps.sources.lines import Broken, decompressed, split_lines
from curate.steps.sources.files import shown
from curate.steps.sources.remote import open_input, open_remote


_ABOUT_DATA = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "receipt.json"})
"""JSON files that lie beside data and hold none."""


class Found(NamedTuple):
    """A file that an input names, not yet looked into."""

    path: str
    label: str
    format: str


def expand(path: str, source: Source) -> list[Found]:
    """The files of one given path, never none: UsageError instead."""
    if re.match(r"(file|local)://", path):
        path = unquote(urlsplit(path).path)
    where = shown(path) if is_url(path) else path
    try:
        found = _listed(path, source)
        found = [one for file in found for one in (_common_crawl(file, source) if file.format == "cc" else [file])]
    except (FileNotFoundError, PermissionError) as error:
        raise UsageError(f"{where}: cannot be read: {error}; check the path and your access to it") from None
    if not found:
        raise UsageError(f"{where}: no file matches; check the path, and `format:` where it is set")
    return found


def _listed(path: str, source: Source) -> list[Found]:
    if path.startswith("hf://") or source.format == "hf":
        from curate.steps.sources.hub import hub_files

        return _of_one_kind(path, hub_files(path, source), source)
    if path.startswith(("http://", "https://")) and not path.endswith("/") and "*" not in path:
        return [Found(path, label_of(path), _kind(path, source))]
    return _remote(path, source) if is_url(path) else _local(path, source)


def label_of(path: str, root: str = "") -> str:
    """Name of a path or URL below `root`, or its last part; never absolute, no query, no user, valid UTF-8."""
    bare, base = _bare(path), _bare(root)
    below = bare[len(base) :] if base and bare.startswith(base) else posixpath.basename(bare.rstrip("/"))
    parts = [part for part in below.split("/") if part not in ("", ".", "..")]
    clean = "/".join(parts).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return re.sub(r"[\x00-\x1f\x7f]", "\ufffd", clean) or "file"


def _bare(path: str) -> str:
    """The path part of a web address, decoded; other addresses have neither query nor escapes."""
    return unquote(urlsplit(path).path) if path.startswith(("http://", "https://")) else path


def _local(path: str, source: Source) -> list[Found]:
    if os.path.isdir(path):
        return _of_one_kind(path, _labelled(_walk(path, source), f"{path.rstrip('/')}/"), source)
    if os.path.lexists(path):
        return [Found(path, label_of(path), _kind(path, source))]
    if not glob.has_magic(path):
        return []
    matches = (file for match in glob.glob(path, recursive=True) for file in _walk(match, source))
    return _of_one_kind(path, _labelled(matches, _root(path)), source)


def _remote(url: str, source: Source) -> list[Found]:
    """Folders and globs as the file system behind the URL lists them."""
    from curate.steps.sources.objects import listing

    named = listing(url)
    if named is None:
        return [Found(url, label_of(url), _kind(url, source))]
    return _of_one_kind(url, [(path, label_of(f"/{below}", "/")) for path, below in named], source)


def _labelled(paths: Iterable[str], root: str) -> list[tuple[str, str]]:
    return [(path, label_of(path, root)) for path in dict.fromkeys(paths)]


def _root(pattern: str) -> str:
    """The part of a pattern before its first wildcard, up to a slash."""
    return pattern[: pattern.rfind("/", 0, re.search(r"[*?\[]", pattern).start()) + 1]


def _walk(path: str, source: Source) -> Iterator[str]:
    """The files of a folder, or the file itself; hidden ones and ones still being written are left out."""
    if not os.path.isdir(path):
        yield path
        return
    if os.path.isfile(f"{path}/receipt.json") and os.path.isdir(f"{path}/data"):
        path = f"{path}/data"
    saved = _saved_dataset(path, source.split)
    if saved is not None:
        yield from saved
        return
    met: set[str] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = os.path.realpath(folder)
        if here in met:  # a link back up
            folders[:] = []
            continue
        met.add(here)
        yield from (f"{folder}/{name}" for name in names if not name.startswith((".", "_")) and not name.endswith(".tmp"))


def _saved_dataset(path: str, split: str) -> list[str] | None:
    """The Arrow files of what `datasets` saved to disk, in its order; None for other folders."""
    if os.path.isfile(f"{path}/dataset_dict.json"):
        if not os.path.isdir(f"{path}/{split}"):
            splits = ", ".join(sorted(entry.name for entry in os.scandir(path) if entry.is_dir()))
            raise UsageError(f"{path}: has no split '{split}'; set `split:` to one of {splits}")
        path = f"{path}/{split}"
    if not os.path.isfile(f"{path}/state.json"):
        return None
    with open(f"{path}/state.json", encoding="utf-8") as file:
        return [f"{path}/{entry['filename']}" for entry in json.load(file).get("_data_files", [])]


def _of_one_kind(given: str, paths: list[tuple[str, str]], source: Source) -> list[Found]:
    """Those of the files that can be read, by label; a mixture is the user's to decide on."""
    found = [Found(path, label, _guess(path, source) or _sniff_json(path, source) or "") for path, label in paths]
    chosen = [file for file in found if file.format]
    if source.format not in ("auto", "hf"):
        known = [file for file in found if file.format == source.format]
        chosen = known or [file._replace(format=source.format) for file in found if not file.format]
    kinds = Counter("archive" if file.format in ARCHIVES else file.format for file in chosen)
    if len(kinds) > 1:
        told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
        where = shown(given) if is_url(given) else given
        raise UsageError(f"{where}: holds files of several kinds ({told}); set `format:` or give a glob")
    return sorted(chosen, key=lambda file: file.label)


def _guess(path: str, source: Source) -> str | None:
    name = urlsplit(path).path if path.startswith("http") else path
    if source.raw and name.lower().endswith(".json"):
        return None if posixpath.basename(name) in _ABOUT_DATA else "jsonl"
    return kind_of_name(name) or (None if is_url(path) else _sniff(path))


def _sniff(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return kind_of_bytes(file.read(HEAD))
    except OSError:
        return None


def _sniff_remote(url: str, source: Source) -> str | None:
    with open_remote(url, None, source.network) as file:
        return kind_of_bytes(file.read(HEAD))


def _sniff_json(path: str, source: Source) -> str | None:
    """Of remote files only those called `.json` are looked into: each look is a request."""
    return _sniff_remote(path, source) if is_url(path) and path.endswith(".json") else None


def _kind(path: str, source: Source) -> str:
    """The format of one file that was named outright."""
    if source.format not in ("auto", "hf"):
        return source.format
    kind = _guess(path, source)
    if kind is None and is_url(path):
        kind = _sniff_remote(path, source)
    if kind is None:
        where = shown(path) if is_url(path) else path
        raise UsageError(f"{where}: {_unknown(path)}")
    return kind


def _unknown(path: str) -> str:
    """Why a file has no format, and what to do."""
    if not is_url(path) and zipfile.is_zipfile(path):
        return "is a zip archive; unpack it, and name the folder"
    if os.path.isfile(path) and not os.path.getsize(path):
        return "is empty; name a file that holds something, or the folder with the others"
    known = ", ".join(name for name in get_args(Format) if name not in ("auto", "hf"))
    return f"neither name nor content tells the format; set `format:` to one of {known}"


def _listed_names(file: Found, source: Source) -> list[str]:
    try:
        with open_input(file.path, None, source.network) as stream:
            lines = [line.decode("utf-8", "replace").strip() for line in split_lines(decompressed(stream), 2**16) if line]
    except Broken as error:
        raise UsageError(f"{file.label}: the list {error}; fetch it again") from None
    return [line for line in lines if line]


def _common_crawl(file: Found, source: Source) -> list[Found]:
    """The files that a `*.paths.gz` list names, one a line, relative to `cc_base`."""
    base = source.cc_base.rstrip("/") + "/"
    found = []
    for line in _listed_names(file, source):
        path = line if is_url(line) else base + line.lstrip("/")
        if not is_url(path) and not os.path.isfile(path):
            raise UsageError(f"{file.label}: names {line}, which is not under {source.cc_base}; set `cc_base:`")
        found.append(Found(path, label_of(path, base), kind_of_name(line) or "warc"))
    return found
