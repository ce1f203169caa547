"""Publishing to a Hub on loopback with the Hub's own client: what arrives, what never does, and what a bad day does to it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import polars as pl
import pytest
from hub_server import Fault, Hub, serving
from huggingface_hub.utils import disable_progress_bars
from published import MAIL, RESERVED, web_mix

from curate.artifact import Artifact, write_receipt
from curate.config import StoppedError, UsageError
from curate.executors import LocalExecutor
from curate.hub.contents import contents
from curate.hub.push import push
from curate.stages.given import Given
from curate.stages.publish import Publish
from curate.stages.publish_run import make

NAME = "owner/pages"
TEXTS = {"README.md", "croissant.json", "provenance.json"}
SECRET = "s3cr3t-of-the-judge"


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return web_mix(tmp_path_factory.mktemp("push"))


@pytest.fixture
def copy(mix: Artifact, tmp_path: Path) -> Artifact:
    shutil.copytree(mix.path.parent, tmp_path / "pages")
    return Artifact(tmp_path / "pages" / mix.path.name)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving() as server:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_writer")
        disable_progress_bars()
        yield server


def environment(hub: Hub, home: Path) -> dict[str, str]:
    """Variables that lead a process of its own to the server."""
    return {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": "hf_writer", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def files(hub: Hub, revision: str = "main") -> dict[str, bytes]:
    repo = hub.repos[NAME]
    return {path: content for path, content in repo.commits[repo.branches[revision]].items() if path != ".gitattributes"}


def whole(hub: Hub, artifact: Artifact) -> bool:
    """The Hub holds exactly what was to go, made by one commit."""
    wanted = {one.path: one.content if isinstance(one.content, bytes) else one.content.read_bytes() for one in contents(artifact, NAME, False)}
    return files(hub) == wanted and len(hub.repos[NAME].log) == 2


def test_a_push_is_one_commit_of_data_card_croissant_and_provenance(hub: Hub, copy: Artifact) -> None:
    done = push(copy, NAME)
    assert set(files(hub)) == TEXTS | {file.path for file in copy.receipt.files if file.path.startswith("data/")}
    assert whole(hub, copy) and done.commit == hub.repos[NAME].branches["main"] and done.url.endswith(done.commit)
    assert len(done.missing) == 4 and not hub.repos[NAME].private


def test_it_loads_back_with_the_same_rows(hub: Hub, copy: Artifact, tmp_path: Path) -> None:
    push(copy, NAME)
    program = "import datasets, json, sys\nfor split, rows in sorted(datasets.load_dataset(sys.argv[1]).items()): print(json.dumps([split, rows.to_list()]))"
    out = subprocess.run([sys.executable, "-c", program, NAME], env=environment(hub, tmp_path / "home"), capture_output=True, text=True, check=True)
    loaded = dict(json.loads(line) for line in out.stdout.splitlines())
    assert loaded == {split: copy.data(split).collect().to_dicts() for split in ("train", "test")}


def test_nothing_of_what_was_dropped_and_no_path_and_no_secret_reaches_the_server(hub: Hub, copy: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("verdicts", "pairs", "work", "calls"):
        (copy.path / folder).mkdir(exist_ok=True)
        pl.DataFrame({"reply": ["the judge's own words"]}).write_parquet(copy.path / folder / "00000.parquet")
    monkeypatch.setenv("JUDGE_API_KEY", SECRET)
    push(copy, NAME)
    text = b"\n".join(hub.received)
    for banned in (MAIL, RESERVED[:25], str(copy.path.parent), str(Path.home()), SECRET, "hf_writer", "the judge's own words", "../"):
        assert banned.encode() not in text, banned
    rows = [row for path, body in files(hub).items() if path.endswith(".parquet") for row in pl.read_parquet(body)["text"]]
    assert sorted(rows) == sorted(text for split in ("train", "test") for text in copy.data(split).collect()["text"])
    assert not re.search(r"dropped/|verdicts/\w|ledger/\w", "\n".join(hub.asked))


def test_a_dry_run_lists_what_would_go_and_asks_the_hub_nothing(hub: Hub, mix: Artifact) -> None:
    listed = push(mix, NAME, dry_run=True)
    assert {one.path for one in listed.files} >= TEXTS and listed.commit is None and hub.asked == [] and not (mix.path / "published.json").exists()


def test_a_second_push_of_the_same_artifact_makes_no_commit(hub: Hub, copy: Artifact) -> None:
    first, again = push(copy, NAME), push(copy, NAME)
    assert again.commit == first.commit and whole(hub, copy)
    assert json.loads((copy.path / "published.json").read_text()) == [{"to": NAME, "revision": None, "commit": first.commit, "url": first.url}]


def test_shards_of_an_earlier_push_are_taken_away_and_other_files_stay(hub: Hub, copy: Artifact) -> None:
    push(copy, NAME)
    repo = hub.repos[NAME]
    repo.commit("main", {**files(hub), "data/train-00099.parquet": b"old", "NOTES.md": b"mine"}, "by hand")
    push(copy, NAME)
    assert "data/train-00099.parquet" not in files(hub) and files(hub)["NOTES.md"] == b"mine"


def test_a_private_dataset_is_created_private_and_a_public_one_is_refused(hub: Hub, copy: Artifact) -> None:
    push(copy, NAME, private=True)
    assert hub.repos[NAME].private
    hub.repos[NAME].private = False
    with pytest.raises(UsageError, match=r"owner/pages: is there already, and public"):
        push(copy, NAME, private=True)


def test_a_revision_is_a_branch_of_its_own(hub: Hub, copy: Artifact) -> None:
    push(copy, NAME, revision="v2")
    assert set(files(hub, "v2")) > TEXTS and files(hub) == {}


@pytest.mark.parametrize("token", ["hf_expired", ""])
def test_an_expired_or_absent_token_is_said_in_one_line(hub: Hub, copy: Artifact, token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with pytest.raises(UsageError, match=r"owner/pages: the Hub refuses the token \(401\)[^\n]*hf auth login[^\n]*$"):
        push(copy, NAME)
    assert NAME not in hub.repos


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
    hub.faults["PUT /lfs"] = [Fault(), Fault(), Fault(503, {"Retry-After": "600"})]
    program = f"from curate.artifact import Artifact; from curate.hub.push import push; push(Artifact({str(copy.path)!r}), {NAME!r})"
    process = subprocess.Popen([sys.executable, "-c", program], env=environment(hub, tmp_path / "home"))
    while hub.faults["PUT /lfs"] and process.poll() is None:
        process.poll()
    process.kill()
    process.wait()
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


INGEST = "stages:\n  - ingest: {source: {paths: hf://datasets/owner/pages}, format: document}\n"


def test_ingesting_a_published_dataset_walks_on_to_its_sources(hub: Hub, copy: Artifact, tmp_path: Path) -> None:
    done = push(copy, NAME)
    (tmp_path / "again.yaml").write_text(INGEST)
    program = """
