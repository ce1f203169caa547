"""A recipe in, its artifacts out: what is planned and not done yet is done, stage by stage."""

import fcntl
import importlib
import json
import shlex
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from curate.artifact import Artifact, ParentAccount, Receipt, file_accounts, git_state, read_receipt, write_json, write_receipt
from curate.card.words import Told, note
from curate.config import StoppedError, UsageError
from curate.executors import Progress
from curate.hashes import HashCache
from curate.hub.inherit import inherit
from curate.judges.asking import Asking, Limit, refuse_unready
from curate.mirror import Mirror, RemoteArtifact, url_of
from curate.planning import Planned, budgets, payers, plan, versions
from curate.recipe import ASKING, Loaded, Stage, load
from curate.stages.given import Given
from curate.steps.sources import Source
from curate.steps.sources.opt_outs import state_of

_FOLDERS = ("data", "extra", "ledger", "dropped", "pairs", "verdicts")


def run(
    recipe: str | Path,
    *,
    root: str | Path = "runs",
    workers: int | None = None,
    limit: int | None = None,
    update: bool = False,
    trust_code: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    **params: object,
) -> Artifact:
    """Run a recipe and return its last artifact; stages that are done are not run again.

    `params` set the recipe's parameters. Raises UsageError for a mistake in the recipe or
    its inputs, StoppedError where the run can be resumed by the same call.
    """
    loaded = load(recipe, params, trust_code)
    url = url_of(root)
    if url is None:
        return Artifact(_run(loaded, Path(root), workers, limit, update, on_progress, lambda stage: None)[-1].directory)
    mirror = Mirror(url)
    planned = _run(loaded, mirror.root, workers, limit, update, on_progress, mirror.fetch, mirror.fetch_lock)
    for stage in planned:
        mirror.send(stage.directory)
        mirror.send_files(stage.loaded.recipe.name)
    return RemoteArtifact(planned[-1].directory, f"{url}/{planned[-1].directory.relative_to(mirror.root).as_posix()}")


def _run(
    loaded: Loaded,
    root: Path,
    workers: int | None,
    limit: int | None,
    update: bool,
    on_progress: Callable[[Progress], None] | None,
    fetch: Callable[[Path], None],
    before: Callable[[str], None] = lambda name: None,
) -> list[Planned]:
    """Run every stage that is not done; `fetch` first brings one that is done elsewhere."""
    planned = plan(loaded, root, limit, update, before)
    for stage in planned:
        _note_words(stage)
        fetch(stage.directory)
        if not stage.done:
            _refuse_unready(planned)
            with placed(stage.directory):
                _run_stage(stage, limit, workers, on_progress, asking(stage, planned))
        _check_served(stage)
    for home in dict.fromkeys(stage.directory.parent for stage in planned):
        _note_latest(home, [stage for stage in planned if stage.directory.parent == home])
    return planned


@contextmanager
def placed(directory: Path) -> Iterator[None]:
    """Say where: a write to a full disk fails without a file's name."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.strerror is None:
            raise
        raise StoppedError(f"{directory}: {error.strerror}; put that right") from None


def _check_served(stage: Planned) -> None:
    """A finished artifact must be the one that was asked for, and within what the recipe bears now."""
    from curate.stages.accounts import refuse_stored_damage
    from curate.stages.web_alarm import refuse_alarms

    receipt = read_receipt(stage.directory)
    stated = receipt.fingerprint
    if stage.files:
        refuse_stored_damage(stage.stage.source.max_damage, receipt)
    if "alarms" in receipt.report:
        refuse_alarms(receipt.report["alarms"], stage.stage.alarm)
    if stated != stage.fingerprint:
        raise UsageError(f"{stage.directory}: its receipt states another identity ({stated[:16]}); move that directory away")


def _refuse_unready(planned: list[Planned]) -> None:
    """Before any work: that a judge has no address should not be found out after the answers are paid for."""
    for stage in planned:
        if not stage.done and (told := asking(stage, planned)):
            refuse_unready(stage.stage.asked, told)


def asking(stage: Planned, planned: list[Planned]) -> Asking | None:
    """What a stage that asks models is told: its recipe's endpoints, the budgets over it, and the stages that share them; None for others."""
    if stage.kind not in ASKING:
        return None
    (own,) = payers([stage])
    held = [one for one in budgets(planned) if stage in one.stages]
    limits = [Limit(one.recipe, one.budget, tuple(payer for payer in payers(one.stages) if payer != own)) for one in held]
    return Asking(own.endpoints, tuple(limits), stage.fingerprint)


