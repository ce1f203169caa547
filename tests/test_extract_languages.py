"""Extraction for a few languages: pages that are surely in none of them are told before they are parsed."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from extraction_pages import unit
from pydantic import ValidationError

from curate.stages.web_alarm import Alarm, alarms
from curate.steps.extract import Extract
from curate.steps.extraction.foreign import (
    FEWEST_PIECES,
    LEAST_RUN,
    UNLIKELY,
    likeliest,
    running_text,
)

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
GERMAN = (
    "Die Gemeinde hat am Dienstag beschlossen, die alte Brücke über den Fluss im nächsten Jahr zu erneuern und zu verbreitern.",
    "Während der Arbeiten wird der Verkehr über die Landstraße umgeleitet, wie die Verwaltung den Anwohnern mitteilte.",
    "Die Kosten trägt zum größten Teil das Land, den Rest bringt die Gemeinde aus ihren eigenen Rücklagen auf.",
)
PORTUGUESE = (
    "A câmara municipal decidiu na terça-feira renovar a velha ponte sobre o rio e alargá-la durante o próximo ano.",
    "Durante as obras o trânsito será desviado pela estrada nacional, como foi comunicado aos moradores da freguesia.",
    "A maior parte dos custos será paga pelo Estado, e o resto sairá das reservas que o município juntou nos últimos anos.",
)
ENGLISH = "We use cookies on this website so that we can give you the best experience and see which of our pages are being read."


def page_of(*paragraphs: str) -> str:
    return "<html><body><main>" + "".join(f"<p>{text}</p>" for text in paragraphs) + "</main></body></html>"


def test_a_page_in_another_language_is_dropped_before_it_is_parsed() -> None:
    page = unit(page_of(*GERMAN))
    drop = Extract(use="extract", languages="pt en").apply(page)
    assert drop is not None and drop.reason == "other_language"
    assert drop.value < drop.threshold == UNLIKELY
    assert page.html is not None and not page.text


@pytest.mark.parametrize("languages", ["de", ["pt", "de"], {"de": 0.65}])
def test_a_page_in_a_wanted_language_is_extracted(languages: str | list[str] | dict[str, float]) -> None:
    page = unit(page_of(*GERMAN))
    assert Extract(use="extract", languages=languages).apply(page) is None
    assert GERMAN[0] in page.text


def test_a_page_with_one_piece_in_a_wanted_language_is_left_to_the_language_step() -> None:
    assert likeliest(page_of(*PORTUGUESE), ("en",)) is not None
    assert likeliest(page_of(*PORTUGUESE, ENGLISH), ("en",)) is None


def test_a_page_of_short_lines_is_not_judged() -> None:
    short = [text[: LEAST_RUN - 1] for text in GERMAN]
    assert likeliest(page_of(*short, GERMAN[0]), ("en",)) is None
    assert FEWEST_PIECES == 2 and likeliest(page_of(*short, *GERMAN[:2]), ("en",)) is not None


def test_scripts_and_markup_in_strings_are_no_running_text() -> None:
    script = "var message = '<p>'; if (window.one && window.two) { show(message + 'and much more of this kind of code'); } // "
    html = f"<script>{script * 3}</script><style>{'.menu a { color: red } ' * 9}</style><p>{GERMAN[0]}</p><!-- {ENGLISH} -->"
    assert running_text(html) == [GERMAN[0]]


def test_a_character_reference_is_read_as_its_character() -> None:
    escaped = [text.replace("ü", "&uuml;").replace("ö", "&#246;") for text in GERMAN]
    assert likeliest(page_of(*escaped), ("de",)) is None and likeliest(page_of(*escaped), ("pt",)) is not None


def test_without_languages_every_page_is_extracted() -> None:
    assert Extract(use="extract").apply(unit(page_of(*GERMAN))) is None


def test_an_unknown_language_is_refused_with_a_near_one() -> None:
    with pytest.raises(ValidationError, match="no language 'ptt' in lid.176"):
        Extract(use="extract", languages="ptt")


def test_pages_left_out_for_their_language_raise_no_alarm(tmp_path: Path) -> None:
    path = tmp_path / "ledger.parquet"
    row = {"source": "a", "url": "https://a.example/", "language": None, "step": "extract"}
    pq.write_table(pa.Table.from_pylist([{**row, "reason": "other_language"}] * 90 + [{**row, "step": None, "reason": None}] * 10), path)
    assert alarms(path, ["extract", "c4"], Alarm()) == []
    pq.write_table(pa.Table.from_pylist([{**row, "reason": "empty_text"}] * 90 + [{**row, "step": None, "reason": None}] * 10), path)
    assert {(found["step"], found["in"], found["dropped"]) for found in alarms(path, ["extract", "c4"], Alarm())} == {("extract", 100, 90)}


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/data is absent")
@pytest.mark.parametrize("wanted", ["en", "de", "pt", "es", "fr"])
def test_no_page_that_is_in_the_wanted_language_once_extracted_is_left_out(wanted: str) -> None:
    from benchmarks.gold import read_gold
    from curate.steps.language import identify

    left_out = [page for page in read_gold("shared_gold") if likeliest(page.html, (wanted,)) is not None]
    assert len(left_out) >= 5
    for page in left_out:
        extracted = unit(page.html)
        Extract(use="extract").apply(extracted)
        assert identify(extracted.text).language != wanted, page.url
