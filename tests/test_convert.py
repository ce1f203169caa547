"""Convert: one file in, one file out in another format, with a receipt that accounts for every row of the source."""

import csv
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard
from conftest import SHARED
from dialect_rows import GOOD, TREE
from output_rows import output
from reading import write

from curate.artifact import Receipt, sha256_of
from curate.config import UsageError
from curate.convert import beside, convert

CALL = {"name": "weather", "arguments": {"city": "Évora"}}
TALK = {"conversations": [{"from": "human", "value": "Olá\nmundo"}, {"from": "gpt", "value": "Olá, “tu”!"}]}
LONG = {"conversations": [*TALK["conversations"], {"from": "human", "value": "Mais"}, {"from": "gpt", "value": "Não."}]}
ASKED = [{"from": "human", "value": "Chove?"}, {"from": "function_call", "value": json.dumps(CALL, ensure_ascii=False)}]
TOOL = {"conversations": [*ASKED, {"from": "observation", "value": "não"}, {"from": "gpt", "value": "Não."}]}
BAD = {"conversations": [{"from": "human", "value": "Olá"}]}


def lines(*rows: object) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def read_lines(path: Path) -> list[dict]:
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        data = gzip.decompress(data)
    if path.name.endswith(".zst"):
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return json.loads(data) if path.suffix == ".json" else [json.loads(line) for line in data.splitlines()]


