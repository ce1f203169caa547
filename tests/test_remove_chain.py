"""An opt-out reaches what models made of a document: answers, verdicts, pairs, conversations, new texts and packed tokens."""

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from judge_server import Running, running
from scanned import everything
from test_pack import trained
from tokenizers import Tokenizer

from curate import run
from curate.artifact import Artifact
from curate.card.render import card
from curate.remove import Removal, as_text, remove

ASKED = """\
params: {temperature: 1.0}
endpoints: {judge: {}}
stages:
  - name: pages
    web:
      source: pages.jsonl
      dropped_text: full
      steps: [{use: exact_dedup}]
  - generate:
      use: answers
      answers: 3
      principles: null
      models: [{endpoint: judge, model: writer-a, max_tokens: 400, temperature: "${temperature}"}]
  - judge:
      use: pairwise
      judges: [{endpoint: judge, model: judge-a, logprobs: 10, max_tokens: 100}]
  - mix:
      sources: {judged: {stage: judge}}
      pairs: {use: best_worst, by: worth}
      splits:
        pairs: 50% as chosen_rejected
        talk: {as: {use: messages, chosen: true}}
"""
MADE = """\
endpoints: {judge: {}}
stages:
  - generate:
      use: write
      source: {recipe: asked.yaml, stage: pages}
      models: [{endpoint: judge, model: writer-a, max_tokens: 400}]
  - mix:
      sources: {pages: {recipe: asked.yaml, stage: pages}, written: {stage: generate}}
      splits:
        train: {as: {use: packed, tokenizer: tokenizer.json, eos: "</s>", shard_tokens: 60}}
        validation: 20% as text
"""
TWINS = """\
stages:
  - ingest: {source: twins.jsonl, format: document}
  - mix:
      sources: {ingest: {epochs: 2}}
      splits:
        train: {as: {use: packed, tokenizer: tokenizer.json, eos: "</s>"}}
"""
LETTERS = "abcdefghijkl"
RECIPES = ("asked", "made")


def text(number: int) -> str:
    """Words of letters alone, which the simulated writer quotes, and which no other text holds."""
    return " ".join(f"zorg{LETTERS[number]}{letter}wimp" for letter in LETTERS)


