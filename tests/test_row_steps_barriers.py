"""Steps that decide when they have seen every row: caps, balance and topics."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import ValidationError
from row_units import chat, decided, document, kept_ids, unit

from curate.errors import UsageError
from curate.steps.rows import Balance, Caps, Topics
from curate.steps.rows.caps import water_level
from curate.steps.rows.sides import key_of
from curate.steps.rows.topic_terms import terms_of
from curate.steps.rows.unit import RowUnit
from curate.steps.step import Drop

KEYED = some.lists(some.tuples(some.sampled_from("abc"), some.sampled_from(["x", "y", None])), min_size=1, max_size=40).map(lambda keys: [*keys, ("a", "x")])


def rows(keys: list[tuple[str, str | None]]) -> list[RowUnit]:
    """A row for each pair of source and task, with its own text."""
    return [
        chat(f"question {number}", "answer", id=str(number), source=source, **({"task": task} if task else {}))
        for number, (source, task) in enumerate(keys)
    ]


def kept(step: Caps | Balance, units: list[RowUnit], cuts: tuple[int, ...] = ()) -> list[RowUnit]:
    with TemporaryDirectory() as folder:
        ids = kept_ids(units, decided(step, units, Path(folder), cuts))
    return [one for one in units if one.id in ids]


def test_a_cap_keeps_as_many_rows_of_each_source_as_it_says(tmp_path: Path) -> None:
    units = rows([("a", None)] * 10 + [("b", None)] * 3)
    step = Caps(use="caps", caps=[{"by": "source", "rows": 4}])
    decisions = decided(step, units, tmp_path)
    assert Counter(one.row["source"] for one in units if one.id in kept_ids(units, decisions)) == {"a": 4, "b": 3}
    place = int(np.flatnonzero(decisions.leaving)[0])
    assert step.drop(float(decisions.value[place])) == Drop("source_cap", None, 4)
    assert decisions.report["caps"][0]["largest"] == [{"key": "a", "rows": 10, "kept": 4}, {"key": "b", "rows": 3, "kept": 3}]
    json.dumps(decisions.report)


def test_the_cap_that_was_full_names_the_drop() -> None:
    units = rows([("a", "tradução")] * 5 + [("b", "tradução")] * 5)
    step = Caps(use="caps", caps=[{"by": "source", "rows": 5}, {"by": "task", "rows": 6}])
    with TemporaryDirectory() as folder:
        decisions = decided(step, units, Path(folder))
    assert {step.drop(value).reason for value in decisions.value[decisions.leaving].tolist()} == {"task_cap"}
    assert decisions.leaving.sum() == 4


@given(KEYED, some.integers(1, 8), some.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_no_key_is_over_its_cap_and_no_dropped_row_had_room(keys: list, by_source: int, by_task: int) -> None:
    units = rows(keys)
    staying = kept(Caps(use="caps", caps=[{"by": "source", "rows": by_source}, {"by": "task", "rows": by_task}]), units)
    sources = Counter(one.row["source"] for one in staying)
    tasks = Counter(key_of(one, "task") for one in staying if key_of(one, "task"))
    assert max(sources.values()) <= by_source
    assert max(tasks.values(), default=0) <= by_task
    left = [one for one in units if one not in staying]
    assert all(sources[one.row["source"]] == by_source or tasks[key_of(one, "task")] == by_task for one in left)


@given(KEYED, some.randoms(use_true_random=False), some.integers(0, 40))
@settings(max_examples=20, deadline=None)
def test_the_same_rows_stay_in_any_order_and_however_the_ranks_are_cut(keys: list, random: object, cut: int) -> None:
    units = rows(keys)
    shuffled = random.sample(units, len(units))
    for step in (Caps(use="caps", caps=[{"by": "source", "rows": 3}, {"by": "task", "rows": 4}]), Balance(use="balance", by="source")):
        one, other = kept(step, units), kept(step, shuffled, (min(cut, len(units)),))
        assert {row.id for row in one} == {row.id for row in other}


@given(some.lists(some.integers(1, 30), min_size=3, max_size=6), some.floats(0.34, 0.9))
@settings(max_examples=30, deadline=None)
def test_no_key_holds_more_than_its_share_of_what_stays(counts: list[int], share: float) -> None:
    units = rows([(str(key), None) for key, count in enumerate(counts) for _ in range(count)])
    staying = kept(Caps(use="caps", caps=[{"by": "source", "share": share}]), units)
    found = Counter(one.row["source"] for one in staying)
    assert max(found.values()) <= share * len(staying) + 1e-9
    assert set(found) == {str(key) for key in range(len(counts))}
    level = max(found.values())
    after = [min(count, level + 1) for count in counts]
    assert max(after) > share * sum(after) or after == [min(count, level) for count in counts], "a higher level would have held too"


def test_a_share_is_of_what_stays_after_the_other_caps_too() -> None:
    units = rows([("a", "x")] * 20 + [("b", "y")] * 20 + [("c", "y")] * 20)
    staying = kept(Caps(use="caps", caps=[{"by": "source", "share": 0.5}, {"by": "task", "rows": 10}]), units)
    assert max(Counter(one.row["source"] for one in staying).values()) <= 0.5 * len(staying)


def test_a_share_that_the_keys_cannot_keep_is_an_error_that_says_what_can() -> None:
    with pytest.raises(UsageError, match=r"by source: 2 keys .* share of at least 0\.5"):
        kept(Caps(use="caps", caps=[{"by": "source", "share": 0.3}]), rows([("a", None), ("b", None)]))


def test_rows_without_the_key_are_not_capped_but_counted(tmp_path: Path) -> None:
    units = rows([("a", None)] * 6 + [("a", "x")] * 4)
    decisions = decided(Caps(use="caps", caps=[{"by": "task", "rows": 1}]), units, tmp_path)
    assert decisions.leaving.sum() == 3
    assert decisions.report["caps"][0]["rows_without_key"] == 6


@pytest.mark.parametrize("step", [Caps(use="caps", caps=[{"by": "tusk", "rows": 1}]), Balance(use="balance", by="tusk")])
def test_a_key_that_no_row_has_is_an_error_and_not_a_cap_of_nothing(step: Caps | Balance) -> None:
    with pytest.raises(UsageError, match="no row has the key 'tusk'"):
        kept(step, rows([("a", "x")] * 3))


def test_the_best_rows_of_a_full_key_stay_where_a_score_is_named() -> None:
    units = rows([("a", None)] * 6)
    for place, one in enumerate(units[:5]):
        one.values["quality.score"] = place / 10
    staying = kept(Caps(use="caps", caps=[{"by": "source", "rows": 2}], keep="best_score", score="quality.score"), units)
    assert [one.id for one in staying] == ["3", "4"]


def test_a_row_that_another_step_dropped_takes_no_room(tmp_path: Path) -> None:
    units = rows([("a", None)] * 6)
    alive = np.array([False] * 3 + [True] * 3)
    decisions = decided(Caps(use="caps", caps=[{"by": "source", "rows": 3}]), units, tmp_path, alive=alive)
    assert not (decisions.leaving & alive).any()


def test_an_empty_input_is_capped_balanced_and_clustered_to_nothing(tmp_path: Path) -> None:
    caps = Caps(use="caps", caps=[{"by": "source", "rows": 1}, {"by": "task", "share": 0.1}])
    for step in (caps, Balance(use="balance", by="task"), Topics(use="topics")):
        assert len(decided(step, [], tmp_path / step.name).leaving) == 0
        assert len(decided(step, [], tmp_path / f"{step.name}-2", cuts=(0, 0)).leaving) == 0


@pytest.mark.parametrize("cap", [{"by": "source"}, {"by": "source", "rows": 3, "share": 0.1}])
def test_a_cap_needs_rows_or_a_share_and_not_both(cap: dict) -> None:
    with pytest.raises(ValidationError, match="either rows or share"):
        Caps(use="caps", caps=[cap])


def test_keys_come_from_columns_the_unit_and_the_metadata() -> None:
    row = chat("a", "b", source="a.jsonl", topic=3, language="pt")
    row.row["metadata"] = json.dumps(json.loads(row.row["metadata"]) | {"source": "ShareGPT"})
    names = ("source", "metadata.source", "topic", "language", "model")
    assert [key_of(row, name) for name in names] == ["a.jsonl", "ShareGPT", "3", "pt", None]
    row.language = "gl"
    assert key_of(row, "language") == "gl"
    assert key_of(document("x", language="pt"), "language") == "pt"


@given(some.lists(some.integers(1, 30), min_size=1, max_size=6), some.sampled_from(["median", "smallest"]), some.floats(1, 4))
@settings(max_examples=30, deadline=None)
def test_only_keys_over_the_ratio_times_the_measure_lose_rows_and_no_more_than_that(counts: list[int], to: str, ratio: float) -> None:
    units = rows([(str(key), None) for key, count in enumerate(counts) for _ in range(count)])
    staying = Counter(one.row["source"] for one in kept(Balance(use="balance", by="source", to=to, max_ratio=ratio), units))
    measure = min(counts) if to == "smallest" else sorted(counts)[(len(counts) - 1) // 2]
    assert [staying[str(key)] for key in range(len(counts))] == [min(count, int(measure * ratio + 1e-9)) for count in counts]


def test_equal_counts_are_a_ratio_of_one_to_the_smallest(tmp_path: Path) -> None:
    units = rows([("a", None)] * 7 + [("b", None)] * 3)
    step = Balance(use="balance", by="source", to="smallest")
    decisions = decided(step, units, tmp_path)
    assert Counter(one.row["source"] for one in units if one.id in kept_ids(units, decisions)) == {"a": 3, "b": 3}
    assert step.drop(float(decisions.value[decisions.leaving][0])) == Drop("over_balance", None, 3.0)


def test_a_water_level_is_the_highest_that_holds() -> None:
    assert water_level(np.array([10, 10, 2]), 0, 0.5) == 10
    assert water_level(np.array([10, 4, 2]), 0, 0.5) == 6
    assert water_level(np.array([10]), 10, 0.5) == 10
    assert water_level(np.array([10]), 0, 0.5) == 0


KITCHEN = ["oven bread flour", "bake bread with flour in an oven", "flour sugar oven", "knead bread flour sugar", "sugar oven bread bake"]
FOOTBALL = ["futebol golo jogador", "o jogador marcou um golo", "estádio futebol golo", "jogador no estádio", "golo no estádio de futebol"]


def mixed() -> list[RowUnit]:
    texts = [text for both in zip(KITCHEN, FOOTBALL, strict=True) for text in both] * 4
    return [chat(text, "answer", id=str(number)) for number, text in enumerate(texts)]


def test_rows_of_two_subjects_fall_into_two_topics_named_by_their_words(tmp_path: Path) -> None:
    units = mixed()
    decisions = decided(Topics(use="topics", topics=2), units, tmp_path)
    kitchen, football = set(decisions.marks[0::2]), set(decisions.marks[1::2])
    assert len(kitchen) == len(football) == 1
    assert kitchen != football
    assert set(football.pop().split("_")[1:]) <= {"futebol", "golo", "jogador", "estádio"}
    assert not decisions.leaving.any()
    assert [topic["rows"] for topic in decisions.report["topics"]] == [20, 20]
    json.dumps(decisions.report)


def test_topics_depend_neither_on_order_nor_on_ranks(tmp_path: Path) -> None:
    units = mixed()
    whole = decided(Topics(use="topics", topics=3), units, tmp_path / "whole")
    turned = decided(Topics(use="topics", topics=3), units[::-1], tmp_path / "turned", cuts=(7, 7, 30))
    assert whole.marks == turned.marks[::-1]
    assert whole.report == turned.report


def test_a_row_without_a_telling_word_has_no_topic(tmp_path: Path) -> None:
    units = [*mixed(), chat("What is it?", "?", id="none"), chat("O que é isso?", "?", id="nada")]
    decisions = decided(Topics(use="topics", topics=2), units, tmp_path)
    assert decisions.marks[-2:] == [None, None]
    assert decisions.report["rows_without_topic"] == 2


def test_a_row_that_was_dropped_before_has_no_part_in_the_topics(tmp_path: Path) -> None:
    units = mixed()
    alive = np.arange(len(units)) % 2 == 0
    decisions = decided(Topics(use="topics", topics=2), units, tmp_path, alive=alive)
    assert set(np.array(decisions.marks, object)[~alive]) == {None}
    assert not {word for topic in decisions.report["topics"] for word in topic["words"]} & {"futebol", "golo"}


def test_fewer_different_rows_than_topics_make_fewer_topics(tmp_path: Path) -> None:
    units = [chat("bread oven", "a", id=str(number)) for number in range(5)]
    assert set(decided(Topics(use="topics", topics=10), units, tmp_path).marks) == {"0_bread_oven"}


def test_documents_are_clustered_by_their_text(tmp_path: Path) -> None:
    units = [document(text, id=str(number)) for number, text in enumerate((KITCHEN + FOOTBALL) * 3)]
    marks = decided(Topics(use="topics", topics=2), units, tmp_path).marks
    assert len(set(marks)) == 2
    assert len(set(marks[:5])) == 1


def test_terms_are_words_without_function_words_and_pairs_of_ideographs() -> None:
    assert terms_of("Qual é o melhor bolo? Um bolo de cenoura!") == [("bolo", 2), ("cenoura", 1)]
    assert [word for word, _ in terms_of("机器学习")] == ["机器", "学习"]


PROBE = """
import hashlib, json, sys, tempfile
from pathlib import Path
from row_units import decided
from test_row_steps_barriers import mixed, rows
from test_row_steps_shortcuts import pairs
from curate.steps.rows import Balance, Caps, Shortcuts, Topics
keyed = rows([(str(n % 7), str(n % 3)) for n in range(200)])
asked = [
    (Caps(use="caps", caps=[{"by": "source", "rows": 9}, {"by": "task", "share": 0.4}]), keyed),
    (Balance(use="balance", by="task", to="smallest"), keyed),
    (Topics(use="topics", topics=4), mixed()),
    (Shortcuts(use="shortcuts", rebalance=["length", "lists"]), pairs(300)),
]
with tempfile.TemporaryDirectory() as folder:
    for step, units in asked:
        found = decided(step, units, Path(folder, step.name))
        print(hashlib.sha256(found.leaving.tobytes()).hexdigest(), json.dumps([found.marks, found.report]))
"""


def test_two_processes_with_other_hash_seeds_decide_the_same() -> None:
    said = []
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)}
        said.append(subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True).stdout)
    assert said[0] == said[1]
    assert said[0].count("\n") == 4


def test_a_row_whose_metadata_are_no_object_has_no_key() -> None:
    row = unit("conversation", "1", {"messages": []}, {})
    row.row["metadata"] = "[1]"
    assert key_of(row, "task") is None