def test_every_row_is_written_or_named_with_its_line_and_its_reason(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", lines(TALK, BAD, "{broken", TOOL, LONG))
    receipt = convert(source, tmp_path / "out.parquet", output("alpaca"))
    dropped = {"laws.not_ending_with_assistant": 1, "read.broken_json": 1, "write.not_in_dialect": 1}
    assert (receipt.counts.read, receipt.counts.kept, receipt.counts.written, receipt.counts.dropped) == (5, 2, 2, dropped)
    assert receipt.counts.broken_law() is None
    named = [(row["source"], row["offset"], row["step"], row["reason"]) for row in read_lines(tmp_path / "out.parquet.dropped.jsonl")]
    assert named == [
        ("in.jsonl", 2, "laws", "not_ending_with_assistant"),
        ("in.jsonl", 3, "read", "broken_json"),
        ("in.jsonl", 4, "write", "not_in_dialect"),
    ]
    assert [row["instruction"] for row in pq.read_table(tmp_path / "out.parquet").to_pylist()] == ["Olá\nmundo", "Mais"]
    assert Receipt.model_validate_json((tmp_path / "out.parquet.receipt.json").read_bytes()) == receipt
    assert [(file.path, file.rows) for file in receipt.files] == [("out.parquet", 2), ("out.parquet.dropped.jsonl", 3)]
    assert receipt.files[0].sha256 == sha256_of(tmp_path / "out.parquet")
    assert set(receipt.report["laws"]) == {"not_ending_with_assistant", "not_in_dialect"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.jsonl", "out.parquet", "out.parquet.dropped.jsonl", "out.parquet.receipt.json",
    ]  # fmt: skip


def test_the_name_of_the_file_says_how_the_same_rows_are_written(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", lines(TALK, TOOL))
    names = ["a.json", "a.jsonl.gz", "a.jsonl.zst"]
    for name in names:
        convert(source, tmp_path / name, output("messages"))
    first, *others = [read_lines(tmp_path / name) for name in names]
    assert all(other == first for other in others)
    assert first[1]["messages"][1]["tool_calls"] == [{"type": "function", "function": CALL}]
    assert list(first[0]["messages"][0]) == ["role", "content"]
    convert(tmp_path / "a.jsonl.zst", tmp_path / "b.jsonl", output("sharegpt"))
    assert [row["conversations"] for row in read_lines(tmp_path / "b.jsonl")] == [TALK["conversations"], TOOL["conversations"]]


def test_csv_holds_questions_and_answers_but_no_history(tmp_path: Path) -> None:
    receipt = convert(write(tmp_path / "in.jsonl", lines(TALK, LONG)), tmp_path / "out.csv", output("alpaca"))
    assert receipt.counts.dropped == {"write.not_in_dialect": 1}
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["instruction"], row["output"], len(json.loads(row["origins"]))) for row in rows] == [("Olá\nmundo", "Olá, “tu”!", 1)]


@pytest.mark.parametrize(
    ("name", "use", "rows", "said"),
    [
        ("out.txt", "messages", [TALK], "what sort of file"),
        ("out.parquet.gz", "messages", [TALK], "what sort of file"),
        ("out.csv", "messages", [TALK], "CSV holds texts"),
        ("out.jsonl", "kto", [TALK], "write messages, sharegpt, alpaca, prompt_completion, grpo"),
        ("out.jsonl", "messages", [GOOD["chosen_rejected"]], "chosen: true"),
        ("out.jsonl", "messages", [{"a": 1}], "no dialect fits"),
        ("no/out.jsonl", "messages", [TALK], "cannot be written into"),
    ],
)
def test_a_mistake_is_named_and_leaves_no_file_behind(tmp_path: Path, name: str, use: str, rows: list, said: str) -> None:
    source = write(tmp_path / "in.jsonl", lines(*rows))
    with pytest.raises(UsageError, match=said):
        convert(source, tmp_path / name, output(use))
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", lines(TALK, BAD))
    convert(source, tmp_path / "out.jsonl", output("messages"))
    write(tmp_path / "in.jsonl", lines(LONG))
    with pytest.raises(UsageError, match="is there already"):
        convert(source, tmp_path / "out.jsonl", output("messages"))
    assert len(read_lines(tmp_path / "out.jsonl")[0]["messages"]) == 2
    convert(source, tmp_path / "out.jsonl", output("messages"), force=True)
    assert len(read_lines(tmp_path / "out.jsonl")[0]["messages"]) == 4
    assert not beside(tmp_path / "out.jsonl").dropped.exists()


def test_threads_of_a_tree_and_both_rows_of_a_pair_are_explained(tmp_path: Path) -> None:
    tree = {"message_tree_id": "a", "tree_state": "ready_for_export", "prompt": TREE}
    threads = convert(write(tmp_path / "trees.jsonl", lines(tree)), tmp_path / "threads.jsonl", output("messages")).counts
    assert (threads.read, threads.kept, threads.written, threads.expanded) == (1, 1, 2, {"threads_of_a_tree": 1})
    pairs = [{"prompt": f"{n}?", "chosen": "yes", "rejected": "no"} for n in range(3)]
    labels = convert(write(tmp_path / "pairs.jsonl", lines(*pairs)), tmp_path / "labels.jsonl", output("kto")).counts
    assert (labels.read, labels.kept, labels.written, labels.expanded) == (3, 3, 6, {"labels_of_a_pair": 3})


def test_kto_rows_are_interleaved_by_label(tmp_path: Path) -> None:
    rows = [{"prompt": "Hi", "completion": str(n), "label": n >= 3} for n in range(12)]
    convert(write(tmp_path / "in.jsonl", lines(*rows)), tmp_path / "out.parquet", output("kto"))
    table = pq.read_table(tmp_path / "out.parquet")
    labels = table.column("label").to_pylist()
    assert [place for place, label in enumerate(labels) if not label] == [3, 7, 11]
    assert sorted(one[0]["content"] for one in table.column("completion").to_pylist()) == sorted(map(str, range(12)))


def test_parquet_has_json_messages_only_where_rows_have_calls(tmp_path: Path) -> None:
    convert(write(tmp_path / "plain.jsonl", lines(TALK)), tmp_path / "plain.parquet", output("messages"))
    convert(write(tmp_path / "calls.jsonl", lines(TALK, TOOL)), tmp_path / "calls.parquet", output("messages"))
    plain, calls = (pq.read_schema(tmp_path / f"{name}.parquet") for name in ("plain", "calls"))
    assert "tools" not in plain.names and "json" in str(calls.field("messages").type) and "json" not in str(plain)


def test_a_named_dialect_with_columns_is_read_as_told(tmp_path: Path) -> None:
    form = "{use: prompt_completion, columns: {prompt: q, completion: a}}"
    convert(write(tmp_path / "in.csv", "q,a\nOlá,Adeus\n"), tmp_path / "out.jsonl", "prompt_completion", form)
    assert read_lines(tmp_path / "out.jsonl")[0]["completion"] == [{"role": "assistant", "content": "Adeus"}]


@pytest.mark.parametrize(
    ("to", "form", "said"),
    [
        ("mesages", "auto", "unknown format 'mesages'; did you mean 'messages'"),
        ("{use: messages, tool: true}", "auto", "'tool': extra inputs are not permitted"),
        ("messages", "sharegtp", "did you mean 'sharegpt'"),
        ("{use: [", "auto", "give a name, or a block"),
        ("7", "auto", "--to 7"),
        ("{use: packed, tokenizer: t.json, eos: </s>}", "auto", "by a `mix` stage"),
    ],
)
def test_a_wrong_format_is_named_with_what_is_known(tmp_path: Path, to: str, form: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        convert(write(tmp_path / "in.jsonl", lines(TALK)), tmp_path / "out.jsonl", to, form)
    assert said in str(refused.value)


SCRIPT = """
import sys
from curate.convert import convert
convert(sys.argv[1], sys.argv[2], sys.argv[3], force=True)
"""


def started(source: Path, out: Path, use: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(source), str(out), use], env={**os.environ, **environment}, start_new_session=True)


def test_a_killed_conversion_leaves_nothing_that_looks_done_and_the_next_one_is_whole(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", lines(*[TALK, LONG, BAD] * 2_000))
    files = beside(tmp_path / "out.parquet")
    files.work.mkdir()
    os.mkfifo(files.work / "out")  # which nobody reads: the conversion cannot be over before it is killed
    process = started(source, files.out, "messages", PYTHONHASHSEED="1")
    while not list(files.work.glob("read/work/ranks/*")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not files.out.exists() and not files.receipt.exists() and files.work.exists()
    (files.work / "out").unlink()
    assert started(source, files.out, "messages", PYTHONHASHSEED="2").wait() == 0
    receipt = Receipt.model_validate_json(files.receipt.read_bytes())
    assert (receipt.counts.read, receipt.counts.kept) == (6_000, 4_000) and not files.work.exists()
    again = convert(source, tmp_path / "again.parquet", output("messages"))
    assert (tmp_path / "again.parquet").read_bytes() == files.out.read_bytes()
    assert again.fingerprint == receipt.fingerprint


def test_a_damaged_source_loses_only_what_cannot_be_read(tmp_path: Path) -> None:
    noise = random.Random(0)
    whole = gzip.compress(lines(*[{"prompt": f"question {n}", "completion": noise.randbytes(40).hex()} for n in range(400)]).encode())
    source = write(tmp_path / "in.jsonl.gz", whole[: len(whole) // 2])
    receipt = convert(source, tmp_path / "out.jsonl", output("prompt_completion"))
    assert receipt.damage and 0 < receipt.counts.kept < 400
    assert receipt.counts.read == receipt.counts.kept + sum(receipt.counts.dropped.values())
    assert len(read_lines(tmp_path / "out.jsonl")) == receipt.counts.kept


REAL = [
    ("instruct/glaive_toolcall_en_sharegpt.jsonl.gz", "messages"), ("instruct/kto_en_demo_A.jsonl.gz", "kto"),
    ("pref/llmbar_419.jsonl.gz", "grpo"), ("pref/hh_harmless_test_A.jsonl.gz", "reward"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "use"), REAL)
def test_real_files_are_converted_with_every_row_in_the_account(tmp_path: Path, name: str, use: str) -> None:
    if not (SHARED / name).exists():
        pytest.skip(f"no {SHARED / name}")
    receipt = convert(SHARED / name, tmp_path / "out.parquet", output(use))
    with gzip.open(SHARED / name, "rt", encoding="utf-8") as file:
        assert receipt.counts.read == sum(1 for line in file if line.strip())
    assert receipt.counts.kept > 0.9 * receipt.counts.read
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == receipt.counts.written


def test_the_command_warns_of_a_file_that_gives_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", lines(BAD, BAD))
    words = ["convert", source, str(tmp_path / "out.jsonl"), "--to", "messages"]
    done = subprocess.run([sys.executable, "-m", "curate.cli", *map(str, words)], capture_output=True, text=True, check=True)
    assert "warning: rows: in.jsonl: none of its 2 rows is kept; 2 fell by laws.not_ending_with_assistant" in done.stderr


def test_a_file_of_another_encoding_is_converted_once_the_encoding_is_named(tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_bytes("instruction;output\r\nDiz olá;Olá, então!\r\n".encode("cp1252"))
    words = [sys.executable, "-m", "curate.cli", "convert", str(source), str(out), "--to", "messages"]
    refused = subprocess.run(words, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "--encoding cp1252" in refused.stderr and not out.exists()
    subprocess.run([*words, "--encoding", "cp1252"], capture_output=True, text=True, check=True)
    assert [turn["content"] for turn in read_lines(out)[0]["messages"]] == ["Diz olá", "Olá, então!"]
