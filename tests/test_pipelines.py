"""The bundled recipes on the bundled sample: what a newcomer's first run must show."""

import importlib.util
import json
from pathlib import Path

import polars as pl
import pytest
from conftest import MANIFEST, ROOT, SAMPLE, SHARED, artifact_path, curate

from curate.artifact import Artifact

HEURISTICS = ("gopher_repetition", "gopher_quality", "c4", "fineweb")


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("bundled")
    return Artifact(artifact_path(curate(folder, "run", str(ROOT / "pipelines" / "fineweb_like.yaml")), folder))


def test_the_main_job_keeps_a_hundred_documents_and_every_sort_of_drop_happens(bundled: Artifact) -> None:
    dropped = bundled.receipt.counts.dropped
    assert bundled.receipt.counts.kept >= 100
    for step in ("url", "language", "exact_dedup", "minhash_dedup"):
        assert any(name.startswith(f"{step}.") for name in dropped), step
    assert any(name.startswith(HEURISTICS) for name in dropped)


def test_the_made_up_contact_data_of_the_sample_is_replaced(bundled: Artifact) -> None:
    edited = next(json.loads(line) for line in MANIFEST.read_text().splitlines() if "contact data" in (json.loads(line)["edit"] or ""))
    row = bundled.data().filter(pl.col("url") == edited["url"]).collect().row(0, named=True)
    assert "<EMAIL>" in row["text"] and "<CPF>" in row["text"] and "maria.exemplo" not in row["text"]
    assert {"type": "cpf", "count": 1} in row["pii"]


def test_every_row_has_the_documented_columns_and_counts(bundled: Artifact) -> None:
    schema = json.loads((ROOT / "schemas" / "document.schema.json").read_text())
    rows = bundled.data().collect()
    assert rows.columns == list(schema["properties"])
    assert (rows["bytes"] == rows["text"].str.len_bytes()).all() and (rows["words"] > 0).all()
    assert rows["id"].n_unique() == len(rows) and rows["content_id"].n_unique() == len(rows)
    assert not rows["source"].str.starts_with("/").any()


def test_no_absolute_path_is_in_the_receipt(bundled: Artifact) -> None:
    text = (bundled.path / "receipt.json").read_text()
    assert str(ROOT) not in text and str(bundled.path.resolve().parent) not in text


def test_the_rows_open_with_datasets(bundled: Artifact) -> None:
    assert bundled.dataset().num_rows == bundled.receipt.counts.written


def test_the_portuguese_recipe_keeps_portuguese_alone(tmp_path: Path) -> None:
    done = curate(tmp_path, "run", str(ROOT / "pipelines" / "fineweb_like_pt.yaml"))
    artifact = Artifact(artifact_path(done, tmp_path))
    assert artifact.receipt.counts.kept >= 30
    assert set(artifact.data().collect()["language"]) == {"pt"}


def test_each_page_of_the_sample_has_its_licence_and_every_edit_is_marked() -> None:
    lines = [json.loads(line) for line in MANIFEST.read_text(encoding="utf-8").splitlines()]
    assert all(line["licence"] and line["package"] and line["sha256"] for line in lines)
    assert 4 == sum(line["edit"] is not None for line in lines)
    assert len({line["language"] for line in lines}) >= 8 and [lines[0]["language"], lines[42]["language"]] == ["en", "pt"]
    assert 2_000_000 < SAMPLE.stat().st_size < 5_000_000


@pytest.mark.skipif(not (SHARED / "web").is_dir(), reason="the collection the sample was taken from is not beside the project")
def test_the_sample_is_what_its_script_builds(tmp_path: Path, monkeypatch) -> None:
    spec = importlib.util.spec_from_file_location("build_sample", ROOT / "pipelines" / "sample" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    monkeypatch.setattr(build, "HERE", tmp_path)
    build.main(SHARED / "web")
    assert (tmp_path / "debian_docs.warc.gz").read_bytes() == SAMPLE.read_bytes()
    assert (tmp_path / "manifest.jsonl").read_bytes() == MANIFEST.read_bytes()


@pytest.fixture(scope="module")
def mixes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder below which the bundled mixes are made."""
    return tmp_path_factory.mktemp("mixes")


def mixed(folder: Path, name: str) -> Artifact:
    return Artifact(artifact_path(curate(folder, "run", str(ROOT / "pipelines" / f"{name}.yaml")), folder))


@pytest.mark.parametrize(("name", "columns"), [
    ("pretrain_mix", {"text"}),
    ("sharegpt_mix", {"conversations"}),
    ("preference_mix", {"prompt", "chosen", "rejected", "probability"}),
    ("kto", {"prompt", "completion", "label"}),
])  # fmt: skip
def test_a_bundled_mix_runs_offline_and_no_prompt_is_in_two_of_its_splits(mixes: Path, name: str, columns: set[str]) -> None:
    artifact = mixed(mixes, name)
    rows = {split: artifact.data(split).collect() for split in artifact.splits}
    assert len(rows) == 2 and all(len(part) and columns <= set(part.columns) for part in rows.values())
    first, second = (set(part["group"]) for part in rows.values())
    assert not first & second
    assert artifact.receipt.parents and artifact.ancestors()


def test_the_trio_of_instructgpt_has_its_exact_sizes_and_disjoint_prompts(mixes: Path) -> None:
    artifact = mixed(mixes, "instructgpt_like")
    rows = {split: artifact.data(split).collect() for split in artifact.splits}
    assert {split: len(part) for split, part in rows.items()} == {"sft": 13, "reward": 33, "rl": 15}
    groups = [set(part["group"]) for part in rows.values()]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert {"messages"} <= set(rows["sft"].columns) and {"margin"} <= set(rows["reward"].columns) and "chosen" not in rows["rl"].columns


def test_the_shares_of_the_pretraining_mix_are_as_near_as_documents_allow(mixes: Path) -> None:
    sources = mixed(mixes, "pretrain_mix").receipt.report["sources"]
    for source in sources.values():
        assert abs(source["achieved"]["train"]["share"] - source["asked"]["share"]) < 0.06
