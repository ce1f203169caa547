"""What a root leaves out: its `opt_out.txt` of ids, URLs and domains in; which units go, and the identities that follow, out.

`curate remove` adds to the list and notes in `removed.json` what became of the artifacts that were
there. A list that was edited by hand belongs to no such note, so what it changes is made anew.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import orjson

from curate.artifact import Receipt
from curate.config import UsageError
from curate.steps.step import OptedOut, Unit
from curate.steps.url_parts import Address, address, hosts

LIST, STATE = "opt_out.txt", "removed.json"
REASON = "opted_out"
_ID = re.compile(r"[0-9a-f]{32}(?:-\d+)?")


class OptOuts(NamedTuple):
    """Who asked to be left out; domains stand for all below them, URLs for one page in any spelling."""

    ids: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()
    """Host without `www.`, path and query, as `_place` spells them."""
    domains: frozenset[str] = frozenset()

    @property
    def lines(self) -> list[str]:
        """As `opt_out.txt` holds them; a URL is known by its slash."""
        urls = [f"https://{url}" if "/" in url else f"https://{url}/" for url in self.urls]
        return [*sorted(self.ids), *sorted(urls), *sorted(self.domains)]

    @property
    def digest(self) -> str:
        """64 hex digits of what is left out; empty where nothing is."""
        return hashlib.sha256("\n".join(self.lines).encode("utf-8", "surrogatepass")).hexdigest() if any(self) else ""

    def match(self, id_: str, url: str | None) -> bool:
        return id_ in self.ids or (url is not None and self.match_url(url))

    def match_url(self, url: str) -> bool:
        if not (self.urls or self.domains):
            return False
        place = address(url)
        return _place(place) in self.urls or not self.domains.isdisjoint(hosts(place.host))


def _place(place: Address) -> str:
    port = f":{place.port}" if place.port else ""
    return (place.host.removeprefix("www.") + port + place.path).rstrip("/")


def parsed(lines: Iterable[str], where: str, kind: str | None = None) -> OptOuts:
    """A list, one entry a line; # starts a comment. `kind` is ids, urls or domains; None tells by the look of each.

    Raises UsageError with the line of an entry that is none.
    """
    found: dict[str, set[str]] = {name: set() for name in OptOuts._fields}
    for number, line in enumerate(lines, 1):
        entry = re.sub(r"(^|\s)#.*", "", line.lstrip("\ufeff")).strip()
        if entry:
            of = kind or _kind(entry)
            found[of].add(_entry(entry, of, f"{where}:{number}"))
    return OptOuts(*(frozenset(found[name]) for name in OptOuts._fields))


def _kind(entry: str) -> str:
    if _ID.fullmatch(entry.lower()):
        return "ids"
    return "urls" if "/" in entry else "domains"


def _entry(entry: str, kind: str, where: str) -> str:
    if kind == "ids":
        if not _ID.fullmatch(entry.lower()):
            raise UsageError(f"{where}: '{entry}' is no id; give the 32 hex digits of a ledger's or a row's `id`")
        return entry.lower()
    place = address(entry.removeprefix("*."))
    if not place.host or re.search(r"\s", entry):
        raise UsageError(f"{where}: '{entry}' is neither a URL nor a domain; write https://example.com/page or example.com")
    if kind == "urls":
        return _place(place)
    if place.path != "/":
        raise UsageError(f"{where}: '{entry}' is a page, not a domain; give it by --urls")
    if "." not in place.host and place.host != "localhost" and not place.host.startswith("["):
        raise UsageError(f"{where}: '{entry}' is a whole top-level domain; name one below it")
    return place.host


def read(path: Path, kind: str | None = None) -> OptOuts:
    """The list in a file. Raises UsageError where it cannot be read."""
    try:
        return parsed(path.read_text(encoding="utf-8").splitlines(), str(path), kind)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as UTF-8 text: {error}; give one entry a line") from None


def leave_out(unit: Unit, opt_outs: OptOuts) -> None:
    """Drop a unit whose owner asked for it, before any step has seen it: nothing but its place stays."""
    named = unit.metadata.get("url")
    if opt_outs.match(unit.id, unit.url or (named if isinstance(named, str) else None)):
        unit.drop = OptedOut(REASON)
        unit.text, unit.html, unit.title, unit.url, unit.headers, unit.metadata = "", None, None, None, {}, {}


class State(NamedTuple):
    """What a root leaves out, and what became of its artifacts when it was last asked."""

    opt_outs: OptOuts
    known: dict[str, str]
    """Identity of each artifact that was there, by what it is where nothing is left out."""
    moved: dict[str, str]
    """Successors of directories, both relative to the root."""

    def identity(self, base: str) -> str:
        """What a stage is under the list, from what it is where nothing is left out."""
        digest = self.opt_outs.digest
        return self.known.get(base) or hashlib.sha256(f"{base} without {digest}".encode()).hexdigest() if digest else base

    def account(self, base: str) -> dict[str, object]:
        """What a receipt's report says under `opt_out`; empty where nothing is left out."""
        digest = self.opt_outs.digest
        return {"opt_out": {"base": base, "list": digest, "entries": len(self.opt_outs.lines)}} if digest else {}


def state_of(root: Path) -> State:
    """What the root's files say; nothing is left out where they are absent."""
    opt_outs = read(root / LIST) if (root / LIST).exists() else OptOuts()
    noted = orjson.loads((root / STATE).read_bytes()) if (root / STATE).exists() else {}
    return State(opt_outs, noted["known"] if noted.get("list") == opt_outs.digest else {}, noted.get("moved", {}))


def base_of(receipt: Receipt) -> str:
    """What an artifact is where nothing is left out: the identity that its recipe asks for."""
    return receipt.report.get("opt_out", {}).get("base", receipt.fingerprint)


def successor_of(directory: Path, root: Path) -> Path:
    """The directory, or the one that `curate remove` has put in its place."""
    place, home = directory.resolve(), root.resolve()
    name = place.relative_to(home).as_posix() if place.is_relative_to(home) else ""
    found = state_of(root).moved.get(name)
    return root / found if found else directory
