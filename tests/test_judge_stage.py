"""The judge stage against a simulated judge whose truth is known: pairs, both orders, probabilities, ties and losses."""

import math
from itertools import combinations
from pathlib import Path

import polars as pl
import pytest
from judge_asking import until
from judge_server import running
from judge_stages import JUDGE, as_given, ratings, run, table, verdicts
from judge_stages import running as running_stage
from mix_artifacts import candidates, document, preference

from curate.config import StoppedError, UsageError
from curate.judges.budget import Budget

SLOPE = 1.5


def answers(number: int, count: int = 2) -> list[dict]:
    return [{"text": f"Answer {place} to question {number}."} for place in range(count)]


def prompts(rows: int, count: int = 2) -> list[dict]:
    return [candidates("p", number, answers(number, count)) for number in range(rows)]


def utilities(rows: list[dict]) -> dict[str, float]:
    """Spread over -1.5 to 1.5 by place, so that no two answers of a row are alike."""
    texts = [answer["text"] for row in rows for answer in row["candidates"]]
    return {text: 3 * ((number * 0.618) % 1) - 1.5 for number, text in enumerate(texts)}


def test_worths_are_the_true_log_odds_whatever_the_lean_to_a_place(tmp_path: Path) -> None:
    rows = prompts(30, 3)
    truth = utilities(rows)
    with running(tmp_path / "s", utilities=truth, judges={"judge-a": {"position": 1.0, "slope": SLOPE}}) as server:
        made = run("judge", {"use": "pairwise", "judges": [JUDGE]}, table(tmp_path, "p", rows, "candidates"), tmp_path / "j", server.url)
    for row in made.data().collect().to_dicts():
        for a, b in combinations(range(3), 2):
            texts = [row["candidates"][place]["text"] for place in (a, b)]
            gap = ratings(row, "worth")[a] - ratings(row, "worth")[b]
            assert gap == pytest.approx(SLOPE * (truth[texts[0]] - truth[texts[1]]), abs=1e-6)
        best = max(row["candidates"], key=lambda one: truth[one["text"]])
        assert best["rank"] == 1
    bias = made.receipt.report["judges"]["judge/judge-a"]["position_bias"]
    assert bias["value"] == pytest.approx(1.0, abs=0.01) and not bias["from_votes"]
    assert len(verdicts(made)) == 30 * 3 * 2


def test_a_pair_is_turned_where_the_judge_prefers_the_rejected_answer(tmp_path: Path) -> None:
    rows = [preference("h", number) for number in range(20)]
    truth = {row["chosen"][0]["content"]: (-1.0 if number % 2 else 1.0) for number, row in enumerate(rows)}
    truth |= {row["rejected"][0]["content"]: 0.0 for row in rows}
    with running(tmp_path / "s", utilities=truth, judges={"judge-a": {"position": 0.7}}) as server:
        made = run("judge", {"use": "pairwise", "judges": [JUDGE]}, table(tmp_path, "h", rows, "preference"), tmp_path / "j", server.url)
    for number, row in enumerate(made.data().collect().to_dicts()):
        assert row["probability"] == pytest.approx(1 / (1 + math.exp(-SLOPE)), abs=1e-6)
        assert ("rejected" in row["chosen"][0]["content"]) == bool(number % 2)


def test_ties_are_counted_and_make_no_pair(tmp_path: Path) -> None:
    rows = [preference("h", number) for number in range(6)]
    with running(tmp_path / "s", judges={"judge-a": {"tie": 100.0}}) as server:
        block = {"use": "pairwise", "judges": [{**JUDGE, "logprobs": 0}], "rationale": True}
        made = run("judge", block, table(tmp_path, "h", rows, "preference"), tmp_path / "j", server.url)
    assert made.receipt.counts.dropped == {"judge.tie": 6}
    assert made.receipt.report["verdicts"] == {"pairwise": {"tie": 12}}


def test_a_row_whose_calls_all_fail_is_dropped_with_the_reason(tmp_path: Path) -> None:
    rows = prompts(8)
    with running(tmp_path / "s", faults={"refusal": 1.0}) as server:
        made = run("judge", {"use": "pairwise", "judges": [JUDGE]}, table(tmp_path, "p", rows, "candidates"), tmp_path / "j", server.url)
    assert made.receipt.counts.dropped == {"judge.refused": 8}
    assert made.ledger().collect()["reason"].to_list() == ["refused"] * 8
    assert any("cannot be read" in warning for warning in made.receipt.report["warnings"])


