"""A removal from start to end: a list and a root in; successors, a longer `opt_out.txt` and what is left to do out.

Everything under the root is brought in line with the whole list, so the same call after a kill
goes on: first the list is written, then successors, then what points to them, last the old
artifacts go.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import orjson

from curate.artifact import RECEIPT, Artifact, ParentAccount, read_receipt, write_json
from curate.config import UsageError
from curate.hashes import HashCache
from curate.hub.push import PUBLISHED
from curate.judges.asking import JOURNAL
from curate.mirror import Mirror, url_of
from curate.remove.asked import asked_about
from curate.remove.caches import Asked, Quotes, forget, journals
from curate.remove.documents import ancestors_outside, artifacts_below, documents
from curate.remove.gone import Gone, gone_from
from curate.remove.made import noted_before, published, trained_on
from curate.remove.packs import packings
from curate.remove.successor import write_successor
from curate.runner import locked
from curate.steps.sources.opt_outs import LIST, STATE, OptOuts, base_of, read, state_of
from curate.view.store import LABELS, without

_ACTS = ("publish",)
"""Stages whose artifact says that something was done, which its successor cannot say."""
_OWN = (f"replies to calls ({JOURNAL})", f"labels ({LABELS})", f"notes of pushes ({PUBLISHED})", "copies of what they have read")
"""What of a remote root stays on the machine that has made it."""


class Removal(NamedTuple):
    """What was done, and what is left to do by hand."""

    list: str
    """Where the whole list lies."""
    documents: int
    """Documents of the root that the whole list names."""
    successors: dict[str, str]
    """Directory of each artifact that has a successor, and the successor's, relative to the root."""
    taken: list[str]
    """Directories that a run must make again: unfinished ones, what was published, and packed tokens whose tokenizer or source is gone."""
    rows: int
    """Rows that the successors lack."""
    replies: int
    """Replies that left the journals of calls."""
    unasked: list[str]
    """Directories, gone by now, of which nobody can tell the calls: their rows or prompts are not there as they were. Of their replies only those that quote have left."""
    outside: list[str]
    """Artifacts elsewhere that hold some of the documents."""
    models: list[str]
    """Directories of models that were trained on removed rows."""
    published: list[dict]
    """Places that artifacts with removed rows were pushed to."""
    elsewhere: list[str]
    """What other machines keep for themselves of a root on an object store, and only the same call there reaches."""


def remove(listed: Path, kind: str, root: Path, models: Iterable[Path] = ()) -> Removal:
    """Remove documents and all that was made of them; `kind` says what the file lists: ids, urls or domains.

    `models` are folders in which to look for models beside the root. A root on an object store is brought
    here whole and brought in line there last; other machines' copies of it go by the same call there.
    Raises UsageError for a list or a root that cannot be used, StoppedError where a run is at work under the root.
    """
    asked = read(listed, kind)
    if not any(asked):
        raise UsageError(f"{listed}: lists nothing; give one of the {kind} a line")
    url = url_of(root)
    if url:
        return _remove_there(asked, url, models)
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; give the root of your runs by --root")
    with locked(root):
        return _remove_here(asked, root, models, lambda: None)


def _remove_here(asked: OptOuts, root: Path, models: Iterable[Path], on_listed: Callable[[], None]) -> Removal:
    """Remove below a root that is held; `on_listed` is called when the list is written and nothing is removed yet."""
    with ExitStack() as held:
        unfinished = _unfinished(root)
        for directory in unfinished:
            held.enter_context(locked(directory))
        _join_list(root, asked)
        on_listed()
        return _Sweep(root, [root, *models], unfinished).result()


def _remove_there(asked: OptOuts, url: str, models: Iterable[Path]) -> Removal:
    """Remove below a root on an object store: the list goes there first, then what is left, then the old goes.

    A stage that another machine was sending goes too; what one sends later stays, and the same call finds it.
    """
    mirror = Mirror(url)
    with locked(mirror.root):
        there = mirror.fetch_all()
        done = _remove_here(asked, mirror.root, models, mirror.send_notes)
        mirror.replace(there, done.successors.values())
    return done._replace(list=f"{url}/{LIST}", elsewhere=list(_OWN))


