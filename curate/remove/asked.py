"""Which calls were about rows that go: an artifact that models were asked for and its rows that go in, keys of the journal out.

A journal knows no rows. So the stage is gone through once more for these rows, and the journal
answers, as it does in a run that is resumed: what is asked on the way is what was asked then.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from curate.artifact import Artifact
from curate.config import UsageError
from curate.hashes import HashCache
from curate.judges.asking import JOURNAL, WINDOW
from curate.judges.calls import Call, Reply
from curate.judges.journal import Journal
from curate.judges.order import in_order
from curate.remove.gone import Gone, batches, coming_from
from curate.remove.packs import with_hash
from curate.stages.asked import Read
from curate.stages.generate import Answers, Generate, Revise, Write
from curate.stages.generate_answers import Written, answered, revised, written
from curate.stages.given import Given
from curate.stages.judge import Judge, Recorded
from curate.stages.judge_ask import verdicts
from curate.stages.judge_units import judged

_STAGES = {name: TypeAdapter(Annotated[stage, Field(discriminator="use")]) for name, stage in (("generate", Generate), ("judge", Judge))}
_WORK = {Answers: answered, Write: written, Revise: revised}
_NO_CALL = ("source", "select")
"""Settings that change no call, and name places that may be gone."""


class AskedAbout(NamedTuple):
    """The calls of one artifact about rows that go."""

    journal: Path
    keys: set[bytes] | None
    """None where they cannot be told: the rows that it read, or a prompt that it used, are not there as they were."""


def asked_about(artifact: Artifact, gone: Gone, known: HashCache) -> AskedAbout | None:
    """The calls about the rows that go; None of a stage that asks nobody, or whose journal is not here."""
    journal = artifact.path.parent / JOURNAL
    config = artifact.receipt.config
    if artifact.receipt.stage not in _STAGES or config.get("use") == "recorded" or not journal.exists():
        return None
    stage, parent = _stage(artifact, known), artifact.parents().get("rows")
    if stage is None or parent is None:
        return AskedAbout(journal, None)
    return AskedAbout(journal, _keys(stage, Given("rows", parent, config["source"]["split"]), gone, journal))


def _stage(artifact: Artifact, known: HashCache) -> Generate | Judge | None:
    """The stage as it was; None where it can no longer be built, or would ask otherwise."""
    receipt = artifact.receipt
    settings = {name: _placed(value, receipt.models, known) for name, value in receipt.config.items() if name not in _NO_CALL}
    try:
        stage = _STAGES[receipt.stage].validate_python(settings)
        now = {path.name: known.sha256(path) for step in stage.steps for path in step.reads()}
    except (ValidationError, UsageError, OSError):
        return None
    return stage if now == receipt.models else None


def _placed(value: object, models: dict[str, str], known: HashCache) -> object:
    """A setting with files of the user's own where runs of the root have read them: the receipt has them relative to a recipe."""
    if isinstance(value, dict):
        return {name: _placed(item, models, known) for name, item in value.items()}
    digest = models.get(Path(value).name) if isinstance(value, str) else None
    place = with_hash(known, Path(value).name, digest) if digest else None
    return str(place) if place else value


def _keys(stage: Generate | Judge, given: Given, gone: Gone, journal: Path) -> set[bytes]:
    replay = _Replay(Journal(journal, ""))
    try:
        asyncio.run(_go_through(stage, given.shape, lambda: _rows(given, gone), replay))
    finally:
        replay.journal.close()
    return replay.keys


def _rows(given: Given, gone: Gone) -> Iterator[Read]:
    for file in given.files:
        for batch in batches(file):
            yield from (Read(row, 0, "", 0) for row in batch.filter(coming_from(batch, gone.documents, gone.given)).to_pylist())


async def _go_through(stage: Generate | Judge, shape: str, rows: Callable[[], Iterator[Read]], replay: "_Replay") -> None:
    """Ask as the stage does; what comes of it is not wanted."""
    if isinstance(stage, Answers | Write | Revise):

        async def one(read: Read) -> Written:
            return await _WORK[type(stage)](stage, shape, read.row, replay.ask)

        async for _ in in_order(rows(), one, WINDOW):
            pass
    elif not isinstance(stage, Recorded):
        async for _ in verdicts(stage, lambda: (judged(shape, read) for read in rows()), replay.ask, WINDOW):
            pass


class _Replay:
    """Answers calls from a journal alone, and notes them."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.keys: set[bytes] = set()

    async def ask(self, call: Call) -> Reply:
        """The reply that is known. Further draws of the call are noted too: which pairs were asked again hung on all rows."""
        for draw in count(call.draw):
            key = replace(call, draw=draw).key
            if not self.journal.attempts(key):
                break
            self.keys.add(key)
        reading, _ = self.journal.known(call.key, 1)
        if reading is None:
            return Reply(None, "not_known")
        return Reply(reading.text, reading.failed, finish=reading.finish, positions=reading.positions)
