"""Rows of JSONL, CSV, Parquet and Arrow files: each a unit or a counted drop, whatever is broken."""

import csv
import gzip
import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import PAGE, jsonl, parquet, read, reasons, write

from curate.config import UsageError
from curate.steps.sources.lines import split_lines

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def test_a_row_becomes_a_unit_with_its_fields(tmp_path: Path) -> None:
    row = {"text": "Tides rise.", "url": "http://a.org/x", "id": 7, "language": "en", "license": "CC0", "tags": ["sea"]}
    units, _ = read(write(tmp_path / "a.jsonl", jsonl(row)))
    unit = units[0]
    assert (unit.text, unit.url, unit.language, unit.licence) == ("Tides rise.", "http://a.org/x", "en", "CC0")
    assert unit.metadata == {"source_id": 7, "tags": ["sea"]}
    assert (unit.source, unit.offset, unit.ordinal, unit.drop) == ("a.jsonl", 1, 0, None)


def test_what_datatrove_wrote_under_metadata_finds_its_place(tmp_path: Path) -> None:
    row = {"text": "Tides rise.", "id": "x", "metadata": {"url": "http://a.org", "date": "2024-01-01", "dump": "CC"}}
    units, _ = read(write(tmp_path / "a.jsonl", jsonl(row)))
    assert (units[0].url, units[0].date, units[0].metadata) == ("http://a.org", "2024-01-01", {"source_id": "x", "dump": "CC"})


