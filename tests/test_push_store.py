"""Publishing to an object store: a real S3-protocol server, and a folder."""

from pathlib import Path

import fsspec
import polars as pl
import pytest
import s3_server
from published import MAIL, web_mix

from curate.artifact import Artifact
from curate.config import UsageError
from curate.hub.contents import contents
from curate.hub.push import push

BUCKET = "published"


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return web_mix(tmp_path_factory.mktemp("store"))


def expected(mix: Artifact) -> dict[str, bytes]:
    return {one.path: one.content if isinstance(one.content, bytes) else one.content.read_bytes() for one in contents(mix, None, False)}


def test_an_artifact_goes_to_s3_with_its_card_and_nothing_else(mix: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = s3_server.environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    with s3_server.serving(tmp_path, BUCKET, environment):
        system = s3_server.file_system(environment)
        system.pipe_file(f"{BUCKET}/sets/pages/data/train-00077.parquet", b"of an earlier push")
        done = push(mix, f"s3://{BUCKET}/sets/pages")
        there = {path.partition("/sets/pages/")[2]: system.cat_file(path) for path in system.find(f"{BUCKET}/sets/pages")}
        rows = pl.read_parquet(there["data/test-00000.parquet"])
    assert there == expected(mix) and done.commit is None and rows["text"].to_list() == mix.data("test").collect()["text"].to_list()
    assert not any(MAIL.encode() in content for content in there.values())


def test_an_artifact_goes_to_a_folder_that_datasets_opens(mix: Artifact, tmp_path: Path) -> None:
    import datasets

    push(mix, f"file://{tmp_path}/out")
    there = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert there == expected(mix)
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: rows.to_list() for split, rows in loaded.items()} == {split: mix.data(split).collect().to_dicts() for split in ("train", "test")}


def test_a_store_knows_no_private_and_no_revision(mix: Artifact) -> None:
    with pytest.raises(UsageError, match=r"are the Hub's"):
        push(mix, "s3://bucket/x", private=True)


def test_a_store_that_nobody_knows_is_said(mix: Artifact) -> None:
    with pytest.raises(UsageError, match=r"nonsense://x"):
        push(mix, "nonsense://x/y")