def _unfinished(root: Path) -> list[Path]:
    return [path for path in sorted(root.glob("*/[0-9][0-9]-*")) if path.is_dir() and not (path / RECEIPT).exists()]


def _join_list(root: Path, asked: OptOuts) -> None:
    """Add the entries that are not there yet; what a person wrote into the file stays."""
    path = root / LIST
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    new = set(asked.lines) - set((read(path) if text else OptOuts()).lines)
    if new:
        lines = text + ("\n" if text and not text.endswith("\n") else "") + "".join(f"{line}\n" for line in asked.lines if line in new)
        temporary = root / f".{LIST}.tmp"
        with temporary.open("w", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)


class _Sweep:
    """The artifacts of a root on their way to what is left of them."""

    def __init__(self, root: Path, places: list[Path], unfinished: list[Path]) -> None:
        self.root, self.places, self.unfinished = root, places, unfinished
        self.state = state_of(root)
        self.account = {"list": self.state.opt_outs.digest, "entries": len(self.state.opt_outs.lines)}
        self.artifacts = artifacts_below(root)
        self.outside = {one: documents(one, self.state.opt_outs) for one in ancestors_outside(self.artifacts)}
        self.documents = set().union(*self.outside.values(), *(documents(one, self.state.opt_outs) for one in self.artifacts))
        self.hashes = HashCache(root / ".hashes.json")
        self.quotes = Quotes()
        self.calls: dict[Path, set[bytes]] = {}
        self.unasked: list[Artifact] = []
        self.gone: dict[Path, Gone] = {}
        self.successors: dict[Path, Path] = {}
        self.taken: list[Artifact] = []
        self.rows = 0

    def result(self) -> Removal:
        for artifact in self.artifacts:
            self._replace(artifact)
        changed = [one for one in self.artifacts if one.path.resolve() in self.successors or one in self.taken]
        fingerprints = {one.receipt.fingerprint for one in changed if self.gone[one.path.resolve()].rows}
        models, places = noted_before(self.root)
        here = {one.path.resolve() for one in artifacts_below(self.root)}
        models += [one for one in trained_on(fingerprints, self.places, here) if one not in models]
        places += [one for artifact in changed for one in published(artifact) if one not in places]
        self._point(models, places)
        runs = {name for one in self.artifacts if one not in self.unasked for name in (one.receipt.fingerprint, base_of(one.receipt))}
        replies = sum(forget(journal, Asked(self.calls.get(journal, set()), runs), self.quotes) for journal in journals(self.root))
        for path in [*(one.path for one in reversed(changed)), *self.unfinished]:  # what a killed removal needs again goes last
            (path / RECEIPT).unlink(missing_ok=True)
            shutil.rmtree(path)
        return Removal(
            list=str(self.root / LIST),
            documents=len(self.documents),
            successors={self._name(old): self._name(new) for old, new in self.successors.items()},
            taken=[self._name(path) for path in [*(one.path for one in self.taken), *self.unfinished]],
            rows=self.rows,
            replies=replies,
            unasked=[self._name(one.path) for one in self.unasked],
            outside=[str(one.path) for one, found in self.outside.items() if found],
            models=models,
            published=places,
            elsewhere=[],
        )

    def _name(self, path: Path) -> str:
        return path.resolve().relative_to(self.root.resolve()).as_posix()

    def _replace(self, artifact: Artifact) -> None:
        """Give the artifact a successor where it or an artifact that it was made of holds one of the documents."""
        path = artifact.path.resolve()
        parents = [one.path.resolve() for one in artifact.parents().values()]
        rows = set().union(*(self.gone[parent].rows for parent in parents if parent in self.gone))
        self.gone[path] = gone = gone_from(artifact, self.documents, rows)
        taken = {one.path.resolve() for one in self.taken}
        if not (gone.rows or gone.units or any(parent in self.successors or parent in taken for parent in parents)):
            return
        self._ask_about(artifact, gone)
        packs = packings(artifact, self.hashes)
        orphaned = packs and len(parents) < len(artifact.receipt.parents)
        if artifact.receipt.stage in _ACTS or packs is None or orphaned or not taken.isdisjoint(parents):
            self.taken.append(artifact)
            return
        accounts = [self._parent(artifact, one) for one in artifact.receipt.parents]
        fingerprint = hashlib.sha256(f"{artifact.receipt.fingerprint} without {self.account['list']}".encode()).hexdigest()
        written = write_successor(artifact, gone, accounts, fingerprint, self.account, self.quotes, packs)
        if (artifact.path / LABELS).exists():
            without(artifact.path / LABELS, written.path / LABELS, gone.rows)
        self.successors[path] = written.path
        self.rows += written.rows

    def _ask_about(self, artifact: Artifact, gone: Gone) -> None:
        """Note the calls about rows that go."""
        asked = asked_about(artifact, gone, self.hashes)
        if asked and asked.keys is None:
            self.unasked.append(artifact)
        elif asked:
            self.calls.setdefault(asked.journal, set()).update(asked.keys)

    def _parent(self, artifact: Artifact, account: ParentAccount) -> ParentAccount:
        """The account of a parent, or of its successor."""
        new = self.successors.get(Path(os.path.normpath(artifact.path.resolve() / account.path)))
        if new is None:
            return account
        path = Path(os.path.relpath(new.resolve(), artifact.path.resolve())).as_posix()
        return account.model_copy(update={"path": path, "fingerprint": read_receipt(new).fingerprint})

    def _point(self, models: list[str], places: list[dict]) -> None:
        """Let recipes' latest runs and the root's own note lead to the successors."""
        named = {old.name: new.name for old, new in self.successors.items()}
        gone = {one.path.name for one in self.taken}
        latest = set()
        for path in sorted(self.root.glob("*/latest.json")):
            names = [named.get(name, name) for name in orjson.loads(path.read_bytes()) if name not in gone]
            write_json(path, names)
            latest.update((path.parent / name).resolve() for name in names)
        moved = {self._name(old): self._name(new) for old, new in self.successors.items()}
        before = {old: moved.get(new, new) for old, new in state_of(self.root).moved.items()}
        note = {"list": self.account["list"], "known": self._known(latest), "moved": {**before, **moved}, "models": models, "published": places}
        write_json(self.root / STATE, note)

    def _known(self, latest: set[Path]) -> dict[str, str]:
        """Identity of every artifact that stays, by what it is where nothing is left out; of several, that of a latest run."""
        replaced = {*self.successors, *(one.path.resolve() for one in self.taken)}
        stay = [one for one in artifacts_below(self.root) if one.path.resolve() not in replaced]
        stay.sort(key=lambda one: (one.path.resolve() in latest, one.path.name))
        return {base_of(one.receipt): one.receipt.fingerprint for one in stay}


def as_text(removal: Removal) -> str:
    """For people: what was done, then what they must see to."""
    lines = [f"{removal.documents:,} documents left out, {removal.rows:,} rows removed, {removal.replies:,} replies taken from journals"]
    lines += [f"  {old} -> {new}" for old, new in removal.successors.items()]
    lines += [f"make again: {name} (run its recipe)" for name in removal.taken]
    lines += [f"calls of {name} cannot be told apart any more: only replies that quote a removed text have left the journal" for name in removal.unasked]
    lines += [f"outside the root: {name} holds some of them; remove them there too" for name in removal.outside]
    lines += [f"trained on removed rows: {name}; train it again" for name in removal.models]
    lines += [f"published: {one.get('url')} {one.get('commit') or ''}; push the successor and take this revision down" for one in removal.published]
    lines += [f"on each other machine that has worked with this root, run the same command: it keeps {', '.join(removal.elsewhere)}"] if removal.elsewhere else []
    return "\n".join([*lines, removal.list])
