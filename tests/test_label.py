"""`curate label`: blind choices between two answers, on disk before the browser hears so, and read by `curate agree`."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import browser, context_of, get, look, post, serving, started
from ports import free_ports
from refining import artifact as made_artifact
from refining import pair, row, said

from curate.agree import agree
from curate.artifact import Artifact
from curate.config import UsageError
from curate.formats.laws import broken_law
from curate.judges.labelled import labelled
from curate.rows import Preference
from curate.view.pairs import Pairs
from curate.view.session import export
from curate.view.store import LABELS, Store

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["browser"]


def preferences(folder: Path, count: int = 12) -> Path:
    rows = [pair(n, f"Pergunta {n}: <b>o que é melhor?</b>", f"boa resposta {n} " * 8, f"má resposta {n} " * 3) for n in range(count)]
    return made_artifact(folder / "pairs", "preference", rows).artifact.path


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return preferences(tmp_path)


def opened(artifact: Path, seed: int = 0) -> Pairs:
    return Pairs(Artifact(artifact), Store(artifact / LABELS), seed)


def choose_good(pairs: Pairs, annotator: str, count: int) -> None:
    """Label as one who always knows the good answer."""
    for _ in range(count):
        shown = pairs.next(annotator)
        assert pairs.give(annotator, shown.item, "first" if shown.answers[0].startswith("boa") else "second")


def test_the_sides_are_drawn_by_seed_for_each_annotator(tmp_path: Path) -> None:
    sides: dict[tuple[str, int], str] = {}
    for number, (annotator, seed) in enumerate((("ana", 0), ("ana", 0), ("rui", 0), ("ana", 1))):
        pairs = opened(preferences(tmp_path / str(number), 40), seed)
        shown = []
        for _ in range(40):
            one = pairs.next(annotator)
            shown.append(one.answers[0][0])
            pairs.give(annotator, one.item, "skip")
        assert 8 < shown.count("b") < 32
        assert sides.setdefault((annotator, seed), "".join(shown)) == "".join(shown)
    assert len(set(sides.values())) == 3


def test_what_the_browser_gets_tells_neither_answer(artifact: Path) -> None:
    told = json.dumps(opened(artifact).next("ana")._asdict())
    assert not any(word in told for word in ("chosen", "rejected", "swapped", "model"))
    assert set(json.loads(told)) == {"item", "prompt", "answers", "done", "total"}


def test_a_label_can_be_taken_back_and_sent_twice(artifact: Path) -> None:
    pairs = opened(artifact)
    first = pairs.next("ana")
    assert pairs.give("ana", first.item, "tie") and pairs.give("ana", first.item, "tie")
    second = pairs.next("ana")
    assert second.item != first.item and second.done == 1 and pairs.next("rui").done == 0
    assert pairs.store.undo("rui") is None and pairs.store.undo("ana") is not None
    assert pairs.next("ana").item == first.item
    assert not pairs.give("ana", "nothing", "tie") and not pairs.give("ana", first.item, "best")


def test_the_export_is_preference_rows_that_agree_reads_with_each_annotator_as_a_judge(artifact: Path, tmp_path: Path) -> None:
    pairs = opened(artifact)
    choose_good(pairs, "ana", 12)
    choose_good(pairs, "rui", 9)
    pairs.give("rui", pairs.next("rui").item, "tie")
    pairs.give("rui", pairs.next("rui").item, "skip")
    assert export(artifact, tmp_path / "labels.jsonl") == 22
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    for one in rows:
        fields = Preference.model_validate({name: one[name] for name in Preference.model_fields}).model_dump()
        assert broken_law("preference", fields) is None
        assert one["label"] == "tie" or one["chosen"][0]["content"].startswith("boa")
    found = labelled(tmp_path / "labels.jsonl")
    assert {name: len(labels) for name, labels in found.by_judge.items()} == {"ana": 12, "rui": 10}
    same = agree(tmp_path / "labels.jsonl", tmp_path / "labels.jsonl")
    assert same.pairs["both"] == 12 and same.coefficients["percent"].value == 1
    assert export(artifact, tmp_path / "again.jsonl") == 22 and (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "labels.jsonl").read_bytes()


def test_annotators_are_compared_with_the_artifact_they_labelled(artifact: Path, tmp_path: Path) -> None:
    choose_good(opened(artifact), "ana", 12)
    export(artifact, tmp_path / "labels.jsonl")
    found = agree(tmp_path / "labels.jsonl", artifact)
    assert found.pairs["both"] == 12 and found.table[0][0] + found.table[2][2] == 12


def test_every_pair_of_different_candidates_is_asked(tmp_path: Path) -> None:
    answers = [{"id": f"x-{n}", "text": text, "model": "secret-model", "parent": None, "kind": kind, "ratings": [], "rank": None} for n, (text, kind) in enumerate([("a", "answer"), ("b", "answer"), ("c", "answer"), ("a", "answer"), ("d", "critique")])]
    path = made_artifact(tmp_path / "c", "candidates", [row(1, prompt=[said("user", "p")], candidates=answers)]).artifact.path
    pairs = opened(path)
    assert pairs.next("ana").total == 3 and "secret" not in str(pairs.next("ana"))


def test_what_holds_no_pairs_is_the_users_mistake(tmp_path: Path) -> None:
    from refining import document

    path = made_artifact(tmp_path / "d", "document", [document(1, "text")]).artifact.path
    with pytest.raises(UsageError, match="document rows"):
        opened(path)


def at_own_port(artifact: Path) -> tuple[subprocess.Popen[str], str]:
    """The first sitting, at a port that nobody else is lent while no server is there."""
    return started(f"label(Path({str(artifact)!r}), port={free_ports(1)[0]})")


def test_a_killed_server_has_lost_nothing_and_comes_back_at_the_same_url(artifact: Path) -> None:
    call = f"label(Path({str(artifact)!r}))"
    running, url = at_own_port(artifact)
    for done in range(5):
        item = get(url + "pairs/ana").json()["item"]
        assert post(url + "pairs/ana/give", json={"item": item, "label": "first"}).json()["done"] == done + 1
    running.send_signal(signal.SIGKILL)
    running.wait()
    with serving(call) as again:
        assert again == url and get(url + "pairs/ana").json()["done"] == 5


def counted(page: "Page", done: int) -> None:
    """Wait until so many pairs are done."""
    page.locator("#count").filter(has_text=re.compile(f"^{done} of 12$")).wait_for()


@pytest.fixture
def url(artifact: Path) -> Iterator[str]:
    with serving(f"label(Path({str(artifact)!r}))") as at:
        yield at


def test_rows_cannot_be_looked_up_while_labelling_and_nonsense_is_refused(url: str) -> None:
    assert get(url + "rows/0").status_code == 404
    for body in (b"", b"[]", b'{"item": "x", "label": "first"}', b'{"item": 1}'):
        assert post(url + "pairs/ana/give", content=body).status_code == 400


def test_a_person_labels_by_keys_and_buttons_and_goes_on_after_closing_the_browser(browser, url: str, artifact: Path) -> None:
    page = context_of(browser).new_page()
    page.goto(url)
    page.get_by_label("Your name").fill("Ana Luísa")
    page.get_by_role("button", name="Begin").click()
    counted(page, 0)
    assert "<b>" in page.locator("#prompt").inner_text()
    for done, key in enumerate(("1", "ArrowRight", "t", "s"), 1):
        page.keyboard.press(key)
        counted(page, done)
    page.get_by_role("button", name="B is better").click()
    counted(page, 5)
    page.keyboard.press("u")
    counted(page, 4)
    at = page.url
    page.close()
    assert [given.label for given in Store(artifact / LABELS).labels("Ana Luísa")] == ["first", "second", "tie", "skip"]
    page = context_of(browser).new_page()
    page.goto(at)
    for done in range(5, 13):
        counted(page, done - 1)
        page.keyboard.press("2")
    page.wait_for_selector("#over:visible")
    page.close()


def test_a_choice_made_while_the_server_is_dead_is_sent_when_it_is_back(browser, artifact: Path) -> None:
    call = f"label(Path({str(artifact)!r}))"
    running, url = at_own_port(artifact)
    context = context_of(browser)
    page = context.new_page()
    page.goto(url + "label?annotator=ana")
    counted(page, 0)
    running.kill()
    running.wait()
    page.keyboard.press("1")
    page.wait_for_selector("#trouble:visible")
    with serving(call):
        counted(page, 1)
        assert page.locator("#trouble").is_hidden()
    page.keyboard.press("2")
    page.wait_for_selector("#trouble:visible")
    page.close()
    with serving(call):
        page = context.new_page()
        page.goto(url + "label?annotator=ana")
        counted(page, 2)
    context.close()
    assert [given.label for given in Store(artifact / LABELS).labels()] == ["first", "second"]


def test_it_fits_wide_and_narrow_windows_light_and_dark(browser, url: str) -> None:
    look(browser, url + "label?annotator=ana", "label", "#a:not(:empty)")
    look(browser, url + "label", "label-who", "input")
