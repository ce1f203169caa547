"""The report: what a page says and does not say, and what a real browser makes of it."""

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import orjson
import polars as pl
import pytest
from browsing import browser, context_of

from curate.artifact import Artifact, Counts, Receipt, read_receipt, write_receipt
from curate.report import render, report
from curate.report.charts import histogram
from curate.report.examples import compared, copies, dropped
from curate.report.moves import moves
from curate.report.texts import hidden, scrubbed
from curate.report.values import Histogram, as_text, bin_edges, histograms

EVIL = "</script><script>window.broken = 1</script><img src=https://evil.example/x.png onerror='window.broken = 1'>&amp;"
LONG = "Um parágrafo sobre o tempo em Lisboa, sem nada de especial. " * 30
__all__ = ["browser"]

STEPS = [
    {"use": "url", "opt_out": ["gone.example"]},
    {"use": "language", "languages": {"en": 0.65, "pt": 0.6}},
    {"use": "licence", "allow": ["public_domain"]},
    {"use": "gopher_quality", "min_words": 50},
    {"use": "minhash_dedup"},
]
FATES = [
    (None, None),
    ("gopher_quality", "too_few_words"),
    ("url", "opt_out"),
    ("licence", "licence_not_allowed"),
    ("minhash_dedup", "near_duplicate"),
    (None, None),
]
TEXTS = [f"Start. {LONG} Fim.", f"{EVIL} Write to ana@site.example. {LONG}", "secret of the opted out", "secret of the licensed", f"Start! {LONG} Fim.", LONG]


def receipt(**changes: object) -> Receipt:
    count = {"url.opt_out": 1, "licence.licence_not_allowed": 1, "gopher_quality.too_few_words": 1, "minhash_dedup.near_duplicate": 1}
    flow = [("read", 6, 6), ("url", 6, 5), ("language", 5, 5), ("licence", 5, 4), ("gopher_quality", 4, 3), ("minhash_dedup", 3, 2)]
    told = {
        "minhash_dedup": {"documents": 3, "dropped": 1, "cluster_sizes": {"1": 1, "2": 1}, "estimate": {"precision": {"share": 1.0, "interval": [0.25, 1.0]}}},
        "sources": {EVIL: {"asked": {"share": 0.5}, "achieved": {"train": {"rows": 2, "share": 0.4, "epochs": 1.0}}}},
        "judges": {EVIL: {"verdicts": 9, "unreadable_share": 0.1, "cost": 0.5, "checks": [{"holds": False, "sentence": EVIL}]}},
        "alarms": [{"step": "url", "by": "domain", "group": EVIL, "in": 60, "dropped": 59, "share": 0.98}],
    }
    fields = {
        "recipe": EVIL,
        "stage": "web",
        "fingerprint": "f" * 64,
        "config": {"steps": STEPS, "measure": "first"},
        "inputs": [{"id": EVIL, "fingerprint": "a", "rows": 6, "bytes": 9}],
        "counts": Counts(read=6, kept=2, dropped=count, ignored={}, written=2),
        "steps": [{"name": name, "in": into, "out": out, "cpu_s": 0.1} for name, into, out in flow],
        "files": [],
        "damage": [{"file": EVIL, "offset": 3, "what": EVIL}],
        "report": told,
    }
    return Receipt(**{**fields, **changes})


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """Six documents, of which one is hostile and two may not be shown."""
    home = tmp_path / "artifact"
    for name in ("data", "ledger", "dropped", "pairs"):
        (home / name).mkdir(parents=True)
    steps, reasons = zip(*FATES, strict=True)
    rows = {
        "id": [f"id{n}" for n in range(6)],
        "url": [f"https://site{n}.example/{EVIL if n == 1 else 'maria@home.example'}" for n in range(6)],
        "outcome": ["dropped" if step else "kept" for step in steps],
        "step": steps,
        "reason": reasons,
        "value": [None, 12.0, None, None, 0.9, None],
        "threshold": [None, 50.0, None, None, 0.75, None],
        "cluster_size": [2, 1, 1, 1, 2, 1],
        "language": ["pt"] * 6,
        "language.score": [0.9, 0.8, None, 0.7, 0.95, 0.7],
        "language.kept": [2.0, 2.0, None, 2.0, 2.0, 2.0],
        "gopher_quality.words": [400.0, 12.0, None, None, 401.0, 300.0],
    }
    table = pl.DataFrame(rows).with_columns(pl.col("^.*\\..*$").cast(pl.Float32))
    table.write_parquet(home / "ledger" / "00000.parquet")
    texts = pl.DataFrame({"id": rows["id"], "text": TEXTS})
    kept = pl.Series(step is None for step in steps)
    texts.filter(kept).write_parquet(home / "data" / "train-00000.parquet")
    texts.filter(~kept).write_parquet(home / "dropped" / "00000.parquet")
    pairs = {"step": ["minhash_dedup"] * 3, "kept": ["id0", "id4", "id4"], "dropped": ["id4", "id4", "id5"], "jaccard": [0.9, math.nan, 0.8]}
    pl.DataFrame(pairs).write_parquet(home / "pairs" / "00000.parquet")
    write_receipt(home, receipt())
    return Artifact(home)


