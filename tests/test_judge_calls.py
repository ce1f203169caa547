"""The caller against a real server in a process of its own: reasons, cache, limits, money and secrets."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from judge_asking import MODEL, ask, asking, endpoint, question
from judge_server import Running, running

from curate.config import StoppedError, UsageError
from curate.judges.budget import Budget, Spent, estimate
from curate.judges.caller import Caller
from curate.judges.calls import Call
from curate.judges.endpoint import Endpoint, Price, address
from curate.judges.limits import BURST_S, Pace


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server without faults."""
    with running(tmp_path_factory.mktemp("plain"), models=["m"], context=5000) as server:
        yield server


def test_every_failure_ends_as_a_counted_reason_and_none_as_a_lost_row(tmp_path: Path) -> None:
    roomy = MODEL.model_copy(update={"max_tokens": 400})
    faults = {"garbage": 0.1, "empty": 0.1, "refusal": 0.1, "cut": 0.1, "http_500": 0.1}
    with running(tmp_path / "server", faults=faults) as server:
        replies, caller = ask(tmp_path, [question(f"Number {n}?", roomy) for n in range(200)], endpoint(server.url, tries=3))
        entries = server.entries()
    failures = {"malformed_reply", "empty_reply", "connection_cut", "server_error"}
    assert len(replies) == 200
    assert all((reply.text is None) == (reply.failed is not None) for reply in replies)
    assert {"refused"} <= {reply.failed for reply in replies} <= {None, "refused", *failures}
    met = {name: sum(entry["fault"] == name for entry in entries) for name in faults}
    counted = caller.faults
    assert (counted["refused"], counted["empty_reply"], counted["server_error"]) == (met["refusal"], met["empty"], met["http_500"])
    assert (counted["malformed_reply"], counted["connection_cut"]) == (met["garbage"], met["cut"])


def test_tokens_of_replies_that_cannot_be_used_are_billed_too(tmp_path: Path) -> None:
    with running(tmp_path / "server", faults={"empty": 0.3, "refusal": 0.3}) as server:
        priced = endpoint(server.url, prices={"m": Price(input=1, output=2)})
        _, caller = ask(tmp_path, [question(f"Number {n}?") for n in range(60)], priced)
        billed = [entry["usage"] for entry in server.entries() if entry["billed"]]
    spent = caller.spent["judge"]
    assert spent.calls == len(billed)
    assert spent.tokens_in == sum(usage["prompt_tokens"] for usage in billed)
    assert spent.tokens_out == sum(usage["completion_tokens"] for usage in billed)
    assert spent.cost == pytest.approx((spent.tokens_in + 2 * spent.tokens_out) / 1e6)


def test_a_call_that_was_answered_is_not_asked_again(tmp_path: Path, plain: Running) -> None:
    first, _ = ask(tmp_path, [question("Once?")], endpoint(plain.url))
    before = len(plain.entries())
    second, caller = ask(tmp_path, [question("Once?")], endpoint(plain.url), run="another run")
    assert len(plain.entries()) == before
    assert (first[0].text, first[0].cached, second[0].text, second[0].cached) == (second[0].text, False, first[0].text, True)
    assert caller.spent["judge"] == Spent(), "what another run paid is not this one's"


def test_equal_calls_under_way_are_one_and_two_draws_are_two(tmp_path: Path, plain: Running) -> None:
    before = len(plain.entries())
    replies, _ = ask(tmp_path, [question("Same?"), question("Same?"), question("Same?", draw=1)], endpoint(plain.url))
    assert len(plain.entries()) == before + 2
    assert replies[0].text == replies[1].text != replies[2].text


