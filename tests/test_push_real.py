"""The same on the real Hub, where its token is given: `CURATE_TEST_HUB=1 HF_TOKEN=... pytest tests/test_push_real.py`."""

import os
import uuid
from pathlib import Path

import pytest
from published import web_mix

from curate.hub.contents import contents
from curate.hub.push import push

pytestmark = pytest.mark.skipif(
    not (os.environ.get("CURATE_TEST_HUB") and os.environ.get("HF_TOKEN")), reason="set CURATE_TEST_HUB=1 and HF_TOKEN to publish a private dataset on the real Hub"
)


def test_the_real_hub_takes_a_push_gives_it_back_and_makes_no_second_commit(tmp_path: Path) -> None:
    import datasets
    from huggingface_hub import HfApi

    api, mix = HfApi(), web_mix(tmp_path)
    name = f"{api.whoami()['name']}/curate-test-{uuid.uuid4().hex[:12]}"
    try:
        done = push(mix, name, private=True)
        assert {one.path for one in contents(mix, name, False)} <= set(api.list_repo_files(name, repo_type="dataset"))
        loaded = datasets.load_dataset(name, revision=done.commit, cache_dir=str(tmp_path / "cache"))
        assert {split: rows.to_list() for split, rows in loaded.items()} == {split: mix.data(split).collect().to_dicts() for split in ("train", "test")}
        assert push(mix, name, private=True).commit == done.commit
    finally:
        api.delete_repo(name, repo_type="dataset", missing_ok=True)
