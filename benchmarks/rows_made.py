"""Rows for the benchmark of the row stages: the real rows of ../shared/data in, as many copies of them as asked out.

A copy is the whole row with a number behind every fourth word of its texts, so that no five words in a row are those
of another copy: lengths, dialects and tool calls stay, and no copy is a near duplicate. Of every twenty copies of a row
one is then written a second time as it is, and one with another number behind its last word only.
"""

import gzip
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import orjson

MARK = "~~~"
EVERY = 20
FILE_ROWS = 25_000
_KEPT = {"from", "role", "source", "subset", "id", "tools", "label"}
_WORDS = re.compile(r"^###.*$|((?:(?<!\w)[a-z]+(?!\w)[^a-z#]+){3}(?<!\w)[a-z]+(?!\w))", re.MULTILINE)


class Given(NamedTuple):
    """A real file and the dialect that it is written in."""

    name: str
    path: str
    dialect: str
    paired: bool
    """True where its rows are pairs, or answers of which pairs are made."""


SOURCES = (
    Given("hh", "pref/hh_harmless_test_A.jsonl.gz", "hh_rlhf", True),
    Given("hhh", "pref/hhh_alignment_221.jsonl.gz", "prometheus", True),
    Given("llmbar", "pref/llmbar_419.jsonl.gz", "two_outputs", True),
    Given("dpo", "instruct/dpo_en_demo_A.jsonl.gz", "chosen_rejected", True),
    Given("kto", "instruct/kto_en_demo_A.jsonl.gz", "kto", False),
    Given("glaive", "instruct/glaive_toolcall_en_sharegpt.jsonl.gz", "sharegpt", False),
    Given("vicuna", "instruct/vicuna_identity_sharegpt.jsonl.gz", "sharegpt", False),
)


def marked(value: object, key: str = "") -> object:
    """A row with a mark behind every fourth word of its texts, which holds the place of a copy's number."""
    if isinstance(value, dict):
        return {name: marked(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [marked(inner, key) for inner in value]
    if not isinstance(value, str) or key in _KEPT or value.startswith(("{", "[")):
        return value
    return _WORDS.sub(lambda found: found[0] + MARK if found[1] else found[0], value)


def copies(template: str) -> Iterator[str]:
    """The row's copies, without end; those of a row with fewer than four words in a row are all equal."""
    head, there, tail = template.rpartition(MARK)
    number = 0
    while True:
        copy = f"x{number}"
        yield template.replace(MARK, copy)
        if number % EVERY == 0 and there:
            yield template.replace(MARK, copy)
            yield f"{head.replace(MARK, copy)}y{number}{tail}"
        number += 1


def templates(path: Path) -> list[str]:
    """The rows of a file as JSON, marked."""
    with gzip.open(path) as file:
        return [orjson.dumps(marked(orjson.loads(line))).decode() for line in file]


def lines(there: list[str], rows: int) -> Iterator[str]:
    """So many copies of some rows, each row's in turn."""
    every = [copies(template) for template in there]
    return islice((next(one) for _ in iter(int, 1) for one in every), rows)


def make(data: Path, folder: Path, rows: int) -> dict[str, int]:
    """Write about `rows` rows below `folder`, a folder of files for each source; the rows of each."""
    there = {given.name: templates(data / given.path) for given in SOURCES}
    whole = sum(map(len, there.values()))
    wanted = {name: len(some) * rows // whole for name, some in there.items()}
    for name, count in wanted.items():
        made = lines(there[name], count)
        (folder / name).mkdir(parents=True)
        for number in range(0, count, FILE_ROWS):
            with (folder / name / f"{number // FILE_ROWS:03d}.jsonl").open("w", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in islice(made, FILE_ROWS))
    return wanted
