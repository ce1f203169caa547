"""The Batch API: calls gather into files, files become batches, and a batch's lines come back as raw answers.

A batch's name (the hash of its file) is journalled before it is created and its id before it is looked at,
so that a run that died at any moment finds its batches again and pays for none twice.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import orjson

from curate.config import StoppedError
from curate.judges.budget import Purse, Spent, used
from curate.judges.calls import Call
from curate.judges.endpoint import refused
from curate.judges.journal import Attempt, Journal, OpenBatch
from curate.judges.replies import ANSWERS, UNHEARD, UNREACHED, Raw, read
from curate.judges.retry import asked_wait, backoff
from curate.judges.wire import Wire

if TYPE_CHECKING:
    from openai.types import Batch

IDLE_S = 0.3
"""A file is closed when no further call came for so long."""
MOST_CHARACTERS = 30_000_000
"""Of the prompts in one file; providers take files of 100 MB and more, and characters are up to three bytes."""
LISTED = 1000
"""How many of the endpoint's latest batches are searched for one whose id was lost."""
ENDED = ("completed", "failed", "expired", "cancelled")
T = TypeVar("T")


class Waiting(NamedTuple):
    """A call of the next file, and where its answer is awaited."""

    call: Call
    answer: "asyncio.Future[Raw]"


