"""Extraction: the main text out of pages, whichever engine looks for it."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from extraction_pages import PAGE, SENTENCES, extracted, unit
from pydantic import ValidationError
from selectolax.lexbor import LexborHTMLParser

from curate.steps.extract import Extract, normalise
from curate.steps.extraction.blocks import read_blocks
from curate.steps.extraction.comments import without_comments
from curate.steps.extraction.engines import dice
from curate.steps.extraction.features import NAMES, NameWeights, features
from curate.steps.extraction.model import chosen_blocks
from curate.steps.extraction.wholes import with_headings, with_siblings
from curate.steps.step import Drop

ENGINES = ("blocks", "trafilatura", "resiliparse", "agree")
SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.mark.parametrize("engine", ENGINES)
def test_an_article_is_kept_without_its_navigation(engine: str) -> None:
    page, drop = extracted(PAGE, engine=engine)
    assert drop is None
    assert all(sentence in page.text for sentence in SENTENCES)
    assert "Weather" not in page.text and "Imprint" not in page.text
    assert page.html is None


@pytest.mark.parametrize("engine", ENGINES)
def test_paragraphs_line_breaks_and_code_lines_survive(engine: str) -> None:
    page, _ = extracted(PAGE, engine=engine)
    lines = page.text.splitlines()
    assert SENTENCES[0] in lines and SENTENCES[1] in lines
    assert SENTENCES[2] in lines and SENTENCES[3] in lines
    assert lines[lines.index("def thaw(ice):") + 1] == "    return ice - 1"


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_page_is_dropped_as_empty_text(engine: str) -> None:
    page, drop = extracted("<html><body><img src=x></body></html>", engine=engine)
    assert drop == Drop("empty_text", 0, 1)
    assert page.html is not None


def test_the_page_states_title_date_and_licence() -> None:
    page, _ = extracted(PAGE)
    assert page.title == "The winter"
    assert page.licence == "CC-BY-SA-4.0"
    assert page.metadata["published"] == "2019-03-04"
    assert page.metadata["licence_url"] == "https://creativecommons.org/licenses/by-sa/4.0/deed.en"


def test_the_date_of_the_crawl_stays() -> None:
    page = unit(PAGE)
    page.date = "2024-01-01"
    Extract(use="extract").apply(page)
    assert page.date == "2024-01-01"


def test_a_unit_without_html_passes_untouched() -> None:
    page = unit(None, text="already  text\x00")
    assert Extract(use="extract").apply(page) is None
    assert page.text == "already  text\x00"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pages_text_does_not_depend_on_the_pages_before_it(engine: str) -> None:
    step, texts = Extract(use="extract", engine=engine), []
    for _ in range(6):
        page = unit(PAGE)
        step.apply(page)
        texts.append(page.text)
    assert len(set(texts)) == 1


def test_half_a_surrogate_pair_costs_a_character_not_the_page() -> None:
    page, drop = extracted(PAGE.replace("January", "Janu\ud800ary"))
    assert drop is None and SENTENCES[1] in page.text


def test_control_characters_and_odd_line_ends_become_plain_lines() -> None:
    assert normalise("one\x00 \r\ntwo\x0b\n\n\n\n  three\u2028four \ufeff\n") == "one\ntwo\n\n\n  three\nfour"


def test_soft_hyphens_are_no_text() -> None:
    page, _ = extracted(PAGE.replace("Fishermen", "Fi&shy;sher\xadmen"))
    assert SENTENCES[1] in page.text


def test_a_servers_error_messages_are_no_text_unless_somebody_quotes_them() -> None:
    error = "<b>Warning</b>: include(a.php): failed to open stream in <b>/www/htdocs/b.php</b> on line <b>12</b>"
    page = read_blocks(LexborHTMLParser(f"<body><br />{error}<br /><br />{error}<br /><div><p>What does it mean?</p><p>{error}</p></div>"))
    assert page.text == ["What does it mean?", "Warning: include(a.php): failed to open stream in /www/htdocs/b.php on line 12"]


def test_what_an_elements_names_say_holds_for_everything_inside_it() -> None:
    html = '<body class="comments-open"><div id="leserkommentare"><div><p>one</p></div></div><div class="entry-content"><p>two</p></div>'
    rows = features(read_blocks(LexborHTMLParser(html)), NameWeights({}), {})
    assert rows[:, NAMES.index("comments")].tolist() == [1, 0]
    assert rows[:, NAMES.index("body")].tolist() == [0, 1]


def test_rows_of_containers_named_alike_are_counted() -> None:
    html = "<body><section>" + "<div class=teaser><p>one</p></div>" * 5 + "</section><div class=story><p>two</p></div>"
    rows = features(read_blocks(LexborHTMLParser(html)), NameWeights({"teaser": -1.0, "story": 1.0}), {})
    assert np.expm1(rows[:, NAMES.index("like^1")]).round().tolist() == [5] * 5 + [1]


def test_comments_under_an_article_are_left_out_but_a_forum_of_comments_is_kept() -> None:
    said = "".join(f'<div class="comment-body"><p>{sentence}</p></div>' for sentence in SENTENCES)
    story = "".join(f"<p>{sentence}</p>" for sentence in SENTENCES * 2)
    article = read_blocks(LexborHTMLParser(f'<body class="comments-open"><div>{story}</div><div id="comments">{said}</div>'))
    forum = read_blocks(LexborHTMLParser(f'<div class="commentary"><p>{SENTENCES[0]}</p></div><div id="comments">{said}</div>'))
    assert without_comments(article, range(len(article.text))) == list(range(8))
    assert without_comments(forum, range(len(forum.text))) == list(range(5))


def test_a_paragraph_among_chosen_ones_is_kept_and_a_row_of_links_is_not() -> None:
    links = "".join(f"<p><a href={at}>{sentence}</a></p>" for at, sentence in enumerate(SENTENCES))
    page = read_blocks(LexborHTMLParser(f"<div>{''.join(f'<p>{sentence}</p>' for sentence in SENTENCES)}</div><div>{links}<p>x</p></div>"))
    assert with_siblings(page, [1, 2, 4, 5, 6], [True] * 9) == [0, 1, 2, 3, 4, 5, 6]
    assert with_siblings(page, [1, 2], [False] * 9) == [1, 2]
    assert with_siblings(page, [2], [True] * 9) == [2]


def test_a_page_that_the_model_doubts_all_over_is_not_cut_to_splinters() -> None:
    page = read_blocks(LexborHTMLParser("".join(f"<div><p>{sentence}</p></div>" for sentence in SENTENCES)))
    assert chosen_blocks(page, np.array([0.52, 0.4, 0.4, 0.1]), 0.5) == [0, 1, 2]
    assert chosen_blocks(page, np.array([0.9, 0.9, 0.4, 0.1]), 0.5) == [0, 1]


def test_short_cells_share_a_line_with_their_row() -> None:
    page = read_blocks(LexborHTMLParser("<table><tr><td>Tide</td><td>3 m</td></tr><tr><td>Ice</td><td>none</td></tr></table>"))
    assert page.text == ["Tide\t3 m", "Ice\tnone"]


def test_two_line_breaks_end_a_block_and_one_does_not() -> None:
    page = read_blocks(LexborHTMLParser("<div>one<br>two<br> <br>three &amp; four</div>"))
    assert page.text == ["one\ntwo", "three & four"]


def test_a_container_knows_the_blocks_inside_it() -> None:
    page = read_blocks(LexborHTMLParser("<div id=a><p>one</p><section><p>two</p></section></div><p>three</p>"))
    outer = page.attributes.index(' id="a"')
    assert page.text[page.first[outer] : page.end[outer]] == ["one", "two"]
    assert page.tag[outer + 1 : page.last[outer]] == ["p", "section", "p"]


def test_equal_texts_agree_and_others_do_not() -> None:
    assert dice(SENTENCES[0], SENTENCES[0]) == 1
    assert dice(SENTENCES[0], SENTENCES[1]) == 0
    assert dice("", "") == 0


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ValidationError):
        Extract(use="extract", engine="magic")


@pytest.mark.skipif(not (SHARED / "web").exists(), reason="../shared/data is not on this machine")
def test_the_default_engine_finds_what_readers_marked_on_pages_it_never_saw() -> None:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    with gzip.open(SHARED / "web" / "shared_gold.gold.jsonl.gz", "rt") as lines:
        gold = {row["record_id"]: row for row in map(json.loads, lines) if row["type"] == "segments"}
    step, found, missed, false = Extract(use="extract"), 0, 0, 0
    with open(SHARED / "web" / "shared_gold.warc.gz", "rb") as archive:
        for record in ArchiveIterator(archive, record_types=WarcRecordType.response):
            if record.record_id in gold:
                page = unit(record.reader.read().decode("utf-8", "replace"))
                step.apply(page)
                flat, row = " ".join(page.text.split()), gold[record.record_id]
                hits = sum(" ".join(segment.split()) in flat for segment in row["with"])
                found, missed = found + hits, missed + len(row["with"]) - hits
                false += sum(" ".join(segment.split()) in flat for segment in row["without"])
    assert found + missed > 90
    assert 2 * found / (2 * found + missed + false) > 0.93


def test_a_possible_heading_right_above_main_text_is_kept_with_it() -> None:
    html = "<h2>Other pages</h2><h2>May I copy it?</h2><p>Yes.</p><h2>And sell it?</h2><h3>Alone</h3><p>No.</p><p>Advert</p><h2>Contact</h2>"
    page = read_blocks(LexborHTMLParser(f"<html><body>{html}</body></html>"))
    answers = [number for number, text in enumerate(page.text) if text in ("Yes.", "No.")]
    kept = with_headings(page, answers, [True] * len(page.text))
    assert [page.text[block] for block in kept] == ["May I copy it?", "Yes.", "And sell it?", "Alone", "No."]
    assert with_headings(page, answers, [False] * len(page.text)) == answers
    assert with_headings(page, [], [True] * len(page.text)) == []