@pytest.mark.parametrize(
    "other",
    [
        question("Q", MODEL.model_copy(update={"endpoint": "other"})),
        question("Q", MODEL.model_copy(update={"model": "n"})),
        question("Q", MODEL.model_copy(update={"temperature": 0.5})),
        question("Q", MODEL.model_copy(update={"seed": None})),
        question("Q", draw=1),
        question("Q "),
        Call(MODEL, [{"role": "user", "content": "Q"}], "1" * 64),
        Call(MODEL.model_copy(update={"structured": True}), [{"role": "user", "content": "Q"}], "0" * 64, 0, {"type": "object"}),
    ],
    ids=["endpoint", "model", "temperature", "seed", "draw", "message", "prompt", "schema"],
)
def test_whatever_shapes_a_reply_is_part_of_its_key(other: Call) -> None:
    assert other.key != question("Q").key == question("Q").key


def test_two_draws_without_a_seed_are_two_entries(tmp_path: Path, plain: Running) -> None:
    model = MODEL.model_copy(update={"seed": None})
    before = len(plain.entries())
    ask(tmp_path, [question("Seedless?", model), question("Seedless?", model, draw=1)], endpoint(plain.url))
    assert len(plain.entries()) == before + 2


@pytest.mark.parametrize(
    ("call", "reason"),
    [(question("Hello?", MODEL.model_copy(update={"model": "unknown"})), "model_not_found"), (question("long " * 2000), "context_too_long")],
    ids=["model", "context"],
)
def test_what_no_retry_can_help_is_asked_once_and_named(tmp_path: Path, plain: Running, call: Call, reason: str) -> None:
    before = len(plain.entries())
    replies, _ = ask(tmp_path, [call], endpoint(plain.url))
    assert (replies[0].failed, replies[0].text) == (reason, None)
    assert len(plain.entries()) == before + 1


def test_a_model_that_was_missing_is_asked_again_by_the_next_run(tmp_path: Path) -> None:
    call = question("Hello?")
    with running(tmp_path / "without", models=["other"]) as server:
        assert ask(tmp_path, [call], endpoint(server.url))[0][0].failed == "model_not_found"
    with running(tmp_path / "with", models=["m"]) as server:
        assert ask(tmp_path, [call], endpoint(server.url))[0][0].text


def test_a_refused_key_stops_the_run_with_one_line_and_stands_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server repeats the key in its error, and the client logs all it can."""
    key = "sk-very-secret-4711"
    monkeypatch.setenv("CURATE_ENDPOINT_JUDGE_KEY", key)
    monkeypatch.setenv("OPENAI_LOG", "debug")
    with running(tmp_path / "server", api_key="another") as server:
        process = asking(tmp_path, calls=50, endpoint={"url": server.url})
        out, err = process.communicate(timeout=300)
    assert process.returncode == 2
    last = err.splitlines()[-1]
    assert last.startswith("endpoint 'judge' (127.0.0.1:") and "CURATE_ENDPOINT_JUDGE_KEY" in last and "Traceback" not in err
    written = [path for path in tmp_path.iterdir() if path.is_file()]
    assert any(path.name.startswith("calls.sqlite") for path in written)
    assert not [path for path in written if key.encode() in path.read_bytes()]
    assert key not in out + err


def test_a_key_that_a_reply_repeats_is_blotted_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated endpoint answers in the prompt's own words."""
    key = "Verysecretkey"
    monkeypatch.setenv("CURATE_ENDPOINT_JUDGE_KEY", key)
    with running(tmp_path / "server", api_key=key) as server:
        replies, _ = ask(tmp_path / "run", [question(f"{key}?")], endpoint(server.url))
    assert "[key]" in replies[0].text and key not in replies[0].text
    assert not [path for path in (tmp_path / "run").iterdir() if key.encode() in path.read_bytes()]


def test_a_call_budget_stops_the_run_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    calls = [question(f"Number {n}?") for n in range(100)]
    with running(tmp_path / "server") as server:
        with pytest.raises(StoppedError, match="budget.max_calls"):
            ask(tmp_path, calls, endpoint(server.url), Budget(max_calls=40))
        assert len(server.entries()) == 40
        with pytest.raises(StoppedError, match="budget.max_calls"):
            ask(tmp_path, calls, endpoint(server.url), Budget(max_calls=40))
        assert len(server.entries()) == 40
        replies, caller = ask(tmp_path, calls, endpoint(server.url), Budget(max_calls=100))
        assert len(server.entries()) == 100
    assert all(reply.text for reply in replies)
    assert (caller.cached, caller.spent["judge"].calls) == (40, 100)