def test_a_kill_changes_no_byte_and_repeats_only_calls_in_flight(tmp_path: Path) -> None:
    source = table(tmp_path, "p", prompts(60, 3), "candidates")
    block = {"use": "pairwise", "judges": [JUDGE]}
    with running(tmp_path / "s0", judges={"judge-a": {"noise": 0.5}}) as server:
        whole = run("judge", block, source, tmp_path / "whole" / "j", server.url, concurrency=4)
    with running(tmp_path / "s1", judges={"judge-a": {"noise": 0.5}}, latency_s=0.02) as server:
        places = {"source": str(source.artifact.path), "directory": str(tmp_path / "cut" / "j"), "url": server.url}
        settings = {"stage": "judge", "block": block, **places}
        for calls in (60, 200):
            process = running_stage(tmp_path, **settings)
            until(lambda calls=calls: server.count() >= calls)
            process.kill()
            process.wait()
        process = running_stage(tmp_path, **settings)
        assert process.wait() == 0, process.stderr.read()
        billed = sum(entry["billed"] for entry in server.entries())
    assert billed <= 360 + 2 * 16
    for name in ("data/train-00000.parquet", "ledger/00000.parquet", "verdicts/00000.parquet", "dropped/00000.parquet"):
        assert (tmp_path / "cut" / "j" / name).read_bytes() == (whole.path / name).read_bytes(), name


def test_faults_of_the_endpoint_change_no_label(tmp_path: Path) -> None:
    source = table(tmp_path, "p", prompts(40), "candidates")
    made = []
    for faults in ({}, {"http_429": 0.1, "http_500": 0.1, "garbage": 0.05, "cut": 0.05}):
        with running(tmp_path / f"s{len(made)}", faults=faults) as server:
            made.append(run("judge", {"use": "pairwise", "judges": [JUDGE]}, source, tmp_path / f"j{len(made)}" / "j", server.url, tries=20))
    assert made[0].data().collect().equals(made[1].data().collect())
    calls = [one.receipt.report["bill"]["judge"]["calls"] for one in made]
    assert calls[1] > calls[0] == 80  # garbage is billed all the same


def test_a_budget_stops_the_stage_and_more_money_goes_on(tmp_path: Path) -> None:
    source = table(tmp_path, "p", prompts(20), "candidates")
    block = {"use": "pairwise", "judges": [JUDGE]}
    with running(tmp_path / "s") as server:
        with pytest.raises(StoppedError, match="max_calls"):
            run("judge", block, source, tmp_path / "j", server.url, Budget(max_calls=15))
        made = run("judge", block, source, tmp_path / "j", server.url)
        assert len(server.entries()) == 40
    assert made.receipt.counts.kept == 20 and made.receipt.report["bill"]["judge"]["calls"] == 40


def test_without_log_probabilities_pairs_are_asked_again_within_the_budget(tmp_path: Path) -> None:
    rows = prompts(150)
    truth = utilities(rows)
    judge = {**JUDGE, "logprobs": 0, "temperature": 1.0}
    accuracy = {}
    with running(tmp_path / "s", utilities=truth, judges={"judge-a": {"position": 1.0}}) as server:
        for calls in (2, 6):
            block = {"use": "pairwise", "judges": [judge], "calls_per_pair": calls}
            made = run("judge", block, table(tmp_path, f"p{calls}", rows, "candidates"), tmp_path / f"j{calls}" / "j", server.url)
            assert len(verdicts(made)) <= calls * 150
            found = made.data().collect().to_dicts()
            first = [min(row["candidates"], key=lambda one: one["rank"])["text"] for row in found]
            best = [max((one["text"] for one in row["candidates"]), key=truth.__getitem__) for row in found]
            accuracy[calls] = sum(a == b for a, b in zip(first, best, strict=True)) / len(found)
    assert accuracy[6] > accuracy[2] and accuracy[6] > 0.8