def word(number: int) -> str:
    return f"zorg{LETTERS[number]}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, server: Running) -> Path:
    """Two recipes over twelve pages of four sites, one page a copy of another, run to their ends."""
    tmp_path = tmp_path_factory.mktemp("finished")
    pages = [{"text": text(n), "url": f"https://site{n % 4}.example/{n}"} for n in range(12)]
    pages.append({"text": text(2), "url": "https://site3.example/copy"})
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))
    known = Tokenizer.from_file(str(trained(tmp_path / "tokenizer.json")))
    known.add_tokens([token for page in pages for token in page["text"].split()])
    known.save(str(tmp_path / "tokenizer.json"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATE_ENDPOINT_JUDGE_URL", server.url)
        for name, recipe in (("asked", ASKED), ("made", MADE)):
            (tmp_path / f"{name}.yaml").write_text(recipe)
            run(tmp_path / f"{name}.yaml", root=tmp_path / "runs", workers=1)
    return tmp_path


@pytest.fixture
def home(finished: Path, server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them."""
    monkeypatch.setenv("CURATE_ENDPOINT_JUDGE_URL", server.url)
    shutil.copytree(finished, tmp_path / "home")
    return tmp_path / "home"


def removed(folder: Path, domain: str) -> Removal:
    (folder / "list.txt").write_text(domain)
    return remove(folder / "list.txt", "domains", folder / "runs")


def last(folder: Path, recipe: str) -> Artifact:
    names = json.loads((folder / "runs" / recipe / "latest.json").read_text())
    return Artifact(folder / "runs" / recipe / names[-1])


def packed(artifact: Artifact, tokenizer: Path) -> list[str]:
    """The documents of all `.ds` files."""
    known, found = Tokenizer.from_file(str(tokenizer)), []
    for file in sorted(artifact.path.glob("data/*.ds")):
        tokens, ends = np.fromfile(file, "<u2"), np.fromfile(f"{file}.index", "<u8").astype(int)
        assert len(tokens) == (ends[-1] if len(ends) else 0) == int(Path(f"{file}.metadata").read_text().split("\n")[1])
        found += [known.decode(tokens[start:end].tolist()) for start, end in zip([0, *ends[:-1]], ends, strict=False)]
    return found


def test_nothing_that_models_made_of_a_document_is_left_and_recipes_run_again_without_it(home: Path) -> None:
    gone, stay = (1, 5, 9), tuple(number for number in range(12) if number % 4 != 1)
    before, tokens = everything(home / "runs"), packed(last(home, "made"), home / "tokenizer.json")
    assert all(before.count(word(number)) > 30 for number in gone)
    done = removed(home, "site1.example")
    assert done.documents == 6, "three pages, and the texts that were written from them"
    assert len(done.successors) == 6 and not done.taken and done.replies >= 12

    def clean() -> None:
        said_now = everything(home / "runs")
        assert not [number for number in gone if word(number) in said_now]
        assert all(word(number) in said_now for number in stay)

    clean()
    assert packed(last(home, "made"), home / "tokenizer.json") == [one for one in tokens if not any(word(number) in one for number in gone)]
    assert last(home, "made").receipt.report["splits"]["train"]["rows"] == len(packed(last(home, "made"), home / "tokenizer.json"))
    assert "taken out at their owners' request" in card(last(home, "made")).readme
    for recipe in RECIPES:
        one = last(home, recipe)
        assert [one.path] == [run(home / f"{recipe}.yaml", root=home / "runs", workers=1).path], "what was made is not made again"
        assert one.receipt.counts.broken_law() is None
    run(home / "asked.yaml", root=home / "runs", workers=1, temperature=0.5)
    run(home / "made.yaml", root=home / "runs", workers=1)
    clean()


def calls(folder: Path) -> set[bytes]:
    """Keys of all calls that journals know."""
    known = set()
    for path in sorted((folder / "runs").rglob("calls.sqlite")):
        with closing(sqlite3.connect(path)) as journal:
            known |= {key for (key,) in journal.execute("SELECT key FROM attempts WHERE key != x''")}
    return known


def test_journals_know_the_calls_of_a_run_that_never_saw_the_documents_and_no_others(home: Path, finished: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    shutil.copytree(finished, fresh, ignore=shutil.ignore_patterns("runs"))
    (fresh / "runs").mkdir()
    (fresh / "runs" / "opt_out.txt").write_text("site1.example\n")
    for recipe in RECIPES:
        run(fresh / f"{recipe}.yaml", root=fresh / "runs", workers=1)
    done = removed(home, "site1.example")
    assert calls(home) == calls(fresh) and not done.unasked
    assert done.replies >= len(calls(finished) - calls(fresh)) > 20


def test_calls_that_nobody_can_tell_apart_any_more_are_named_and_replies_that_quote_go_all_the_same(home: Path) -> None:
    names = json.loads((home / "runs" / "asked" / "latest.json").read_text())
    receipt = home / "runs" / "asked" / names[1] / "receipt.json"
    told = json.loads(receipt.read_text())
    told["config"]["answers"] = 0  # as no stage may be any more
    receipt.write_text(json.dumps(told))
    done = removed(home, "site1.example")
    assert done.unasked == [f"asked/{names[1]}"] and f"calls of asked/{names[1]} cannot be told apart" in as_text(done)
    assert not [number for number in (1, 5, 9) if word(number) in everything(home / "runs")]


def test_of_packed_documents_that_say_the_same_only_the_one_that_is_meant_goes(tmp_path: Path) -> None:
    texts = ["one two three", "four five", "one two three", "six"]
    (tmp_path / "twins.jsonl").write_text("".join(json.dumps({"text": text, "url": f"https://site{n}.example/"}) + "\n" for n, text in enumerate(texts)))
    trained(tmp_path / "tokenizer.json")
    (tmp_path / "twins.yaml").write_text(TWINS)
    run(tmp_path / "twins.yaml", root=tmp_path / "runs", workers=1)
    before = packed(last(tmp_path, "twins"), tmp_path / "tokenizer.json")
    removed(tmp_path, "site2.example")
    left = packed(last(tmp_path, "twins"), tmp_path / "tokenizer.json")
    assert len(before) == 8 and sorted((Counter(before) - Counter(left)).values()) == [2]
    assert sorted(Counter(left).values()) == [2, 2, 2] and set(left) == set(before)


def test_packed_tokens_are_taken_away_where_their_tokenizer_is_gone(home: Path) -> None:
    old = last(home, "made").path
    (home / "runs" / ".hashes.json").write_text("{}")  # which knew where it lay
    done = removed(home, "site1.example")
    assert done.taken == [f"made/{old.name}"] and not old.exists()
