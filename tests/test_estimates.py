"""What a whole recipe would ask and cost, told before anything of it is made."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from conftest import ROOT, SAMPLE
from judge_server import running
from loopback import serving

import curate
from curate.config import StoppedError, UsageError
from curate.estimates import estimates, summary, told
from curate.judges.budget import Estimate
from curate.planning import plan
from curate.recipe import load

CHAIN = """\
endpoints:
  e: {{prices: {{w: {{input: 1, output: 2}}, judge-a: {{input: 1, output: 2}}}}}}
{more}
stages:
  - {first}
  - refine: {{steps: [{{use: exact_dedup}}]}}
  - generate: {{use: answers, answers: 3, models: [{{endpoint: e, model: w, max_tokens: 300}}]}}
  - name: rated
    judge: {{use: pointwise, judges: [{{endpoint: e, model: judge-a}}]}}
  - judge: {{use: pairwise, judges: [{{endpoint: e, model: judge-a, logprobs: 10}}]}}
"""


def recipe(folder: Path, first: str, more: str = "") -> Path:
    path = folder / "chain.yaml"
    path.write_text(CHAIN.format(first=first, more=more), encoding="utf-8")
    return path


def prompts(count: int) -> list[dict]:
    return [{"instruction": f"Say something of {'the number ' * (number % 5)}{number}.", "input": "", "output": "Yes."} for number in range(count)]


def estimated(path: Path, root: Path, limit: int | None = None) -> tuple[list[Estimate | None], list[str]]:
    planned = plan(load(path), root, limit)
    asked = estimates(planned, limit)
    return list(asked.values()), summary(planned, asked)


def jsonl(folder: Path, rows: list[dict]) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def packed(folder: Path, rows: list[dict]) -> Path:
    path = folder / "prompts.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in rows)))
    return path


def columns(folder: Path, rows: list[dict]) -> Path:
    pl.DataFrame(rows).write_parquet(folder / "prompts.parquet")
    return folder / "prompts.parquet"


def arrow(folder: Path, rows: list[dict]) -> Path:
    pl.DataFrame(rows).write_ipc(folder / "prompts.arrow", compat_level=pl.CompatLevel.oldest())
    return folder / "prompts.arrow"


def test_a_chain_is_estimated_before_anything_is_made_and_the_run_keeps_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, root = recipe(tmp_path, f"ingest: {{source: {jsonl(tmp_path, prompts(12))}}}"), tmp_path / "runs"
    found, _ = estimated(path, root)
    assert not list(root.rglob("*.parquet")) and not list(root.rglob("calls.sqlite"))
    with running(tmp_path / "s") as server:
        monkeypatch.setenv("CURATE_ENDPOINT_E_URL", server.url)
        made = curate.run(path, root=root)
    bills = [one.receipt.report["bill"]["e"] for one in (*made.ancestors(), made) if "bill" in one.receipt.report]
    assert [one.calls for one in found] == [bill["calls"] for bill in bills] == [36, 36, 72]
    for one, bill in zip(found, bills, strict=True):
        assert one.basis == "" and one.tokens_in >= bill["tokens_in"] and one.tokens_out >= bill["tokens_out"] and one.cost >= bill["cost"]


@pytest.mark.parametrize("written", [jsonl, packed, columns, arrow])
def test_a_long_file_is_read_in_part_and_scaled(tmp_path: Path, written: Callable[[Path, list[dict]], Path]) -> None:
    path = recipe(tmp_path, f"ingest: {{source: {written(tmp_path, prompts(2_500))}}}")
    found, lines = estimated(path, tmp_path / "runs")
    assert [one.calls for one in found] == [7_500, 7_500, 15_000]
    assert all("1,000 of about 2,500 units" in one.basis for one in found)
    assert lines[0].startswith("chain as a whole: about 30,000 calls")


def test_an_archive_is_scaled_by_the_places_of_its_records(tmp_path: Path) -> None:
    first = f"web: {{source: {SAMPLE}, steps: [{{use: extract}}]}}"
    found, _ = estimated(recipe(tmp_path, first), tmp_path / "runs")
    alone = tmp_path / "alone.yaml"
    alone.write_text(f"stages: [{{{first}}}]\n", encoding="utf-8")
    kept = curate.run(alone, root=tmp_path / "runs").receipt.counts.kept
    assert "scaled from 200" in found[0].basis and found[0].calls == pytest.approx(3 * kept, rel=0.15)


def test_a_limit_bounds_what_is_estimated(tmp_path: Path) -> None:
    path = recipe(tmp_path, f"ingest: {{source: {jsonl(tmp_path, prompts(2_500))}}}")
    assert [one.calls for one in estimated(path, tmp_path / "runs", limit=10)[0]] == [30, 30, 60]
    assert [one.calls for one in estimated(path, tmp_path / "runs", limit=2_000)[0]] == [6_000, 6_000, 12_000]


def test_many_files_are_scaled_by_their_bytes(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}").mkdir()
        jsonl(tmp_path / f"{number}", prompts(30))
    found, _ = estimated(recipe(tmp_path, f"ingest: {{source: '{tmp_path}/*/prompts.jsonl'}}"), tmp_path / "runs")
    assert found[0].calls == 20 * 30 * 3 and "240 of about 600" in found[0].basis


def test_what_passes_the_budget_is_said_and_what_has_no_price(tmp_path: Path) -> None:
    path = recipe(tmp_path, f"ingest: {{source: {jsonl(tmp_path, prompts(12))}}}", "budget: {max_calls: 143, max_tokens: 10_000_000}")
    over = estimated(path, tmp_path / "runs")[1]
    assert [line for line in over if "budget" in line] == [
        "   over budget.max_calls 143 of chain, with 0 calls, 0 tokens, cost 0.00 used before: the run may stop there, and goes on once it is raised"
    ]
    path.write_text(path.read_text().replace("143", "144").replace("w: {input: 1, output: 2}, ", ""), encoding="utf-8")
    fits = estimated(path, tmp_path / "runs")[1]
    assert not [line for line in fits if "over budget" in line] and "w (e)" in fits[1] and "judge-a" not in fits[1]
    path.write_text(path.read_text().replace("max_calls: 144", "max_cost: 100"), encoding="utf-8")
    assert "the run is refused" in estimated(path, tmp_path / "runs")[1][1]


def test_an_unfinished_run_counts_what_it_has_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, root = recipe(tmp_path, f"ingest: {{source: {jsonl(tmp_path, prompts(12))}}}", "budget: {max_calls: 50}"), tmp_path / "runs"
    with running(tmp_path / "s") as server:
        monkeypatch.setenv("CURATE_ENDPOINT_E_URL", server.url)
        with pytest.raises(StoppedError, match="max_calls"):
            curate.run(path, root=root)
    found, lines = estimated(path, root)
    assert [(one.calls, one.cached) for one in found] == [(22, 14), (72, 0)]
    assert any("with 50 calls" in line for line in lines)


def test_a_plan_runs_no_code_of_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\ndef keep(text): return True\n")
    first = f"web: {{source: {SAMPLE}, steps: [{{use: extract}}, {{use: python, path: {tmp_path}/mine.py:keep}}]}}"
    found, lines = estimated(recipe(tmp_path, first), tmp_path / "runs")
    assert all(one.calls > 100 for one in found) and not (tmp_path / "ran").exists()
    assert "as if your own code kept every row as it is" in lines[0]


MIX = """\
stages:
  - name: chats
    ingest: {{source: {prompts}}}
  - name: answers
    generate: {{use: answers, answers: 3, principles: null, models: [{{endpoint: e, model: w, max_tokens: 100}}]}}
  - mix: {{sources: [answers], pairs: best_worst, max_epochs: {epochs}, splits: {{train: {train} as preference, test: 10% as chosen_rejected}}}}
  - judge: {{use: pairwise, source: {{split: {split}}}, judges: [{{endpoint: e, model: judge-a, logprobs: 10}}]}}
