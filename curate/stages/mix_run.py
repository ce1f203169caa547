"""The mix stage from its sources to its finished artifact: scanned, planned, written, accounted for.

One process does it all, so the result cannot depend on the number of workers. A phase that has
left its result under `work/` is not done again, so a run that was stopped goes on after it.
Dropped rows stand in the artifacts they came from: `dropped/` holds none of their text again.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from curate import ledger
from curate.artifact import write_json
from curate.config import UsageError
from curate.executors import Executor, Progress
from curate.stages.accounts import Made
from curate.stages.given import Given
from curate.stages.mix import Mix
from curate.stages.mix_formats import refuse_ratings, refuse_shapes
from curate.stages.mix_plan import Plan, plan
from curate.stages.mix_report import Whole, counts, inputs, report, steps, write_ledger
from curate.stages.mix_scan import scan
from curate.stages.mix_units import Units
from curate.stages.mix_write import write_runs, write_split


class Clock:
    """Tells how far a phase is, and keeps the seconds of each."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self.on_progress = on_progress
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def phase(self, name: str, work: Callable[[Callable[[str, int], None]], None]) -> None:
        """Do `work`, which is given what to call after each batch."""
        done = 0
        wall, cpu = time.monotonic(), time.process_time()

        def on_batch(source: str, rows: int) -> None:
            nonlocal done
            done += rows
            self.on_progress(Progress(name, 0, 1, done, 0, note=source))

        on_batch("", 0)
        work(on_batch)
        self.wall[name], self.cpu[name] = time.monotonic() - wall, time.process_time() - cpu


def make(
    mix: Mix,
    given: dict[str, Given],
    directory: Path,
    limit: int | None,
    executor: Executor,
    workers: int | None,
    on_progress: Callable[[Progress], None],
) -> Made:
    """Run what is missing and write data/, ledger/, dropped/ and extra/ into `directory`."""
    given = {name: given[name] for name in mix.sources}
    _refuse_twice(given)
    refuse_shapes(mix, given)
    work = directory / "work"
    work.mkdir(parents=True, exist_ok=True)
    clock = Clock(on_progress)
    whole = _planned(mix, given, work, limit, clock)
    _once(work / "runs", clock, "write", lambda to, tell: write_runs(mix, given, whole.units, whole.plan, to, limit, tell))
    for name in ("data", "ledger", "dropped", "extra"):
        shutil.rmtree(directory / name, ignore_errors=True)
        (directory / name).mkdir()
    files: dict[str, list[str]] = {}
    clock.phase("sort", lambda tell: files.update(_data(mix, work / "runs", directory / "data", tell)))
    clock.phase("ledger", lambda tell: write_ledger(whole, directory / "ledger" / "00000.parquet", limit, tell))
    pq.write_table(ledger.DROPPED.empty_table(), directory / "dropped" / "00000.parquet", compression="zstd")
    _trainers(mix, files, directory / "extra")
    return _made(whole, files, limit, clock)


def _refuse_twice(given: dict[str, Given]) -> None:
    places: dict[tuple[Path, str], str] = {}
    for name, source in given.items():
        place = (source.artifact.path.resolve(), source.split)
        if place in places:
            raise UsageError(f"sources '{places[place]}' and '{name}' are the same rows; name them once and set `epochs` to repeat them")
        places[place] = name


def _once(directory: Path, clock: Clock, name: str, work: Callable[[Path, Callable[[str, int], None]], None]) -> None:
    """Fill a directory and give it its name when it is whole; one that is there is left as it is."""
    if directory.exists():
        return
    unfinished = directory.with_name(f".{directory.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    clock.phase(name, lambda tell: work(unfinished, tell))
    unfinished.rename(directory)


def _planned(mix: Mix, given: dict[str, Given], work: Path, limit: int | None, clock: Clock) -> Whole:
    def scanned(to: Path, tell: Callable[[str, int], None]) -> None:
        scan(mix, given, to, limit, tell).save(to / "units.npz")

    _once(work / "scan", clock, "scan", scanned)
    units = Units.load(work / "scan" / "units.npz")
    refuse_ratings(mix, given, units)
    made: list[Plan] = []
    clock.phase("plan", lambda tell: made.append(plan(mix, units)))
    return Whole(mix, given, units, made[0])


def _data(mix: Mix, runs: Path, data: Path, tell: Callable[[str, int], None]) -> dict[str, list[str]]:
    """Write every split; the names of its files."""
    files = {}
    for form in mix.formats:
        files[form.split] = write_split(mix, form, runs / form.split, data)
        tell(form.split, 0)
    return files


def _trainers(mix: Mix, files: dict[str, list[str]], extra: Path) -> None:
    """What LLaMA-Factory and axolotl are told of the files, whose names are relative to `extra/`."""
    entries: dict[str, dict] = {}
    configs: dict[str, dict] = {}
    for form in mix.formats:
        names = [f"../data/{name}" for name in files[form.split]]
        for number, name in enumerate(names):  # LLaMA-Factory takes a file or a folder, and other splits share ours
            entries |= form.output.info(form.split if len(names) == 1 else f"{form.split}_{number:05d}", [name])
        if found := form.output.axolotl(names):
            configs[form.split] = found
    write_json(extra / "dataset_info.json", entries)
    write_json(extra / "axolotl.json", configs)


def _made(whole: Whole, files: dict[str, list[str]], limit: int | None, clock: Clock) -> Made:
    total = counts(whole)
    size = int((whole.units.size * whole.plan.times).sum())
    return Made(
        inputs=inputs(whole, limit),
        counts=total,
        steps=steps(total, sum(clock.cpu.values())),
        damage=[],
        report=report(whole, files),
        tokens=size if whole.mix.unit == "tokens" else None,
        timings=clock.wall,
    )
