"""The batch mode and the small parts of calling: batches that die and lose lines, waits, estimates, readings."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from judge_answering import answering
from judge_asking import ask, asking, endpoint, question, until
from judge_server import running

from curate.config import StoppedError, UsageError
from curate.judges.budget import Budget
from curate.judges.calls import Call
from curate.judges.limits import Bucket, Slots
from curate.judges.replies import UNHEARD, Raw, read
from curate.judges.retry import asked_wait, backoff

BATCH = {"mode": "batch", "batch_poll_s": 0.1}


def questions(count: int) -> list[Call]:
    return [question(f"Number {number}?") for number in range(count)]


def test_a_batch_brings_the_replies_that_single_calls_bring(tmp_path: Path) -> None:
    with running(tmp_path / "server") as server:
        live, _ = ask(tmp_path / "live", questions(40), endpoint(server.url))
        batched, caller = ask(tmp_path / "batch", questions(40), endpoint(server.url, **BATCH))
        assert len(server.entries("create")) == 1 and len(server.entries("batch")) == 40
    assert [reply.text for reply in batched] == [reply.text for reply in live]
    assert caller.spent["judge"].calls == 40


def test_lines_that_a_batch_loses_or_fails_come_with_the_next(tmp_path: Path) -> None:
    faults = {"batch_lost": 0.2, "http_500": 0.1, "empty": 0.1, "refusal": 0.05}
    with running(tmp_path / "server", faults=faults) as server:
        replies, caller = ask(tmp_path, questions(100), endpoint(server.url, tries=12, **BATCH))
        billed = sum(entry["billed"] for entry in server.entries("batch"))
    assert {reply.failed for reply in replies} == {None, "refused"}
    assert caller.faults["missing_in_batch"] and caller.faults["server_error"] and caller.faults["empty_reply"]
    assert caller.spent["judge"].calls == billed


def test_a_killed_run_finds_its_batch_again_and_pays_once(tmp_path: Path) -> None:
    settings = {"calls": 50, "endpoint": {"tries": 6, **BATCH}}
    with running(tmp_path / "server", batch_polls=8) as server:
        settings["endpoint"]["url"] = server.url
        process = asking(tmp_path, **settings)
        until(lambda: bool(server.entries("create")))
        process.kill()
        process.communicate()
        process = asking(tmp_path, **settings)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert len(server.entries("create")) == 1 and len(server.entries("batch")) == 50
    assert len((tmp_path / "calling.jsonl").read_text().splitlines()) == 50


def test_a_batch_whose_id_was_lost_is_found_by_its_name(tmp_path: Path) -> None:
    """The process dies between the creation at the endpoint and the id's way into the journal."""
    import sqlite3

    with running(tmp_path / "server", batch_polls=2) as server:
        ask(tmp_path, questions(30), endpoint(server.url, **BATCH))
        with sqlite3.connect(tmp_path / "calls.sqlite") as journal:
            journal.execute("DELETE FROM attempts")
            journal.execute("UPDATE batches SET id = NULL, done = 0")
        replies, _ = ask(tmp_path, questions(30), endpoint(server.url, **BATCH))
        assert len(server.entries("create")) == 1 and len(server.entries("batch")) == 30
    assert all(reply.text for reply in replies)


def test_a_budget_sends_as_much_of_a_batch_as_it_can_pay(tmp_path: Path) -> None:
    with running(tmp_path / "server") as server:
        with pytest.raises(StoppedError, match="budget.max_calls"):
            ask(tmp_path, questions(30), endpoint(server.url, **BATCH), Budget(max_calls=20))
        assert len(server.entries("batch")) == 20
        replies, _ = ask(tmp_path, questions(30), endpoint(server.url, **BATCH), Budget(max_calls=30))
        assert len(server.entries("batch")) == 30
    assert all(reply.text for reply in replies)


def test_a_refused_key_stops_a_batch_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_ENDPOINT_JUDGE_KEY", "sk-secret-batch")
    with running(tmp_path / "server", api_key="another") as server, pytest.raises(UsageError, match="API key was refused") as caught:
        ask(tmp_path / "run", questions(3), endpoint(server.url, **BATCH))
    assert "sk-secret" not in str(caught.value)
    assert not [path for path in (tmp_path / "run").iterdir() if b"sk-secret" in path.read_bytes()]


