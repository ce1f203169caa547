"""An opt-out reaches every descendant: rows, dropped text, pairs, verdicts, replies; and stays out of what runs later."""

import asyncio
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import artifact_path, curate
from refining import artifact as made_artifact
from refining import row, said
from scanned import everything

from curate import run
from curate.artifact import Artifact, read_receipt, write_json, write_receipt
from curate.config import StoppedError, UsageError
from curate.judges.journal import Attempt, Journal
from curate.judges.verdicts import SCHEMA
from curate.remove import Removal, as_text, remove
from curate.runner import locked
from curate.steps.sources import Source
from curate.steps.sources.opt_outs import parsed
from curate.view.store import LABELS, Given, Store

WIRED = "opt_out" in Source.model_fields
RECIPE = """\
stages:
  - ingest: {source: docs.jsonl, format: document, dropped_text: full}
  - refine:
      dropped_text: full
      steps:
        - {use: exact_dedup, on: row}
        - {use: gopher_quality, on: row, min_words: 2, max_words: 40, min_stop_words: 0}
  - mix:
      sources: [refine]
      splits: {train: rest as text, validation: 4 rows as text}
"""
PAIRS = """\
stages:
  - ingest: {source: rated.jsonl, format: ultrafeedback}
  - mix:
      pairs: best_worst
      sources: [ingest]
      splits: {train: rest as chosen_rejected}
"""


