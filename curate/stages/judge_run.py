"""The judge stage from its rows to its finished artifact: verdicts first, then labels made of all of them, then rows.

The labels of a row depend on every verdict (a judge's lean is measured on all pairs), so the
rows are read twice; of what models said only numbers are held in memory.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from curate.config import UsageError
from curate.executors import Executor, Progress
from curate.judges.asking import Asking, listening, window
from curate.judges.verdicts import SCHEMA
from curate.stages.accounts import Made
from curate.stages.asked import Output, Read, refuse_shape, rows
from curate.stages.given import Given
from curate.stages.judge import Aggregated, Judge, Recorded
from curate.stages.judge_ask import verdicts
from curate.stages.judge_labels import Decided, Labels, decided, labels
from curate.stages.judge_recorded import Recording
from curate.stages.judge_report import report
from curate.stages.judge_select import Candidacy
from curate.stages.judge_units import Judged, judged
from curate.stages.tables import Table
from curate.steps.step import Drop

logger = logging.getLogger(__name__)

_TEXTS = ("rationale", "reply")
"""Columns of verdicts that no statistic needs."""


class Room:
    """What the phases share: the rows, and where their results lie."""

    def __init__(self, judge: Judge, source: Given, directory: Path, limit: int | None, on_progress: Callable[[Progress], None]) -> None:
        self.judge, self.source, self.directory, self.limit, self.on_progress = judge, source, directory, limit, on_progress
        self.shape = source.shape
        self.work = directory / "work"
        self.verdicts = self.work / "verdicts.parquet"

    def rows(self) -> Iterator[Read]:
        return rows(self.source, self.limit)

    def units(self) -> Iterator[Judged]:
        return (judged(self.shape, read) for read in self.rows())


def make(
    judge: Judge,
    given: dict[str, Given],
    directory: Path,
    limit: int | None,
    executor: Executor,
    workers: int | None,
    on_progress: Callable[[Progress], None],
    asking: Asking = Asking(),
) -> Made:
    """Ask for what is missing and write data/, ledger/, dropped/ and verdicts/ into `directory`.

    One process does it, since the work is waiting.
    """
    room = Room(judge, given["rows"], directory, limit, on_progress)
    refuse_shape("judge", judge.use, judge.takes, room.shape)
    room.work.mkdir(parents=True, exist_ok=True)
    wall, cpu = time.monotonic(), time.process_time()
    heard = _recorded(room) if isinstance(judge, Recorded) else asyncio.run(_asked(room, asking))
    asked = time.monotonic()
    said = pl.read_parquet(room.verdicts, columns=[name for name in SCHEMA.names if name not in _TEXTS])
    lengths, models = _answers(room)
    output, selected = _labelled(room, labels(judge, said, lengths))
    output.finish(directory, judge.shard_bytes)
    _keep_verdicts(room)
    told = report(said, lengths, models)
    unproven = [selected["select"]["sentence"]] if selected and selected["select"]["threshold"] is None else []
    told = {**told, **heard, **selected, "warnings": [*told["warnings"], *heard.get("warnings", []), *unproven]}
    for warning in told["warnings"]:
        logger.warning("%s", warning)
    timings = {"ask": asked - wall, "label": time.monotonic() - asked}
    return output.made(room.source, limit, told, timings, time.process_time() - cpu)


async def _asked(room: Room, asking: Asking) -> dict:
    """Write all verdicts; what the replies have in common and what they cost."""
    judge, table, done = room.judge, Table(room.verdicts, SCHEMA), 0
    async with listening(judge.asked, asking, room.directory, judge.max_failed) as heard:
        async for found in verdicts(judge, room.units, heard.ask, window(judge.asked, asking)):
            for one in found:
                table.add(one)
            done += 1
            room.on_progress(Progress("judge", 0, 1, done, 0))
    table.close()
    return heard.as_json()


def _recorded(room: Room) -> dict:
    """Write the verdicts of a recording; how many of them were about these rows."""
    recording, table = Recording(room.judge.path), Table(room.verdicts, SCHEMA)
    for unit in room.units():
        for one in recording.verdicts(unit):
            table.add(one)
    table.close()
    if not recording.matched:
        raise UsageError(f"{recording.path}: none of its {recording.read:,} verdicts is about a row that is judged here; `row_id` is the row's `id`")
    return {"recorded": {"read": recording.read, "unmatched": recording.unmatched}}


def _answers(room: Room) -> tuple[dict[str, float], dict[str, str]]:
    """Length in characters and model of every answer, by id; pairs of people's answers have no model."""
    if not isinstance(room.judge, Aggregated):
        return {}, {}
    lengths, models = {}, {}
    for unit in room.units():
        for answer in unit.answers:
            lengths[answer.id] = float(len(answer.text))
            if answer.model is not None:
                models[answer.id] = answer.model
    return lengths, models


def _labelled(room: Room, known: Labels) -> tuple[Output, dict]:
    """Write every row as its labels make it; what a selection by gold says."""
    keep, said = _selected(room, known)
    output = Output(room.work, room.shape, "judge", room.judge.dropped_text)
    for read in room.rows():
        made = decided(room.judge, judged(room.shape, read), known)
        if made.row is not None and not keep(read.ordinal):
            made = Decided(None, Drop("under_selection", made.probability, said["select"]["threshold"]), made.values)
        output.add(read, [made.row] if made.row is not None else [], made.drop, made.values)
    return output, said


def _selected(room: Room, known: Labels) -> tuple[Callable[[int], bool], dict]:
    """Whether a row's label is kept, by its ordinal, and what is promised of them."""
    wanted = room.judge.select if isinstance(room.judge, Aggregated) else None
    if wanted is None:
        return lambda ordinal: True, {}
    labels_of = Candidacy(wanted, room.shape)
    for read in room.rows():
        labels_of.note(read.row, decided(room.judge, judged(room.shape, read), known))
    selection = labels_of.selection()
    told = {name: value for name, value in selection._asdict().items() if name != "keep"}
    return lambda ordinal: bool(selection.keep[ordinal]), {"select": told}


def _keep_verdicts(room: Room) -> None:
    folder = room.directory / "verdicts"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(room.verdicts, folder / "00000.parquet")
