"""The quality score: fitting it on real pages, what the report may say, and what the step keeps and drops by it."""

import gzip
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import fasttext
import numpy as np
import pytest
import zstandard
from loopback import serving
from pydantic import ValidationError

from curate.config import UsageError
from curate.fit.documents import assigned, too_large
from curate.fit.quality import QualityReport, Ratings, fit_quality
from curate.fit.scores import Scored, auc, best_threshold, share
from curate.steps.fasttext_model import label_model, prepared
from curate.steps.language import MODEL
from curate.steps.quality import Quality
from curate.steps.step import Unit

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
PAGES = 400
needs_shared = pytest.mark.skipif(not (SHARED / "web").exists(), reason="../shared/data is not here")
FRUIT, TRASH = "apple pear plum cherry quince", "click cookie login banner popup"
COMMIT = "c" * 40


def write_rows(path: Path, rows: list[dict]) -> Path:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    packed = {".gz": gzip.compress, ".zst": zstandard.compress}.get(path.suffix, bytes)(data)
    path.write_bytes(packed)
    return path


def made_up(words: str, count: int, host: str = "site{}.org") -> list[dict]:
    """Rows of one word list; a real classifier parts them at once."""
    picked = words.split()
    return [
        {"text": f"{' '.join(picked[(n + k) % 5] for k in range(3))} number {n}", "url": f"http://{host.format(n % 20)}/{n}"}
        for n in range(count)
    ]


def pages() -> tuple[list[dict], list[dict]]:
    """Article bodies, and the menus and footers of the same real pages."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text
    from selectolax.lexbor import LexborHTMLParser

    good, bad = [], []
    with (SHARED / "web" / "extraction_dev.warc.gz").open("rb") as archive:
        for record in islice(ArchiveIterator(archive, record_types=WarcRecordType.response, parse_http=True), PAGES):
            html, url = record.reader.read().decode("utf-8", "replace"), record.headers["WARC-Target-URI"]
            menus = LexborHTMLParser(html).css("nav, header, footer")
            for rows, text in (
                (good, extract_plain_text(html, main_content=True)),
                (bad, " ".join(node.text(separator=" ") for node in menus)),
            ):
                rows.append({"text": " ".join(text.split())[:1500], "url": url})
    return good, bad


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, QualityReport]:
    """A model of real articles against real menus, fitted once."""
    if not (SHARED / "web").exists():
        pytest.skip("../shared/data is not here")
    folder = tmp_path_factory.mktemp("fit")
    good, bad = pages()
    inputs = write_rows(folder / "good.jsonl.gz", good), write_rows(folder / "bad.jsonl.zst", bad)
    return folder / "model.bin", fit_quality(*inputs, folder / "model.bin")


@pytest.fixture(scope="module")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model: fruit is good, trash is bad."""
    folder = tmp_path_factory.mktemp("fruit")
    good, bad = write_rows(folder / "g.jsonl", made_up(FRUIT, 200)), write_rows(folder / "b.jsonl", made_up(TRASH, 200))
    fit_quality(good, bad, folder / "model.bin")
    return folder / "model.bin"


def test_articles_are_told_from_menus_on_domains_never_seen(fitted: tuple[Path, QualityReport]) -> None:
    _, report = fitted
    assert report.auc > 0.9
    assert report.precision.low > 0.6 and report.recall.low > 0.6, report.as_text()


def test_the_report_counts_every_document_and_its_interval_holds_the_share(fitted: tuple[Path, QualityReport]) -> None:
    path, report = fitted
    counted = sum(sum(part.values()) for part in report.documents.values()) + sum(report.skipped.values())
    assert counted == 2 * PAGES
    assert report.precision.low < report.precision.value < report.precision.high
    assert report.recall.of == report.documents["test"]["hq"]
    assert report.bytes == path.stat().st_size < 2_000_000 < report.bytes_before
    assert json.loads(json.dumps(report.as_json()))["threshold"] == report.threshold
    assert f"{report.threshold:.4f}" in report.as_text()


def test_the_chosen_threshold_stands_in_the_table_with_the_reported_figures(fitted: tuple[Path, QualityReport]) -> None:
    _, report = fitted
    row = next(row for row in report.table if row.threshold == report.threshold)
    assert (row.precision, row.recall) == (report.precision.value, report.recall.value)


def test_an_article_is_kept_and_a_menu_is_dropped_as_low_quality(fitted: tuple[Path, QualityReport]) -> None:
    path, report = fitted
    step = Quality(use="quality", model=str(path), threshold=report.threshold)
    article = Unit(
        id="1",
        text="The committee met on Tuesday to discuss the new bridge across the river, which the town has wanted for "
        "years. Nobody could say what it would cost, but everybody agreed that the old one would not last.",
    )
    menu = Unit(id="2", text="Home Sport Politics Contact Login Newsletter Privacy Imprint Facebook Twitter Instagram " * 3)
    assert step.apply(article) is None
    drop = step.apply(menu)
    assert drop is not None and drop.reason == "low_quality"
    assert drop.value == menu.values["quality.score"] < drop.threshold == report.threshold


