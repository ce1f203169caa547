"""One budget over all stages of a recipe: where it stops, how it goes on, and what a kill changes of that."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from judge_asking import until
from judge_server import Running, running

import curate
from curate.config import StoppedError, UsageError
from curate.estimates import estimates, summary
from curate.planning import plan
from curate.recipe import load

RECIPE = """\
params: {{calls: {calls}, judge: judge-a}}
endpoints:
  writer: {{concurrency: 2, prices: {{w: {{input: 0, output: 1_000_000}}}}}}
  judge: {{concurrency: 2}}
budget: {{max_calls: "${{calls}}"}}
stages:
  - ingest: {{source: {prompts}}}
  - name: answers
    generate: {{use: answers, answers: 2, principles: null, models: [{{endpoint: writer, model: w, max_tokens: 400}}]}}
  - name: revised
    generate: {{use: revise, rounds: 1, models: [{{endpoint: writer, model: w, max_tokens: 400}}]}}
  - name: rated
    judge: {{use: pointwise, judges: [{{endpoint: judge, model: "${{judge}}"}}]}}
  - judge: {{use: pairwise, judges: [{{endpoint: judge, model: "${{judge}}", logprobs: 10}}]}}
"""
ROWS = 5
CALLS = {"generate": 2, "revised": 4, "rated": 4, "judge": 12}
"""Of each stage, for a row: two answers, each with a critique and a revision; four texts rated, six pairs in both orders."""
ALL = ROWS * sum(CALLS.values())


def recipe(folder: Path, calls: int) -> Path:
    prompts = folder / "prompts.jsonl"
    lines = [json.dumps({"instruction": f"Explain the number {number}.", "input": "", "output": "It is a number."}) for number in range(ROWS)]
    prompts.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = folder / "budget.yaml"
    path.write_text(RECIPE.format(calls=calls, prompts=prompts), encoding="utf-8")
    return path


@pytest.fixture()
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    with running(tmp_path / "s") as server:
        for name in ("WRITER", "JUDGE"):
            monkeypatch.setenv(f"CURATE_ENDPOINT_{name}_URL", server.url)
        yield server


def billed(server: Running) -> int:
    return sum(entry["billed"] for entry in server.entries())


def test_the_budget_holds_over_all_stages_and_more_money_goes_on(tmp_path: Path, server: Running) -> None:
    path, root = recipe(tmp_path, 10), tmp_path / "runs"
    for calls in (25, 43, 63, ALL - 1):  # within the revisions, the ratings, the pairs, and one before the end
        with pytest.raises(StoppedError, match=f"budget.max_calls: .* {calls}; used so far by all stages: {calls} calls"):
            curate.run(path, root=root, calls=calls)
        assert billed(server) == calls
    made = curate.run(path, root=root, calls=ALL)
    assert billed(server) == ALL and made.receipt.counts.kept == ROWS
    bills = [bill["calls"] for one in (*made.ancestors(), made) for bill in one.receipt.report.get("bill", {}).values()]
    assert bills == [ROWS * calls for calls in CALLS.values()]


def test_a_stage_that_is_done_counts_and_a_changed_one_begins_anew(tmp_path: Path, server: Running) -> None:
    path, root = recipe(tmp_path, ALL), tmp_path / "runs"
    curate.run(path, root=root)
    with pytest.raises(StoppedError, match="max_calls"):
        curate.run(path, root=root, calls=ALL - 1, judge="judge-b")
    assert billed(server) == ALL + ROWS * 16 - 1
    curate.run(path, root=root, judge="judge-b")
    assert billed(server) == ALL + ROWS * 16


def test_a_limit_of_money_counts_what_earlier_stages_paid(tmp_path: Path, server: Running) -> None:
    """A token of a reply costs 1: what is left after the writer is too little for a rating of at most 1,024."""
    path = recipe(tmp_path, ALL)
    path.write_text(path.read_text().replace('max_calls: "${calls}"', "max_cost: 1_000_000_000"), encoding="utf-8")
    with pytest.raises(UsageError, match="no price of 'judge-a'"):
        curate.run(path, root=tmp_path / "none")
    assert billed(server) == 0
    priced = "judge: {prices: {judge-a: {input: 0, output: 1_000_000}}, "
    path.write_text(path.read_text().replace("judge: {", priced, 1), encoding="utf-8")
    paid = sum(one.receipt.cost["writer"] for one in curate.run(path, root=tmp_path / "whole").ancestors() if "writer" in one.receipt.cost)
    before = billed(server)
    path.write_text(path.read_text().replace("1_000_000_000", str(paid + 600)), encoding="utf-8")
    with pytest.raises(StoppedError, match="budget.max_cost"):
        curate.run(path, root=tmp_path / "short")
    assert billed(server) - before == ROWS * 6


OUTER = """\
params: {{calls: {calls}, inner: 1000}}
endpoints: {{judge: {{concurrency: 2}}}}
budget: {{max_calls: "${{calls}}"}}
stages:
  - judge:
      use: pairwise
      source: {{recipe: budget.yaml, stage: answers, set: {{calls: "${{inner}}"}}}}
      judges: [{{endpoint: judge, model: judge-a, logprobs: 10}}]
