"""An opt-out from a root on an object store: a real S3-protocol server, and two machines with a cache each.

What happens when a removal stops on its way is tried on fsspec's store in memory, which is quicker.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import s3_server
from conftest import curate
from scanned import everything

import curate as door
from curate.errors import UsageError
from curate.judges.journal import Attempt, Journal
from curate.mirror import Mirror
from curate.remove import remove

BUCKET = "removed"
RECIPE = """\
params: {least: 2}
stages:
  - ingest: {source: docs.jsonl, format: document, dropped_text: full}
  - refine: {dropped_text: full, steps: [{use: gopher_quality, on: row, min_words: "${least}", max_words: 40, min_stop_words: 0}]}
"""


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A root in a bucket."""
    variables = s3_server.environment()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    with s3_server.serving(tmp_path, BUCKET, variables):
        yield f"s3://{BUCKET}/runs"


@pytest.fixture
def memory() -> Iterator[str]:
    """A root in this process."""
    yield f"memory://{BUCKET}/runs"
    fsspec.filesystem("memory").rm(f"/{BUCKET}", recursive=True)


def there(root: str, folder: Path) -> str:
    """All that lies below the root on the store."""
    shutil.rmtree(folder, ignore_errors=True)
    system, start = fsspec.core.url_to_fs(root)
    system.invalidate_cache()
    for path in system.find(start):
        place = folder / path[len(start) + 1 :]
        place.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(path, str(place))
    return everything(folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that was run to its end, below a local root."""
    folder = tmp_path_factory.mktemp("finished")
    docs = [{"text": " ".join(f"quark{n}x{place}" for place in range(60 if n % 5 == 4 else 12)), "url": f"https://site{n % 3}.example/{n}"} for n in range(12)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    (folder / "docs.yaml").write_text(RECIPE)
    (folder / "list.txt").write_text("site1.example")
    door.run(folder / "docs.yaml", root=folder / "runs", workers=1)
    return folder


def sent(home: Path, root: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first of two machines has made, on the store and in its cache."""
    monkeypatch.setenv("CURATE_CACHE", str(cache))
    mirror = Mirror(root)
    shutil.copytree(home / "runs" / "docs", mirror.root / "docs")
    for stage in sorted((mirror.root / "docs").glob("0*")):
        mirror.send(stage)
    mirror.send_files("docs")


def stages(folder: Path) -> set[str]:
    return {path.name for path in (folder / "docs").glob("0*")}


def test_one_machine_removes_what_another_has_made_and_both_run_on_without_it(finished: Path, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(finished, s3, tmp_path / "first", monkeypatch)
    first = there(s3, tmp_path / "there")
    assert "quark4x1" in first and "site1.example" in first
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "second"))
    done = curate(finished, "remove", "--domains", "list.txt", "--root", s3)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == f"{s3}/opt_out.txt", done.stderr
    assert "on each other machine that has worked with this root, run the same command: it keeps replies to calls (calls.sqlite), labels" in done.stdout
    left = there(s3, tmp_path / "there")
    assert "quark4x1" not in left and "site1.example" not in left and "quark5x1" in left
    assert (tmp_path / "there" / "opt_out.txt").read_text() == "site1.example\n" and len(stages(tmp_path / "there")) == 2
    assert "quark4x1" not in everything(tmp_path / "second")

    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "first"))
    again = door.run(finished / "docs.yaml", root=s3, workers=1)
    assert again.path.name in stages(tmp_path / "there"), "the other machine's successor, not made again"
    fresh = door.run(finished / "docs.yaml", root=s3, workers=1, least=3)
    assert "quark4x1" not in everything(fresh.path) + there(s3, tmp_path / "there")
    remove(finished / "list.txt", "domains", Path(s3))
    assert "quark4x1" not in everything(tmp_path / "first") and "quark5x1" in there(s3, tmp_path / "there")


@pytest.mark.parametrize("moment", ["fetch_all", "send_notes", "send", "send_files", "delete"])
def test_a_removal_that_stops_on_the_way_is_finished_by_the_same_call(finished: Path, tmp_path: Path, memory: str, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = getattr(Mirror, moment)

    def once(self: Mirror, *given: object) -> None:
        whole(self, *given)
        raise KeyboardInterrupt  # after the step was done once

    sent(finished, memory, tmp_path / "first", monkeypatch)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Mirror, moment, once)
        remove(finished / "list.txt", "domains", Path(memory))
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "second"))
    remove(finished / "list.txt", "domains", Path(memory))
    left = there(memory, tmp_path / "there")
    assert "quark4x1" not in left and "site1.example" not in left and "quark5x1" in left and len(stages(tmp_path / "there")) == 2
    final = door.run(finished / "docs.yaml", root=memory, workers=1)
    assert final.receipt.counts.broken_law() is None and final.receipt.counts.dropped["remove.opted_out"] > 0
    assert final.path.name in stages(tmp_path / "there")


def test_what_the_machine_that_made_it_keeps_for_itself_goes_by_the_same_call_there(finished: Path, tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(finished, memory, tmp_path / "first", monkeypatch)
    home = Mirror(memory).root / "docs"
    final = home / json.loads((home / "latest.json").read_text())[-1]
    (final / "published.json").write_text(json.dumps([{"to": "me/set", "revision": None, "commit": "abc", "url": "https://hub/me/set"}]))
    journal = Journal(home / "calls.sqlite", "run")
    body = {"choices": [{"message": {"content": "It says quark1x0 quark1x1 quark1x2 quark1x3 quark1x4 and so on"}}], "usage": {"prompt_tokens": 9}}
    journal.add_all([Attempt(b"k" * 32, "e", "m", 200, json.dumps(body))])
    journal.close()
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "second"))
    elsewhere = remove(finished / "list.txt", "domains", Path(memory))
    assert elsewhere.elsewhere and not elsewhere.published and not elsewhere.replies
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "first"))
    done = remove(finished / "list.txt", "domains", Path(memory))
    assert [one["commit"] for one in done.published] == ["abc"] and done.replies == 1
    assert "quark1x1" not in everything(tmp_path / "first")


def test_a_stage_that_was_half_sent_is_taken_away(finished: Path, tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(finished, memory, tmp_path / "first", monkeypatch)
    fsspec.filesystem("memory").pipe_file(f"/{BUCKET}/runs/docs/00-ingest-0123abcd/data/train-00000.parquet", b"quark4x1 without a receipt")
    remove(finished / "list.txt", "domains", Path(memory))
    assert "quark4x1" not in there(memory, tmp_path / "there")


def test_a_mistake_in_the_list_is_said_before_the_store_is_asked(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("com")
    with pytest.raises(UsageError, match="top-level"):
        remove(tmp_path / "list.txt", "domains", Path("s3://nowhere/runs"))
