"""`curate view`: rows kept and dropped in a local page, searched, filtered, each with its story; for nobody else."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from browsing import browser, context_of, get, look, serving
from refining import Here
from refining import artifact as made_artifact
from refining import document, pair, refine

from curate.artifact import Artifact, ParentAccount, Receipt, file_accounts, read_receipt, write_json, write_receipt
from curate.config import UsageError
from curate.view.rows import Asked, Rows, opened

__all__ = ["Here", "browser"]
EVIL = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\"> Ação & 'quotes' "


def texts() -> list[dict]:
    long = " ".join(f"palavra{n}" for n in range(400))
    said = [EVIL + long, "curto", *(f"documento número {n} sobre a água do rio " * 6 for n in range(40))]
    return [document(n, text, url=f"https://example.org/{n}?a=<b>", language="pt" if n % 2 else "en") for n, text in enumerate(said)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe's latest run: documents, and what a refine stage left of them."""
    folder = tmp_path_factory.mktemp("runs") / "wet"
    given = made_artifact(folder / "00-ingest-00000000", "document", texts())
    steps = [{"use": "gopher_quality", "on": "row", "min_words": 20, "min_stop_words": 0, "max_mean_word_length": 12, "min_alphabetic_words": 0}]
    made = refine(folder, given, steps, "01-refine-11111111", dropped_text="full")
    parent = ParentAccount(name="rows", path="../00-ingest-00000000", recipe="r", stage="ingest", fingerprint="0" * 64)
    about = {"recipe": "wet", "stage": "refine", "fingerprint": "1" * 64, "config": {}, "parents": [parent]}
    files = list(file_accounts(made.path, ("data", "ledger", "dropped")))
    write_receipt(made.path, Receipt(**about, **{**made.made._asdict(), "files": files}))
    write_json(folder / "latest.json", ["00-ingest-00000000", "01-refine-11111111"])
    return folder


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with serving(f"view(Path({str(home)!r}))") as at:
        yield at


def test_kept_and_dropped_rows_are_found_by_text_url_id_and_filters(home: Path) -> None:
    rows = opened(home)[-1]
    receipt = read_receipt(rows.artifact.path)
    assert rows.page(Asked()).total == receipt.counts.read == 42
    dropped = rows.page(Asked(outcome="dropped"))
    assert dropped.total == sum(receipt.counts.dropped.values()) > 0 and "curto" in {row.excerpt for row in dropped.rows}
    reason, count = next(iter(rows.reasons.items()))
    assert rows.page(Asked(reason=reason)).total == count
    assert rows.page(Asked(q="PALAVRA399")).total == 1 and "palavra399" in rows.page(Asked(q="palavra399")).rows[0].excerpt
    assert rows.page(Asked(q="example.org/7?")).rows[0].id == f"{7:032x}"
    assert rows.page(Asked(q=f"{9:032x}")).total == 1
    assert rows.page(Asked(q="100%_'; DROP TABLE x --")).total == 0


def test_pages_follow_each_other_without_gap_or_repeat(home: Path) -> None:
    rows = opened(home)[0]
    found = [row.id for page in (1, 2, 3) for row in rows.page(Asked(page=page)).rows]
    assert found == [f"{n:032x}" for n in range(42)]


def test_rows_of_pairs_are_shown_too(tmp_path: Path) -> None:
    given = made_artifact(tmp_path / "a", "preference", [pair(1, "Onde fica?", "Aqui.", "Ali.")])
    rows = Rows(given.artifact)
    assert rows.page(Asked(q="onde fica")).total == 1 and rows.page(Asked(outcome="dropped")).total == 0
    assert "Aqui." in str(rows.row(f"{1:032x}"))