def text(number: int) -> str:
    """A text that nothing else holds; every fifth is too long for the recipe, every seventh says what the one before says."""
    number = number - 1 if number % 7 == 6 else number
    return " ".join(f"quark{number}x{place}" for place in range(60 if number % 5 == 4 else 12))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recipes over local rows, run to their ends."""
    tmp_path = tmp_path_factory.mktemp("finished")
    docs = [{"text": text(n), "url": f"https://site{n % 3}.example/page/{n}"} for n in range(30)]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    answers = [{"response": f"reply{n}a{score} is all", "annotations": {}, "overall_score": score} for n in (0,) for score in (2, 8)]
    rated = [{"instruction": f"ask{n}z about it", "completions": [{**one, "response": one["response"].replace("0", str(n), 1)} for one in answers]} for n in range(8)]
    (tmp_path / "rated.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rated))
    for name, recipe in (("docs", RECIPE), ("pairs", PAIRS)):
        (tmp_path / f"{name}.yaml").write_text(recipe)
        run(tmp_path / f"{name}.yaml", root=tmp_path / "runs", workers=1)
    return tmp_path


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    shutil.copytree(finished, tmp_path / "home")
    return tmp_path / "home"


def asked(folder: Path, kind: str, *lines: str) -> Removal:
    (folder / "list.txt").write_text("\n".join(lines))
    return remove(folder / "list.txt", kind, folder / "runs")


def latest(folder: Path, recipe: str) -> list[Artifact]:
    return [Artifact(folder / "runs" / recipe / name) for name in json.loads((folder / "runs" / recipe / "latest.json").read_text())]


def test_a_domain_leaves_rows_and_dropped_text_of_every_stage(home: Path) -> None:
    assert "quark4x1" in everything(home / "runs")
    done = asked(home, "domains", "site1.example")
    said_now = everything(home / "runs")
    assert done.documents == 10 and len(done.successors) == 3
    left = {text(number).split()[0] for number in range(30) if number % 3 != 1}
    assert {word for number in range(30) if (word := text(number).split()[0]) + " " in said_now} == left
    assert "site1.example" not in said_now


def test_successors_hold_the_law_and_lead_back_to_successors(home: Path) -> None:
    before = {one.receipt.stage: one.receipt for one in latest(home, "docs")}
    asked(home, "domains", "site1.example")
    for one in latest(home, "docs"):
        counts, old = one.receipt.counts, before[one.receipt.stage]
        assert counts.broken_law() is None and counts.read == old.counts.read
        ledger = one.ledger().collect()
        assert counts.dropped["remove.opted_out"] == (ledger["step"] == "remove").sum() == one.receipt.report["removed"]["units"] > 0
        assert one.receipt.report["removed"]["from"] == old.fingerprint != one.receipt.fingerprint
        assert len(ledger) == counts.read and (ledger["outcome"] == "kept").sum() == counts.kept
        assert sum(len(one.data(split).collect()) for split in one.splits) == counts.written
        assert [file.sha256 for file in one.receipt.files] and len(one.parents()) == len(one.receipt.parents)
    assert len(latest(home, "docs")[-1].ancestors()) == 2


def test_the_old_artifacts_are_gone_and_those_without_the_documents_stay(home: Path) -> None:
    before = [one.path for one in latest(home, "docs")]
    pairs = [one.path for one in latest(home, "pairs")]
    done = asked(home, "urls", "http://www.site1.example/page/4/")
    assert done.documents == 1 and not any(path.exists() for path in before) and all(path.exists() for path in pairs)
    assert [one.path for one in latest(home, "pairs")] == pairs
    assert "quark4x1" not in everything(home / "runs") and "quark10x1" in everything(home / "runs")


def test_an_id_takes_the_pairs_that_were_made_of_its_row_along(home: Path) -> None:
    id_ = latest(home, "pairs")[0].data().collect()["id"][3]
    assert all(word in everything(home / "runs") for word in ("ask3z", "reply3a8"))
    done = asked(home, "ids", id_)
    said_now = everything(home / "runs")
    assert "ask3z" not in said_now and "reply3a" not in said_now and "reply4a8" in said_now
    assert done.rows == 2 and len(latest(home, "pairs")[1].data().collect()) == 7


def test_the_same_removal_again_changes_nothing(home: Path) -> None:
    asked(home, "domains", "site1.example")
    before = {path: path.read_bytes() for path in sorted((home / "runs").rglob("*")) if path.is_file()}
    done = asked(home, "domains", "site1.example")
    assert not done.successors and before == {path: path.read_bytes() for path in sorted((home / "runs").rglob("*")) if path.is_file()}


def test_a_second_removal_follows_the_first(home: Path) -> None:
    asked(home, "domains", "site1.example")
    asked(home, "domains", "site2.example")
    dropped = latest(home, "docs")[0].receipt.counts.dropped["remove.opted_out"]
    assert (home / "runs" / "opt_out.txt").read_text().splitlines() == ["site1.example", "site2.example"]
    assert dropped == 20 and latest(home, "docs")[-1].receipt.counts.broken_law() is None
    assert [step.name for step in latest(home, "docs")[-1].receipt.steps].count("remove") == 1


def judged(root: Path) -> Path:
    """Candidates with verdicts and labels, and a journal of the calls."""
    rows = [row(n, prompt=[said("user", f"question{n}q")], candidates=[_answer(n, place) for place in (0, 1)]) for n in range(4)]
    path = made_artifact(root / "rl" / "00-judge-12345678", "candidates", rows).artifact.path
    verdicts = [{"row_id": one["id"], "judge": "j", "a": f"{n}-0", "b": f"{n}-1", "label": "first", "reply": f"The first answer names verdict{n}v better"} for n, one in enumerate(rows)]
    (path / "verdicts").mkdir()
    pq.write_table(pa.Table.from_pylist(verdicts, SCHEMA), path / "verdicts" / "00000.parquet")
    write_json(root / "rl" / "latest.json", [path.name])
    store = Store(path / LABELS)
    for one in rows:
        store.add(Given("ana", one["id"], "x", "y", False, "first"))
    store.close()
    asyncio.run(_journal(root / "calls.sqlite", [one["reply"] for one in verdicts] + [answer["text"] for one in rows for answer in one["candidates"]]))
    return path


def _answer(number: int, place: int) -> dict:
    return {"id": f"{number}-{place}", "text": f"answer{number}w{place}", "model": None, "parent": None, "kind": "answer", "ratings": [], "rank": None}


async def _journal(path: Path, replies: list[str]) -> None:
    journal = Journal(path, "run")
    for number, reply in enumerate(replies):
        body = {"choices": [{"message": {"content": reply}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 10, "completion_tokens": 3}}
        await journal.add(Attempt(number.to_bytes(32), "e", "m", 200, json.dumps(body)))
    journal.close()


def test_verdicts_labels_and_replies_go_and_what_they_cost_stays_known(tmp_path: Path) -> None:
    judged(tmp_path / "runs")
    done = asked(tmp_path, "ids", f"{2:032x}")
    said_now = everything(tmp_path / "runs")
    assert not [word for word in ("question2q", "answer2w", "verdict2v", f"{2:032x}-") if word in said_now]
    assert all(word in said_now for word in ("question1q", "answer1w0", "verdict1v")) and done.replies == 3
    journal = Journal(tmp_path / "runs" / "calls.sqlite", "run")
    assert journal.sums()[0].calls == 12 and journal.sums()[0].tokens_in == 120
    assert journal.known((2).to_bytes(32), 3)[0] is None and journal.known((1).to_bytes(32), 3)[0] is not None
    journal.close()
    with closing(sqlite3.connect(latest(tmp_path, "rl")[0].path / LABELS)) as labels:
        assert labels.execute("SELECT count(*) FROM labels").fetchone() == (3,)


@pytest.mark.parametrize("siblings", [False, True])
def test_a_row_of_several_documents_goes_with_any_of_them(tmp_path: Path, siblings: bool) -> None:
    shared = {**row(1, messages=[said("user", "treeone"), said("assistant", "a")], tools=None), "origins": [f"{1:032x}", f"{2:032x}"]}
    sibling = {**row(9, messages=[said("user", "treethree"), said("assistant", "c")], tools=None), "origins": [f"{1:032x}", f"{4:032x}"]}
    rows = [shared, row(3, messages=[said("user", "treetwo"), said("assistant", "b")], tools=None), *([sibling] if siblings else [])]
    path = made_artifact(tmp_path / "runs" / "r" / "00-ingest-12345678", "conversation", rows).artifact.path
    (path / "ledger").mkdir()
    units = [{"id": f"{n:032x}", "url": None, "source": "s", "offset": n, "outcome": "kept", "twin": None, "cluster": None, "cluster_size": 1} for n in (1, 2, 3, 4)[: 3 + siblings]]
    nothing = dict.fromkeys(("step", "reason", "language"), pl.lit(None, pl.String)) | dict.fromkeys(("value", "threshold"), pl.lit(None, pl.Float64))
    pl.DataFrame(units, schema_overrides={"url": pl.String, "twin": pl.String, "cluster": pl.String}).with_columns(**nothing).write_parquet(path / "ledger" / "00000.parquet")
    receipt = read_receipt(path)
    write_receipt(path, receipt.model_copy(update={"counts": receipt.counts.model_copy(update={"read": 3 + siblings, "kept": 3 + siblings, "expanded": {"threads": -1}})}))
    write_json(path.parent / "latest.json", [path.name])
    asked(tmp_path, "ids", f"{2:032x}")
    left = latest(tmp_path, "r")[0]
    assert "treeone" not in everything(tmp_path / "runs") and left.receipt.counts.broken_law() is None
    told = dict(left.ledger().filter(pl.col("step") == "remove").select("id", "reason").collect().iter_rows())
    assert told == {f"{2:032x}": "opted_out"} | ({} if siblings else {f"{1:032x}": "shared_row"})
    assert left.receipt.counts.dropped == {"remove.opted_out": 1} | ({} if siblings else {"remove.shared_row": 1})
    assert ("treethree" in everything(tmp_path / "runs")) == siblings


def test_models_and_pushed_revisions_are_listed(home: Path) -> None:
    final = latest(home, "docs")[-1]
    (home / "model").mkdir()
    write_json(home / "model" / "receipt.json", {"model": "tiny", "data": [final.receipt.fingerprint]})
    write_json(final.path / "published.json", [{"to": "me/set", "revision": None, "commit": "abc", "url": "https://hub/me/set"}])
    (home / "list.txt").write_text("site1.example")
    done = remove(home / "list.txt", "domains", home / "runs", [home])
    assert done.models == [str(home / "model")] and done.published[0]["commit"] == "abc"
    assert str(home / "model") in as_text(done) and "https://hub/me/set abc" in as_text(done)
    (home / "list.txt").write_text("site2.example")
    again = remove(home / "list.txt", "domains", home / "runs", [home])
    assert again.models == [str(home / "model")], "a model that nobody has replaced is listed again"


def test_what_a_stage_has_pushed_is_listed_from_its_receipt(home: Path) -> None:
    final = latest(home, "docs")[-1]
    told = {"to": "me/set", "revision": None, "commit": "abc", "url": "https://hub/me/set", "files": [], "missing": []}
    write_receipt(final.path, final.receipt.model_copy(update={"stage": "publish", "report": {"publish": told}}))
    done = asked(home, "domains", "site1.example")
    assert [one["commit"] for one in done.published] == ["abc"] and "https://hub/me/set abc" in as_text(done)
    assert done.taken == [f"docs/{final.path.name}"] and not done.elsewhere


def test_what_cannot_be_told_apart_and_what_is_unfinished_is_taken_away(home: Path) -> None:
    final = latest(home, "docs")[-1]
    (final.path / "data" / "train-00000.ds").write_bytes(b"packed")
    half = home / "runs" / "docs" / "00-web-00000000"
    (half / "work").mkdir(parents=True)
    (half / "work" / "part").write_text("quark4x1")
    done = asked(home, "domains", "site1.example")
    assert done.taken == [f"docs/{final.path.name}", "docs/00-web-00000000"]
    assert not half.exists() and not final.path.exists() and len(latest(home, "docs")) == 2


def test_dropped_text_goes_where_nobody_knows_any_more_whose_it_was(home: Path) -> None:
    ingest, refine, _ = latest(home, "docs")
    shutil.rmtree(ingest.path)
    assert pl.read_parquet(refine.path / "dropped").height
    asked(home, "ids", refine.data().collect()["id"][0])
    left = next(one for one in (home / "runs" / "docs").glob("01-refine-*"))
    assert not pl.read_parquet(left / "dropped").height and pl.read_parquet(left / "data").height


def test_a_run_at_work_is_not_disturbed(home: Path) -> None:
    half = home / "runs" / "docs" / "00-web-00000000"
    half.mkdir()
    with locked(half), pytest.raises(StoppedError, match="at work"):
        asked(home, "domains", "site1.example")
    assert not (home / "runs" / "opt_out.txt").exists() and len(latest(home, "docs")) == 3


@pytest.mark.parametrize("moment", ["write_receipt", "write_json", "rmtree", "forget"])
def test_a_removal_that_was_killed_is_finished_by_the_same_call(home: Path, moment: str) -> None:
    places = {"write_receipt": "curate.remove.successor", "write_json": "curate.remove.run", "rmtree": "curate.remove.run.shutil", "forget": "curate.remove.run"}
    judged(home / "runs")
    (home / "list.txt").write_text("site1.example\n")
    program = f"""