def test_a_report_is_one_small_file_beside_the_receipt_and_the_same_twice(artifact: Artifact) -> None:
    path = report(artifact)
    first = path.read_bytes()
    assert path == artifact.path / "report.html"
    assert len(first) < 5_000_000
    assert report(artifact).read_bytes() == first


def test_nothing_hostile_stands_in_the_page_as_markup(artifact: Artifact) -> None:
    content = render(artifact).partition("</main>")[0]  # the library follows
    assert "<img" not in content
    assert content.count("<script") == content.count("</script") == content.count('<script type="application/json">')


def test_examples_are_scrubbed_and_short(artifact: Artifact) -> None:
    example = next(rule for rule in dropped(artifact) if rule.reason == "too_few_words").examples[0]
    assert "<EMAIL>" in example.text
    assert "ana@site.example" not in example.text
    assert len(example.text) == 300


def test_addresses_are_scrubbed_too(artifact: Artifact) -> None:
    assert "maria@home.example" not in render(artifact)


def test_documents_that_opted_out_or_lack_a_licence_are_counted_and_not_shown(artifact: Artifact) -> None:
    page = render(artifact)
    quiet = [rule for rule in dropped(artifact) if rule.hidden]
    assert [(rule.reason, rule.count, rule.examples) for rule in quiet] == [("opt_out", 1, []), ("licence_not_allowed", 1, [])]
    assert "secret" not in page
    assert "site2.example" not in page
    assert "site3.example" not in page


@pytest.mark.parametrize(("step", "reason"), [("read", "opted_out"), ("remove", "shared_row"), ("opt_out", "noai"), ("licence", "share_alike")])
def test_whoever_asked_to_be_left_out_is_not_shown(step: str, reason: str) -> None:
    assert hidden(step, reason) and not hidden("language", "language_score")


def test_languages_and_domains_of_what_is_kept_are_tables(artifact: Artifact) -> None:
    page = render(artifact).partition('id="origin"')[2].partition("</section>")[0]
    assert '<td>pt</td><td class="n">6</td><td class="n">2</td><td class="n">33.3%</td>' in page
    assert page.count("<td>site") == 2
    assert "site1.example" not in page


def test_a_page_of_very_many_alarms_domains_and_inputs_stays_small(artifact: Artifact) -> None:
    alarm = {"step": "url", "by": "domain", "in": 60, "dropped": 59, "share": 0.98}
    many = {"alarms": [{**alarm, "group": f"host{n}.example"} for n in range(20_000)], "sources": {}, "judges": {}}
    inputs = [{"id": f"part-{n:05d}.warc.gz", "fingerprint": "a" * 64, "rows": 6, "bytes": 9} for n in range(20_000)]
    write_receipt(artifact.path, receipt(report=many, inputs=inputs))
    ledger = artifact.path / "ledger" / "00000.parquet"
    rows = pl.read_parquet(ledger)
    hosts = rows.head(1).select(pl.all().repeat_by(20_000).explode()).with_row_index("n")
    fresh = hosts.with_columns(id=pl.format("new{}", "n"), url=pl.format("https://host{}.example/", "n")).drop("n")
    pl.concat([rows, fresh]).write_parquet(ledger)
    page = render(Artifact(artifact.path))
    assert len(page) < 1_500_000
    assert page.count("19,950 more") == 2 and "19,952 more" in page