"""


def mixed(folder: Path, train: str, epochs: int = 1, split: str = "train") -> Estimate | None:
    """What a judge of a mix's split would ask, of 12 prompts with 3 answers each."""
    path = folder / "mixed.yaml"
    path.write_text(MIX.format(prompts=jsonl(folder, prompts(12)), train=train, epochs=epochs, split=split), encoding="utf-8")
    return estimated(path, folder / "runs")[0][-1]


def test_behind_a_mix_a_split_of_a_fixed_size_tells_its_calls(tmp_path: Path) -> None:
    found = mixed(tmp_path, "7 rows")
    assert found.calls == 7 * 2 and found.basis == "for 7 rows like those of its sources"


@pytest.mark.parametrize(("train", "epochs", "pairs"), [("rest", 1, 36), ("50%", 1, 18), ("rest", 2, 72)])
def test_behind_a_mix_a_split_of_no_fixed_size_has_at_most_all_rows(tmp_path: Path, train: str, epochs: int, pairs: int) -> None:
    """Three answers make three pairs at most."""
    found = mixed(tmp_path, train, epochs)
    assert found.calls == pairs * 2 and found.basis == ""


def test_behind_a_mix_a_format_that_no_stage_reads_has_no_estimate(tmp_path: Path) -> None:
    assert mixed(tmp_path, "rest", split="test") is None
    assert "run the stages before it" in told(None)


