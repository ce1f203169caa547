"""What a recipe would do: each stage with its inputs, its identity and its directory.

An artifact's directory is named by its identity: the stage's settings, the content of its
inputs, of every list and model it reads, and the versions whose output is kept. The same
identity is never computed twice, and a changed one never serves old output. What a stage
takes from another one enters by that stage's identity, so that a whole chain can be planned
before any of it has run.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import orjson
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from curate.artifact import RECEIPT, read_receipt, write_json
from curate.config import UsageError, is_url, suggestion
from curate.hashes import HashCache
from curate.judges.asking import JOURNAL, Payer
from curate.judges.budget import Budget
from curate.recipe import ASKING, Loaded, Stage, StageBlock, load
from curate.stages.given import From
from curate.steps.sources.files import InputFile
from curate.steps.sources.inputs import list_files
from curate.steps.sources.opt_outs import State, base_of, state_of, successor_of

LIBRARIES = (
    "datatrove", "trafilatura", "resiliparse", "selectolax", "lxml", "fasttext-numpy2-wheel", "py3langid",
    "spacy", "presidio-analyzer", "phonenumbers", "tokenizers", "pyarrow", "xxhash", "regex", "charset-normalizer",
)  # fmt: skip
"""Libraries whose output is kept in rows: their versions are part of the identity."""

_FILES = TypeAdapter(list[InputFile])


class Need(NamedTuple):
    """An artifact that a stage reads: done already, or made by an earlier stage of the plan."""

    name: str
    directory: Path
    split: str
    fingerprint: str
    base: str
    """Its fingerprint where nothing is left out."""


class Planned(NamedTuple):
    """One stage as it would run: its place, identity and directory."""

    loaded: Loaded
    number: int
    kind: str
    stage: Stage
    files: list[InputFile]
    needs: list[Need]
    fingerprint: str
    directory: Path
    base: str
    """Its fingerprint where nothing is left out."""

    @property
    def done(self) -> bool:
        return (self.directory / RECEIPT).exists()


class _Planner(NamedTuple):
    """What holds for a whole plan, and the stages planned so far, in the order in which they run."""

    root: Path
    limit: int | None
    update: bool
    before: Callable[[str], None]
    hashes: HashCache
    left_out: State
    planned: list[Planned]


@cache
def versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def plan(
    loaded: Loaded, root: Path, limit: int | None = None, update: bool = False, before: Callable[[str], None] = lambda name: None
) -> list[Planned]:
    """Every stage of a recipe with its directory, after those of the recipes that it builds on.

    Reads the inputs' content hashes, writes nothing but caches; `before` is called with a
    recipe's name before its lock is read.
    """
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root}: is no folder; name one as --root, which is made where it is not there")
    planner = _Planner(root, limit, update, before, HashCache(root / ".hashes.json"), state_of(root), [])
    own = _plan_recipe(loaded, planner, ())
    planner.hashes.save()
    return [stage for stage in planner.planned if stage not in own] + own


def _plan_recipe(loaded: Loaded, planner: _Planner, chain: tuple[Path, ...]) -> list[Planned]:
    """The recipe's own stages; those that are new are noted in the planner."""
    path = loaded.path.resolve()
    if path in chain:
        raise UsageError(f"{loaded.path}: needs itself, by {' -> '.join(step.name for step in (*chain, path))}; break that circle")
    planner.before(loaded.recipe.name)
    home = planner.root / loaded.recipe.name
    own: list[Planned] = []
    for number, block in enumerate(loaded.recipe.stages):
        needs = [_need(name, wanted, own, loaded, planner, (*chain, path)) for name, wanted in block.inputs.items()]
        files = [] if needs else locked_files(block, home, planner.root, planner.update)
        base = identity(block.stage, block.kind, files, needs, planner.limit, planner.hashes)
        fingerprint = planner.left_out.identity(base)
        directory = home / f"{number:02d}-{block.kind}-{fingerprint[:8]}"
        own.append(Planned(loaded, number, block.kind, block.stage, files, needs, fingerprint, directory, base))
    known = {stage.directory for stage in planner.planned}
    planner.planned.extend(stage for stage in own if stage.directory not in known)
    return own