def test_splits_of_different_columns_are_listed_as_people_say_them(tmp_path: Path) -> None:
    given = made_artifact(tmp_path / "a", "preference", [pair(1, "Onde fica?", "Aqui.", "Ali.")])
    talk = [{"id": "b" * 32, "origins": ["c" * 32], "messages": [{"role": "user", "content": "It's late?"}, {"role": "assistant", "content": "Yes."}]}]
    pl.DataFrame(talk).write_parquet(given.artifact.path / "data" / "talk-00000.parquet")
    pl.DataFrame({"tokens": [1]}).write_parquet(given.artifact.path / "data" / "nameless-00000.parquet")
    rows = Rows(given.artifact)
    told = {row.place: row.excerpt for row in rows.page(Asked()).rows}
    assert told == {"talk": "user: It's late?\nassistant: Yes.", "train": "user: Onde fica?\nassistant: Aqui.\nassistant: Ali."}
    assert rows.page(Asked(split="talk")).total == 1 and rows.row("c" * 32)["id"] == "b" * 32


def test_what_is_no_artifact_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no artifact"):
        opened(tmp_path)


def test_without_its_packages_the_command_names_the_extra(tmp_path: Path) -> None:
    code = "import sys; sys.modules['starlette'] = None; from curate.cli import main; sys.argv = ['curate', 'view', sys.argv[1]]; main()"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "pip install 'curate[view]'" in done.stderr and "Traceback" not in done.stderr


def test_reports_and_removals_need_nothing_of_what_serves_the_pages() -> None:
    code = "import sys; sys.modules |= dict.fromkeys(('starlette', 'uvicorn', 'duckdb')); import curate.report, curate.remove"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_nobody_without_the_token_or_by_another_name_gets_an_answer(url: str) -> None:
    base, token = url.rstrip("/").rsplit("/", 1)
    assert len(token) >= 32 and base.startswith("http://127.0.0.1:")
    assert get(base + "/").status_code == get(f"{base}/{token[::-1]}/rows/0").status_code == 404
    assert get(f"{base}/{token}/rows/0", headers={"Host": "evil.example"}).status_code == 400
    good = get(f"{base}/{token}/rows/0")
    assert good.status_code == 200 and "default-src 'none'" in good.headers["content-security-policy"] and "no-referrer" in good.headers["referrer-policy"]
    assert get(f"{base}/{token}/static/../server.py").status_code == 404


@pytest.mark.parametrize("path", ["rows/0?page=x", "rows/0?page=0", "rows/0?outcome=y", "rows/0?what=1"])
def test_a_broken_question_is_answered_as_one(url: str, path: str) -> None:
    assert get(url + path).status_code == 400
    assert get(url + "rows/0/nobody").status_code == 404 and get(url + "rows/99").status_code == 200


def test_a_search_in_a_browser_leads_to_a_story_and_text_stays_text(browser, url: str) -> None:
    page = context_of(browser).new_page()
    page.goto(url)
    page.get_by_label("Search").fill("onerror")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("1 row", exact=True).wait_for()
    assert page.locator(".rows > li").count() == 1 and "<script>" in page.locator(".rows .text").inner_text()
    page.locator(".rows a.head").click()
    page.locator(".story").wait_for()
    assert page.title() == f"{0:032x}"[:12] and "palavra399" in page.locator("pre.text").inner_text()
    assert "wet/01-refine-11111111" in page.locator(".story").inner_text()
    page.goto(url + "rows/1?outcome=dropped")
    page.locator(".rows a.head").first.click()
    page.locator(".story").wait_for()
    assert "gopher_quality.too_few_words" in page.locator(".story li.dropped").inner_text() and "measured" in page.locator(".story").inner_text()
    page.close()


def test_it_fits_wide_and_narrow_windows_light_and_dark(browser, url: str) -> None:
    look(browser, url + "rows/1", "view-rows", ".rows > li")
    look(browser, url + f"rows/1/{0:032x}", "view-story", ".story > li")


def test_two_hundred_thousand_rows_are_searched_in_seconds(tmp_path: Path) -> None:
    given = made_artifact(tmp_path / "big", "document", texts())
    file = next((tmp_path / "big" / "data").glob("*.parquet"))
    many = pl.concat([pl.read_parquet(file)] * 5_000)
    many.write_parquet(file)
    started = time.process_time()
    assert Rows(Artifact(given.artifact.path)).page(Asked(q="número 7 sobre")).total == 5_000
    assert time.process_time() - started < 20