def test_active_choice_ranks_eight_answers_with_half_the_calls(tmp_path: Path) -> None:
    rows = prompts(6, 8)
    truth = utilities(rows)
    with running(tmp_path / "s", utilities=truth, judges={"judge-a": {"position": 0.5, "noise": 0.25}}) as server:
        block = {"use": "pairwise", "judges": [JUDGE], "active": 0.5}
        made = run("judge", block, table(tmp_path, "p", rows, "candidates"), tmp_path / "j", server.url)
    assert len(verdicts(made)) == 6 * 28
    taus = []
    for row in made.data().collect().to_dicts():
        order = [(one["rank"], truth[one["text"]]) for one in row["candidates"]]
        signs = [math.copysign(1, (a[0] - b[0]) * (b[1] - a[1])) for a, b in combinations(order, 2)]
        taus.append(sum(signs) / len(signs))
    assert sum(taus) / len(taus) >= 0.9


def test_a_constitutional_choice_draws_one_principle_a_row(tmp_path: Path) -> None:
    with running(tmp_path / "s") as server:
        block = {"use": "constitutional", "judges": [JUDGE]}
        made = run("judge", block, table(tmp_path, "p", prompts(20), "candidates"), tmp_path / "j", server.url)
    drawn = verdicts(made).group_by("row_id").agg(pl.col("principle").n_unique().alias("n"), pl.col("principle").first())
    assert set(drawn["n"]) == {1} and drawn["principle"].n_unique() > 5


def test_several_judges_are_put_together(tmp_path: Path) -> None:
    rows = prompts(30)
    truth = utilities(rows)
    judges = [{**JUDGE, "model": name} for name in ("judge-a", "judge-b", "judge-c")]
    faults = {"judge-a": {"position": 1.0}, "judge-b": {"position": -0.5}, "judge-c": {"noise": 1.0}}
    with running(tmp_path / "s", utilities=truth, judges=faults) as server:
        for method in ("logits", "bradley_terry", "dawid_skene", "majority"):
            block = {"use": "pairwise", "judges": judges, "aggregate": method}
            made = run("judge", block, table(tmp_path, method, rows, "candidates"), tmp_path / "j" / method, server.url)
            first = [row["candidates"][0]["rank"] for row in made.data().collect().to_dicts()]
            true = [1 if truth[row["candidates"][0]["text"]] > truth[row["candidates"][1]["text"]] else 2 for row in rows]
            assert sum(a == b for a, b in zip(first, true, strict=True)) >= 27, method
        assert len(server.entries()) == 30 * 2 * 3  # other methods cost no call


def test_what_was_simulated_says_so(tmp_path: Path) -> None:
    with running(tmp_path / "s") as server:
        made = run("judge", {"use": "pairwise", "judges": [JUDGE]}, table(tmp_path, "p", prompts(2), "candidates"), tmp_path / "j", server.url)
    assert made.receipt.report["simulated"] is True
    assert verdicts(made)["simulated"].all()


def test_a_stage_refuses_rows_that_it_cannot_judge(tmp_path: Path) -> None:
    source = table(tmp_path, "d", [document("d", 1)], "document")
    with pytest.raises(UsageError, match="document rows"):
        run("judge", {"use": "pairwise", "judges": [JUDGE]}, source, tmp_path / "j", "http://127.0.0.1:9/v1")


def test_without_an_address_the_user_is_told_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURATE_ENDPOINT_JUDGE_URL", raising=False)
    with pytest.raises(UsageError, match="make rlaif"):
        run("judge", {"use": "pairwise", "judges": [JUDGE]}, table(tmp_path, "p", prompts(1), "candidates"), tmp_path / "j")


def test_generated_answers_are_judged(tmp_path: Path) -> None:
    source = table(tmp_path, "d", [document("d", number) for number in range(10)], "document")
    model = {"endpoint": "judge", "model": "writer", "max_tokens": 400}
    with running(tmp_path / "s") as server:
        written = run("generate", {"use": "answers", "models": [model], "answers": 3}, source, tmp_path / "g", server.url)
        made = run("judge", {"use": "pairwise", "judges": [JUDGE]}, as_given(written), tmp_path / "j", server.url)
    assert made.receipt.counts.kept == 10
    assert all(None not in ratings(row, "worth") for row in made.data().collect().to_dicts())
