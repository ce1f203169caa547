"""Files of rows in other encodings and layouts: what spreadsheets of Portugal and Brazil export, and what is refused with the option to set."""

import csv
import io
import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from test_ingest import run_one

from curate.config import UsageError
from curate.formats import read
from curate.formats.guess import guess
from curate.stages.ingest import Ingest, rank_directory
from curate.steps.sources import RowSource
from curate.steps.sources.account import Account
from curate.steps.sources.csv_layout import separator
from curate.steps.sources.inputs import list_files
from curate.steps.sources.ranks import cut, read_rank

ROWS = [
    {"prompt": "Onde fica a Sé?", "chosen": "Fica no centro; é antiga, não?", "rejected": "Não sei.", "chosen_score": "4,5", "rejected_score": "0,125"},
    {"prompt": "E o «Douro»?", "chosen": "Nasce em Espanha:\n“Duero”.", "rejected": "Está à vista…", "chosen_score": "5", "rejected_score": "1"},
]  # fmt: skip
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def table(delimiter: str, rows: list[dict] = ROWS) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def rows_of(path: Path, **options: object) -> list[dict]:
    source = RowSource(paths=[str(path)], **options)
    return [unit.metadata for rank in cut(list_files(source), source) for unit in read_rank(rank, source, Account())]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(("name", "text"), [("a.jsonl", LINES), ("a.json", json.dumps(ROWS, ensure_ascii=False)), ("a.csv", table(";"))])
def test_a_file_with_a_byte_order_mark_is_read_in_its_encoding(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert rows_of(tmp_path / name) == ROWS


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le"])
@pytest.mark.parametrize(("name", "text"), [("a.jsonl", LINES), ("a.json", json.dumps(ROWS, ensure_ascii=False)), ("a.csv", table(";"))])
def test_without_a_mark_the_likely_encoding_is_named_and_read_once_it_is_set(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    with pytest.raises(UsageError, match=rf"^{name}: is not UTF-8 but, it seems, {encoding}; say so by `encoding: {encoding}` in its `source:`"):
        rows_of(tmp_path / name)
    assert rows_of(tmp_path / name, encoding=encoding) == ROWS


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("Привет, как твои дела сегодня?", "cp1251"), ("Zażółć gęślą jaźń, powiedział.", "cp1250"), ("Ğüzel bir gün, değil mi? Işık.", "cp1254")],
)
def test_other_alphabets_are_named_too(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "a.jsonl").write_bytes((json.dumps({"text": text}, ensure_ascii=False) + "\n").encode(encoding) * 20)
    with pytest.raises(UsageError, match=f"it seems, {encoding};"):
        rows_of(tmp_path / "a.jsonl")


def test_a_folder_may_hold_both_and_what_is_utf8_is_never_taken_for_another(tmp_path: Path) -> None:
    for name, encoding in (("a.csv", "utf-8"), ("b.csv", "cp1252"), ("c.csv", "utf-16")):
        (tmp_path / name).write_bytes(table(";").encode(encoding))
    assert rows_of(tmp_path, encoding="cp1252") == ROWS * 3


def test_damage_here_and_there_is_no_other_encoding_and_costs_its_own_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES.encode() * 6 + LINES.encode("cp1252").splitlines(keepends=True)[0])
    source = RowSource(paths=[str(tmp_path / "a.jsonl")])
    drops = [unit.drop for unit in read_rank(cut(list_files(source), source)[0], source, Account())]
    assert [drop.reason for drop in drops if drop] == ["broken_json"] and len(drops) == 13


def test_a_few_foreign_bytes_in_a_file_of_plain_ascii_cost_their_own_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"prompt": "It is fine", "completion": "Yes"}\n' * 999 + '{"prompt": "It’s", "completion": "No"}\n'.encode("cp1252"))
    source = RowSource(paths=[str(tmp_path / "a.jsonl")])
    drops = [unit.drop for unit in read_rank(cut(list_files(source), source)[0], source, Account())]
    assert [drop.reason for drop in drops if drop] == ["broken_json"] and len(drops) == 1000


def test_a_byte_that_the_encoding_does_not_know_costs_its_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES.encode("cp1252") + b'{"prompt": "\x81"}\n')
    source = RowSource(paths=[str(tmp_path / "a.jsonl")], encoding="cp1252")
    assert [unit.drop and unit.drop.reason for unit in read_rank(cut(list_files(source), source)[0], source, Account())] == [None, None, "broken_json"]


def test_an_encoding_is_one_of_texts_and_its_spelling_does_not_matter() -> None:
    assert RowSource(paths=["a"], encoding="Windows-1252").encoding == RowSource(paths=["a"], encoding="cp1252").encoding == "cp1252"
    for wrong in ("base64", "cp999", ""):
        with pytest.raises(ValidationError, match="no encoding of texts"):
            RowSource(paths=["a"], encoding=wrong)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_fields_are_cut_by_the_mark_that_fits_the_file(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "a.csv").write_text(table(delimiter), encoding="utf-8", newline="")
    assert rows_of(tmp_path / "a.csv") == ROWS


@pytest.mark.parametrize(
    ("beginning", "mark"),
    [
        ("text\na;b\nc;d\n", ","),
        ("text\n", ","),
        ("a,b\n1;2,3\n4;5,6\n", ","),
        ("preço;nota\n1,5;2\n1,25;3\n", ";"),
        ("a;b", ","),
        ("a;b\n1;2", ";"),
        ('"a;b",c\n"1;2",3\n', ","),
        ("one|or|two\nplain\ntext\n", ","),
        ("", ","),
        ('a;b\n"cut', ";"),
    ],
)
def test_a_mark_separates_where_the_header_and_most_records_agree(beginning: str, mark: str) -> None:
    assert separator(beginning, "a.csv") == mark
    assert separator(beginning, "a.tsv.gz") == "\t"


def test_scores_with_a_decimal_comma_give_the_margin_that_they_give_with_a_point(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table(";").encode("cp1252"))
    run_one(tmp_path, Ingest.model_validate({"source": {"paths": str(tmp_path / "a.csv"), "encoding": "cp1252"}, "format": "chosen_rejected"}))
    account = json.loads((rank_directory(tmp_path, 0) / "rank.json").read_text(encoding="utf-8"))
    assert (account["kept"], account["dropped"]) == (2, {})
    dialect = guess(ROWS, "a.csv").dialect
    assert [read(dialect, [row]).rows[0]["margin"] for row in ROWS] == [4.375, 4.0]
    thousands = {**ROWS[0], "chosen_score": "1,000", "rejected_score": "2,500"}
    assert read(dialect, [thousands]).rows[0]["margin"] is None
