"""Publishing to a Hub on loopback with the Hub's own client: what never arrives there, and what a bad day does to a push."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import polars as pl
import pytest
from hub_place import addresses, emulated
from hub_server import Fault, Hub
from published import MAIL, RESERVED, copy, mix

from curate.artifact import Artifact, write_receipt
from curate.config import StoppedError, UsageError
from curate.hub.contents import contents
from curate.hub.push import push

__all__ = ["copy", "mix"]
NAME = "owner/pages"
TEXTS = {"README.md", "croissant.json", "provenance.json"}
SECRET = "s3cr3t-of-the-judge"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with emulated(tmp_path / "cache") as server:
        yield server


def files(hub: Hub, revision: str = "main") -> dict[str, bytes]:
    repo = hub.repos[NAME]
    return {path: content for path, content in repo.commits[repo.branches[revision]].items() if path != ".gitattributes"}


def whole(hub: Hub, artifact: Artifact) -> bool:
    """The Hub holds exactly what was to go, made by one commit."""
    wanted = {one.path: one.content if isinstance(one.content, bytes) else one.content.read_bytes() for one in contents(artifact, NAME, False)}
    return files(hub) == wanted and len(hub.repos[NAME].log) == 2


def test_nothing_of_what_was_dropped_and_no_path_and_no_secret_reaches_the_server(hub: Hub, copy: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("verdicts", "pairs", "work", "calls"):
        (copy.path / folder).mkdir(exist_ok=True)
        pl.DataFrame({"reply": ["the judge's own words"]}).write_parquet(copy.path / folder / "00000.parquet")
    monkeypatch.setenv("JUDGE_API_KEY", SECRET)
    push(copy, NAME)
    text = b"\n".join(hub.received).replace(b'"../data', b'"')  # as trainers' settings name the files beside them
    for banned in (MAIL, RESERVED[:25], str(copy.path.parent), str(Path.home()), SECRET, "hf_writer", "the judge's own words", "../"):
        assert banned.encode() not in text, banned
    rows = [row for path, body in files(hub).items() if path.endswith(".parquet") for row in pl.read_parquet(body)["text"]]
    assert sorted(rows) == sorted(text for split in ("train", "test") for text in copy.data(split).collect()["text"])
    assert not re.search(r"dropped/|verdicts/\w|ledger/\w", "\n".join(hub.asked))


def test_a_dry_run_lists_what_would_go_and_asks_the_hub_nothing(hub: Hub, mix: Artifact) -> None:
    listed = push(mix, NAME, dry_run=True)
    assert {one.path for one in listed.files} >= TEXTS and listed.commit is None and hub.asked == [] and not (mix.path / "published.json").exists()


def test_a_public_dataset_is_refused_where_a_private_one_is_meant(hub: Hub, copy: Artifact) -> None:
    push(copy, NAME)
    with pytest.raises(UsageError, match=r"owner/pages: is there already, and public"):
        push(copy, NAME, private=True)


@pytest.mark.parametrize("token", ["hf_expired", ""])
def test_an_expired_or_absent_token_is_said_in_one_line(hub: Hub, copy: Artifact, token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with pytest.raises(UsageError, match=r"owner/pages: the Hub refuses the token \(401\)[^\n]*hf auth login[^\n]*$"):
        push(copy, NAME)
    assert NAME not in hub.repos


@pytest.mark.parametrize(("faults", "told"), [([], "a Hub without Xet needs HF_HUB_DISABLE_XET=1"), ([Fault(401)] * 20, "hf auth login")])
def test_what_xet_says_in_its_own_way_is_understood(hub: Hub, copy: Artifact, faults: list[Fault], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hf_xet")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
    hub.faults["xet-write-token"] = faults
    with pytest.raises(UsageError, match=told):
        push(copy, NAME)


def test_a_token_that_expires_between_upload_and_commit_leaves_no_half(hub: Hub, copy: Artifact) -> None:
    hub.faults["/commit/"] = [Fault(401)]
    with pytest.raises(UsageError, match=r"401"):
        push(copy, NAME)
    assert files(hub) == {}
    push(copy, NAME)
    assert whole(hub, copy) and sum(line.startswith("PUT") for line in hub.asked) == len(hub.stored)


FAULTS = {
    "409 at the commit": ("/commit/", [Fault(409)]),
    "412, somebody was faster": ("/commit/", [Fault(412)]),
    "429 with Retry-After": ("/commit/", [Fault(429, {"Retry-After": "0"})]),
    "500, then 503": ("/commit/", [Fault(500), Fault(503)]),
    "502 when it is created": ("/api/repos/create", [Fault(502)]),
    "503 when it is asked for": ("GET /api/datasets", [Fault(503)]),
    "500 in the middle of an upload": ("PUT /lfs", [Fault(500)]),
    "an upload that is cut": ("PUT /lfs", [Fault(cut_after=100)]),
    "a commit that is cut": ("/commit/", [Fault(cut_after=100)]),
    "a commit whose answer is lost": ("/commit/", [Fault(lost=True)]),
}


@pytest.mark.parametrize(("part", "queue"), FAULTS.values(), ids=FAULTS)
def test_a_push_gets_over_it_with_one_whole_commit(hub: Hub, copy: Artifact, part: str, queue: list[Fault]) -> None:
    hub.faults[part] = list(queue)
    push(copy, NAME)
    assert hub.faults[part] == [] and whole(hub, copy)


def test_a_hub_that_stays_down_stops_the_push_and_the_next_one_sends_only_the_rest(hub: Hub, copy: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.hub.push._TRIES", 2)
    hub.faults["/commit/"] = [Fault(503)] * 2
    with pytest.raises(StoppedError, match=r"did not take it in 2 tries: .*503"):
        push(copy, NAME)
    uploads = len(hub.stored)
    push(copy, NAME)
    assert whole(hub, copy) and uploads == sum(line.startswith("PUT") for line in hub.asked)


def test_a_push_that_is_killed_goes_on_where_it_was(hub: Hub, copy: Artifact, tmp_path: Path) -> None:
    hub.faults["PUT /lfs"] = [Fault(), Fault(), *[Fault(503, {"Retry-After": "600"})] * 1000]
    program = f"from curate.artifact import Artifact; from curate.hub.push import push; push(Artifact({str(copy.path)!r}), {NAME!r})"
    process = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, **addresses(hub), "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"})
    while len(hub.faults["PUT /lfs"]) >= 1000:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    while len(hub.over) < len(hub.asked):  # what was on its way arrives, whole or not
        time.sleep(0.01)
    hub.faults.clear()
    before = len(hub.stored)
    assert files(hub) == {} and before < sum(file.path.startswith("data/") for file in copy.receipt.files)
    hub.asked.clear()
    push(copy, NAME)
    assert whole(hub, copy) and sum(line.startswith("PUT") for line in hub.asked) == len(hub.stored) - before


def test_a_simulated_artifact_goes_up_only_when_asked_for(hub: Hub, copy: Artifact) -> None:
    write_receipt(copy.path, copy.receipt.model_copy(update={"report": {**copy.receipt.report, "simulated": True}}))
    with pytest.raises(UsageError, match=r"a simulated endpoint answered.*--simulated"):
        push(Artifact(copy.path), NAME)
    assert hub.asked == []
    push(Artifact(copy.path), NAME, simulated=True)
    assert b"simulated" in files(hub)["README.md"]


def test_a_data_file_that_is_not_the_receipts_is_not_published(hub: Hub, copy: Artifact) -> None:
    pl.DataFrame({"text": ["swapped"]}).write_parquet(copy.path / "data" / "test-00000.parquet")
    with pytest.raises(UsageError, match=r"test-00000.parquet: is not the file that the receipt beside it states"):
        push(copy, NAME)
    assert hub.asked == []


@pytest.mark.parametrize("name", ["pages", "a/b/c", "../x", "owner/", "own er/x"])
def test_a_name_that_is_no_dataset_is_refused(hub: Hub, mix: Artifact, name: str) -> None:
    with pytest.raises(UsageError, match=r"names no place; write OWNER/NAME"):
        push(mix, name)
    assert hub.asked == []


def test_the_server_refuses_what_the_client_does_not_send(hub: Hub, copy: Artifact) -> None:
    api = huggingface_hub.HfApi()
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError):
        api.create_repo("owner/x", repo_type="model")
    with pytest.raises(ValueError, match=r"Invalid metadata"):
        api.create_repo(NAME, repo_type="dataset")
        operation = huggingface_hub.CommitOperationAdd("README.md", b"---\nsize_categories: [huge]\n---\n")
        api.create_commit(NAME, [operation], commit_message="x", repo_type="dataset")
