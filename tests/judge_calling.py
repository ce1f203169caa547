"""A process that asks a judge server and may be killed: settings come in as JSON, replies go out as JSONL.

    python tests/judge_calling.py settings.json

Settings: `endpoint` (curate.judges.endpoint.Endpoint), `model` (ChatModel's further fields), `journal`, `out`,
`calls`, `budget`. Replies are written once all are there, in the order of the calls; the
last line of stdout is the account as JSON. Exit codes as the command line's: 1 stopped, 2 the user's mistake.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from curate.config import StoppedError, UsageError
from curate.judges.budget import Budget
from curate.judges.caller import Caller
from curate.judges.calls import Call
from curate.judges.endpoint import ChatModel, Endpoint
from curate.judges.order import in_order
from curate.judges.prompts import load_prompt, prompt_path


def calls(settings: dict) -> Iterator[Call]:
    """Pairwise questions by letter, each with answers of its own."""
    model = ChatModel(endpoint="judge", **{"model": "m", "temperature": 0, "max_tokens": 50, "logprobs": 8, **settings.get("model", {})})
    prompt = load_prompt(prompt_path("pairwise.en"))
    for number in range(settings["calls"]):
        data = {"prompt": f"Question {number}?", "answer_a": f"First answer {number}.", "answer_b": f"Second answer {number}."}
        yield Call(model, prompt.messages(data, ending="letter"), prompt.hash)


async def ask(settings: dict) -> dict:
    endpoint = Endpoint(**settings["endpoint"])
    lines = []
    async with Caller({"judge": endpoint}, Path(settings["journal"]), "run", Budget(**settings.get("budget", {}))) as caller:
        begun, cpu = time.monotonic(), time.process_time()
        async for reply in in_order(calls(settings), caller.ask):
            lines.append(json.dumps([reply.failed, reply.text, reply.positions]))
        took, cpu = time.monotonic() - begun, time.process_time() - cpu
        account = {"faults": caller.faults, "cached": caller.cached, "spent": asdict(caller.spent["judge"]), "wall_s": took, "cpu_s": cpu}
    Path(settings["out"]).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return account


def main() -> int:
    try:
        print(json.dumps(asyncio.run(ask(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))))
    except (UsageError, StoppedError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