def test_what_a_stage_kept_no_text_of_is_shown_as_it_was_given(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "parent" / "data").mkdir(parents=True)
    turns = [[{"role": "user", "content": f"Write {n} to ana@site.example"}] for n in range(6)]
    pl.DataFrame({"id": [f"id{n}" for n in range(6)], "messages": turns}).write_parquet(tmp_path / "parent" / "data" / "train-00000.parquet")
    write_receipt(tmp_path / "parent", receipt(stage="ingest", fingerprint="e" * 64))
    (artifact.path / "dropped" / "00000.parquet").unlink()
    write_receipt(artifact.path, receipt(parents=[{"name": "rows", "path": "../parent", "recipe": "r", "stage": "ingest", "fingerprint": "e" * 64}]))
    texts = {rule.reason: [one.text for one in rule.examples] for rule in dropped(Artifact(artifact.path))}
    assert texts["too_few_words"] == ["messages: user: Write 1 to <EMAIL>"]
    assert texts["opt_out"] == texts["licence_not_allowed"] == []
    told = read_receipt(artifact.path)
    write_receipt(artifact.path, told.model_copy(update={"config": {**told.config, "dropped_text": "none"}}))
    assert not any(one.text for rule in dropped(Artifact(artifact.path)) for one in rule.examples), "nor where a recipe keeps none"


def test_numbers_and_intervals_are_written_as_people_read_them(artifact: Artifact) -> None:
    assert [as_text(value) for value in (100_000, 12_345.6, 0.0991, 50.0)] == ["100,000", "12,346", "0.0991", "50"]
    assert "Estimated precision 100.0% [25.0%, 100.0%]" in " ".join(render(artifact).split())


@pytest.mark.parametrize("edges", [[0.0, 1.0], [0.0, 1.0, 2.0], [-3.0, 4.0], [10.0, 4_000.0]])
def test_whole_numbers_are_named_once_on_an_axis(edges: list[float]) -> None:
    spec = histogram(Histogram("a.b", 1, edges, [1] * (len(edges) - 1), [0] * (len(edges) - 1), []))
    ticks = spec["layer"][0]["encoding"]["x"]["axis"]["values"]
    assert 2 <= len(ticks) == len(set(ticks)) <= 6 and edges[0] <= ticks[0] < ticks[-1] <= edges[-1]


def test_an_item_is_never_cut_in_two_before_it_is_found() -> None:
    assert "@" not in scrubbed("x" * 290 + " joana.silva@exemplo.example " + LONG)[:300]


def test_duplicates_stand_side_by_side_with_the_difference_marked(artifact: Artifact) -> None:
    (copy,) = copies(artifact)
    assert [piece.text for piece in copy.left if piece.marked] == ["."]
    assert [piece.text for piece in copy.right if piece.marked] == ["!"]


def test_equal_texts_have_nothing_marked_though_both_were_cut() -> None:
    left, right = compared(LONG + "one more", LONG + "and so on")
    assert not [piece for piece in (*left, *right) if piece.marked]


def test_every_measured_document_is_in_a_bar_and_the_limit_inside(artifact: Artifact) -> None:
    found = {histogram.name: histogram for histogram in histograms(artifact)}
    words = found["gopher_quality.words"]
    assert (sum(words.kept), sum(words.dropped)) == (2, 2)
    assert "gopher_quality.min_words = 50" in map(str, words.marks)
    assert {mark.at for mark in found["language.score"].marks} == {0.65, 0.6}


def test_whole_numbers_have_bars_of_whole_width() -> None:
    edges = bin_edges(pl.Series(range(100)).to_numpy(), [50]).tolist()
    assert all(edge.is_integer() for edge in edges)


def test_an_artifact_without_steps_pairs_or_rows_has_a_report(tmp_path: Path) -> None:
    home = tmp_path / "empty"
    (home / "ledger").mkdir(parents=True)
    columns = {"id": pl.String, "url": pl.String, "outcome": pl.String, "step": pl.String, "reason": pl.String, "language": pl.String}
    numbers = {"value": pl.Float64, "threshold": pl.Float64, "cluster_size": pl.Int64}
    pl.DataFrame(schema={**columns, **numbers}).write_parquet(home / "ledger" / "00000.parquet")
    counts = Counts(read=0, kept=0, dropped={}, ignored={}, written=0)
    write_receipt(home, receipt(stage="ingest", config={}, counts=counts, steps=[], report={}, inputs=[], damage=[]))
    assert "units read" in render(Artifact(home))


