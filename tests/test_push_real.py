"""What a push leaves at a Hub and how it comes back: on the emulated Hub, or by `make test-hub` with HF_TOKEN on the real one."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hub_place import Place, place
from huggingface_hub import CommitOperationAdd
from published import copy, mix, packed_mix

from curate.artifact import Artifact
from curate.executors import LocalExecutor
from curate.stages.given import Given
from curate.stages.publish import Publish
from curate.stages.publish_run import make

__all__ = ["copy", "mix"]
TEXTS = {"README.md", "croissant.json", "provenance.json"}
SETTINGS = {"extra/axolotl.json", "extra/dataset_info.json"}
LOADED = "import datasets, json, sys\nfor split, rows in sorted(datasets.load_dataset(sys.argv[1]).items()): print(json.dumps([split, rows.to_list()]))"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path / "cache") as found:
        yield found


def data(artifact: Artifact) -> set[str]:
    return {file.path for file in artifact.receipt.files if file.path.startswith("data/")}


def test_a_push_is_one_commit_of_data_card_croissant_provenance_and_trainers_settings(hub: Place, copy: Artifact) -> None:
    done = hub.push(copy)
    assert set(hub.files()) == TEXTS | SETTINGS | data(copy)
    assert hub.holds(copy) and hub.commits() == 1 and done.commit == hub.head() and done.url.endswith(done.commit)
    assert len(done.missing) == 4


def test_it_loads_back_with_the_same_rows(hub: Place, copy: Artifact, tmp_path: Path) -> None:
    hub.push(copy)
    out = subprocess.run([sys.executable, "-c", LOADED, hub.name], env=hub.environment(tmp_path / "home"), capture_output=True, text=True, check=True)
    loaded = dict(json.loads(line) for line in out.stdout.splitlines())
    assert loaded == {split: copy.data(split).collect().to_dicts() for split in ("train", "test")}


def test_packed_tokens_go_with_their_indexes(hub: Place, tmp_path: Path) -> None:
    packed = packed_mix(tmp_path / "packed")
    hub.push(packed)
    assert hub.holds(packed) and {"data/train-00000.ds", "data/train-00000.ds.index", "data/train-00000.ds.metadata"} <= set(hub.files())
    out = subprocess.run([sys.executable, "-c", LOADED, hub.name], env=hub.environment(tmp_path / "home"), capture_output=True, text=True, check=True)
    assert dict(json.loads(line) for line in out.stdout.splitlines()) == {"test": packed.data("test").collect().to_dicts()}


def test_a_second_push_of_the_same_artifact_makes_no_commit(hub: Place, copy: Artifact) -> None:
    first, again = hub.push(copy), hub.push(copy)
    assert again.commit == first.commit and hub.holds(copy) and hub.commits() == 1
    assert json.loads((copy.path / "published.json").read_text()) == [{"to": hub.name, "revision": None, "commit": first.commit, "url": first.url}]


def test_shards_of_an_earlier_push_are_taken_away_and_other_files_stay(hub: Place, copy: Artifact) -> None:
    hub.push(copy)
    by_hand = [CommitOperationAdd("data/train-00099.parquet", b"old"), CommitOperationAdd("NOTES.md", b"mine")]
    hub.api.create_commit(hub.name, by_hand, commit_message="by hand", repo_type="dataset")
    hub.push(copy)
    assert "data/train-00099.parquet" not in hub.files() and hub.files()["NOTES.md"] == b"mine"


def test_a_dataset_is_created_private_when_asked_for(hub: Place, copy: Artifact) -> None:
    hub.push(copy, private=True)
    assert hub.api.repo_info(hub.name, repo_type="dataset").private


def test_a_revision_is_a_branch_of_its_own(hub: Place, copy: Artifact) -> None:
    hub.push(copy, revision="v2")
    assert set(hub.files("v2")) > TEXTS and hub.files() == {}


WALK = """
import json, sys
import curate
from curate.card.render import card
from curate.card.lineage import lineage
made = curate.run(sys.argv[1], root=sys.argv[2], workers=1)
print(json.dumps([[one.receipt.stage for one in lineage(made)], made.receipt.counts.kept, card(made).readme]))
"""


def test_ingesting_a_published_dataset_walks_on_to_its_sources(hub: Place, copy: Artifact, tmp_path: Path) -> None:
    done = hub.push(copy)
    (tmp_path / "again.yaml").write_text(f"stages:\n  - ingest: {{source: {{paths: hf://datasets/{hub.name}}}, format: document}}\n")
    words = [sys.executable, "-c", WALK, str(tmp_path / "again.yaml"), str(tmp_path / "runs")]
    out = subprocess.run(words, env=hub.environment(tmp_path / "home"), capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    stages, kept, readme = json.loads(out.stdout.splitlines()[-1])
    assert stages == ["web", "mix", "ingest"] and kept == len(copy.data().collect())
    assert "pages.jsonl" in readme and "too_few_words" in readme
    assert f"hf://datasets/{hub.name}@{done.commit}" in readme.replace("\\", "")


def test_the_publish_stage_accounts_for_every_row_and_names_the_commit(hub: Place, copy: Artifact, tmp_path: Path) -> None:
    stage = Publish(to=hub.name, private=hub.server is None, source={"artifact": str(copy.path)})
    (tmp_path / "publish").mkdir()
    made = make(stage, {"rows": Given("rows", copy, "train")}, tmp_path / "publish", None, LocalExecutor(), 1, lambda progress: None)
    told = made.report["publish"]
    assert made.counts.broken_law() is None and made.counts.read == copy.receipt.counts.written and hub.holds(copy)
    assert told["commit"] == hub.head() and TEXTS < {file["path"] for file in told["files"]}
    ids = pl.read_parquet(tmp_path / "publish" / "ledger" / "00000.parquet")["id"]
    assert sorted(ids) == sorted(row for split in ("train", "test") for row in copy.data(split).collect()["id"])
