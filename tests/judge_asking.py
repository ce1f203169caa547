"""What the tests of calling share: questions, an endpoint that fails fast, and a caller here or in a process of its own."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from curate.judges.budget import Budget
from curate.judges.caller import Caller
from curate.judges.calls import Call, Reply
from curate.judges.endpoint import ChatModel, Endpoint
from curate.judges.order import in_order

MODEL = ChatModel(endpoint="judge", model="m", max_tokens=40)


def endpoint(url: str, **fields: object) -> Endpoint:
    return Endpoint(**{"url": url, "timeout_s": 60, "backoff_s": 0.02, "tries": 6, **fields})


def question(text: str, model: ChatModel = MODEL, draw: int = 0) -> Call:
    return Call(model, [{"role": "user", "content": text}], "0" * 64, draw)


def ask(
    folder: Path, calls: list[Call], where: Endpoint, budget: Budget | None = None, run: str = "run"
) -> tuple[list[Reply], Caller]:
    """The replies to the calls by a caller of its own, closed again."""

    async def replies() -> tuple[list[Reply], Caller]:
        async with Caller({"judge": where}, folder / "calls.sqlite", run, *([budget] if budget else [])) as caller:
            return [reply async for reply in in_order(calls, caller.ask)], caller

    return asyncio.run(replies())


def asking(folder: Path, name: str = "calling", **settings: object) -> subprocess.Popen[str]:
    """Start a process that asks; see judge_calling."""
    file = folder / f"{name}.json"
    places = {"journal": str(folder / "calls.sqlite"), "out": str(folder / f"{name}.jsonl")}
    file.write_text(json.dumps({**places, **settings}), encoding="utf-8")
    words = [sys.executable, str(Path(__file__).with_name("judge_calling.py")), str(file)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(true: Callable[[], bool], seconds: float = 300) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
