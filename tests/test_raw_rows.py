"""Rows as they are, for dialects to read: every layout of a table that datasets come in, broken ones included."""

import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from pydantic import ValidationError
from reading import parquet, reasons, write

from curate.config import UsageError
from curate.steps.sources import RowSource
from curate.steps.sources.account import Account
from curate.steps.sources.inputs import list_files
from curate.steps.sources.json_values import is_lines, json_values
from curate.steps.sources.lines import Broken
from curate.steps.sources.ranks import cut, read_rank
from curate.steps.step import Unit

ROWS = [{"q": 'a "quoted" {brace} \\', "n": [1, {"m": "]"}]}, {"q": "ção\n", "n": []}, {"q": "", "n": None}]


def raw(given: object, **how: object) -> tuple[list[Unit], Account]:
    source = RowSource.model_validate(given if isinstance(given, dict) else {"paths": given})
    account = Account()
    return [unit for rank in cut(list_files(source), source) for unit in read_rank(rank, source, account, **how)], account


def found(given: object) -> list[object]:
    units, account = raw(given)
    assert account.read == len(units) and not account.damage
    return [unit.metadata for unit in units]


def arrow(rows: list[dict]) -> bytes:
    sink = io.BytesIO()
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


LINES = "\n".join(json.dumps(row) for row in ROWS).encode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", LINES),
        ("a.jsonl.gz", gzip.compress(LINES)),
        ("a.jsonl.zst", zstandard.compress(LINES)),
        ("a.json", json.dumps(ROWS).encode()),
        ("a.json", json.dumps(ROWS, indent=2).encode()),
        ("a.json", b"\xef\xbb\xbf" + json.dumps(ROWS, indent=2, ensure_ascii=False).encode()),
        ("a.json", "\n".join(json.dumps(row, indent=2) for row in ROWS).encode()),
        ("a.json", LINES),
        ("a.json.gz", gzip.compress(json.dumps(ROWS).encode())),
        ("a.parquet", parquet(pa.Table.from_pylist([{"q": row["q"]} for row in ROWS]))),
        ("a.arrow", arrow([{"q": row["q"]} for row in ROWS])),
    ],
)
def test_the_same_rows_come_out_of_every_layout(tmp_path: Path, name: str, data: bytes) -> None:
    whole = found(write(tmp_path / name, data))
    assert [row["q"] for row in whole] == [row["q"] for row in ROWS]
    assert whole == ROWS or name.endswith(("parquet", "arrow"))


def test_a_csv_row_is_its_columns(tmp_path: Path) -> None:
    assert found(write(tmp_path / "a.csv", 'prompt,completion\n"Hi,\nyou",Hello\n')) == [{"prompt": "Hi,\nyou", "completion": "Hello"}]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_values_are_cut_alike_wherever_the_pieces_end(size: int) -> None:
    for data in (json.dumps(ROWS, indent=1).encode(), b"".join(json.dumps(row, indent=1).encode() for row in ROWS)):
        pieces = [data[begin : begin + size] for begin in range(0, len(data), size)]
        assert [json.loads(value) for value in json_values(pieces, 1 << 20)] == ROWS


def test_a_broken_element_of_an_array_costs_itself(tmp_path: Path) -> None:
    units, account = raw(write(tmp_path / "a.json", b'[{"a": 1}, {"a": nope}, 7, {"a": 2}]'))
    assert reasons(units) == [None, "broken_json", "not_a_row", None]
    assert [(damage.offset, damage.what[:8]) for damage in account.damage] == [(2, "not JSON")]


@pytest.mark.parametrize("data", [b'[{"a": 1}, {"a": ', b'[{"a": 1}', b'[{"a": 1}, "x', b'{"a": 1}\n{\n "a"'])
def test_an_array_that_ends_too_soon_is_damage_after_its_last_good_row(data: bytes) -> None:
    values = json_values([data], 100)
    assert next(values, b'{"a": 1}') == b'{"a": 1}'
    with pytest.raises(Broken):
        list(values)


def test_a_truncated_gzip_of_an_array_keeps_the_rows_before(tmp_path: Path) -> None:
    rows = [{"a": number, "b": str(number**9)} for number in range(2_000)]
    whole = gzip.compress(json.dumps(rows).encode())
    units, account = raw(write(tmp_path / "a.json.gz", whole[: len(whole) // 2]))
    good = [unit for unit in units if unit.drop is None]
    assert len(good) > 100 and [unit.metadata for unit in good] == rows[: len(good)]
    assert reasons(units)[-1] == "broken_record" and len(account.damage) == 1


def test_an_element_over_the_limit_is_never_held(tmp_path: Path) -> None:
    data = json.dumps([{"a": 1}, {"a": "x" * 5_000}, {"a": 2}]).encode()
    units, _ = raw({"paths": write(tmp_path / "a.json", data), "limits": {"max_record_bytes": 1024}})
    assert reasons(units) == [None, "too_large", None]


def test_a_broken_first_line_does_not_make_lines_an_array(tmp_path: Path) -> None:
    units, _ = raw(write(tmp_path / "a.jsonl", b'{"a": \n{"a": 1}\n{"a": 2}\n'))
    assert reasons(units) == ["broken_json", None, None]
    assert not is_lines(b'{\n  "a": [\n    {"b": 1}\n  ]\n}')


def test_half_a_surrogate_and_bad_bytes_are_left_for_the_laws_to_see(tmp_path: Path) -> None:
    units, _ = raw([write(tmp_path / "a.jsonl", b'{"a": "\\ud83d"}\n{"a": "\xff"}\n'), write(tmp_path / "b.csv", b"a\n\xff\n")])
    assert [unit.metadata.get("a") for unit in units] == ["\ud83d", None, "\udcff"]
    assert reasons(units) == [None, "broken_json", None]


def test_files_that_tell_of_data_are_no_data(tmp_path: Path) -> None:
    write(tmp_path / "d" / "a.json", b'[{"a": 1}]')
    write(tmp_path / "d" / "dataset_info.json", b'{"b": 1}')
    assert found(str(tmp_path / "d")) == [{"a": 1}]
    write(tmp_path / "d" / "b.parquet", parquet(pa.table({"a": [1]})))
    with pytest.raises(UsageError, match="several kinds"):
        found(str(tmp_path / "d"))


def test_the_columns_of_pages_are_refused_for_rows() -> None:
    with pytest.raises(ValidationError, match="text_field"):
        RowSource.model_validate({"paths": ["a"], "text_field": "body"})


def test_columns_of_json_come_as_the_objects_that_they_hold(tmp_path: Path) -> None:
    calls = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"city": "Évora"}', "not json", None], pa.string()))
    nested = pa.ListArray.from_arrays([0, 1, 2, 3], calls)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"call": calls, "calls": nested}), path)
    first, second, third = found(str(path))
    assert first == {"call": {"city": "Évora"}, "calls": [{"city": "Évora"}]}
    assert second["call"] == "not json" and third == {"call": None, "calls": [None]}