import os, signal, importlib
from pathlib import Path
import curate.remove.run
module = {places[moment]}
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
{"count = [0]; was = module.write_receipt" if moment == "write_receipt" else ""}
{"def second(*a):" if moment == "write_receipt" else ""}
{"    count[0] += 1; die() if count[0] == 2 else was(*a)" if moment == "write_receipt" else ""}
module.{moment} = {"second" if moment == "write_receipt" else "die"}
curate.remove.run.remove(Path("list.txt"), "domains", Path("runs"))
"""
    program = program.replace("module = ", "import " + places[moment].removesuffix(".shutil") + "\nmodule = ")
    assert subprocess.run([sys.executable, "-c", program], cwd=home, check=False).returncode == -signal.SIGKILL
    remove(home / "list.txt", "domains", home / "runs")
    assert "quark4x1" not in everything(home / "runs") and not list((home / "runs").rglob("*.tmp"))
    assert all(one.receipt.counts.broken_law() is None and one.receipt.counts.dropped["remove.opted_out"] for one in latest(home, "docs"))
    assert len(list((home / "runs" / "docs").glob("0*"))) == 3


@pytest.mark.parametrize(
    ("kind", "line", "told"),
    [("ids", "abc", "no id"), ("domains", "https://a.example/x", "give it by --urls"), ("domains", "com", "top-level"), ("urls", "a b", "neither"), ("ids", "# none", "lists nothing")],
)
def test_a_mistake_in_the_list_is_named_and_nothing_happens(tmp_path: Path, kind: str, line: str, told: str) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(UsageError, match=told):
        asked(tmp_path, kind, line)
    assert not (tmp_path / "runs" / "opt_out.txt").exists()


def test_a_url_is_one_page_in_any_spelling_and_a_domain_all_below_it() -> None:
    listed = parsed(["https://a.example/p", "b.example", "https://c.example/"], "list")
    assert all(map(listed.match_url, ["http://www.a.example/p/", "HTTPS://A.example/p#x", "https://x.b.example/q", "https://c.example"]))
    assert not any(map(listed.match_url, ["https://a.example/p/q", "https://a.example/p?x=1", "https://notb.example/", "https://c.example/x"]))
    assert parsed(listed.lines, "again") == listed


@pytest.mark.skipif(not WIRED, reason="`run` does not apply opt_out.txt yet")
def test_after_a_removal_every_recipe_runs_again_without_the_documents(home: Path) -> None:
    asked(home, "domains", "site1.example")
    successors = [one.path for one in latest(home, "docs")]
    again = run(home / "docs.yaml", root=home / "runs", workers=1)
    assert again.path == successors[-1], "what was filtered is not computed again"
    changed = home / "docs.yaml"
    changed.write_text(RECIPE.replace("document, dropped_text: full", "document, shard_bytes: 1000, dropped_text: full"))
    fresh = run(changed, root=home / "runs", workers=1)
    said_now = everything(home / "runs")
    assert fresh.path != successors[-1] and "quark4x1" not in said_now and "site1.example" not in said_now
    assert latest(home, "docs")[0].receipt.counts.dropped == {"read.opted_out": 10}


@pytest.mark.skipif(not WIRED, reason="`run` does not apply opt_out.txt yet")
def test_a_list_edited_by_hand_is_applied_too(home: Path) -> None:
    (home / "runs" / "opt_out.txt").write_text("# asked by letter\nsite2.example\n")
    fresh = run(home / "docs.yaml", root=home / "runs", workers=1)
    assert "quark2x1 " not in everything(fresh.path)
    asked(home, "domains", "site1.example")
    assert run(home / "docs.yaml", root=home / "runs", workers=1).path == latest(home, "docs")[-1].path
    assert not [word for word in ("quark4x1 ", "quark2x1 ") if word in everything(home / "runs")]


@pytest.mark.skipif(not WIRED, reason="`run` does not apply opt_out.txt yet")
def test_pages_of_an_archive_are_removed_and_stay_away(workplace: Path) -> None:
    artifact = Artifact(artifact_path(curate(workplace, "run", "recipe.yaml"), workplace))
    page = artifact.data().collect().sort("words").row(-1, named=True)
    quote = page["text"][200:260]
    assert quote in everything(workplace / "runs")
    (workplace / "list.txt").write_text(page["id"])
    remove(workplace / "list.txt", "ids", workplace / "runs")
    assert quote not in everything(workplace / "runs")
    artifact_path(curate(workplace, "run", "recipe.yaml", "--set", "least=51"), workplace)
    assert quote not in everything(workplace / "runs")
