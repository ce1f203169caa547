"""Opt-outs: lists, headers and pages that ask to be left out, and look-alikes that do not."""

import gzip
import pickle
import time
from pathlib import Path

import polars as pl
import pytest
from archives import http, record
from conftest import artifact_path, curate
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from warcio.archiveiterator import ArchiveIterator

from curate.artifact import Artifact
from curate.config import UsageError
from curate.steps.opt_out import OptOut
from curate.steps.step import Unit

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data" / "web"
URL = "https://a.org/tides"


def reason(step: OptOut | None = None, **fields) -> str | None:
    drop = (step or OptOut(use="opt_out")).apply(Unit(text="", id="1", **{"url": URL, **fields}))
    return drop and drop.reason


def page(head: str) -> str:
    return f"<!doctype html><html><head><title>Tides</title>{head}</head><body><p>Tides rise.</p></body></html>"


# Lists


def test_a_page_of_a_listed_domain_or_prefix_is_dropped_as_opt_out_list(tmp_path: Path) -> None:
    path = tmp_path / "asked.txt"
    path.write_bytes(gzip.compress(b"# letters of March\nb.org\nhttps://c.org/blog/ # all of it\n"))
    step = pickle.loads(pickle.dumps(OptOut(use="opt_out", entries=("a.org",), lists=(str(path),))))
    for url in (URL, "http://www.A.org/", "https://x.b.org/1", "http://c.org/blog/2"):
        assert reason(step, url=url) == "opt_out_list"
    for url in ("https://aa.org/", "https://c.org/", None):
        assert reason(step, url=url) is None


def test_a_row_without_page_and_headers_is_judged_by_its_address() -> None:
    step = OptOut(use="opt_out", entries=("a.org",))
    assert step.apply(Unit(text="A row says noai.", id="1", url="https://b.org/")) is None
    assert step.apply(Unit(text="A row.", id="1", url=URL)).reason == "opt_out_list"


def test_a_list_with_a_line_that_is_no_address_is_refused_before_the_work(tmp_path: Path) -> None:
    path = tmp_path / "asked.txt"
    path.write_text("a.org\nplease leave us out\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"asked\.txt:2: "):
        OptOut(use="opt_out", lists=(str(path),)).warm_up()


@pytest.mark.parametrize("wrong", [{"entries": ("not a domain",)}, {"directives": ("noai, noml",)}])
def test_a_wrong_entry_in_the_recipe_is_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError, match="write "):
        OptOut(use="opt_out", **wrong)


# Headers


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"tdm-reservation": "1"}, "tdm_reservation"),
        ({"tdm-reservation": " 1 , 1"}, "tdm_reservation"),
        ({"tdm-reservation": "0"}, None),
        ({"tdm-reservation": "10"}, None),
        ({"tdm-policy": "https://a.org/1"}, None),
        ({"x-robots-tag": "noai, noimageai"}, "noai"),
        ({"x-robots-tag": "noindex, NoAI"}, "noai"),
        ({"x-robots-tag": "GPTBot: noai, nofollow"}, "noai"),
        ({"x-robots-tag": "otherbot: noindex, somebot:noml"}, "noml"),
        ({"x-robots-tag": "noimageai"}, None),
        ({"x-robots-tag": "noindex, nofollow, max-snippet:-1"}, None),
        ({"x-robots-tag": "unavailable_after: 25 Jun 2030 15:00:00 PST"}, None),
        ({"content-type": "text/html"}, None),
    ],
)
def test_a_header_opts_out_or_does_not(headers: dict[str, str], expected: str | None) -> None:
    assert reason(headers=headers, html=page("")) == expected
    assert reason(headers=headers) == expected


def test_more_directives_may_be_respected_and_reservations_need_not_be() -> None:
    step = OptOut(use="opt_out", directives=("noimageai", "no-archive"), tdm_reservation=False)
    assert reason(step, headers={"x-robots-tag": "noimageai"}) == "noimageai"
    assert reason(step, html=page("<meta name=robots content='no-archive'>")) == "no_archive"
    assert reason(step, headers={"tdm-reservation": "1"}) is None
    assert reason(step, html=page('<meta name="tdm-reservation" content="1">')) is None