@pytest.mark.parametrize("limit", ["max_tokens", "max_cost"])
def test_a_token_or_cost_budget_is_used_and_never_passed(tmp_path: Path, limit: str) -> None:
    calls = [question(f"Number {n}? " + "word " * (n % 7)) for n in range(200)]
    budget = Budget(max_tokens=2000) if limit == "max_tokens" else Budget(max_cost=0.002)
    with running(tmp_path / "server") as server:
        priced = endpoint(server.url, prices={"m": Price(input=1, output=1)})
        with pytest.raises(StoppedError, match=limit):
            ask(tmp_path, calls, priced, budget)
        usage = sum(entry["usage"]["total_tokens"] for entry in server.entries())
    most_of_one_call = 40 + 40
    assert 2000 - 2 * most_of_one_call < usage <= 2000


def test_a_cost_limit_without_a_price_is_the_users_mistake(tmp_path: Path, plain: Running) -> None:
    with pytest.raises(UsageError, match="no price of 'm'"):
        ask(tmp_path, [question("Hello?")], endpoint(plain.url), Budget(max_cost=1))


def test_an_estimate_takes_off_what_is_answered_and_is_no_less_than_the_bill(tmp_path: Path, plain: Running) -> None:
    where = endpoint(plain.url, prices={"m": Price(input=1, output=1)})
    calls = [question(f"Estimate {n}, e também com acentuação?") for n in range(20)]
    ask(tmp_path, calls[:5], where)
    told = estimate(calls, {"judge": where.model_copy(update={"url": None})}, tmp_path / "calls.sqlite")
    before = len(plain.entries())
    ask(tmp_path, calls, where)
    billed = [entry["usage"] for entry in plain.entries()[before:]]
    assert (told.calls, told.cached) == (15, 5) and len(billed) == 15
    assert told.tokens_in >= sum(usage["prompt_tokens"] for usage in billed)
    assert told.cost == pytest.approx((told.tokens_in + told.tokens_out) / 1e6)


def test_a_ceiling_of_requests_is_kept(tmp_path: Path) -> None:
    with running(tmp_path / "server", latency_s=0.02) as server:
        ask(tmp_path, [question(f"Number {n}?") for n in range(180)], endpoint(server.url, requests_per_minute=60 * 60))
        times = [entry["t"] for entry in server.entries()]
    assert times[-1] - times[0] >= 90 / 60, "a quarter of a second without a ceiling"


def test_what_falls_due_while_the_process_stands_still_does_not_go_out_at_once() -> None:
    gone: list[float] = []

    async def one(pace: Pace) -> None:
        await pace.turn(1, asyncio.sleep)
        gone.append(time.monotonic())

    async def all_of_them() -> None:
        pace = Pace(50 * 60, None)
        waiting = [asyncio.create_task(one(pace)) for _ in range(100)]
        await asyncio.sleep(0)
        time.sleep(1.6)
        await asyncio.gather(*waiting)

    asyncio.run(all_of_them())
    for first, moment in enumerate(gone):
        within = sum(moment <= later < moment + 0.1 for later in gone[first:])
        assert within <= 50 * (0.1 + 2 * BURST_S) + 2, "what is met late, and what may be caught up, no more"


def test_retry_after_is_heeded(tmp_path: Path) -> None:
    with running(tmp_path / "server", faults={"http_429": 0.5}, retry_after_s=0.4) as server:
        ask(tmp_path, [question(f"Number {n}?") for n in range(20)], endpoint(server.url, tries=20))
        came: dict[str, list[dict]] = {}
        for entry in server.entries():
            came.setdefault(entry["key"], []).append(entry)
    gaps = [later["t"] - earlier["t"] for tries in came.values() for earlier, later in zip(tries, tries[1:], strict=False)]
    assert gaps and min(gaps) >= 0.4


