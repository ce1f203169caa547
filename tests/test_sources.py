"""What a source names: files in a fixed order, cut into ranks, every id the same on every machine."""

import gzip
import os
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import PAGE, jsonl, parquet, read, reasons, write

from curate.config import StoppedError, UsageError
from curate.steps.sources import Source
from curate.steps.sources.account import Account
from curate.steps.sources.expand import label_of
from curate.steps.sources.inputs import InputFile, list_files
from curate.steps.sources.patience import shown
from curate.steps.sources.ranks import Rank, cut, read_rank

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def test_a_path_alone_and_a_list_of_paths_are_sources(tmp_path: Path) -> None:
    base = {"base": tmp_path}
    assert Source.model_validate("a.jsonl", context=base).paths == [f"{tmp_path}/a.jsonl"]
    assert Source.model_validate(["a.jsonl", "s3://b/c"], context=base).paths == [f"{tmp_path}/a.jsonl", "s3://b/c"]
    assert Source.model_validate({"paths": "a.jsonl"}, context=base).paths == [f"{tmp_path}/a.jsonl"]


def test_an_empty_file_is_damage_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "in/b.jsonl", jsonl({"text": "b"}))
    for name in ("a.jsonl", "c.warc.gz", "d.parquet"):
        units, account = read([write(tmp_path / name, b""), f"{tmp_path}/in"])
        assert len(units) == 1 and [(d.file, d.what) for d in account.damage] == [(name, "empty file")]


def test_a_file_that_cannot_be_opened_is_damage_and_one_drop(tmp_path: Path) -> None:
    os.symlink(tmp_path / "nowhere", tmp_path / "a.jsonl")
    units, account = read(str(tmp_path / "a.jsonl"))
    assert reasons(units) == ["unreadable"] and len(account.damage) == 1


def test_what_datasets_saved_to_disk_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"text": ["one", "two"]})
    datasets.DatasetDict({"train": table, "test": table.select([0])}).save_to_disk(str(tmp_path / "saved"))
    assert [unit.text for unit in read(str(tmp_path / "saved"))[0]] == ["one", "two"]
    assert [unit.text for unit in read({"paths": str(tmp_path / "saved"), "split": "test"})[0]] == ["one"]
    with pytest.raises(UsageError, match="test, train"):
        read({"paths": str(tmp_path / "saved"), "split": "dev"})