def estimate(value: float) -> dict:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 40}


def test_agreement_and_calibration_come_from_what_agree_wrote(artifact: Artifact) -> None:
    table = [{"low": 0.8, "high": 0.9, "n": 40, "said": 0.85, "seen": estimate(0.7)}]
    told = {"b": "people", "coefficients": {"cohen_kappa": estimate(0.61)}, "calibration": {"ece": estimate(0.15), "brier": estimate(0.2), "table": table}}
    other = {"b": EVIL, "coefficients": {"cohen_kappa": estimate(0.33)}, "calibration": None}
    (artifact.path / "agreement.json").write_bytes(orjson.dumps({"comparisons": [told, other]}))
    page = render(artifact)
    assert "0.61 [0.51, 0.71], n = 40" in page
    assert "0.33 [0.23, 0.43], n = 40" in page
    assert page.count("what was said against what was seen") == 1


@pytest.fixture
def visit(browser: object, artifact: Artifact) -> Iterator[object]:
    """Opens the report; what the page asked for or complained of is kept."""
    path = report(artifact)
    contexts = []

    def open_page(width: int = 1280, scheme: str = "light") -> SimpleNamespace:
        contexts.append(context_of(browser, viewport={"width": width, "height": 900}, color_scheme=scheme))
        page, seen = contexts[-1].new_page(), SimpleNamespace(requests=[], errors=[])
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("console", lambda message: seen.errors.append(message.text) if message.type in ("error", "warning") else None)
        page.goto(path.as_uri())
        return SimpleNamespace(page=page, seen=seen, charts=_drawn(page))

    yield open_page
    for context in contexts:
        context.close()


def _drawn(page: object) -> int:
    """Scroll every chart into view and wait until it is drawn; their number."""
    charts = page.locator(".chart")
    for number in range(charts.count()):
        charts.nth(number).scroll_into_view_if_needed()
        charts.nth(number).locator("svg").first.wait_for()
    return charts.count()


def test_a_page_that_holds_a_script_stays_text_in_a_browser(visit: object) -> None:
    opened = visit()
    opened.page.locator("summary", has_text="too few words").click()
    assert "<script>window.broken = 1</script>" in opened.page.locator("pre").first.inner_text()
    assert opened.page.evaluate("window.broken") is None
    assert [url for url in opened.seen.requests if not url.startswith("file:")] == []
    assert opened.seen.errors == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_fits_the_screen_with_every_chart_drawn(visit: object, width: int, scheme: str) -> None:
    opened = visit(width, scheme)
    assert opened.charts >= 5
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    ground = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(251, 250, 248)", "dark": "rgb(20, 23, 26)"}[scheme]


def test_where_a_language_has_a_limit_of_its_own_that_one_is_moved(artifact: Artifact) -> None:
    ledger = artifact.path / "ledger" / "00000.parquet"
    few = pl.when(pl.col("step") == "gopher_quality").then(pl.lit("too_few_alphabetic_words")).otherwise(pl.col("reason"))
    share = pl.Series("gopher_quality.alphabetic_words", [0.9, 0.7, None, None, 0.9, 0.85], pl.Float32)
    pl.read_parquet(ledger).with_columns(few.alias("reason"), share).write_parquet(ledger)
    counts = Counts(read=6, kept=2, dropped={"gopher_quality.too_few_alphabetic_words": 1}, ignored={}, written=2)
    write_receipt(artifact.path, receipt(counts=counts))
    (move,) = [move for move in moves(Artifact(artifact.path)) if move.setting.startswith("gopher_quality.")]
    assert move.setting == "gopher_quality.per_language.pt.min_alphabetic_words"
    assert move.places[move.now].value == 0.814
    assert {place.kept.most for place in move.places} > {2}


def test_a_moved_threshold_tells_what_would_remain(visit: object) -> None:
    move = visit().page.locator(".move", has_text="gopher_quality.min_words")
    assert "50: 2 of 6 remain, exactly (as it is)" in move.inner_text()
    move.locator("input").press("End")
    assert "401: 1 of 6 remain" in move.inner_text()
