"""A URL taken apart: text comes in as archives hold it, host, port, path and registered domain go out.

Nothing here raises: a URL of an archive may be any text, lone surrogates included.
"""

import functools
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import idna

_SCHEME = re.compile(r"\s*(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?[/\\]{2}")
_AUTHORITY_END = re.compile(r"[/\\?#]")
_DOTS = re.compile("[\u3002\uff0e\uff61]")
_DEFAULT_PORTS = ("", "80", "443")
_LONGEST_HOST = 253  # RFC 1035; what is longer is no host, and IDNA would take long over it.


class Address(NamedTuple):
    """Where a URL points to, so spelled that two spellings of one place are equal."""

    host: str
    """Lower case, international names in punycode; no user, no dot at the end."""
    port: str
    """Empty for 80 and 443."""
    path: str
    """From the first slash, with the query, without the fragment; percent escapes decoded, slashes single."""

    @property
    def bare(self) -> str:
        """Host and path without `www.` and without slashes at the end, as lists of URLs spell them."""
        return (self.host.removeprefix("www.") + self.path).rstrip("/")


def address(url: str) -> Address:
    """The parts of a URL; the scheme may be missing, as in lists."""
    rest = _SCHEME.sub("", url.strip(), count=1) if _SCHEME.match(url) else url.strip()
    end = _AUTHORITY_END.search(rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "/")
    name = authority.rpartition("@")[2]
    name, port = _name_and_port(name)
    return Address(_host(name), "" if port in _DEFAULT_PORTS else port, _path(path.partition("#")[0]))


def _path(path: str) -> str:
    path = unquote(path) if "%" in path else path
    return re.sub(r"[/\\]{2,}", "/", "/" + path.removeprefix("\\"))


def _name_and_port(authority: str) -> tuple[str, str]:
    if authority.startswith("[") and "]" in authority:
        name, _, rest = authority.partition("]")
        return name + "]", rest.removeprefix(":")
    name, _, port = authority.partition(":")
    return name, port


@functools.lru_cache(maxsize=1 << 14)
def _host(name: str) -> str:
    name = unquote(name) if "%" in name else name
    if name.isascii():
        return name.strip().rstrip(".").lower()
    name = _DOTS.sub(".", name).strip().rstrip(".").lower()
    if len(name) > _LONGEST_HOST:
        return name
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except UnicodeError:
        return name


def hosts(host: str) -> list[str]:
    """The names under which a list may hold a host: itself, each parent, and itself with `www.`.

    The `www.` form lets an entry `www.gov.uk` meet `gov.uk` without meeting every `*.gov.uk`.
    """
    if host.startswith("[") or host.rpartition(".")[2].isdigit():
        return [host]
    names = [host]
    while parent := names[-1].partition(".")[2]:
        names.append(parent)
    return [*names, "www." + host]


@functools.cache
def _suffix_rules() -> frozenset[str]:
    """Mozilla's public suffix list as tldextract ships it, without the part of private domains; its code takes 0.1 s to load."""
    shipped = Path(importlib.util.find_spec("tldextract").origin).with_name(".tld_set_snapshot")
    registries = shipped.read_text(encoding="utf-8").partition("// ===BEGIN PRIVATE DOMAINS===")[0]
    return frozenset(line for line in map(str.strip, registries.splitlines()) if line and not line.startswith("//"))


@functools.lru_cache(maxsize=1 << 16)
def _registered(host: str) -> str:
    """One label more than the longest public suffix; the list's rules are exact, `*.` or, for an exception, `!`."""
    rules, labels = _suffix_rules(), host.split(".")
    read = [_unicode(label) for label in labels]
    for place in range(len(labels)):
        suffix = ".".join(read[place:])
        if f"!{suffix}" in rules:
            return ".".join(labels[place:])
        if suffix in rules or "*." + suffix.partition(".")[2] in rules:
            return ".".join(labels[place - 1 :]) if place and labels[place - 1] else host
    return host


def _unicode(label: str) -> str:
    """A label as the list spells it."""
    try:
        return idna.decode(label) if label.startswith("xn--") else label
    except UnicodeError:
        return label


def domain_of(url: str) -> str:
    """The registered domain of a URL (`bbc.co.uk`); the host where there is none, "" without a host."""
    return _registered(address(url).host)