# Pages


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ('<meta name="robots" content="noai">', "noai"),
        ('<meta name="robots" content="noai, noimageai"/>', "noai"),
        ("<META CONTENT='index,NOAI'\n NAME='Robots'>", "noai"),
        ("<meta name=robots content=noai>", "noai"),
        ('<meta\tdata-x="a > b" content = "noindex, noml" name = "ROBOTS">', "noml"),
        ('<meta property="og:title" content="a"><meta name="GPTBot" content="noai">', "noai"),
        ('<meta name="Google-Extended" content="noai">', "noai"),
        ('<meta http-equiv="X-Robots-Tag" content="noai">', "noai"),
        ("<!--><meta name=robots content=noai><!-- -->", "noai"),
        ("<noscript><meta name=robots content=noai></noscript>", "noai"),
        ('<meta name="tdm-reservation" content="1">', "tdm_reservation"),
        ("<meta content=1 name=TDM-Reservation>", "tdm_reservation"),
        ("<style>" + "a{}" * 100_000 + "</style><meta name=robots content=noai>", "noai"),
        ('<meta name="tdm-reservation" content="0"><meta name="robots" content="noai">', "noai"),
        ('<meta name="tdm-reservation" content="0">', None),
        ('<meta name="robots" content="noimageai">', None),
        ('<meta name="CCBot" content="nofollow">', None),
        ('<meta name="robots" content="noindex, nofollow, noarchive">', None),
        ('<meta name="keywords" content="noai, tdm-reservation">', None),
        ('<meta name="description" content="How to write meta name=robots content=noai">', None),
        ('<!-- <meta name="robots" content="noai"> -->', None),
        ("<script>document.write('<meta name=\"robots\" content=\"noai\">')</script>", None),
        ("<textarea><meta name=robots content=noai></textarea>", None),
        ("<title>noai</title>", None),
        ("<metadata name=robots content=noai>", None),
        ('<meta name="robots" content="noaid">', None),
        ("<meta noai", None),
        ("", None),
    ],
)
def test_the_meta_elements_of_a_page_opt_out_or_do_not(head: str, expected: str | None) -> None:
    assert reason(html=page(head)) == expected


@given(st.text(st.sampled_from("<>\"'=/ -!metanorobscipt1\ud800é"), max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_page_breaks_the_reader(text: str) -> None:
    assert reason(html=f"noai{text}") in (None, "noai")


@pytest.mark.parametrize("piece", ['<meta "noai', "<meta noai ", "<script", "<!-- noai", "<div>noai", "<meta name=robots content=", "<title>noai"])
def test_a_hostile_page_costs_little(piece: str) -> None:
    html = piece * (2_000_000 // len(piece))
    started = time.process_time()
    assert reason(html=html) is None
    assert time.process_time() - started < 10


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data folder is absent")
def test_no_real_page_that_is_silent_is_dropped_and_each_that_speaks_is() -> None:
    step, pages = OptOut(use="opt_out"), []
    with (SHARED / "shared_gold.warc.gz").open("rb") as stream:
        for record in ArchiveIterator(stream):
            if record.rec_type in ("response", "resource"):
                pages.append(record.content_stream().read().decode("utf-8", "replace"))
    assert len(pages) >= 40
    assert not [html[:80] for html in pages if reason(step, html=html)]
    spoken = [html.replace("<head>", "<head><meta name=robots content=noai>", 1) for html in pages if "<head>" in html]
    assert spoken
    assert {reason(step, html=html) for html in spoken} == {"noai"}


def test_nothing_of_an_opted_out_page_is_kept(tmp_path: Path) -> None:
    page = b"<html><head><meta name='robots' content='noai'></head><body><p>" + b"Words that nobody may keep. " * 20 + b"</p></body></html>"
    listed = b"<html><body><p>" + b"Other words that nobody may keep. " * 20 + b"</p></body></html>"
    (tmp_path / "pages.warc").write_bytes(record(http(page)) + record(http(listed), url="http://listed.example/"))
    steps = "[{use: opt_out}, {use: url, opt_out_files: [out.txt]}, {use: extract}, {use: exact_dedup}]"
    (tmp_path / "out.txt").write_text("listed.example\n")
    (tmp_path / "recipe.yaml").write_text(f"stages:\n  - web: {{source: pages.warc, measure: all, dropped_text: full, steps: {steps}}}\n")
    artifact = Artifact(artifact_path(curate(tmp_path, "run", "recipe.yaml"), tmp_path))
    assert artifact.receipt.counts.dropped == {"opt_out.noai": 1, "url.opt_out": 1}
    left = b"".join(path.read_bytes() for path in artifact.path.rglob("*") if path.is_file())
    assert pl.read_parquet(artifact.path / "dropped" / "00000.parquet").is_empty() and b"nobody may keep" not in left