def test_an_endpoint_that_is_gone_stops_the_run_and_loses_no_row(tmp_path: Path) -> None:
    calls = [question(f"Number {n}?") for n in range(30)]
    with running(tmp_path / "first") as server:
        ask(tmp_path, calls[:10], endpoint(server.url))
    with pytest.raises(StoppedError, match="cannot be reached"):
        ask(tmp_path, calls, endpoint(server.url, tries=2))
    with running(tmp_path / "second") as server:
        replies, caller = ask(tmp_path, calls, endpoint(server.url))
    assert caller.cached == 10 and all(reply.text for reply in replies)


def test_an_endpoint_without_an_address_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="CURATE_ENDPOINT_MY_JUDGE_URL.*make rlaif"):
        address("my-judge", Endpoint(), {})
    found = address("my-judge", Endpoint(), {"CURATE_ENDPOINT_MY_JUDGE_URL": "https://api.example.org/v1", "OPENAI_API_KEY": "sk-1"})
    assert (found.host, found.key) == ("api.example.org", "sk-1") and "sk-1" not in repr(found)


def test_a_key_that_no_header_can_carry_is_refused_and_a_line_end_is_no_part_of_it() -> None:
    place = {"CURATE_ENDPOINT_JUDGE_URL": "https://api.example.org/v1"}
    assert address("judge", Endpoint(), {**place, "OPENAI_API_KEY": "sk-1\n"}).key == "sk-1"
    with pytest.raises(UsageError, match="CURATE_ENDPOINT_JUDGE_KEY") as caught:
        address("judge", Endpoint(), {**place, "OPENAI_API_KEY": "sk-…elided"})
    assert "elided" not in str(caught.value)


BAD = ["https://user:pass@example.org/v1", "https://example.org/v1?key=1", "https://example.org/v1#key", "example.org", "file:///x"]
BAD += ["http://example.org:port/v1", "http://[::1/v1", "http://exa mple.org/v1", "https://example.org/v1/chat/completions"]


@pytest.mark.parametrize("url", BAD)
def test_an_address_that_could_hold_a_secret_or_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        address("judge", Endpoint(url=url), {})
    assert url not in str(caught.value) and "pass" not in str(caught.value).replace("password", "")


def test_a_general_key_goes_to_no_address_that_a_recipe_alone_names() -> None:
    keys = {"OPENAI_API_KEY": "sk-12345678", "CURATE_ENDPOINT_MINE_KEY": "sk-mine"}
    places = [("judge", "https://example.org/v1"), ("judge", "https://api.openai.com/v1"), ("mine", "https://example.org/v1")]
    assert [address(name, Endpoint(url=url), keys).key for name, url in places] == ["none", "sk-12345678", "sk-mine"]


def test_an_address_is_written_down_whole_but_for_a_key_in_its_path() -> None:
    found = address("judge", Endpoint(url="http://[::1]:8000/gateway/sk-12345678/v1/"), {"CURATE_ENDPOINT_JUDGE_KEY": "sk-12345678"})
    assert (found.base_url, found.host) == ("http://[::1]:8000/gateway/[key]/v1", "[::1]:8000")
    assert found.url == "http://[::1]:8000/gateway/sk-12345678/v1"


def test_a_file_that_is_no_journal_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "calls.sqlite").write_bytes(b"something else entirely, and long enough to be looked at" * 20)
    with pytest.raises(UsageError, match="journal"):
        Caller({"judge": endpoint("http://127.0.0.1:9/v1")}, tmp_path / "calls.sqlite", "run")


def test_a_simulated_endpoint_is_told_apart_in_the_reply_and_in_its_cache(tmp_path: Path, plain: Running) -> None:
    assert ask(tmp_path, [question("Simulated?")], endpoint(plain.url))[0][0].simulated
    again = ask(tmp_path, [question("Simulated?")], endpoint(plain.url))[0][0]
    assert again.simulated and again.cached