class Batches:
    """The files and batches of one endpoint."""

    def __init__(self, wire: Wire, journal: Journal, purse: Purse) -> None:
        self.wire, self.journal, self.purse = wire, journal, purse
        self._waiting: list[Waiting] = []
        self._characters = 0
        self._closing: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._resumed: asyncio.Task[None] | None = None

    async def attempt(self, call: Call) -> Raw:
        """The call's answer out of a batch; `missing_in_batch` where the batch ended without it."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(call, answer))
        self._characters += sum(len(message["content"]) for message in call.messages)
        if self._closing:
            self._closing.cancel()
        if len(self._waiting) >= self.wire.endpoint.batch_size or self._characters >= MOST_CHARACTERS:
            self._begin()
        else:
            self._closing = asyncio.get_running_loop().call_later(IDLE_S, self._begin)
        return await answer

    async def close(self) -> None:
        """Stop looking at batches under way; the next run does."""
        for task in self._running | ({self._resumed} if self._resumed else set()):
            task.cancel()
        if self._closing:
            self._closing.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        _fail(self._waiting, StoppedError("the batch goes on at the endpoint; run again to read it"))

    def _begin(self) -> None:
        """Close the file: one batch for each model in it, since a file may hold only one."""
        waiting, self._waiting, self._characters = self._waiting, [], 0
        models = dict.fromkeys(one.call.model.model for one in waiting)
        for model in models:
            task = asyncio.create_task(self._run(model, [one for one in waiting if one.call.model.model == model]))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, model: str, waiting: list[Waiting]) -> None:
        try:
            if self._resumed is None:
                self._resumed = asyncio.create_task(self._resume())
            await asyncio.shield(self._resumed)
            waiting = self._answer_known(waiting)
            promised, fitting, stop = await self._promise(waiting)
            try:
                answers = await self._batch(model, [one.call for one in waiting[:fitting]]) if fitting else {}
            finally:
                await self.purse.settle(self.wire.name, promised, Spent())
            for one in waiting[:fitting]:
                one.answer.set_result(answers.get(one.call.key, Raw(UNREACHED, "", "missing_in_batch")))
            _fail(waiting[fitting:], stop)
        except asyncio.CancelledError:
            _fail(waiting, StoppedError("the batch goes on at the endpoint; run again to read it"))
            raise
        except Exception as error:  # a bug too must reach those who wait, or they wait for ever
            _fail(waiting, error)

    def _answer_known(self, waiting: list[Waiting]) -> list[Waiting]:
        """Answer what an earlier run's batch has brought meanwhile; the rest."""
        rest = []
        for one in waiting:
            kept = (Raw(status, body) for status, body in self.journal.attempts(one.call.key))
            raw = next((raw for raw in kept if read(raw).failed in ANSWERS), None)
            one.answer.set_result(raw) if raw else rest.append(one)
        return rest

    async def _promise(self, waiting: list[Waiting]) -> tuple[Spent, int, StoppedError | None]:
        """What is set aside, for how many of the calls, and why not for all. They are told only after the others are paid for."""
        promised = Spent()
        for number, one in enumerate(waiting):
            try:
                promised.add(await self.purse.promise(one.call, self.wire.endpoint, wait=False))
            except StoppedError as error:
                return promised, number, error
        return promised, len(waiting), None

    async def _batch(self, model: str, calls: list[Call]) -> dict[bytes, Raw]:
        """Upload, create, wait and read one batch: raw answers by call."""
        lines = [{"custom_id": call.key.hex(), "method": "POST", "url": "/v1/chat/completions", "body": call.request} for call in calls]
        data = b"\n".join(orjson.dumps(line) for line in lines)
        # The same calls may need a second batch, which must not be taken for the first.
        name = hashlib.sha256(f"{self.journal.run} {self.journal.batches()} ".encode() + data).hexdigest()
        client = self.wire.client
        file = await self._patiently(lambda: client.files.create(file=("calls.jsonl", data), purpose="batch"))
        self.journal.begin_batch(name, self.wire.name, model)
        batch_id = await self._create(name, file.id)
        return await self._collect(OpenBatch(name, model, batch_id))

    async def _create(self, name: str, file_id: str) -> str:
        """The id of the batch, created unless an attempt that seemed to fail did create it; journalled."""
        client = self.wire.client
        tried = False

        async def create() -> str:
            nonlocal tried
            found = await self._find(name) if tried else None
            tried = True
            if found:
                return found
            made = await client.batches.create(
                input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"curate": name}
            )
            return made.id

        batch_id = await self._patiently(create)
        self.journal.name_batch(name, batch_id)
        return batch_id

    async def _find(self, name: str) -> str | None:
        """The id of the batch that bears our name, among the endpoint's latest."""
        looked = 0
        async for batch in self.wire.client.batches.list(limit=100):
            if (batch.metadata or {}).get("curate") == name:
                return batch.id
            looked += 1
            if looked >= LISTED:
                return None
        return None

    async def _resume(self) -> None:
        """Read the batches that an earlier process began; one that was never created is forgotten."""
        for batch in self.journal.open_batches(self.wire.name):
            batch_id = batch.id or await self._patiently(lambda name=batch.name: self._find(name))
            if batch_id:
                await self._collect(batch._replace(id=batch_id))
            else:
                self.journal.end_batch(batch.name, [])

    async def _collect(self, batch: OpenBatch) -> dict[bytes, Raw]:
        """Wait for a batch's end, journal what it brought, and only then return it, by call."""
        client, wire = self.wire.client, self.wire
        while (state := await self._patiently(lambda: client.batches.retrieve(batch.id))).status not in ENDED:
            await asyncio.sleep(wire.endpoint.batch_poll_s)
        wire.heard += 1
        answers: dict[bytes, Raw] = {}
        for file_id in (state.output_file_id, state.error_file_id):
            if file_id:
                content = await self._patiently(lambda file_id=file_id: client.files.content(file_id))
                answers |= _answers(wire.address.without_key(content.text))
        kept = {key: raw for key, raw in answers.items() if raw.status in (200, UNHEARD)}
        self.journal.end_batch(batch.name, [Attempt(key, wire.name, batch.model, raw.status, raw.body) for key, raw in kept.items()])
        for raw in kept.values():
            reading = read(raw)
            await self.purse.settle(wire.name, Spent(), used(wire.endpoint, batch.model, reading.tokens_in, reading.tokens_out))
        if state.status == "failed":
            where = f"endpoint '{wire.name}' ({wire.address.host})"
            raise StoppedError(f"{where}: the batch was refused: {_why(wire, state)}; correct it, or use `mode: live`")
        return answers

    async def _patiently(self, action: Callable[[], Awaitable[T]]) -> T:
        """What an action of ours (not a call) returns, tried again while that can help; StoppedError else."""
        import openai

        wire = self.wire
        where = f"endpoint '{wire.name}' ({wire.address.host})"
        for tried in range(1, wire.endpoint.tries + 1):
            asked = None
            try:
                return await action()
            except openai.APIStatusError as error:
                body = wire.address.without_key(error.response.text)
                said = read(Raw(error.status_code, body))
                if said.failed == "key_refused":
                    raise refused(wire.name, wire.address.host, said.detail if error.status_code == 403 else "") from None
                if said.final:
                    told = f"a batch request was refused: {said.detail}; where it has no Batch API use `mode: live`"
                    raise StoppedError(f"{where}: {told}") from None
                asked = asked_wait(error.response.headers, body=body)
            except openai.APIConnectionError:
                pass
            await asyncio.sleep(backoff(tried, wire.endpoint.backoff_s, bytes(32), asked))
        raise StoppedError(f"{where}: batch requests failed {wire.endpoint.tries} times; run again to go on from here")


def _fail(waiting: list[Waiting], error: Exception | None) -> None:
    for one in waiting:
        if not one.answer.done():
            one.answer.set_exception(error)


def _why(wire: Wire, state: "Batch") -> str:
    errors = state.errors.data if state.errors and state.errors.data else []
    return wire.address.without_key(errors[0].message or "no reason given")[:200] if errors else "no reason given"


def _answers(text: str) -> dict[bytes, Raw]:
    """Raw answers by call key, out of an output or error file; a broken line is as if it were missing."""
    answers = {}
    for line in text.splitlines():
        try:
            entry = orjson.loads(line)
            key, response = bytes.fromhex(entry["custom_id"]), entry.get("response")
            if response:
                answers[key] = Raw(int(response["status_code"]), orjson.dumps(response.get("body")).decode())
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return answers
