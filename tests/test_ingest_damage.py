"""Damaged and odd files through the ingest stage: the good rows are kept, every other one is dropped by name."""

import codecs
import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from reading import parquet
from test_ingest import lines, run_one
from test_raw_rows import arrow

from curate.stages.ingest import Ingest, rank_directory

ROWS = [{"prompt": f"Olá {number}, ção", "completion": f"Hello {number**9}"} for number in range(5)]
TEXT = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def table(rows: list[dict], delimiter: str = ",") -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def stream(rows: list[dict]) -> bytes:
    sink, made = io.BytesIO(), pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(sink, made.schema) as writer:
        writer.write_table(made)
    return sink.getvalue()


QUOTED = [{"prompt": 'a "quoted",\nline', "completion": "x\ty"}, *ROWS]
HUGE = [{"prompt": "x" * 10_000_000, "completion": "y"}, *ROWS]
MANY = lines(*({"prompt": f"{number} {number**9}", "completion": str(number**7)} for number in range(3_000))).encode()
PACKED, FRAMED = gzip.compress(MANY), zstandard.compress(MANY)
LINE = '{"prompt": "q", "completion": "a"'

FILES: dict[str, tuple[bytes, int, dict[str, int]]] = {
    "mark.jsonl": (b"\xef\xbb\xbf" + TEXT.encode(), 5, {}),
    "mark.json": (b"\xef\xbb\xbf" + json.dumps(ROWS).encode(), 5, {}),
    "mark.csv": (b"\xef\xbb\xbf" + table(ROWS).encode(), 5, {}),
    "windows.jsonl": (TEXT.replace("\n", "\r\n").encode(), 5, {}),
    "wide.jsonl": (TEXT.encode("utf-16"), 5, {}),
    "wide.json": (json.dumps(ROWS, ensure_ascii=False).encode("utf-16"), 5, {}),
    "wide.csv": (codecs.BOM_UTF16_BE + table(ROWS).encode("utf-16-be"), 5, {}),
    "wider.jsonl": (TEXT.encode("utf-32"), 5, {}),
    "half.jsonl": (TEXT.encode("utf-16")[:-1], 4, {"read.broken_record": 1}),
    "mixed.jsonl": ((TEXT * 10).encode() + TEXT.encode("latin-1"), 50, {"read.broken_json": 5}),
    "mixed.csv": ((table(ROWS * 10)).encode() + "ção,é\n".encode("latin-1"), 50, {"laws.lone_surrogates": 1}),
    "semicolons.csv": (table(QUOTED, ";").encode(), 6, {}),
    "stated.csv": (b"sep=;\r\n" + table(ROWS, ";").encode(), 5, {}),
    "bars.csv": (table(ROWS, "|").encode(), 5, {}),
    "nan.jsonl": ((TEXT + LINE + ', "score": NaN}\n{"prompt": NaN, "completion": "a"}\n').encode(), 6, {"laws.not_text": 1}),
    "twice.jsonl": ((TEXT + LINE + ', "prompt": "z"}\n').encode(), 5, {"read.duplicate_key": 1}),
    "alike.jsonl": ((TEXT + LINE + ', "prompt": "q"}\n').encode(), 6, {}),
    "below.jsonl": ((TEXT + LINE + ', "x": {"a": 1, "b": {"a": [{}], "a": [{"c": 2}]}}}\n').encode(), 5, {"read.duplicate_key": 1}),
    "escaped.jsonl": ((TEXT + LINE + ', "a\\u003a": "b\\u003ac", "x": 1, "x": 1.0}\n').encode(), 6, {}),
    "huge.jsonl": (lines(*HUGE).encode(), 6, {}),
    "huge.csv": (table(HUGE).encode(), 6, {}),
    "huge.parquet": (parquet(pa.Table.from_pylist(HUGE)), 6, {}),
    "cut.parquet": (parquet(pa.Table.from_pylist(ROWS))[:-50], 0, {"read.unreadable": 1}),
    "cut.arrow": (arrow(ROWS)[:-300], 0, {"read.broken_record": 1}),
    "whole.arrow": (arrow(ROWS), 5, {}),
    "stream.arrow": (stream(ROWS), 5, {}),
    "arrays.json": (b'[["a", "b"], ["c", "d"]]', 0, {"read.not_a_row": 2}),
    "mixed.json": (json.dumps([["a"], ROWS[0], 5, None]).encode(), 1, {"read.not_a_row": 3}),
    "commas.jsonl": (TEXT.replace("}\n", "},\n").encode(), 5, {}),
    "comma.jsonl": ((TEXT[:-1] + ",\n").encode(), 4, {"read.broken_json": 1}),
    "comma.json": (b"[" + b",".join(json.dumps(row).encode() for row in ROWS) + b",]", 5, {}),
    "open.json": (b"[" + b",".join(json.dumps(row).encode() for row in ROWS), 5, {"read.broken_record": 1}),
    "quoted.csv": (table(QUOTED).encode(), 6, {}),
    "quoted.tsv": (table(QUOTED, "\t").encode(), 6, {}),
    "ragged.csv": ((table(ROWS) + "only\na,b,c\n").encode(), 5, {"read.broken_csv": 2}),
    "bytes.parquet": (parquet(pa.table({"prompt": [b"a", b"\xff"], "completion": [b"b", b"c"]})), 0, {"laws.not_text": 2}),
    "deep.jsonl": ((TEXT + LINE + ', "x": ' + "[" * 5_000 + "]" * 5_000 + "}\n").encode(), 5, {"read.broken_json": 1}),
    "zeros.jsonl": (TEXT.encode() + b"\0\0\0\n", 5, {"read.broken_json": 1}),
    "misnamed.jsonl": (gzip.compress(TEXT.encode()), 5, {}),
    "none.parquet": (parquet(pa.Table.from_pylist(ROWS).slice(0, 0)), 0, {}),
    "empty.jsonl": (b"", 0, {}),
}


def account(folder: Path, name: str, content: bytes) -> dict:
    """What becomes of the rows of a file."""
    (folder / name).write_bytes(content)
    run_one(folder, Ingest.model_validate({"source": str(folder / name), "format": "prompt_completion"}))
    return json.loads((rank_directory(folder, 0) / "rank.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FILES)
def test_every_row_of_a_damaged_or_odd_file_is_kept_or_dropped_by_name(tmp_path: Path, name: str) -> None:
    content, kept, dropped = FILES[name]
    found = account(tmp_path, name, content)
    assert (found["kept"], found["dropped"]) == (kept, dropped)
    assert found["read"] == kept + sum(dropped.values())
    assert bool(found["damage"]) == (any(reason.startswith("read.") and "not_a_row" not in reason for reason in dropped) or not content)


@pytest.mark.parametrize(("name", "content"), [("cut.jsonl.gz", PACKED[: len(PACKED) // 2]), ("cut.jsonl.zst", FRAMED[:-2000])])
def test_a_cut_stream_gives_what_stands_before_the_cut_and_one_loss(tmp_path: Path, name: str, content: bytes) -> None:
    found = account(tmp_path, name, content)
    assert found["dropped"] == {"read.broken_record": 1} and found["read"] == found["kept"] + 1 > 500
    assert found["damage"][0]["what"] == "ends in the middle of the compressed stream"
