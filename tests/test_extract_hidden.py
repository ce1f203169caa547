"""Extraction from pages that hide their main text, and from pages whose markup says little about it."""

import json
import time

import pytest
from extraction_pages import SENTENCES, extracted

from curate.steps.extraction.hidden import stated_body, uncovered

MENU = '<div class="menu"><ul><li><a href="/">Home</a></li><li><a href="/s">Sports</a></li><li><a href="/w">Weather</a></li></ul></div>'
LEGAL = '<div id="footer"><a href="/i">Imprint</a> | <a href="/p">Privacy</a></div>'
PARAGRAPHS = "".join(f"<p>{sentence}</p>" for sentence in SENTENCES)


def page_of(body: str, head: str = "") -> str:
    return f"<!doctype html><html><head><title>The winter</title>{head}</head><body>{MENU}{body}{LEGAL}</body></html>"


def stated(statement: object) -> str:
    return f'<script type="application/ld+json">{json.dumps(statement)}</script>'


NEWS = {"@type": "NewsArticle", "headline": "The winter", "articleBody": "\n\n".join(SENTENCES)}


@pytest.mark.parametrize("form", ["text", "markdown"])
@pytest.mark.parametrize(
    "html",
    [
        page_of('<div id="root"></div>', stated(NEWS)),
        page_of('<div id="root"></div>', stated({"@graph": [{"@type": "WebSite", "name": "News"}, NEWS]})),
        page_of(f"<p>{SENTENCES[0]}</p><p>Subscribe to read on.</p>", stated([NEWS])),
        page_of(f'<div id="app"></div><noscript><article>{PARAGRAPHS}</article></noscript>'),
        page_of(f'<div id="app"></div><template><article>{PARAGRAPHS}</article></template>'),
        page_of(f"<div class=post><script type='text/template'><div>{PARAGRAPHS}</div></script></div>"),
        page_of(f"<dialog open>{PARAGRAPHS}</dialog>"),
        f"<html><frameset cols=1,2><frame src=a><noframes><body>{PARAGRAPHS}</body></noframes></frameset></html>",
        page_of(f"<article hidden>{PARAGRAPHS}</article>"),
        page_of(f'<article style="display:none">{PARAGRAPHS}</article>'),
    ],
)
def test_a_body_that_the_page_hides_is_found(html: str, form: str) -> None:
    page, drop = extracted(html, format=form)
    assert drop is None
    assert all(sentence in page.text for sentence in SENTENCES)
    assert "Weather" not in page.text and "Imprint" not in page.text


def test_a_page_that_shows_its_text_is_not_replaced_by_what_it_hides() -> None:
    hidden = f"<noscript><p>{'Please turn on scripts to see everything that this site has to offer. ' * 9}</p></noscript>"
    page, _ = extracted(page_of(f"<article>{PARAGRAPHS}</article>{hidden}", stated({**NEWS, "articleBody": "Another text. " * 200})))
    assert SENTENCES[3] in page.text
    assert "scripts" not in page.text and "Another" not in page.text


def test_a_stated_body_loses_its_markup_and_keeps_its_paragraphs() -> None:
    body = "&lt;p&gt;The ice is &lt;b&gt;thin&lt;/b&gt; &amp;amp; 3 &lt; 4.&lt;/p&gt;&lt;p&gt;Two\nlines.&lt;/p&gt;"
    assert stated_body(stated({"articleBody": body})) == "The ice is thin & 3 < 4.\n\nTwo\nlines."


def test_broken_nested_and_absent_statements_harm_nothing() -> None:
    deep: object = NEWS
    for _ in range(50):
        deep = [deep]
    broken = '<script type="application/ld+json">{"articleBody": "half</script>'
    assert stated_body(broken) == stated_body(stated(deep)) == stated_body("<p>articleBody</p>") == ""
    assert stated_body(f'<script type="application/ld+json">{"[" * 100_000}</script>articleBody') == ""
    assert stated_body(stated({"articleBody": ["no", "text"]})) == ""


def test_a_page_without_hidden_markup_is_not_read_again() -> None:
    assert uncovered("<p>noscript template</p>") == []
    assert uncovered("<NOSCRIPT class=a>x</NOSCRIPT>") == ["<div>x</div>"]


def test_a_body_that_is_hidden_twice_is_kept_once() -> None:
    twice = f"<script type='text/template'>{PARAGRAPHS}</script><noscript>{PARAGRAPHS}</noscript>"
    page, _ = extracted(page_of(f"<div class=post>{twice}</div>"))
    assert page.text.count(SENTENCES[3]) == 1


@pytest.mark.parametrize("opening", ["<template>", "<noscript>", "<script type=text/template>"])
def test_hidden_markup_that_would_hang_the_parser_stays_hidden(opening: str) -> None:
    assert uncovered(f"<p>a</p>{opening}{'<div>' * 20_000}") == []
    page, drop = extracted(f"<p>{SENTENCES[0]}</p>{opening}{'<div>' * 5_000}")
    assert (drop is None and SENTENCES[0] in page.text) or drop.reason == "too_deep"


@pytest.mark.parametrize("piece", ["<template ", "<script type=text/template ", "<script type=text/template>"])
def test_what_never_ends_is_looked_at_once(piece: str) -> None:
    before = time.process_time()
    uncovered(piece * 50_000)
    assert time.process_time() - before < 20


@pytest.mark.parametrize(
    "body",
    [
        "".join(f"<div>{sentence}</div>" for sentence in SENTENCES),
        " ".join(SENTENCES),
        "<br><br>".join(SENTENCES),
        f"<form id=aspnetForm method=post><div class=article>{PARAGRAPHS}</div></form>",
        f"<table width=100%><tr><td><a href=1>Archive</a></td><td><font face=Arial>{'<br><br>'.join(SENTENCES)}</font></td></tr></table>",
        "<dl>" + "".join(f"<dt>Part {at}</dt><dd>{sentence}</dd>" for at, sentence in enumerate(SENTENCES)) + "</dl>",
        "<ol>" + "".join(f"<li>{sentence}</li>" for sentence in SENTENCES) + "</ol>",
        "".join(f"<details><summary>Question {at}?</summary>{sentence}</details>" for at, sentence in enumerate(SENTENCES)),
        "".join(f"<x-text>{sentence}</x-text> " for sentence in SENTENCES),
        f"<pre>{chr(10).join(SENTENCES)}</pre>",
    ],
)
def test_a_body_in_poor_markup_is_kept_whole(body: str) -> None:
    page, drop = extracted(page_of(f"<div>{body}</div>"))
    assert drop is None
    flat = " ".join(page.text.split())
    assert all(sentence in flat for sentence in SENTENCES)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_one_sentence_is_an_article(sentence: str) -> None:
    page, drop = extracted(page_of(f'<div class="content"><h1>The winter</h1><p>{sentence}</p></div>'))
    assert drop is None and sentence in page.text