@pytest.mark.parametrize(
    ("status", "message", "error", "said"),
    [
        (404, "Not Found", StoppedError, "404 .*Not Found; where it has no Batch API use `mode: live`"),
        (400, "Batch is not part of the free tier", StoppedError, "refused: 400 Batch is not part of the free tier"),
        (402, "Insufficient Balance", StoppedError, "402 Insufficient Balance"),
        (403, "This key may not write files", UsageError, "refused .403 This key may not write files."),
    ],
)
def test_an_endpoint_that_takes_no_batch_says_why_at_once(tmp_path: Path, status: int, message: str, error: type[Exception], said: str) -> None:
    with answering(status, json.dumps({"error": {"message": message}})) as url, pytest.raises(error, match=said):
        ask(tmp_path, questions(3), endpoint(url, **BATCH))


def test_waits_grow_have_a_ceiling_and_need_no_clock() -> None:
    key = bytes(range(32))
    waits = [backoff(tried, 0.5, key, None) for tried in range(1, 12)]
    assert waits == [backoff(tried, 0.5, key, None) for tried in range(1, 12)]
    assert all(0.5 * min(60, 0.5 * 2**tried) <= wait <= min(60, 0.5 * 2**tried) for tried, wait in enumerate(waits))
    assert backoff(1, 0.5, key, 7.0) >= 7.0
    assert len({backoff(1, 0.5, bytes([number]) * 32, None) for number in range(9)}) == 9


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:05 GMT"}, 5),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "99999"}, 600),
        ({"retry-after-ms": "250"}, 0.25),
        ({"x-ratelimit-reset-requests": "1m2s", "x-ratelimit-remaining-requests": "0"}, 62),
        ({"x-ratelimit-reset-tokens": "20ms", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-requests": "1h"}, 0.02),
        ({"x-ratelimit-reset": "1.5"}, 1.5),
        ({"x-ratelimit-reset": "1795262400"}, None),
    ],
)
def test_what_an_endpoint_asks_for_is_understood(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait(headers, datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)) == (None if seconds is None else pytest.approx(seconds))


def test_a_bucket_gives_what_its_rate_allows_and_little_at_once() -> None:
    bucket = Bucket(600)
    assert [bucket.wait_s(1, 100.0) for _ in range(4)] == pytest.approx([0, 0.1, 0.2, 0.3]), "nothing is left over at the start"
    waits = [bucket.wait_s(1, 200.0) for _ in range(20)]
    assert [wait == 0 for wait in waits] == [True] * 6 + [False] * 14
    assert waits[-1] == pytest.approx((19 - 5) / 10)


def test_a_freed_slot_goes_to_the_oldest_call() -> None:
    async def order() -> list[int]:
        slots, served = Slots(1), []

        async def one(age: int) -> None:
            async with slots.taken(age):
                served.append(age)
                await asyncio.sleep(0)

        await asyncio.gather(*(one(age) for age in (5, 9, 7, 1)))
        return served

    assert asyncio.run(order()) == [5, 1, 7, 9]


@pytest.mark.parametrize(
    ("status", "body", "failed", "final"),
    [
        (200, {"choices": []}, "malformed_reply", False),
        (200, [1], "malformed_reply", False),
        (200, {"choices": [{"message": {"content": None}}]}, "empty_reply", False),
        (200, {"choices": [{"message": {"content": " \n"}, "finish_reason": "length"}]}, "cut_before_text", True),
        (200, {"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]}, "content_filter", True),
        (200, {"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"token": 1}]}}], "usage": {"prompt_tokens": "many"}}, None, True),
        (200, {"error": {"code": 429, "message": "slow down"}}, "rate_limited", False),
        (200, {"error": {"code": "x", "message": "?"}}, "malformed_reply", False),
        (400, {"error": {"code": "context_length_exceeded", "message": ""}}, "context_too_long", True),
        (400, {"message": "This model's maximum context length is 4096 tokens"}, "context_too_long", True),
        (400, {"error": {"code": "content_filter", "message": ""}}, "content_filter", True),
        (400, "no object", "bad_request", True),
        (404, {}, "model_not_found", True),
        (403, {}, "key_refused", True),
        (429, {"error": {"code": "insufficient_quota", "message": ""}}, "quota_used_up", True),
        (429, {}, "rate_limited", False),
        (503, {}, "server_error", False),
        (408, {}, "server_error", False),
        (UNHEARD, {}, "timed_out", False),
    ],
)
def test_every_sort_of_answer_has_its_reason(status: int, body: object, failed: str | None, final: bool) -> None:
    reading = read(Raw(status, json.dumps(body)))
    assert (reading.failed, reading.final) == (failed, final)