def test_without_a_threshold_the_score_marks_and_drops_nothing(fruit: Path) -> None:
    unit = Unit(id="1", text="popup banner cookie")
    assert Quality(use="quality", model=str(fruit)).apply(unit) is None
    assert unit.values["quality.score"] < 0.2


def test_the_same_documents_make_the_same_bytes_in_any_order(fruit: Path, tmp_path: Path) -> None:
    good = write_rows(tmp_path / "g.jsonl", made_up(FRUIT, 200)[::-1])
    bad = write_rows(tmp_path / "b.jsonl", made_up(TRASH, 200)[::-1])
    fit_quality(good, bad, tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == fruit.read_bytes()


def test_a_score_is_that_of_fasttext_itself_on_the_prepared_line(fruit: Path) -> None:
    text = "apple\n\n pear\tbanner\u2028plum"
    labels, chances = fasttext.load_model(str(fruit)).predict("apple pear banner plum", k=2)
    expected = dict(zip(labels, chances, strict=True))["__label__hq"]
    unit = Unit(id="1", text=text)
    Quality(use="quality", model=str(fruit)).apply(unit)
    assert unit.values["quality.score"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("text", ["", "\n\n", "\0", "\ud800 half a pair", "__label__hq __label__lq", "x" * 100_000, "漢字"])
def test_no_text_breaks_the_score(fruit: Path, text: str) -> None:
    unit = Unit(id="1", text=text)
    Quality(use="quality", model=str(fruit)).apply(unit)
    assert 0 <= unit.values["quality.score"] <= 1


def test_a_label_in_a_text_is_no_label() -> None:
    assert "__label__" not in prepared("buy __label__hq now")


def test_a_step_with_a_loaded_model_goes_to_another_process(fruit: Path) -> None:
    step = Quality(use="quality", model=str(fruit))
    step.warm_up()
    unit = Unit(id="1", text="apple pear")
    pickle.loads(pickle.dumps(step)).apply(unit)
    assert unit.values["quality.score"] > 0.8


def test_a_file_that_is_no_whole_model_is_the_users_mistake(tmp_path: Path, fruit: Path) -> None:
    data = fruit.read_bytes()
    cut_short = [data[: len(data) * part // 8] for part in range(1, 8)]
    for number, content in enumerate([b"no model" * 100, b"", *cut_short, data[:-1], data + b"x"]):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(content)
        with pytest.raises(UsageError, match="not a whole fastText model"):
            Quality(use="quality", model=str(path)).warm_up()
    with pytest.raises(UsageError, match="No such file"):
        Quality(use="quality", model=str(tmp_path / "missing.bin")).warm_up()
    with pytest.raises(UsageError, match="has no label 'good'.*hq, lq"):
        Quality(use="quality", model=str(fruit), label="good").warm_up()
    Quality(use="quality", model=str(fruit), label="__label__lq").warm_up()


def test_the_language_model_that_ships_is_whole() -> None:
    assert label_model(str(MODEL)).probabilities("the river and the town")["en"] > 0.5


def test_a_model_is_a_local_file_or_on_the_hub() -> None:
    with pytest.raises(ValidationError, match="hf://owner/name/file"):
        Quality(use="quality", model="https://example.org/model.bin")


def test_a_model_of_the_hub_is_fetched_by_name_and_its_content_is_its_identity(fruit: Path, tmp_path: Path) -> None:
    code = (
        "from curate.steps.quality import Quality\nfrom curate.steps.step import Unit\nimport sys, pathlib\n"
        "step = Quality(use='quality', model=sys.argv[1])\n"
        "size = lambda path: str(pathlib.Path(path).stat().st_size)\n"
        "print(step.model_dump(mode='json', context={'content_hash': size})['model'])\n"
        "unit = Unit(id='1', text='apple pear')\nstep.apply(unit)\nprint(unit.values['quality.score'] > 0.8)\n"
    )
    with serving({f"owner/name/resolve/{COMMIT}/model.bin": fruit.read_bytes()}) as site:
        site.commit = COMMIT
        done = subprocess.run(
            [sys.executable, "-c", code, f"hf://owner/name@{COMMIT}/model.bin"],
            env={**os.environ, "HF_ENDPOINT": site.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(fruit.stat().st_size), "True"]


def test_too_few_documents_or_one_class_alone_are_refused(tmp_path: Path) -> None:
    good = write_rows(tmp_path / "g.jsonl", made_up(FRUIT, 200))
    few = write_rows(tmp_path / "f.jsonl", made_up(TRASH, 12))
    with pytest.raises(UsageError, match="bad: .* documents to .* by, 10 are the fewest"):
        fit_quality(good, few, tmp_path / "m.bin")
    with pytest.raises(UsageError, match="bad: 0 documents"):
        fit_quality(good, good, tmp_path / "m.bin")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.jsonl", "g.jsonl"]


def test_pages_must_be_extracted_before_a_model_is_fitted_on_them(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "a.html").write_text("<html><body><p>one</p></body></html>")
    with pytest.raises(UsageError, match="holds pages, not texts"):
        fit_quality(tmp_path / "pages", tmp_path / "pages", tmp_path / "m.bin")


def test_a_domain_goes_whole_to_one_part_and_every_part_has_its_share() -> None:
    domains = {"hq": {f"g{n}.org": n % 5 + 1 for n in range(100)}, "lq": {f"b{n}.org": 3 for n in range(50)} | {"g1.org": 4}}
    from collections import Counter

    parts = assigned({label: Counter(found) for label, found in domains.items()}, 0.3, seed=1)
    assert set(parts) == set(domains["hq"]) | set(domains["lq"])
    for found in domains.values():
        for part, wanted in (("train", 0.7), ("choose", 0.15), ("test", 0.15)):
            held = sum(count for name, count in found.items() if parts[name] == part)
            assert held / sum(found.values()) == pytest.approx(wanted, abs=0.04)


def test_a_class_of_one_domain_is_held_out_by_document_and_said_so(tmp_path: Path) -> None:
    good = write_rows(tmp_path / "g.jsonl", made_up(FRUIT, 200, "en.wikipedia.org"))
    bad = write_rows(tmp_path / "b.jsonl", made_up(TRASH, 100))
    report = fit_quality(good, bad, tmp_path / "m.bin")
    assert report.split_by_document == ["wikipedia.org"] and "wikipedia.org" in report.as_text()
    assert min(report.documents["test"].values()) >= 10


def test_the_auc_counts_pairs_and_ties_by_half() -> None:
    scored = Scored(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]), np.arange(4))
    assert auc(scored) == pytest.approx(3.5 / 4)
    assert auc(replace(scored, score=-scored.score)) == pytest.approx(0.5 / 4)


def test_the_chosen_threshold_has_the_highest_f1() -> None:
    scored = Scored(np.array([0.9, 0.8, 0.6, 0.4, 0.2]), np.array([True, True, False, True, False]), np.arange(5))
    assert 0.2 < best_threshold(scored) <= 0.4


def test_documents_of_one_domain_widen_the_interval() -> None:
    hit = np.repeat([True, True, True, True, False], 20)
    apart, together = share(hit, np.arange(100)), share(hit, np.repeat(np.arange(5), 20))
    assert apart.value == together.value == 0.8
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert share(np.ones(100, bool), np.repeat([0, 1], 50)).low < 0.5


def test_a_domain_above_a_quarter_of_its_class_is_too_large() -> None:
    from collections import Counter

    assert too_large({"hq": Counter({"a.org": 26, "b.org": 25, "c.org": 25, "d.org": 24})}) == {"a.org"}


def test_a_model_is_loaded_once_a_process(fruit: Path) -> None:
    assert label_model(str(fruit)) is label_model(str(fruit))


def rated(rows: list[dict], rating: float | None, **other: float) -> list[dict]:
    told = {} if rating is None else {"ratings": {"edu_quality": rating, **other}}
    return [{**row, "metadata": json.dumps(told)} for row in rows]


def test_rated_documents_teach_what_a_judge_has_said(fruit: Path, tmp_path: Path) -> None:
    rows = rated(made_up(FRUIT, 200), 3.0) + rated(made_up(TRASH, 200), 2.5) + rated(made_up(TRASH, 5), None)
    report = fit_quality(Ratings(str(write_rows(tmp_path / "rated.jsonl", rows))), None, tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == fruit.read_bytes() and report.model == str(tmp_path / "model.bin")


def test_ratings_by_several_aspects_or_none_are_the_users_to_choose_from(tmp_path: Path) -> None:
    several = write_rows(tmp_path / "s.jsonl", rated(made_up(FRUIT, 3), 3.0, style=1.0))
    with pytest.raises(UsageError, match="edu_quality, style; say which by --aspect"):
        fit_quality(Ratings(str(several)), None, tmp_path / "model.bin")
    none = write_rows(tmp_path / "n.jsonl", rated(made_up(FRUIT, 3), None))
    with pytest.raises(UsageError, match="no document has a rating"):
        fit_quality(Ratings(str(none)), None, tmp_path / "model.bin")
