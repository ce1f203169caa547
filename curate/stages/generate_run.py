"""The generate stage from its rows to its finished artifact: every row asked about, what came of it written in order."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from curate.executors import Executor, Progress
from curate.judges.asking import Asking, Heard, listening, window
from curate.judges.order import in_order
from curate.stages.accounts import Made
from curate.stages.asked import Output, Read, refuse_shape, rows
from curate.stages.generate import Answers, Generate, Revise, Write
from curate.stages.generate_answers import CUT, Written, answered, revised, written
from curate.stages.given import Given

logger = logging.getLogger(__name__)

MISSING_SHARE = 0.05
"""Above it a run warns."""
_WORK = {Answers: answered, Write: written, Revise: revised}


def make(
    generate: Generate,
    given: dict[str, Given],
    directory: Path,
    limit: int | None,
    executor: Executor,
    workers: int | None,
    on_progress: Callable[[Progress], None],
    asking: Asking = Asking(),
) -> Made:
    """Ask for what is missing and write data/, ledger/ and dropped/ into `directory`.

    One process does it, since the work is waiting.
    """
    source = given["rows"]
    refuse_shape("generate", generate.use, generate.takes, source.shape)
    work = directory / "work"
    work.mkdir(parents=True, exist_ok=True)
    output = Output(work, generate.makes, "generate", generate.dropped_text)
    missing: Counter[str] = Counter()
    wall, cpu = time.monotonic(), time.process_time()

    def on_row(read: Read, made: Written) -> None:
        output.add(read, made.rows, made.drop, {"missing": len(made.missing)} if made.missing else None)
        missing.update(made.missing)
        on_progress(Progress("generate", 0, 1, output.read, 0))

    heard = asyncio.run(_asked(generate, source, directory, limit, asking, on_row))
    output.finish(directory, generate.shard_bytes)
    warnings = [*heard.warnings(), *_losses(missing, heard.calls)]
    for warning in warnings:
        logger.warning("%s", warning)
    report = {**heard.as_json(), "missing": dict(sorted(missing.items())), "warnings": warnings}
    return output.made(source, limit, report, {"ask": time.monotonic() - wall}, time.process_time() - cpu)


def _losses(missing: Counter[str], calls: int) -> list[str]:
    """A sentence where many texts are missing: what is left of a row may lean to the models that are not."""
    if missing.total() <= MISSING_SHARE * calls:
        return []
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in missing.most_common())
    return [f"{missing.total():,} texts of {calls:,} calls are missing: {reasons}" + ("; raise `max_tokens`" if CUT in missing else "")]


async def _asked(
    generate: Generate, source: Given, directory: Path, limit: int | None, asking: Asking, on_row: Callable[[Read, Written], None]
) -> Heard:
    """Work on every row, results in the order of the rows."""
    shape = source.shape
    async with listening(generate.asked, asking, directory, generate.max_failed) as heard:

        async def one(read: Read) -> tuple[Read, Written]:
            return read, await _WORK[type(generate)](generate, shape, read.row, heard.ask)

        async for read, made in in_order(rows(source, limit), one, window(generate.asked, asking)):
            on_row(read, made)
    return heard