import json, sys
import curate
from curate.card.render import card
from curate.card.lineage import lineage
from curate.hub.inherit import inherit
from curate.planning import plan
from curate.recipe import load
made = curate.run(sys.argv[1], root=sys.argv[2], workers=1)
inherit(plan(load(sys.argv[1]), __import__("pathlib").Path(sys.argv[2]))[0].files, made.path)
print(json.dumps([[one.receipt.stage for one in lineage(made)], made.receipt.counts.kept, card(made).readme]))
"""
    out = subprocess.run([sys.executable, "-c", program, str(tmp_path / "again.yaml"), str(tmp_path / "runs")], env=environment(hub, tmp_path / "home"), capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    stages, kept, readme = json.loads(out.stdout.splitlines()[-1])
    assert stages == ["web", "mix", "ingest"] and kept == len(copy.data().collect())
    assert "pages.jsonl" in readme and "too_few_words" in readme
    assert f"hf://datasets/owner/pages@{done.commit}" in readme.replace("\\", "")


def test_the_publish_stage_accounts_for_every_row_and_names_the_commit(hub: Hub, copy: Artifact, tmp_path: Path) -> None:
    stage = Publish(to=NAME, source={"artifact": str(copy.path)})
    (tmp_path / "publish").mkdir()
    made = make(stage, {"rows": Given("rows", copy, "train")}, tmp_path / "publish", None, LocalExecutor(), 1, lambda progress: None)
    told = made.report["publish"]
    assert made.counts.broken_law() is None and made.counts.read == copy.receipt.counts.written and whole(hub, copy)
    assert told["commit"] == hub.repos[NAME].branches["main"] and TEXTS < {file["path"] for file in told["files"]}
    ids = pl.read_parquet(tmp_path / "publish" / "ledger" / "00000.parquet")["id"]
    assert sorted(ids) == sorted(row for split in ("train", "test") for row in copy.data(split).collect()["id"])