"""


def nested(folder: Path, calls: int) -> Path:
    """A recipe of its own budget around the answers of the other one."""
    recipe(folder, ALL)
    path = folder / "outer.yaml"
    path.write_text(OUTER.format(calls=calls), encoding="utf-8")
    return path


def test_a_budget_binds_the_recipes_that_are_built_on_too(tmp_path: Path, server: Running) -> None:
    """The other recipe runs as a whole: its stages ask 22 a row, and two answers make one pair in both orders."""
    path, root = nested(tmp_path, 7), tmp_path / "runs"
    for calls in (7, ALL + 4):  # within the other recipe's answers, and within the pairs of this one
        with pytest.raises(StoppedError, match=f"{calls}; used so far by all stages: {calls} calls.*raise it in recipe 'outer'"):
            curate.run(path, root=root, calls=calls)
        assert billed(server) == calls
    curate.run(path, root=root, calls=ALL + 2 * ROWS)
    assert billed(server) == ALL + 2 * ROWS


def test_a_recipe_that_is_built_on_keeps_its_own_budget(tmp_path: Path, server: Running) -> None:
    with pytest.raises(StoppedError, match="9; used so far by all stages: 9 calls.*raise it in recipe 'budget'"):
        curate.run(nested(tmp_path, 1000), root=tmp_path / "runs", inner=9)
    assert billed(server) == 9


def test_a_plan_says_which_budget_may_be_passed(tmp_path: Path) -> None:
    planned = plan(load(nested(tmp_path, 100), {"inner": 109}), tmp_path / "runs")
    over = [line.split(",")[0].strip() for line in summary(planned, estimates(planned)) if "over budget" in line]
    assert over == ["over budget.max_calls 109 of budget", "over budget.max_calls 100 of outer"]


def test_a_kill_hides_no_call_that_was_heard_from_the_budget(tmp_path: Path) -> None:
    path, root, most = recipe(tmp_path, 50), tmp_path / "runs", 50
    with running(tmp_path / "s", latency_s=0.05) as server:
        environment = os.environ | {f"CURATE_ENDPOINT_{name}_URL": server.url for name in ("WRITER", "JUDGE")}
        words = [sys.executable, "-m", "curate.cli", "run", str(path), "--root", str(root)]
        for calls in (5, 32):
            process = subprocess.Popen(words, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until(lambda calls=calls: server.count() >= calls)
            process.kill()
            process.wait()
        done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "budget.max_calls" in done.stderr
        assert most <= billed(server) <= most + 2 * 2  # at each kill two calls may be under way, which nobody has heard