def _need(name: str, wanted: From, own: list[Planned], loaded: Loaded, planner: _Planner, chain: tuple[Path, ...]) -> Need:
    if wanted.artifact is not None:
        directory = successor_of(Path(wanted.artifact), planner.root)
        receipt = read_receipt(directory)
        return Need(name, directory, wanted.split, receipt.fingerprint, base_of(receipt))
    if wanted.recipe is not None:
        other = load(wanted.recipe, wanted.set, loaded.trust_code)
        own = _plan_recipe(other, planner, chain)
        loaded = other
    found = own[-1] if wanted.stage is None else own[place_of(wanted.stage, loaded, len(own))]
    return Need(name, found.directory, wanted.split, found.fingerprint, found.base)


class Held(NamedTuple):
    """A recipe's budget, and the stages that spend it."""

    recipe: str
    budget: Budget
    stages: list[Planned]
    """All that call models, of the recipe and of those that it builds on."""


def budgets(planned: list[Planned]) -> list[Held]:
    """Every budget of the plan."""
    homes = {stage.directory.parent: stage.loaded.recipe for stage in planned}
    found = []
    for home, recipe in homes.items():
        if recipe.budget is not None:
            asking = [stage for stage in _below(home, planned) if stage.kind in ASKING]
            found.append(Held(recipe.name, recipe.budget, asking))
    return found


def payers(stages: list[Planned]) -> list[Payer]:
    """The stages as journals know them; two that ask the same under one recipe are one."""
    made = {(stage.directory.parent, stage.fingerprint): stage.loaded.recipe.endpoints for stage in stages}
    return [Payer(home / JOURNAL, fingerprint, endpoints) for (home, fingerprint), endpoints in made.items()]


def _below(home: Path, planned: list[Planned]) -> list[Planned]:
    """The stages of a recipe and of all recipes that it builds on, by way of others too: they run as a whole."""
    homes = {home}
    for stage in reversed(planned):  # a recipe stands after what it builds on
        if stage.directory.parent in homes:
            homes |= {need.directory.parent for need in stage.needs}
    return [stage for stage in planned if stage.directory.parent in homes]


def place_of(wanted: str, loaded: Loaded, among: int) -> int:
    """The place of the stage of that name among the first so many, else of the only one of that kind."""
    blocks = loaded.recipe.stages[:among]
    for words in ([block.name for block in blocks], [block.kind for block in blocks]):
        if words.count(wanted) == 1:
            return words.index(wanted)
    known = [block.name or block.kind for block in blocks]
    what = f"several stages '{wanted}'" if wanted in known else f"no stage '{wanted}'{suggestion(wanted, known)}"
    raise UsageError(f"{loaded.path}: {what}; give stages a `name:`")


def identity(stage: Stage, kind: str, files: list[InputFile], needs: list[Need], limit: int | None, hashes: HashCache) -> str:
    """64 hex digits over all that the output depends on; paths and workers are not among it."""
    try:
        settings = stage.model_dump(mode="json", by_alias=True, context={"content_hash": _content_hash(hashes)})
    except PydanticSerializationError as error:
        raise (error.__cause__ if isinstance(error.__cause__, UsageError) else error) from None
    if files:
        for place in ("paths", "network", "cc_base", "max_damage"):
            settings["source"].pop(place)
        if not settings["source"]["opt_out"]:
            settings["source"].pop("opt_out")
    if "alarm" in settings:
        settings["alarm"].pop("action")  # like max_damage it decides whether to go on, not what is made
    parts = {
        "kind": kind,
        "version": stage.version,
        "settings": settings,
        "steps": [[step.name, step.version, sorted(hashes.sha256(path) for path in step.reads())] for step in stage.steps],
        "inputs": [[need.name, need.split, need.base] for need in needs] or [[file.label, file.fingerprint] for file in files],
        "limit": limit,
        "versions": versions(),
    }
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _content_hash(hashes: HashCache) -> Callable[[str], str]:
    def content_hash(path: str) -> str:
        try:
            return hashes.sha256(path)
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}; name an existing file") from None

    return content_hash


def locked_files(block: StageBlock, home: Path, root: Path, update: bool) -> list[InputFile]:
    """The source's files; where some are remote, as `lock.json` resolved them, until `--update`."""
    source = block.stage.source
    path = home / "lock.json"
    lock = orjson.loads(path.read_bytes()) if path.exists() else {}
    key = hashlib.sha256(source.model_dump_json().encode()).hexdigest()[:16]
    if key in lock and not update:
        return _FILES.validate_python(lock[key])
    files = list_files(source, root / ".inputs.json")
    if any(is_url(file.path) for file in files):
        home.mkdir(parents=True, exist_ok=True)
        write_json(path, {**lock, key: _FILES.dump_python(files, mode="json")})
    return files
