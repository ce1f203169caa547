"""The ingest stage from end to end: files of foreign rows in, an artifact with the account of every row out."""

import gzip
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SHARED, artifact_path, curate, data_bytes
from dialect_rows import GOOD, TREE, flat
from reading import parquet, write

import curate as package
from curate.artifact import Artifact, write_json
from curate.config import UsageError
from curate.heartbeat import Heartbeat
from curate.rows import SHAPES, arrow_schema
from curate.stages.ingest import Ingest, IngestJob, rank_directory
from curate.stages.ingest_rank import run_rank
from curate.steps.sources.inputs import list_files
from curate.steps.sources.ranks import cut

TURNS = GOOD["messages"]["messages"]


def lines(*rows: object) -> str:
    return "".join(row + "\n" if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)


def ingest(folder: Path, given: object, form: object = "auto", **how: object) -> Artifact:
    """Run a recipe of one ingest stage; the law of its account is checked by the run itself."""
    recipe = {"stages": [{"ingest": {"source": given, "format": form}}]}
    (folder / "r.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    return package.run(folder / "r.yaml", root=folder / "runs", **{"workers": 1, **how})


def run_one(work: Path, stage: Ingest, rank: int = 0, skip: dict[str, list] | None = None) -> None:
    """One rank of a stage, in this process."""
    ranks = cut(list_files(stage.source), stage.source)
    write_json(work / "job.json", IngestJob(directory=work, stage=stage, ranks=ranks, limit=None).model_dump(mode="json"))
    run_rank(work, {"rank": rank, "skip": skip or {}}, Heartbeat(work / "beat"))


def test_rows_are_kept_or_dropped_with_their_account(tmp_path: Path) -> None:
    broken = {"messages": TURNS[:1], "source": "x", "id": "2"}
    data = lines({"messages": TURNS, "source": "x", "id": "1", "license": "MIT"}, broken, '{"messages": [', "[1]", "")
    made = ingest(tmp_path, write(tmp_path / "a.jsonl", data), "messages")
    counts = made.receipt.counts
    assert counts.dropped == {"laws.not_ending_with_assistant": 1, "read.broken_json": 1, "read.not_a_row": 1}
    assert (counts.read, counts.kept, counts.written, counts.ignored) == (4, 1, 1, {"blank_line": 1})
    row = made.data().collect().to_dicts()[0]
    assert (row["licence"], json.loads(row["metadata"]), row["source"]) == ("MIT", {"id": "1", "license": "MIT", "source": "x"}, "a.jsonl")
    assert [(damage.file, damage.offset) for damage in made.receipt.damage] == [("a.jsonl", 3)]
    assert made.receipt.report["laws"]["not_ending_with_assistant"].endswith(".")
    dropped = made.ledger().collect().filter(pl.col("outcome") == "dropped").to_dicts()
    story = made.why(dropped[0]["id"])[0]
    assert (story["step"], story["reason"], story["offset"]) == ("laws", "not_ending_with_assistant", 2)


@pytest.mark.parametrize("use", [name for name in GOOD if name not in ("pku_saferlhf", "oasst_messages")])
def test_every_dialect_becomes_parquet_of_its_shape(tmp_path: Path, use: str) -> None:
    stage = Ingest.model_validate({"source": write(tmp_path / "a.json", json.dumps([{**GOOD[use], "number": 7}], indent=1)), "format": use})
    run_one(tmp_path, stage)
    made = pq.ParquetFile(rank_directory(tmp_path, 0) / "units.parquet").read()
    assert made.schema == arrow_schema(SHAPES[stage.format.makes])
    ids = made.column("id").to_pylist()
    assert len(set(ids)) == len(ids) >= 1
    assert json.loads(made.column("metadata")[0].as_py())["number"] == 7


def test_trees_explain_their_surplus_and_threads_share_a_group(tmp_path: Path) -> None:
    made = ingest(tmp_path, write(tmp_path / "a.jsonl", lines(GOOD["oasst_trees"])))
    assert (made.receipt.counts.kept, made.receipt.counts.written, made.receipt.counts.expanded) == (1, 2, {"threads_of_a_tree": 1})
    threads = made.data().collect()
    assert threads["group"].n_unique() == 1 and threads["id"].n_unique() == 2


def test_flat_messages_are_gathered_into_trees_and_each_is_accounted_for(tmp_path: Path) -> None:
    other = [{**row, "message_tree_id": "z", "message_id": row["message_id"] + "z", "parent_id": "gone"} for row in flat(TREE)[:2]]
    made = ingest(tmp_path, write(tmp_path / "a.parquet", parquet(pa.Table.from_pylist([*flat(TREE), *other]))), "oasst_messages")
    counts = made.receipt.counts
    assert (counts.read, counts.kept, counts.written) == (7, 5, 2)
    assert (counts.expanded, counts.dropped) == ({"threads_of_a_tree": -3}, {"laws.parent_missing": 2})
    assert [len(row["origins"]) for row in made.data().collect().to_dicts()] == [5, 5]


def test_the_story_of_a_gathered_row_is_that_of_the_row_it_went_into(tmp_path: Path) -> None:
    rows = [GOOD["helpsteer2"], {**GOOD["helpsteer2"], "response": "Bye"}]
    made = ingest(tmp_path, write(tmp_path / "a.jsonl", lines(*rows)))
    second = made.ledger().collect()["id"][1]
    told = curate(tmp_path, "why", second, "--root", "runs")
    assert told.returncode == 0, told.stderr
    assert "user: Hi" in told.stdout and "answer: Bye" in told.stdout


def test_a_table_of_another_schema_costs_its_own_rows(tmp_path: Path) -> None:
    write(tmp_path / "d" / "a.parquet", parquet(pa.table({"prompt": ["Hi"], "completion": ["Hello"]})))
    write(tmp_path / "d" / "b.parquet", parquet(pa.table({"colour": ["red", "blue"]})))
    made = ingest(tmp_path, str(tmp_path / "d"), "prompt_completion")
    assert (made.receipt.counts.kept, made.receipt.counts.dropped) == (1, {"laws.missing_column": 2})


def test_a_format_whose_columns_no_row_has_is_the_users_mistake(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines(GOOD["dolly"]))
    with pytest.raises(UsageError, match=r"no row has the columns of sharegpt \(conversations\); they are category, context"):
        ingest(tmp_path, path, "sharegpt")
    with pytest.raises(UsageError, match="unknown .* 'sharegtp'; did you mean 'sharegpt'"):
        ingest(tmp_path, path, "sharegtp")
    with pytest.raises(UsageError, match="'by' is missing"):
        ingest(tmp_path, path, "pku_saferlhf")


def test_a_file_that_loses_all_of_its_rows_is_warned_of_by_its_commonest_reason(tmp_path: Path) -> None:
    write(tmp_path / "d" / "a.jsonl", lines({"messages": TURNS[:1]}, {"messages": TURNS[:1]}, {"messages": []}))
    write(tmp_path / "d" / "b.jsonl", lines({"messages": TURNS}, {"messages": TURNS[:1]}))
    recipe = write(tmp_path / "r.yaml", json.dumps({"stages": [{"ingest": {"source": str(tmp_path / "d"), "format": "messages"}}]}))
    done = curate(tmp_path, "run", str(recipe), "--root", "runs", "--workers", "1")
    told = [line for line in done.stderr.splitlines() if line.startswith("warning:")]
    assert done.returncode == 0 and len(told) == 1
    assert "a.jsonl: none of its 3 rows is kept; 2 fell by laws.not_ending_with_assistant (The last turn" in told[0]


def test_an_empty_source_and_one_without_rows_are_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing readable"):
        ingest(tmp_path, write(tmp_path / "a.jsonl", ""), "messages")
    with pytest.raises(UsageError, match="no file matches"):
        ingest(tmp_path, str(tmp_path / "none*.jsonl"))
    with pytest.raises(UsageError, match="is html, which holds no rows"):
        ingest(tmp_path, write(tmp_path / "a.html", "<html></html>"), "messages")


def test_good_rows_survive_a_truncated_gzip_a_huge_cell_and_half_a_surrogate(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {number} {number**7}", "completion": "Hello"} for number in range(3_000)]
    whole = gzip.compress(lines(*rows).encode())
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    deep: object = "deep"
    for _ in range(900):
        deep = [deep]
    odd = [{**rows[0], "note": deep}, {"prompt": "x" * 10_000_000, "completion": "y"}, {"prompt": "Hi", "completion": "\ud800"}, {**rows[0], "note": "\udfff"}]
    (tmp_path / "d" / "b.jsonl.gz").write_bytes(gzip.compress(lines(*odd).encode()))
    made = ingest(tmp_path, str(tmp_path / "d"))
    assert made.receipt.counts.dropped == {"laws.lone_surrogates": 2, "laws.too_deep": 1, "read.broken_record": 1}
    assert made.receipt.counts.kept > 1_000
    assert max(len(turns[0]["content"]) for turns in made.data().collect()["messages"].to_list()) == 10_000_000


def test_any_number_of_workers_and_a_second_run_give_the_same_bytes(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "d" / f"{number}.jsonl", lines(*({**GOOD["chosen_rejected"], "prompt": f"{number} {n}"} for n in range(40))))
    first = data_bytes(ingest(tmp_path, str(tmp_path / "d")).path)
    other = tmp_path / "other"
    other.mkdir()
    assert data_bytes(ingest(other, str(tmp_path / "d"), workers=3).path) == first
    again = ingest(tmp_path, str(tmp_path / "d"))
    assert data_bytes(again.path) == first


def test_the_first_units_alone_are_read_under_a_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines(*[GOOD["kto"]] * 9))
    assert ingest(tmp_path, path, limit=4).receipt.counts.read == 4


def test_the_command_line_shows_the_guess_and_its_evidence(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(GOOD["dolly"]))
    (tmp_path / "r.yaml").write_text("stages:\n  - ingest: {source: a.jsonl}\n", encoding="utf-8")
    done = curate(tmp_path, "run", "r.yaml", "--workers", "1")
    made = artifact_path(done, tmp_path)
    assert "format: dolly: columns instruction, context, response in 1 of 1 rows, 1 keep its laws" in done.stdout + done.stderr
    assert (made / "receipt.json").exists()


@pytest.mark.parametrize("folder", ["instruct", "pref"])
def test_every_real_file_is_read_and_explained(tmp_path: Path, folder: str) -> None:
    if not (SHARED / folder).exists():
        pytest.skip(f"no {SHARED / folder}")
    for path in sorted((SHARED / folder).iterdir()):
        counts = ingest(tmp_path, str(path)).receipt.counts
        assert counts.read == counts.kept + sum(counts.dropped.values()) > 0
        assert counts.written == counts.kept


def test_a_run_stopped_between_ranks_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "d" / f"{number}.jsonl", lines(*({**GOOD["kto"], "prompt": f"{number} {n}"} for n in range(9))))
    first = ingest(tmp_path, str(tmp_path / "d"))
    bytes_then = data_bytes(first.path)
    (first.path / "receipt.json").unlink()
    stage = Ingest.model_validate({"source": str(tmp_path / "d"), "format": "kto"})
    (first.path / "work").mkdir()
    run_one(first.path / "work", stage, rank=1)
    assert data_bytes(ingest(tmp_path, str(tmp_path / "d")).path) == bytes_then


def test_a_row_that_killed_its_worker_is_dropped_by_name_and_the_rest_is_kept(tmp_path: Path) -> None:
    stage = Ingest.model_validate({"source": write(tmp_path / "a.jsonl", lines(*[GOOD["kto"]] * 3)), "format": "kto"})
    run_one(tmp_path, stage, skip={"1": [0, "crashed_worker"]})
    account = json.loads((rank_directory(tmp_path, 0) / "rank.json").read_text(encoding="utf-8"))
    assert (account["read"], account["kept"], account["dropped"]) == (3, 2, {"read.crashed_worker": 1})


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("prose.jsonl", b"No rows here.\n", "not JSON: .* at 1 of prose.jsonl; .*UTF-8"),
        ("none.jsonl", b"", "empty file"),
        ("blank.jsonl", b"\n\n", "there is none"),
        ("half.parquet", b"PAR1 and nothing more", "not a readable Parquet file.* at 0 of half.parquet"),
    ],
)
def test_a_guess_from_no_row_says_why_there_is_none(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=f"no row can be read, so no dialect can be guessed: {told}"):
        ingest(tmp_path, str(tmp_path / name))
