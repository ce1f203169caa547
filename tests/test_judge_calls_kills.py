"""Processes that are killed and endpoints that die: nothing is lost, little is asked twice."""

import json
from pathlib import Path

from judge_asking import ask, asking, endpoint, until
from judge_calling import calls as pairwise_calls
from judge_server import running
from judge_truth import Truth

FAULTS = {"http_429": 0.05, "http_500": 0.02, "hang": 0.01, "garbage": 0.01}


def test_faults_and_three_kills_lose_nothing_change_nothing_and_bill_little_twice(tmp_path: Path) -> None:
    count = 1500
    settings = {"concurrency": 16, "timeout_s": 5, "backoff_s": 0.05}
    with running(tmp_path / "faulty", faults=FAULTS, latency_s=0.06) as server:
        faulty = {"calls": count, "endpoint": {**settings, "url": server.url}}
        for kill in range(3):
            process = asking(tmp_path, "faulty", **faulty)
            until(lambda kill=kill: server.count() > count * (kill + 1) // 4)
            process.kill()
            process.communicate()
            assert not (tmp_path / "faulty.jsonl").exists()
        process = asking(tmp_path, "faulty", **faulty)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        entries = server.entries()
    said = [Truth({}).say(call.request, 0) for call in pairwise_calls({"calls": count})]
    expected = [[None, one.text, [[one.text, [list(pair) for pair in one.top]]]] for one in said]
    assert [json.loads(line) for line in (tmp_path / "faulty.jsonl").read_text().splitlines()] == expected
    repeated = sum(entry["billed"] for entry in entries) - count - sum(entry["fault"] == "garbage" for entry in entries)
    assert 0 <= repeated <= 3 * settings["concurrency"], "a kill repeats more than the calls in flight"
    assert json.loads(out)["cached"] > count // 2


def test_an_endpoint_that_dies_in_the_middle_fails_no_row(tmp_path: Path) -> None:
    settings = {"tries": 2, "backoff_s": 0.02, "requests_per_minute": 1500}
    with running(tmp_path / "first") as server:
        process = asking(tmp_path, calls=300, endpoint={**settings, "url": server.url})
        until(lambda: server.count() > 60)
        server.process.kill()
        _, err = process.communicate(timeout=300)
    assert process.returncode == 1 and "cannot be reached" in err.splitlines()[-1]
    with running(tmp_path / "second") as server:
        replies, caller = ask(tmp_path, list(pairwise_calls({"calls": 300})), endpoint(server.url))
    assert all(reply.text for reply in replies) and caller.cached >= 40


def test_a_torn_journal_keeps_what_came_before_the_tear(tmp_path: Path) -> None:
    """The write-ahead log of a killed process, cut in its last commit."""
    with running(tmp_path / "server") as server:
        process = asking(tmp_path, calls=400, endpoint={"url": server.url, "requests_per_minute": 3000})
        until(lambda: server.count() > 120)
        process.kill()
        process.communicate()
        log = tmp_path / "calls.sqlite-wal"
        log.write_bytes(log.read_bytes()[:-1000])
        calls = list(pairwise_calls({"calls": 120}))
        replies, caller = ask(tmp_path, calls, endpoint(server.url))
        keys = [entry["key"] for entry in server.entries()]
    assert all(reply.text for reply in replies)
    assert caller.cached >= 60, "more is lost than the calls under way and the last commit"
    assert len(keys) - len(set(keys)) <= 120 - caller.cached