def test_a_dataset_is_read_by_its_split_from_its_layout(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    write(tmp_path / "d/data/train-00000.jsonl", jsonl({"text": "one"}))
    write(tmp_path / "d/data/test-00000.jsonl", jsonl({"text": "two"}))
    units, _ = read({"paths": str(tmp_path / "d"), "format": "hf", "split": "test"})
    assert [(unit.text, unit.source) for unit in units] == [("two", "data/test-00000.jsonl")]
    with pytest.raises(UsageError, match="train"):
        read({"paths": str(tmp_path / "d"), "format": "hf", "split": "dev"})


def test_a_folder_of_pages_gives_a_unit_a_file(tmp_path: Path) -> None:
    write(tmp_path / "site/b/one.html", PAGE)
    write(tmp_path / "site/a.htm", "")
    write(tmp_path / "site/c/two.xhtml", f'<?xml version="1.0"?>{PAGE}')
    write(tmp_path / "site/style.css", "p { color: red }")
    write(tmp_path / "site/.hidden.html", PAGE)
    units, _ = read(str(tmp_path / "site"))
    assert [unit.source for unit in units] == ["a.htm", "b/one.html", "c/two.xhtml"]
    assert reasons(units) == ["empty", None, None] and units[1].html == PAGE


def test_pages_are_grouped_into_ranks_by_number_and_by_size(tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / f"site/{number}.html", PAGE + str(number))
    sizes = [{"rank_files": 4}, {"rank_bytes": 2 * len(PAGE) + 2}]
    for limit, expected in zip(sizes, [[4, 4, 2], [2] * 5], strict=True):
        source = Source(paths=[f"{tmp_path}/site"], **limit)
        assert [len(rank.files) for rank in cut(list_files(source), source)] == expected


def test_a_page_over_the_limit_is_dropped_as_too_large(tmp_path: Path) -> None:
    path = write(tmp_path / "a.html", PAGE + " " * 2000)
    assert reasons(read({"paths": path, "limits": {"max_page_bytes": 1024}})[0]) == ["too_large"]


def test_files_come_in_the_order_of_the_paths_and_then_by_name(tmp_path: Path) -> None:
    for name in ("x/b/2.jsonl", "x/a.jsonl", "x/b/1.jsonl", "z.jsonl"):
        write(tmp_path / name, jsonl({"text": name}))
    source = Source(paths=[f"{tmp_path}/z.jsonl", f"{tmp_path}/x"])
    assert [file.label for file in list_files(source)] == ["z.jsonl", "a.jsonl", "b/1.jsonl", "b/2.jsonl"]
    source = Source(paths=[f"{tmp_path}/x/*/*.jsonl"])
    assert [file.label for file in list_files(source)] == ["b/1.jsonl", "b/2.jsonl"]


def test_a_link_to_a_folder_is_followed_and_a_circle_ends(tmp_path: Path) -> None:
    write(tmp_path / "far/a.jsonl", jsonl({"text": "one"}))
    (tmp_path / "near").mkdir()
    os.symlink(tmp_path / "far", tmp_path / "near/link")
    os.symlink(tmp_path / "near", tmp_path / "near/circle")
    assert [file.label for file in list_files(Source(paths=[f"{tmp_path}/near"]))] == ["link/a.jsonl"]


def test_ids_do_not_depend_on_where_the_data_lies(tmp_path: Path) -> None:
    ids = []
    for folder in ("here", "there/deeper"):
        write(tmp_path / folder / "a.jsonl", jsonl({"text": "one"}, {"text": "two"}))
        ids.append([unit.id for unit in read(f"{tmp_path}/{folder}")[0]])
    assert ids[0] == ids[1] and all(len(one) == 32 and int(one, 16) >= 0 for one in ids[0])


def test_the_same_file_given_twice_has_other_labels_and_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", jsonl({"text": "one"}))
    units, _ = read([path, path])
    assert [unit.source for unit in units] == ["a.jsonl", "a.jsonl#2"]
    assert len({unit.id for unit in units}) == 2


def test_content_and_not_the_clock_makes_the_fingerprint(tmp_path: Path) -> None:
    path, cache = write(tmp_path / "a.jsonl", jsonl({"text": "one"})), tmp_path / "runs" / "inputs.json"
    before = list_files(Source(paths=[path]), cache)[0].fingerprint
    os.utime(path, (1, 1))
    assert list_files(Source(paths=[path]), cache)[0].fingerprint == before
    write(Path(path), jsonl({"text": "two"}))
    assert list_files(Source(paths=[path]), cache)[0].fingerprint != before


def test_nothing_that_matches_is_the_users_mistake(tmp_path: Path) -> None:
    write(tmp_path / "only/notes.txt", "nothing to read")
    for path in ("none.jsonl", "*.jsonl", "only", "only/*"):
        with pytest.raises(UsageError, match="no file matches"):
            list_files(Source(paths=[f"{tmp_path}/{path}"]))
    with pytest.raises(UsageError, match="set `format:`"):
        list_files(Source(paths=[f"{tmp_path}/only/notes.txt"]))


def test_a_folder_of_several_kinds_asks_which_is_meant(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", jsonl({"text": "one"}))
    write(tmp_path / "b.html", PAGE)
    with pytest.raises(UsageError, match="1 html, 1 jsonl"):
        list_files(Source(paths=[str(tmp_path)]))
    assert [file.label for file in list_files(Source(paths=[str(tmp_path)], format="html"))] == ["b.html"]


def test_a_path_with_brackets_that_is_there_is_no_glob(tmp_path: Path) -> None:
    assert len(read(write(tmp_path / "a[1].jsonl", jsonl({"text": "one"})))[0]) == 1
    assert len(read(f"file://{tmp_path}/a%5B1%5D.jsonl")[0]) == 1


def test_a_local_list_of_paths_is_read_below_a_local_base(tmp_path: Path) -> None:
    write(tmp_path / "pool/seg/a.jsonl", jsonl({"text": "one"}))
    path = write(tmp_path / "wet.paths.gz", gzip.compress(b"seg/a.jsonl\n"))
    units, _ = read({"paths": path, "cc_base": f"{tmp_path}/pool"})
    assert [unit.source for unit in units] == ["seg/a.jsonl"]
    write(tmp_path / "bad.paths", b"seg/none.jsonl\n")
    with pytest.raises(UsageError, match="seg/none.jsonl"):
        read({"paths": f"{tmp_path}/bad.paths", "cc_base": f"{tmp_path}/pool"})


def test_a_row_that_kills_its_worker_is_passed_by_untouched(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"text": "one"}\nnot touched\n{"text": "three"}\n')
    units, account = read(path, skip=frozenset({1}))
    assert reasons(units) == [None, "crashed_worker", None] and account.damage == []
    assert [unit.id for unit in units] == [unit.id for unit in read(path)[0]]


def test_a_limit_takes_the_first_units_only(tmp_path: Path) -> None:
    units, account = read(write(tmp_path / "a.jsonl", jsonl(*({"text": str(n)} for n in range(9)))), limit=4)
    assert [unit.text for unit in units] == ["0", "1", "2", "3"] and account.read == 4


def test_a_file_that_grew_since_it_was_listed_stops_the_run(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", jsonl({"text": "one"}))
    source = Source(paths=[path])
    ranks = cut(list_files(source), source)
    write(Path(path), jsonl({"text": "one"}, {"text": "two"}))
    with pytest.raises(StoppedError):
        list(read_rank(ranks[0], source, Account()))


def test_an_artifact_is_read_by_its_data_alone(tmp_path: Path) -> None:
    write(tmp_path / "art/data/train-00000.parquet", parquet(pa.table({"text": ["one"]})))
    write(tmp_path / "art/dropped/00000.parquet", parquet(pa.table({"text": ["two"]})))
    write(tmp_path / "art/receipt.json", "{}")
    assert [unit.text for unit in read(str(tmp_path / "art"))[0]] == ["one"]


@pytest.mark.parametrize("rank_bytes", [400, 1500, 10**9])
def test_a_large_archive_is_cut_without_losing_or_doubling_a_record(tmp_path: Path, rank_bytes: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
    body = b""
    for number in range(40):
        block = head + PAGE.replace("tides", f"tide {number} {os.urandom(60).hex()}").encode()
        record = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.org/{number}\r\nContent-Length: {len(block)}"
        body += gzip.compress(record.encode() + b"\r\nContent-Type: application/http\r\n\r\n" + block + b"\r\n\r\n")
    path = write(tmp_path / "a.warc.gz", body)
    units, account = read({"paths": path, "rank_bytes": rank_bytes})
    assert [unit.url for unit in units] == [f"http://a.org/{number}" for number in range(40)]
    assert account.damage == [] and reasons(units) == [None] * 40
    whole = read(path)[0]
    assert [unit.id for unit in units] == [unit.id for unit in whole]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not beside the project")
def test_every_shared_archive_is_named_and_read() -> None:
    source = Source(paths=[str(SHARED / "warc")])
    files = list_files(source)
    assert {file.label for file in files} == {path.name for path in (SHARED / "warc").iterdir()}
    account = Account()
    units = [unit for rank in cut(files, source) for unit in read_rank(rank, source, account)]
    assert account.read == len(units) > 25


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=60), st.text(max_size=20))
def test_a_label_is_never_absolute_and_always_writable(path: str, root: str) -> None:
    for text in (path, f"/{path}", f"https://user:pass@host/{path}?key=secret", f"s3://bucket/{path}"):
        label = label_of(text, root)
        assert label and not label.startswith("/") and ".." not in label.split("/")
        assert label.encode("utf-8") and not any(ord(letter) < 32 for letter in label)
    assert "pass" not in shown("https://user:pass@host/x?key=secret") and "secret" not in shown("https://h/x?key=secret")


def test_a_rank_names_its_first_file() -> None:
    file = InputFile("/a", "a", 1, "html", "f" * 64, 0)
    assert Rank(0, (file,)).file is file


@pytest.mark.parametrize(("name", "said"), [("a.zip", "zip archive; unpack it"), ("a.txt", "`format:` to one of warc, arc"), ("b.txt", "is empty")])
def test_a_file_of_no_known_format_is_named_with_what_to_do(tmp_path: Path, name: str, said: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jsonl", "{}")
    (tmp_path / "a.txt").write_text("Uma frase.")
    (tmp_path / "b.txt").touch()
    with pytest.raises(UsageError, match=f"{name}: .*{said}"):
        list_files(Source(paths=[str(tmp_path / name)]))