def _run_stage(
    stage: Planned, limit: int | None, workers: int | None, on_progress: Callable[[Progress], None] | None, asking: Asking | None
) -> None:
    make = importlib.import_module(f"curate.stages.{stage.kind}_run").make
    stage.directory.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with locked(stage.directory):
        if stage.done:
            return
        state = StateFile(stage.directory / "progress.json", on_progress or (lambda progress: None))
        given = {need.name: Given(need.name, Artifact(need.directory), need.split) for need in stage.needs}
        executor, told = stage.loaded.recipe.executor, {"asking": asking} if asking else {}
        left_out = state_of(stage.directory.parent.parent)
        made = make(_without(stage.stage, left_out.opt_outs.lines), given or stage.files, stage.directory, limit, executor, workers, state, **told)
        inherit(stage.files, stage.directory)
        broken = made.counts.broken_law()
        if broken:
            raise RuntimeError(f"{stage.directory}: the account does not add up: {broken}")
        receipt = Receipt(
            recipe=stage.loaded.recipe.name,
            stage=stage.kind,
            fingerprint=stage.fingerprint,
            config=portable(stage.stage.model_dump(mode="json", by_alias=True), stage.loaded.path.resolve().parent),
            parents=[_parent(need.name, need.directory, stage.directory) for need in stage.needs],
            files=list(file_accounts(stage.directory, _FOLDERS)),
            models=_models(stage),
            versions={"curate": metadata.version("curate"), **versions()},
            git=git_state(),
            cost={name: bill["cost"] for name, bill in made.report.get("bill", {}).items()},
            **{
                **made._asdict(),
                "report": {**made.report, **left_out.account(stage.base)},
                "timings": {**made.timings, "total": time.monotonic() - started},
            },
        )
        write_receipt(stage.directory, receipt)
        _sweep(stage.directory)


def _without(stage: Stage, left_out: list[str]) -> Stage:
    """The stage that leaves out at its source what the root's list names."""
    if not left_out or not isinstance(getattr(stage, "source", None), Source):
        return stage
    return stage.model_copy(update={"source": stage.source.model_copy(update={"opt_out": (*stage.source.opt_out, *left_out)})})


def _parent(name: str, directory: Path, child: Path) -> ParentAccount:
    receipt = read_receipt(directory)
    path = Path(os.path.relpath(directory.resolve(), child.resolve())).as_posix()
    return ParentAccount(name=name, path=path, recipe=receipt.recipe, stage=receipt.stage, fingerprint=receipt.fingerprint)


class StateFile:
    """Passes progress on and leaves it on disk once a second, for `curate show` of a running job."""

    def __init__(self, path: Path, on_progress: Callable[[Progress], None]) -> None:
        self.path, self.on_progress, self.written = path, on_progress, 0.0

    def __call__(self, progress: Progress) -> None:
        self.on_progress(progress)
        if time.monotonic() - self.written >= 1:
            self.written = time.monotonic()
            write_json(self.path, {**progress._asdict(), "pid": os.getpid()})


def portable(value: object, base: Path) -> object:
    """Settings with absolute paths made relative to the recipe's folder: a receipt may be published."""
    if isinstance(value, dict):
        return {key: portable(item, base) for key, item in value.items()}
    if isinstance(value, list):
        return [portable(item, base) for item in value]
    if isinstance(value, str) and value.startswith("/") and Path(value).is_absolute():
        return os.path.relpath(value, base)
    return value


def _models(stage: Planned) -> dict[str, str]:
    hashes = HashCache(stage.directory.parents[1] / ".hashes.json")  # as planning left it: they need not be read again
    return {path.name: hashes.sha256(path) for step in stage.stage.steps for path in step.reads()}


def _sweep(directory: Path) -> None:
    """Remove what a finished artifact does not need; nothing but the receipt says done."""
    import shutil

    shutil.rmtree(directory / "work", ignore_errors=True)
    (directory / "progress.json").unlink(missing_ok=True)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory for this process; another run of the same identity is told so at once."""
    with (directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoppedError(f"{directory}: another `curate run` is at work here; wait for it, or stop it") from None
        yield


def _note_words(stage: Planned) -> None:
    """What the recipe tells its cards, and the command that makes it again; no part of any identity."""
    home, loaded = stage.directory.parent, stage.loaded
    sets = [f"--set={name}={json.dumps(value)}" for name, value in loaded.params.items() if value != loaded.recipe.params.get(name)]
    home.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["curate", "run", loaded.path.name, *sets])
    note(home, Told(description=loaded.recipe.description, command=command, words=loaded.recipe.card))


def _note_latest(home: Path, planned: list[Planned]) -> None:
    write_json(home / "latest.json", [stage.directory.name for stage in planned])
