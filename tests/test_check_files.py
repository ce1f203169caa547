"""`curate check` on files of every layout that ingest reads: the same report as of Parquet, and an error where a loader would stop."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from contract_models import saved
from typer.testing import CliRunner

from curate import contract
from curate.cli import app
from curate.config import UsageError
from curate.contract import Report, Settings, Tokenizer, load_tokenizer
from curate.steps.sources.checked import checked_files

PAIRS = [
    {"prompt": [{"role": "user", "content": f"É {n}?"}], "chosen": [{"role": "assistant", "content": "Sim."}], "rejected": [{"role": "assistant", "content": "Não."}]}
    for n in range(5)
]  # fmt: skip
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in PAIRS).encode()
LABELLED = "prompt,completion,label\nIs it?,Yes.,True\nIs it not?,No.,False\nWhat?,None,True\n"


def as_arrow(path: Path) -> None:
    table = pa.Table.from_pylist(PAIRS)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "rows.jsonl": lambda path: path.write_bytes(LINES),
    "rows.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES)),
    "rows.jsonl.zst": lambda path: path.write_bytes(zstandard.compress(LINES)),
    "rows.ndjson": lambda path: path.write_bytes(LINES),
    "rows.json": lambda path: path.write_text(json.dumps(PAIRS, indent=1), encoding="utf-8"),
    "rows.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(PAIRS).encode())),
    "rows.arrow": as_arrow,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokenizers")
    saved(made / "chatml", "byte_level", "chatml")
    saved(made / "bare", "byte_level", None)
    return made


@pytest.fixture(scope="module")
def chatml(folder: Path) -> Tokenizer:
    return load_tokenizer(folder / "chatml")


def checked(path: Path | str, tokenizer: Tokenizer, kind: str = "dpo") -> Report:
    return contract.check(checked_files(path), kind, tokenizer, Settings())


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_file_of_any_layout_is_predicted_as_its_parquet_is(name: str, chatml: Tokenizer, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(PAIRS), tmp_path / "rows.parquet")
    LAYOUTS[name](tmp_path / name)
    found, expected = checked(tmp_path / name, chatml), checked(tmp_path / "rows.parquet", chatml)
    assert (found.read, found.tokens, found.trained, found.findings) == (5, expected.tokens, expected.trained, ())
    assert [line for line in found.shown[0].splitlines() if "⟦" in line] == ["⟦Sim.<|im_end|>", "⟦Não.<|im_end|>"]


def test_a_glob_is_all_of_its_files(chatml: Tokenizer, tmp_path: Path) -> None:
    for part in ("a", "b"):
        (tmp_path / f"{part}.jsonl.gz").write_bytes(gzip.compress(LINES))
    assert checked(f"{tmp_path}/*.jsonl.gz", chatml).read == 10


def test_cells_of_csv_are_what_a_loader_makes_of_them(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(LABELLED, encoding="utf-8")
    found = checked(tmp_path / "rows.csv", load_tokenizer(folder / "bare"), "kto")
    assert {finding.trap for finding in found.findings if finding.rows} == {"wrong_columns"}
    assert (found.read, found.kept) == (3, 2)


def test_columns_of_csv_have_the_types_that_a_loader_gives_them(tmp_path: Path) -> None:
    import datasets

    cells = {
        "label": "1 0 1", "score": "1.5 nan -2e3", "whole": "7 NA 3", "said": "4 5 six", "truth": "True False TRUE", "doubt": "True N/A false",
        "words": "True yes no", "none": "NULL null NA", "answer": "4 05 -6", "far": "inf 1 -Infinity", "point": ".5 1. +2", "under": "1_0 2 3",
    }  # fmt: skip
    path = tmp_path / "rows.csv"
    rows = zip(*(column.split(" ") for column in cells.values()), strict=True)
    path.write_text("\n".join([",".join(cells), *(",".join(row) for row in rows)]), encoding="utf-8")
    loaded = datasets.load_dataset("csv", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert [row.columns for row in checked_files(path)[0].rows()] == list(loaded)


@pytest.mark.parametrize("cell", ["7", "NA"])
def test_answers_that_are_all_numbers_are_no_texts_to_a_trainer(cell: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"prompt,completion\nTwo and two?,4\nThree and four?,{cell}\n", encoding="utf-8")
    found = checked(tmp_path / "rows.csv", load_tokenizer(folder / "bare"), "sft")
    assert "mixed_shapes" in {finding.trap for finding in found.findings}


def test_a_trap_is_seen_in_a_compressed_file(chatml: Tokenizer, tmp_path: Path) -> None:
    rows = [{**row, "rejected": row["chosen"]} for row in PAIRS]
    (tmp_path / "rows.json.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    assert [finding.trap for finding in checked(tmp_path / "rows.json.gz", chatml).findings] == ["pair_identical"]


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("rows.jsonl.gz", gzip.compress(LINES + b"{broken\n"), "rows.jsonl.gz:6: not JSON"),
        ("rows.jsonl.gz", gzip.compress(LINES)[:-20], "rows.jsonl.gz:"),
        ("rows.json", b"[1, 2]", "rows.json:1: not_a_row"),
        ("rows.csv", b"prompt,completion\na\n", "rows.csv:1: 1 fields under 2 columns"),
        ("rows.csv", b"prompt;completion\na;b\n", "rows.csv: has its fields between ';'"),
        ("rows.csv", "prompt,completion\na,b\n".encode("utf-16"), "rows.csv: is utf-16-le, not UTF-8"),
        ("rows.json", json.dumps(PAIRS).encode("utf-16"), "rows.json: is utf-16-le, not UTF-8"),
        ("rows.csv", "prompt,completion\nnão,ação\n".encode("cp1252"), "rows.csv: is not UTF-8 but, it seems, cp1252"),
        ("rows.json", b'[{"prompt": "a", "prompt": "b"}]', "rows.json:1: key 'prompt' stands twice"),
        ("rows.warc", b"WARC/1.0\r\n", "holds no rows"),
    ],
)
def test_what_a_loader_stops_at_is_an_error_with_its_place(name: str, content: bytes, place: str, chatml: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=place):
        checked(tmp_path / name, chatml)


def test_the_command_takes_such_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl.zst").write_bytes(zstandard.compress(LINES))
    done = CliRunner().invoke(app, ["check", str(tmp_path / "rows.jsonl.zst"), "--for", "dpo", "--tokenizer", str(folder / "chatml")])
    assert done.exit_code == 0 and "5 of 5 rows reach the trainer" in done.output