def test_the_licence_of_the_source_stands_where_a_row_names_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", jsonl({"text": "a", "licence": "CC-BY-4.0"}, {"text": "b"}))
    units, _ = read({"paths": path, "licence": "CC0-1.0"})
    assert [unit.licence for unit in units] == ["CC-BY-4.0", "CC0-1.0"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.json", "a.json.gz", "rows"])
def test_jsonl_is_read_plain_and_compressed(tmp_path: Path, name: str) -> None:
    data = jsonl({"text": "one"}, {"text": "two"})
    pack = {"gz": gzip.compress, "zst": zstandard.compress}.get(name.rpartition(".")[2], bytes)
    units, _ = read(write(tmp_path / name, pack(data)))
    assert [unit.text for unit in units] == ["one", "two"]


def test_a_line_that_is_no_json_is_dropped_by_its_number_and_the_next_is_read(tmp_path: Path) -> None:
    units, account = read(write(tmp_path / "a.jsonl", b'{"text": "one"}\n{"text": \n\n{"text": "three"}\n'))
    assert reasons(units) == [None, "broken_json", None]
    assert [unit.offset for unit in units] == [1, 2, 4]
    assert [(damage.file, damage.offset) for damage in account.damage] == [("a.jsonl", 2)]
    assert account.ignored == {"blank_line": 1}


@pytest.mark.parametrize("row", [{}, {"text": 3}, {"text": None}, {"text": ["a"]}, [1], "text", None])
def test_a_row_whose_text_is_missing_or_no_string_is_dropped_as_no_text(tmp_path: Path, row: object) -> None:
    units, account = read(write(tmp_path / "a.jsonl", jsonl({"text": "kept"}, row)))
    assert reasons(units) == [None, "no_text"] and account.damage == []


def test_a_row_of_white_space_is_dropped_as_empty(tmp_path: Path) -> None:
    assert reasons(read(write(tmp_path / "a.jsonl", jsonl({"text": " \n"})))[0]) == ["empty"]


def test_what_utf8_and_parquet_cannot_hold_leaves_the_text(tmp_path: Path) -> None:
    lines = b'{"text": "a\\ud800b", "x": NaN}\n{"text": "a\\u0000b"}\n{"text": "\\ud83d\\ude00"}\n\xff{"text": "c"}\n'
    units, _ = read(write(tmp_path / "a.jsonl", lines))
    assert [unit.text for unit in units[:3]] == ["a\ufffdb", "ab", "\U0001f600"]
    assert reasons(units) == [None, None, None, "broken_json"]
    json.dumps(units[0].metadata, allow_nan=False)


def test_deep_nesting_is_a_broken_line_and_no_crash(tmp_path: Path) -> None:
    data = b'{"text": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n" + jsonl({"text": "b"})
    assert reasons(read(write(tmp_path / "a.jsonl", data))[0]) == ["broken_json", None]


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    units, _ = read(write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "one"}\r\n{"text": "two"}\r\n'))
    assert [unit.text for unit in units] == ["one", "two"]


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("zst", zstandard.compress)])
def test_rows_before_a_cut_survive_and_the_cut_is_counted(tmp_path: Path, suffix: str, pack: object) -> None:
    body = pack(jsonl(*({"text": os.urandom(40).hex()} for _ in range(9000))))
    units, account = read(write(tmp_path / f"a.jsonl.{suffix}", body[: len(body) // 2]))
    assert len(units) > 3000 and reasons(units)[-1] == "broken_record"
    assert set(reasons(units)[:-1]) == {None}
    assert [damage.offset for damage in account.damage] == [units[-1].offset]


def test_rows_before_a_flipped_byte_survive(tmp_path: Path) -> None:
    body = bytearray(gzip.compress(jsonl(*({"text": os.urandom(40).hex()} for _ in range(9000)))))
    body[len(body) // 2] ^= 0xFF
    units, account = read(write(tmp_path / "a.jsonl.gz", bytes(body)))
    assert reasons(units)[-1] == "broken_record" and len(units) > 3000 and account.damage


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    body = gzip.compress(jsonl({"text": "one"})) + gzip.compress(jsonl({"text": "two"})) + b"\0" * 512
    assert [unit.text for unit in read(write(tmp_path / "a.jsonl.gz", body))[0]] == ["one", "two"]


def test_a_line_over_the_limit_costs_one_drop_and_is_never_held(tmp_path: Path) -> None:
    body = gzip.compress(b'{"text": "' + b"a" * 50_000_000 + b'"}\n' + jsonl({"text": "b"}))
    path = write(tmp_path / "a.jsonl.gz", body)
    units, _ = read({"paths": path, "limits": {"max_record_bytes": 10_000}})
    assert reasons(units) == ["too_large", None]


def test_a_zstd_bomb_costs_one_drop_and_bounded_memory(tmp_path: Path) -> None:
    import resource

    packer = zstandard.ZstdCompressor(level=1).compressobj()
    body = b"".join(packer.compress(bytes(2**20)) for _ in range(1000)) + packer.compress(b"\n" + jsonl({"text": "b"}))
    path = write(tmp_path / "a.jsonl.zst", body + packer.flush())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    units, _ = read(path)
    assert reasons(units) == ["too_large", None]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000


def test_parquet_rows_are_read_with_their_other_columns_as_json(tmp_path: Path) -> None:
    import datetime

    stamp = datetime.datetime(2024, 5, 17, 1, 2, 3, tzinfo=datetime.UTC)
    rows = [{"text": "one", "date": stamp, "n": {"a": [1.5]}, "raw": b"\xff"}, {"text": None, "date": None}]
    units, _ = read(write(tmp_path / "a.parquet", parquet(pa.Table.from_pylist(rows))))
    assert reasons(units) == [None, "no_text"]
    assert units[0].date.startswith("2024-05-17T01:02:03")
    assert units[0].metadata == {"n": {"a": [1.5]}, "raw": None}


def test_a_table_without_the_text_column_names_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="content, id.*text_field"):
        read(write(tmp_path / "a.parquet", parquet(pa.table({"content": ["a"], "id": [1]}))))
    with pytest.raises(UsageError, match="content, id.*text_field"):
        read(write(tmp_path / "a.csv", "content,id\na,1\n"))


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", parquet(pa.table({"content": ["a"], "link": ["http://x"], "key": [1]})))
    units, _ = read({"paths": path, "text_field": "content", "url_field": "link", "id_field": "key"})
    assert (units[0].text, units[0].url, units[0].metadata) == ("a", "http://x", {"source_id": 1})


def test_a_column_may_hold_pages(tmp_path: Path) -> None:
    pages = [PAGE.encode("cp1252"), "<html><p>maré ©</html>".encode("cp1252"), b"", None]
    path = write(tmp_path / "a.parquet", parquet(pa.table({"page": pages})))
    units, _ = read({"paths": path, "html_field": "page"})
    assert units[0].html == PAGE and units[0].text == "" and "maré ©" in units[1].html
    assert reasons(units) == [None, None, "empty", "no_html"]


def test_a_damaged_row_group_is_lost_by_its_rows_and_the_others_are_read(tmp_path: Path) -> None:
    texts = [os.urandom(30).hex() for _ in range(300)]
    body = bytearray(parquet(pa.table({"text": texts}), row_group_size=100, use_dictionary=False, write_page_checksum=True))
    middle = pq.ParquetFile(io.BytesIO(bytes(body))).metadata.row_group(1).column(0)
    body[middle.data_page_offset + middle.total_compressed_size // 2] ^= 0xFF
    units, account = read(write(tmp_path / "a.parquet", bytes(body)))
    assert [unit.text for unit in units if not unit.drop] == texts[:100] + texts[200:]
    assert reasons(units)[100:200] == ["broken_record"] * 100
    assert [damage.offset for damage in account.damage] == [100]


def test_a_cut_parquet_file_is_one_drop(tmp_path: Path) -> None:
    body = parquet(pa.table({"text": ["a"] * 50}))
    units, account = read(write(tmp_path / "a.parquet", body[:-20]))
    assert reasons(units) == ["unreadable"] and len(account.damage) == 1


def test_text_that_is_no_utf8_in_parquet_costs_that_row_only(tmp_path: Path) -> None:
    column = pa.array([b"one", b"\xff\xfe", b"three"]).view(pa.string())
    units, account = read(write(tmp_path / "a.parquet", parquet(pa.table({"text": column}))))
    assert reasons(units) == [None, "broken_record", None] and len(account.damage) == 1


def test_csv_fields_may_hold_line_breaks_and_a_short_record_is_dropped(tmp_path: Path) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["text", "url"], ["one\ntwo, three", "http://x"], ["alone"], ["b" * 200_000, ""]])
    units, account = read(write(tmp_path / "a.csv", buffer.getvalue()))
    assert units[0].text == "one\ntwo, three" and units[0].url == "http://x"
    assert reasons(units) == [None, "broken_csv", None] and account.damage[0].offset == 2


def test_a_column_that_a_table_holds_twice_is_the_users_mistake(tmp_path: Path) -> None:
    twice = pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    for path in (write(tmp_path / "a.csv", "text,text\na,b\n"), write(tmp_path / "a.parquet", parquet(twice))):
        with pytest.raises(UsageError, match="'text' more than once"):
            read(path)


def test_a_cut_arrow_file_keeps_the_batches_before(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, pa.schema([("text", pa.string())])) as writer:
        for start in range(3):
            writer.write_batch(pa.record_batch({"text": [f"{start} {row}" for row in range(100)]}))
    units, account = read(write(tmp_path / "a.arrow", buffer.getvalue()[:-500]))
    assert reasons(units) == [None] * 200 + ["broken_record"] and len(account.damage) == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not beside the project")
def test_real_rows_are_all_kept() -> None:
    units, account = read(str(SHARED / "text" / "c4_demo.jsonl.gz"))
    assert reasons(units) == [None] * 300 and account.damage == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=12), st.integers(1, 40))
def test_lines_are_the_same_however_the_bytes_arrive(pieces: list[bytes], longest: int) -> None:
    whole = b"".join(pieces)
    expected = whole.split(b"\n")
    expected = expected[:-1] if not expected[-1] else expected
    assert list(split_lines(pieces, longest)) == [line if len(line) <= longest else None for line in expected]