@pytest.mark.parametrize("ranges", [True, False])
def test_of_a_large_remote_table_the_beginning_is_enough_where_it_can_be_had_alone(tmp_path: Path, ranges: bool) -> None:
    rows = [{**row, "input": os.urandom(17_500).hex()} for row in prompts(2_000)]
    pl.DataFrame(rows).write_parquet(tmp_path / "big.parquet", row_group_size=500, compression="uncompressed")
    with serving({"big.parquet": (tmp_path / "big.parquet").read_bytes()}) as site:
        site.ranges = ranges
        found, _ = estimated(recipe(tmp_path, f"ingest: {{source: {site.url}/big.parquet, format: alpaca}}"), tmp_path / "runs")
    assert [one and one.calls for one in found] == ([6_000, 6_000, 12_000] if ranges else [None] * 3)


@pytest.mark.parametrize(("new", "ranges"), [(pa.ipc.new_file, True), (pa.ipc.new_stream, False)])
def test_of_a_large_remote_arrow_file_the_first_batches_are_enough(tmp_path: Path, new: Callable[..., pa.ipc.RecordBatchStreamWriter], ranges: bool) -> None:
    rows = [{**row, "input": os.urandom(17_500).hex(), "kind": f"k{number // 100}"} for number, row in enumerate(prompts(2_000))]
    table = pl.DataFrame(rows).with_columns(pl.col("kind").cast(pl.Categorical)).to_arrow()
    with new(tmp_path / "big.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    with serving({"big.arrow": (tmp_path / "big.arrow").read_bytes()}) as site:
        site.ranges = ranges
        found, _ = estimated(recipe(tmp_path, f"ingest: {{source: {site.url}/big.arrow, format: alpaca}}"), tmp_path / "runs")
    assert [one.calls for one in found] == [pytest.approx(calls, rel=0.02) for calls in (6_000, 6_000, 12_000)]


def test_a_large_remote_arrow_file_of_one_batch_is_not_guessed_at(tmp_path: Path) -> None:
    table = pa.table({"instruction": ["Say something."], "input": ["x" * (65 * 2**20)], "output": ["Yes."]})
    with pa.ipc.new_file(tmp_path / "big.arrow", table.schema) as writer:
        writer.write_table(table)
    with serving({"big.arrow": (tmp_path / "big.arrow").read_bytes()}) as site:
        found, _ = estimated(recipe(tmp_path, f"ingest: {{source: {site.url}/big.arrow, format: alpaca}}"), tmp_path / "runs")
    assert found == [None] * 3


def test_a_source_in_no_dialect_is_a_mistake_before_the_run_too(tmp_path: Path) -> None:
    path = recipe(tmp_path, f"ingest: {{source: {jsonl(tmp_path, prompts(3))}, format: hh_rlhf}}")
    with pytest.raises(UsageError, match="hh_rlhf"):
        estimated(path, tmp_path / "runs")


def test_rows_that_a_later_stage_cannot_read_are_refused_before_the_first_call(tmp_path: Path) -> None:
    path = recipe(tmp_path, f"ingest: {{source: {jsonl(tmp_path, prompts(3))}}}")
    path.write_text(path.read_text().replace("use: pointwise", "use: documents"), encoding="utf-8")
    with pytest.raises(UsageError, match="works on document rows, and these are candidates rows"):
        estimated(path, tmp_path / "runs")


@pytest.mark.parametrize("name", ["rlaif", "factuality"])
def test_every_bundled_recipe_that_asks_is_estimated_as_a_whole(tmp_path: Path, name: str) -> None:
    found, lines = estimated(ROOT / "pipelines" / f"{name}.yaml", tmp_path / "runs")
    assert found and None not in found and lines[0].startswith(f"{name} as a whole: ")
