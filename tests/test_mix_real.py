"""Real preference and instruction data through ingest and mix, checked against what is on disk."""

import json
from collections import Counter
from pathlib import Path

import pytest
from conftest import SHARED
from mix_artifacts import Row, mixed, report, split

import curate as package
from curate.stages.given import Given
from curate.stages.mix_near import NearDuplicates
from curate.steps.dedup.shingles import shingles

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason=f"no {SHARED}: real data are not there")

FILES = {
    "hh": ("pref/hh_harmless_test_A.jsonl.gz", "hh_rlhf"),
    "llmbar": ("pref/llmbar_419.jsonl.gz", "two_outputs"),
    "vicuna": ("instruct/vicuna_identity_sharegpt.jsonl.gz", "sharegpt"),
    "wiki": ("text/wiki_demo.jsonl.gz", "document"),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Given]:
    folder = tmp_path_factory.mktemp("ingested")
    found = {}
    for name, (path, form) in FILES.items():
        recipe = folder / f"{name}.yaml"
        recipe.write_text(json.dumps({"stages": [{"ingest": {"source": str(SHARED / path), "format": form}}]}))
        found[name] = Given(name, package.run(recipe, root=folder / "runs", workers=1), "train")
    return found


def prompt(row: Row) -> str:
    turns = row.get("messages") or row["prompt"]
    return next(one["content"] for one in turns if one["role"] == "user").strip()


def test_the_trio_of_instructgpt_has_its_sizes_and_no_prompt_in_two_of_them(sources: dict[str, Given], tmp_path: Path) -> None:
    splits = {
        "sft": {"rows": 450, "as": {"use": "messages", "chosen": True}, "sources": ["hh", "vicuna"]},
        "reward": {"rows": 700, "as": "reward", "sources": ["hh", "llmbar"]},
        "rl": "400 as grpo",
    }
    made = mixed(tmp_path / "mix", {"splits": splits, "pairs": "best_worst"}, [sources[name] for name in ("hh", "llmbar", "vicuna")])
    rows = {name: split(made, name) for name in splits}
    assert {name: len(found) for name, found in rows.items()} == {"sft": 450, "reward": 700, "rl": 400}
    near = NearDuplicates()
    sets = {name: [set(shingles(text, near.ngram).tolist()) for text in {prompt(row) for row in found}] for name, found in rows.items()}
    for one, other in (("sft", "reward"), ("sft", "rl"), ("reward", "rl")):
        assert not _crossing(sets[one], sets[other], near.threshold)


def _crossing(left: list[set[int]], right: list[set[int]], threshold: float) -> list[float]:
    """Jaccard similarities, from the threshold on, of every prompt of one split with every one of another."""
    holders: dict[int, list[int]] = {}
    for number, one in enumerate(left):
        for shingle in one:
            holders.setdefault(shingle, []).append(number)
    found = []
    for other in right:
        shared = Counter(number for shingle in other for number in holders.get(shingle, ()))
        similar = (both / (len(left[number]) + len(other) - both) for number, both in shared.items())
        found += [one for one in similar if one >= threshold]
    return found


def test_every_row_of_every_source_is_in_the_account(sources: dict[str, Given], tmp_path: Path) -> None:
    splits = {"kto": {"rows": 600, "as": "kto", "sources": ["hh"]}, "dev": {"share": 0.05, "sources": ["vicuna"]}, "text": {"as": "text", "sources": ["wiki"]}}
    made = mixed(tmp_path / "mix", {"splits": splits, "as": "sharegpt"}, [sources[name] for name in ("hh", "vicuna", "wiki")])
    counts = report(made)["counts"]
    there = sum(sources[name].artifact.receipt.counts.written for name in ("hh", "vicuna", "wiki"))
    assert counts["read"] == there == counts["kept"] + sum(counts["dropped"].values())
    kto = split(made, "kto")
    assert len(kto) == 600 and all(len({row["label"] for row in kto[place : place + 8]}) == 2 for place in range(0, 600, 8))
    assert len(split(made, "dev")) == 25 and len(split(made, "text")) == 30


def test_documents_are_weighed_by_words(sources: dict[str, Given], tmp_path: Path) -> None:
    made = mixed(tmp_path / "mix", {"sources": {"wiki": {"amount": 20_000}}, "unit": "words", "as": "document"}, [sources["wiki"]])
    words = sum(row["words"] for row in split(made, "train"))
    assert 10_000 < words <= 20_000 and report(made)["sources"]["wiki"]["achieved"]["train"]["words"] == words
