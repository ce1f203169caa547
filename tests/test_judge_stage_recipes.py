"""The bundled recipes that ask models, as a newcomer runs them: against a simulated server, to files that a trainer reads."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from conftest import ROOT

from curate.artifact import Artifact
from curate.card.redact import redacted
from curate.planning import plan
from curate.recipe import load


def simulated(folder: Path, recipe: Path, *options: str) -> Artifact:
    words = [sys.executable, str(ROOT / "tests" / "judge_simulated.py"), str(recipe), "--root", str(folder / "runs"), *options]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return Artifact(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def rlaif(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return simulated(tmp_path_factory.mktemp("rlaif"), ROOT / "pipelines" / "rlaif.yaml")


def test_the_bundled_recipe_writes_pairs_with_probabilities(rlaif: Artifact) -> None:
    rows = pl.concat([rlaif.data("train").collect(), rlaif.data("test").collect()])
    assert len(rows) > 80 and rows["probability"].null_count() == 0
    assert rows["probability"].min() > 0.5 and rows["probability"].n_unique() > 50


def test_every_stage_that_asked_is_marked_as_simulated_and_says_what_it_cost(rlaif: Artifact) -> None:
    receipts = {one.receipt.stage: one.receipt for one in rlaif.ancestors()}
    for name in ("generate", "judge"):
        assert receipts[name].report["simulated"] is True
        assert sum(bill["tokens_in"] for bill in receipts[name].report["bill"].values()) > 0
        assert all(bill["base_url"].startswith("http://127.0.0.1:") and bill["base_url"].endswith("/v1") for bill in receipts[name].report["bill"].values())
        assert "127.0.0.1" not in str(redacted(receipts[name].model_dump(mode="json")))
    bias = receipts["judge"].report["judges"]["judge/judge-a"]["position_bias"]
    assert bias["low"] - 0.01 <= 0.8 <= bias["high"] + 0.01


def test_documents_are_rated(tmp_path: Path) -> None:
    made = simulated(tmp_path, ROOT / "pipelines" / "edu_quality.yaml", "--limit", "80")
    found = Counter(json.loads(text)["ratings"]["edu_quality"] for text in made.data().collect()["metadata"])
    assert len(found) >= 4 and set(found) <= {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}


def test_what_is_not_known_becomes_a_refusal_pair(tmp_path: Path) -> None:
    made = simulated(tmp_path, ROOT / "pipelines" / "factuality.yaml", "--limit", "80")
    judged = next(one for one in made.ancestors() if one.receipt.stage == "judge")
    refused = judged.data().filter(pl.col("candidates").list.eval(pl.element().struct.field("id").str.ends_with("-refusal")).list.any())
    assert 0 < refused.collect().height < judged.receipt.counts.kept
    assert made.receipt.counts.kept > 0


def test_without_an_endpoint_the_run_exits_with_2_and_names_the_way_out(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CURATE_ENDPOINT_")}
    words = [sys.executable, "-m", "curate.cli", "run", str(ROOT / "pipelines" / "rlaif.yaml"), "--root", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "make rlaif" in done.stderr and "CURATE_ENDPOINT_WRITER_URL" in done.stderr


def test_an_address_that_a_later_stage_lacks_is_named_before_any_work(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CURATE_ENDPOINT_")}
    environment["CURATE_ENDPOINT_WRITER_URL"] = "http://127.0.0.1:9/v1"
    words = [sys.executable, "-m", "curate.cli", "run", str(ROOT / "pipelines" / "factuality.yaml"), "--root", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 2 and "CURATE_ENDPOINT_JUDGE_URL" in done.stderr
    assert not list(tmp_path.rglob("*.parquet"))


def test_where_a_model_answers_is_no_part_of_the_identity(tmp_path: Path) -> None:
    text = (ROOT / "pipelines" / "rlaif.yaml").read_text(encoding="utf-8").replace("paths: sample", f"paths: {ROOT}/pipelines/sample")
    found = []
    for url in ("http://one.example/v1", "https://another.example:8000/gateway/v1"):
        path = tmp_path / "rlaif.yaml"
        path.write_text(text.replace("{concurrency: 16}", f"{{concurrency: 2, url: '{url}'}}"), encoding="utf-8")
        found.append([stage.directory for stage in plan(load(path), tmp_path / "runs")])
    assert found[0] == found[1] and url in path.read_text(encoding="utf-8")


def test_critiques_and_revisions_become_pairs_and_conversations(tmp_path: Path) -> None:
    recipe = tmp_path / "constitutional.yaml"
    recipe.write_text(
        f"""\
stages:
  - ingest: {{source: {ROOT}/pipelines/sample/rows/alpaca_pt.jsonl}}
  - name: answers
    generate: {{use: answers, answers: 1, models: [{{endpoint: writer, model: w, max_tokens: 800}}]}}
  - name: revised
    generate: {{use: revise, rounds: 2, constitution: constitution.pt, models: [{{endpoint: writer, model: w, max_tokens: 800}}]}}
  - mix:
      sources: [revised]
      pairs: revision_over_original
      splits:
        train: rest as chosen_rejected
  - mix:
      sources: [revised]
      pairs: revision_over_original
      splits:
        train: {{as: {{use: messages, chosen: true}}}}
""",
        encoding="utf-8",
    )
    conversations = simulated(tmp_path, recipe)
    revised = next(one for one in reversed(conversations.ancestors()) if one.receipt.stage == "generate")
    last = {row["candidates"][-1]["text"] for row in revised.data().collect().to_dicts()}
    learned = {row["messages"][-1]["content"] for row in conversations.data().collect().to_dicts()}
    assert learned and learned <= last
