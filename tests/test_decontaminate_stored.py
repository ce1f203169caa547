"""The index of benchmarks on disk: made once for a machine, mapped by every worker, and the same as one in memory."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from curate.errors import UsageError
from curate.steps.decontaminate import Decontaminate, stored
from curate.steps.decontaminate.load import load
from curate.steps.shared import Shared

WORDS = [f"{start}{end}" for start in ("ba", "ce", "di", "fo", "gu", "lha") for end in ("ro", "to", "ção", "mel", "nir", "sa", "zed")]
ITEMS = [" ".join(WORDS[(7 * row + step * (row % 5 + 1)) % len(WORDS)] for step in range(12 + row % 9)) for row in range(60)]
WORKER = """
import sys
from curate.steps.decontaminate import Decontaminate, stored
stored.SMALL = int(sys.argv[2])
step = Decontaminate(use="decontaminate", benchmarks=[{"name": "own", "path": sys.argv[1], "fields": ["question"]}])
step.warm_up()
print(len(step.items()))
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"id": f"número {row}", "question": text}) + "\n" for row, text in enumerate(ITEMS)))
    return path


def step_of(path: Path) -> Decontaminate:
    return Decontaminate(use="decontaminate", benchmarks=[{"name": "own", "path": str(path), "fields": ["question"], "id": "id"}])


def indexes(cache: Path) -> list[Path]:
    return [path for path in cache.glob("decontaminate-*") if path.is_dir()]


def hits(step: Decontaminate) -> list:
    texts = [f"Something before it. {item} And something after it." for item in ITEMS]
    return [step.hits(text, Shared(text, "en", False)) for text in texts]


@pytest.mark.parametrize("small", [stored.SMALL, 0])
def test_a_mapped_index_finds_what_one_in_memory_finds(cache: Path, benchmark: Path, monkeypatch: pytest.MonkeyPatch, small: int) -> None:
    monkeypatch.setattr(stored, "SMALL", small)
    mapped, plain = step_of(benchmark), step_of(benchmark)
    plain.__dict__["_loaded"] = load(plain.benchmarks, plain.ngram, plain.min_words)
    assert hits(mapped) == hits(plain) and all(hits(mapped))
    assert mapped.items() == list(plain.items()) and mapped.report() == plain.report()
    assert len(indexes(cache)) == 1


def test_what_is_looked_up_lies_in_files_and_not_in_the_memory_of_a_worker(cache: Path, benchmark: Path) -> None:
    loaded = step_of(benchmark)._loaded
    arrays = (*loaded.index.words, loaded.index.grams, loaded.index.first, loaded.index.postings, loaded.index.known)
    assert all(isinstance(array.base, np.memmap) for array in arrays)


@pytest.mark.parametrize("small", [stored.SMALL, 0])
def test_of_several_workers_one_makes_the_index(cache: Path, benchmark: Path, small: int) -> None:
    command = [sys.executable, "-c", WORKER, str(benchmark), str(small)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {worker.communicate(timeout=300)[0].strip() for worker in workers} == {str(len(set(ITEMS)))}
    assert len(indexes(cache)) == 1 and len(list(cache.iterdir())) == 2


def test_an_index_is_not_made_again(cache: Path, benchmark: Path) -> None:
    step_of(benchmark).warm_up()
    [made] = indexes(cache)
    (made / "report.json").write_text('[{"seen": 1}]')
    assert step_of(benchmark).report() == [{"seen": 1}]


def test_another_content_at_the_same_path_gets_an_index_of_its_own(cache: Path, benchmark: Path) -> None:
    before = step_of(benchmark).items()
    benchmark.write_text("".join(benchmark.read_text().splitlines(keepends=True)[1:]))
    assert len(step_of(benchmark).items()) == len(before) - 1


def test_an_index_that_nobody_asked_for_in_a_month_makes_room(cache: Path, benchmark: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("".join(benchmark.read_text().splitlines(keepends=True)[1:]))
    step_of(benchmark).warm_up()
    [old] = indexes(cache)
    lock = old.with_name(f"{old.name}.lock")
    assert time.time() - lock.stat().st_mtime < 600
    os.utime(lock, (0, time.time() - stored.UNUSED_S - 60))
    step_of(benchmark).warm_up()
    assert time.time() - lock.stat().st_mtime < 600, "every use counts"
    os.utime(lock, (0, time.time() - stored.UNUSED_S - 60))
    step_of(other).warm_up()
    [new] = indexes(cache)
    assert new != old and not lock.exists()


def test_where_nothing_can_be_written_the_index_is_in_memory(cache: Path, benchmark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_text("no folder")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(cache))
    assert all(hits(step_of(benchmark)))


@pytest.mark.parametrize("small", [stored.SMALL, 0])
def test_a_mistake_in_a_benchmark_is_told_and_leaves_nothing(
    cache: Path, benchmark: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(stored, "SMALL", small)
    benchmark.write_text("{no JSON\n")
    with pytest.raises(UsageError, match="not JSON"):
        step_of(benchmark).warm_up()
    assert indexes(cache) == []
