"""The generate stage from its rows to its finished artifact: every row asked about, what came of it written in order."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from curate.artifact import StepAccount
from curate.config import UsageError
from curate.executors import Executor, Progress
from curate.judges.asking import Asking, Bill, Heard, caller, window
from curate.judges.budget import Budget
from curate.judges.calls import Call, Reply
from curate.judges.endpoint import Endpoint
from curate.judges.order import in_order
from curate.stages.accounts import Made
from curate.stages.asked import Output, Read, inputs, rows
from curate.stages.generate import Answers, Generate, Revise, Write
from curate.stages.generate_answers import Written, answered, revised, written
from curate.stages.given import Given

logger = logging.getLogger(__name__)

_WORK = {Answers: answered, Write: written, Revise: revised}
_TAKES = {Answers: ("document", "conversation", "candidates", "preference", "feedback"), Write: ("document",), Revise: ("candidates",)}
_SURPLUS = "texts_of_one"


def make(
    generate: Generate,
    given: dict[str, Given],
    directory: Path,
    limit: int | None,
    executor: Executor,
    workers: int | None,
    on_progress: Callable[[Progress], None],
    endpoints: dict[str, Endpoint] | None = None,
    budget: Budget | None = None,
    run: str = "",
) -> Made:
    """Ask for what is missing and write data/, ledger/ and dropped/ into `directory`.

    One process does it, since the work is waiting. `run` names whose budget it is: the same for all stages of a recipe.
    """
    source = given["rows"]
    if source.shape not in _TAKES[type(generate)]:
        takes = ", ".join(_TAKES[type(generate)])
        raise UsageError(f"generate: `use: {generate.use}` works on {takes} rows, and these are {source.shape} rows; name another source")
    work = directory / "work"
    work.mkdir(parents=True, exist_ok=True)
    output = Output(work, generate.makes, "generate", generate.dropped_text)
    heard, missing = Heard(), Counter()
    wall, cpu = time.monotonic(), time.process_time()

    def on_row(read: Read, made: Written) -> None:
        output.add(read, made.rows, made.drop, {"missing": len(made.missing)} if made.missing else None)
        missing.update(made.missing)
        on_progress(Progress("generate", 0, 1, output.read, 0))

    asking = Asking(endpoints or {}, budget or Budget(), run)
    bill = asyncio.run(_asked(generate, source, directory, limit, asking, heard, on_row))
    heard.refuse_failures(generate.max_failed)
    output.finish(directory, generate.shard_bytes)
    for warning in heard.warnings():
        logger.warning("%s", warning)
    step = {"name": "generate", "in": output.read, "out": output.kept, "cpu_s": time.process_time() - cpu}
    return Made(
        inputs=inputs(source, limit),
        counts=output.counts(_SURPLUS),
        steps=[StepAccount(**step)],
        damage=[],
        report={**heard.as_json(), "missing": dict(sorted(missing.items())), "bill": bill, "warnings": heard.warnings()},
        tokens=None,
        timings={"ask": time.monotonic() - wall},
    )


async def _asked(
    generate: Generate, source: Given, directory: Path, limit: int | None, asking: Asking, heard: Heard, on_row: Callable[[Read, Written], None]
) -> dict:
    """Work on every row, results in the order of the rows; what it cost."""
    shape = source.shape
    async with caller(generate.asked, asking, directory) as asked:
        bill = Bill(asked, directory / "work")

        async def ask(call: Call) -> Reply:
            reply = await asked.ask(call)
            heard.note(call.model, reply)
            return reply

        async def one(read: Read) -> tuple[Read, Written]:
            return read, await _WORK[type(generate)](generate, shape, read.row, ask)

        async for read, made in in_order(rows(source, limit), one, window(generate.asked, asking)):
            on_row(read, made)
        return bill.as_json()
