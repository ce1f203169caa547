"""What bad pages cost: slow, deep and huge ones are one counted drop each."""

import os
import subprocess
import sys
import time

import pytest
from extraction_pages import PAGE, SENTENCES, unit

from curate.steps.clock import CpuTimeout, cpu_limit
from curate.steps.extract import Extract
from curate.steps.extraction.guard import oversize
from curate.steps.step import Drop

ENGINES = ("blocks", "trafilatura", "resiliparse", "agree")


def test_the_clock_stops_what_swallows_exceptions() -> None:
    before = time.process_time()
    with pytest.raises(CpuTimeout), cpu_limit(0.1):
        while True:
            try:
                sum(range(1000))
            except Exception:
                pass
    assert time.process_time() - before < 10


def test_the_clock_counts_no_waiting() -> None:
    with cpu_limit(0.5):
        time.sleep(0.6)


def test_a_slow_page_is_dropped_as_extractor_timeout_and_the_next_is_kept() -> None:
    step = Extract(use="extract", engine="trafilatura", max_cpu_s=0.5)
    rows = "".join(f"<div><p>{SENTENCES[index % 4]} {index}</p></div>" for index in range(40_000))
    assert step.apply(unit(f"<html><body>{rows}</body></html>")) == Drop("extractor_timeout", 0.5, 0.5)
    assert step.apply(unit(PAGE)) is None


@pytest.mark.parametrize(
    ("html", "settings", "reason"),
    [
        ("<div>" * 100_000, {}, "too_deep"),
        ("<div>" * 100_000 + "</div>" * 100_000, {}, "too_deep"),
        ("<p><b>" * 2_000, {}, "too_deep"),
        ("<i></x>" * 2_000, {}, "too_deep"),
        ("<noscript>" + "<div>" * 100_000, {}, "too_deep"),
        ("<DIV>" * 60, {"max_depth": 50}, "too_deep"),
        ("<a></a>" * 300_000, {}, "too_many_tags"),
        ("<div " + " ".join(f"a{i}=1" for i in range(20_000)) + ">", {}, "too_many_attributes"),
        ("".join(f"<html a{i}=1>" for i in range(20_000)), {}, "too_many_attributes"),
        ("x" * 1001, {"max_html_chars": 1000}, "too_large"),
    ],
)
def test_a_page_that_would_hang_the_parser_is_dropped_unparsed(html: str, settings: dict[str, int], reason: str) -> None:
    page = unit(html)
    drop = Extract(use="extract", **settings).apply(page)
    assert drop is not None and drop.reason == reason
    assert drop.value > drop.threshold


@pytest.mark.parametrize(
    "html",
    ["<p>one" * 5_000, "<ul>" + "<li>one" * 5_000, "<br>" * 5_000, "<div><i>x</i></div>" * 5_000, "a < b " * 5_000],
)
def test_a_long_page_that_is_not_deep_passes_the_guard(html: str) -> None:
    assert oversize(html.encode(), 100, 500_000) is None


BOMB = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1500 * 2**20, 1500 * 2**20))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from curate.steps.extract import Extract
from curate.steps.step import Unit
opening, times, engine = sys.argv[1], int(sys.argv[2]), sys.argv[3]
drop = Extract(use="extract", engine=engine, max_cpu_s=3).apply(Unit(text="", id="one", html="<body>" + opening * times))
print(drop.reason if drop else "kept")
"""


@pytest.mark.parametrize("engine", ["blocks", "agree"])
@pytest.mark.parametrize("opening", ["<div>", "<table><tr><td>", "<font color=1><p>"])
def test_a_nested_bomb_costs_one_drop_in_bounded_memory(engine: str, opening: str) -> None:
    command = [sys.executable, "-c", BOMB, opening, "1000000", engine]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # each would take its share of the address space
    child = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr[-300:]
    assert child.stdout.strip() in ("too_many_tags", "too_deep")


def test_a_thousand_levels_are_survived_by_every_engine() -> None:
    for engine in ENGINES:
        html = "<body>" + "<div>" * 990 + f"<p>{SENTENCES[0]}</p>" * 3
        drop = Extract(use="extract", engine=engine).apply(unit(html))
        assert drop is None or drop.reason in ("empty_text", "extractor_failed")
