"""Decontamination: which documents hold a benchmark's item, where it stands, and what is too little to say so."""

import gzip
import json
import random
import time
from pathlib import Path

import pytest
from planting import AFTER, ANSWER, BEFORE, CODE, QUESTION, ROWS, hits, judged, step, written

from curate.steps.decontaminate import Decontaminate

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared evaluation data is not here")


def edited(text: str, share: float, seed: int) -> str:
    """The text with that share of its words replaced, left out or doubled by a foreign one."""
    dice, words = random.Random(seed), text.split(" ")
    for place in dice.sample(range(len(words)), max(1, round(share * len(words)))):
        words[place] = ("zebra", "", f"{words[place]} zebra")[dice.randrange(3)]
    return " ".join(words)


def test_a_document_that_holds_an_item_is_dropped_and_the_hit_names_benchmark_item_and_span(tmp_path):
    text = BEFORE + QUESTION + AFTER
    drop, unit = judged(step(written(tmp_path)), text)
    assert drop == ("contaminated", 1.0, 0.7)
    [hit] = unit.metadata["contamination"]
    assert (hit["benchmark"], hit["item"], hit["field"], hit["share"]) == ("bench", "rolls", "question", 1.0)
    assert text[hit["start"] : hit["end"]] == QUESTION.rstrip("?")
    assert unit.values == {
        "decontaminate.share": 1.0, "decontaminate.hits": 1.0, "decontaminate.benchmark": 0.0,
        "decontaminate.row": 0.0, "decontaminate.start": hit["start"], "decontaminate.end": hit["end"],
    }  # fmt: skip


def test_a_document_about_the_same_things_in_other_words_is_kept(tmp_path):
    text = BEFORE + "She baked twelve trays of rolls and sold them at the market for forty cents, as bakers do." + AFTER
    drop, unit = judged(step(written(tmp_path)), text)
    assert drop is None and "contamination" not in unit.metadata
    assert unit.values == {"decontaminate.share": 0.0, "decontaminate.hits": 0.0}


@pytest.mark.parametrize("text", ["", "short", "\ud800", "... !!!"])
def test_a_document_with_hardly_a_word_is_kept(tmp_path, text):
    assert judged(step(written(tmp_path)), text)[0] is None


def test_case_marks_punctuation_and_white_space_hide_nothing(tmp_path):
    disguised = QUESTION.upper().replace(", ", " – ").replace(" ", "\n  ").replace("SELL", "SÉLL")
    assert hits(step(written(tmp_path)), BEFORE + disguised + AFTER)[0]["share"] == 1.0


def test_code_is_found_with_other_indentation(tmp_path):
    [hit] = hits(step(written(tmp_path)), BEFORE + CODE.replace("    ", "\t") + AFTER)
    assert hit["item"] == "code" and hit["share"] == 1.0


@pytest.mark.parametrize("item", [QUESTION, ANSWER, CODE])
def test_an_item_with_a_few_words_changed_is_found(tmp_path, item):
    filter_ = step(written(tmp_path))
    found = [hits(filter_, BEFORE + edited(item, 0.05, seed) + AFTER) for seed in range(40)]
    assert sum(map(bool, found)) >= 38


def test_the_span_of_an_edited_item_is_the_whole_of_it(tmp_path):
    changed = QUESTION.replace("twelve rolls each", "a dozen buns in each").replace("at the market", "on the market")
    text = BEFORE + changed + AFTER
    [hit] = hits(step(written(tmp_path)), text)
    assert text[hit["start"] : hit["end"]] == changed.rstrip("?") and 0.8 < hit["share"] < 1


def test_a_part_of_an_item_is_measured_and_the_threshold_decides(tmp_path):
    path, text = written(tmp_path), BEFORE + QUESTION[: len(QUESTION) // 2] + AFTER
    drop, unit = judged(step(path), text)
    assert drop is None and 0.4 < unit.values["decontaminate.share"] < 0.6
    strict = step(path, threshold=0.4)
    assert judged(strict, text)[0] == ("contaminated", unit.values["decontaminate.share"], 0.4)
    assert strict.decide({"share": 0.39}) is None and strict.decide({}) is None


def test_words_of_an_item_scattered_over_a_document_are_no_item(tmp_path):
    words = QUESTION.split()
    filler = "and then there came something else that has nothing to do with it at all so we go on"
    scattered = f" {filler} ".join(" ".join(words[start : start + 5]) for start in range(0, len(words), 5))
    assert judged(step(written(tmp_path)), scattered)[0] is None


def test_marking_keeps_the_document_and_its_hits(tmp_path):
    drop, unit = judged(step(written(tmp_path), action="mark"), BEFORE + QUESTION + AFTER)
    assert drop is None and unit.metadata["contamination"][0]["item"] == "rolls" and unit.values["decontaminate.hits"] == 1


def test_all_items_of_a_leaked_file_are_named_up_to_the_bound(tmp_path):
    rows = [{"id": str(number), "question": edited(QUESTION, 0.9, number), "answer": "yes"} for number in range(30)]
    text = "\n".join(row["question"] for row in rows)
    path = written(tmp_path, rows)
    assert len(hits(step(path), text)) == 20
    assert {hit["item"] for hit in hits(step(path, most_hits=100), text)} == {str(number) for number in range(30)}


def test_short_fields_are_looked_for_together_and_what_is_still_too_short_is_reported(tmp_path):
    filter_ = step(written(tmp_path))
    [report] = filter_.report()
    assert report == {
        "name": "bench", "rows": 4, "texts": 4, "repeated": 0, "too_short": {"question": 1, "answer": 2},
        "unmatched": 1, "unmatched_items": ["capital"],
    }  # fmt: skip
    assert judged(filter_, BEFORE + "What is the capital of Peru? Lima" + AFTER)[0] is None
    assert judged(filter_, BEFORE + "Which river crosses Vienna?" + AFTER)[0] is None
    [hit] = hits(filter_, BEFORE + "Which river crosses Vienna?\n\nThe Danube does, from west to east." + AFTER)
    assert (hit["item"], hit["field"]) == ("river", "question+answer")


def test_an_item_as_short_as_the_least_must_be_whole(tmp_path):
    filter_ = step(written(tmp_path, [{"id": "1", "question": "one two three four five six seven eight", "answer": "x"}]))
    assert judged(filter_, "so one two three four five six seven eight it is")[0] == ("contaminated", 1.0, 0.7)
    assert judged(filter_, "so one two three four five six seven nine it is")[0] is None


def test_numbers_are_evidence_only_where_the_whole_item_stands(tmp_path):
    sums = "3*12=36 eggs. 36-9=27. 27/3=9 boxes. #### 9"
    filter_ = step(written(tmp_path, [{"id": "sums", "question": QUESTION, "answer": sums}]))
    assert judged(filter_, BEFORE + sums + AFTER)[0] == ("contaminated", 1.0, 0.7)
    assert judged(filter_, BEFORE + sums.replace("boxes", "crates") + AFTER)[0] is None


def test_two_characters_of_chinese_count_as_a_word(tmp_path):
    long, short = "小明有五个苹果他给了小红两个请问他现在还剩几个", "小明有五个苹果他给了小红"
    filter_ = step(written(tmp_path, [{"id": "long", "question": long, "answer": short}]))
    assert filter_.report()[0]["too_short"] == {"answer": 1}
    text = "今天天气很好。" + long + "？我们去公园。"
    [hit] = hits(filter_, text)
    assert text[hit["start"] : hit["end"]] == long


def test_equal_items_are_looked_for_once_under_the_first_name(tmp_path):
    rows = [ROWS[0], {**ROWS[0], "id": "again", "question": QUESTION.upper()}]
    filter_ = step(written(tmp_path, rows))
    assert filter_.report()[0]["repeated"] == 2 and [item.item for item in filter_.items()] == ["rolls", "rolls"]
    assert [hit["item"] for hit in hits(filter_, QUESTION)] == ["rolls"]


def test_a_sentence_that_hundreds_of_items_share_accuses_nobody_and_hides_no_item(tmp_path):
    frame = "Read the passage below and answer the question that follows it with yes or no: "
    rows = [{"id": str(n), "question": frame + edited(QUESTION, 0.9, n), "answer": "no"} for n in range(300)]
    filter_ = step(written(tmp_path, rows))
    assert judged(filter_, BEFORE + frame + AFTER)[0] is None
    assert hits(filter_, BEFORE + rows[299]["question"] + AFTER)[0]["item"] == "299"


def test_each_benchmark_answers_under_its_own_name(tmp_path):
    first, second = written(tmp_path, ROWS[:1], "a.jsonl"), written(tmp_path, ROWS[1:2], "b.jsonl")
    blocks = [{"name": "maths", "path": first, "fields": ["question"]}, {"name": "python", "path": second, "fields": ["question"]}]
    filter_ = Decontaminate(use="decontaminate", benchmarks=blocks)
    found = hits(filter_, QUESTION + AFTER + CODE)
    assert {(hit["benchmark"], hit["item"]) for hit in found} == {("maths", "0"), ("python", "0")}


def test_no_document_changes_what_is_found_in_another(tmp_path):
    texts = [BEFORE + edited(item, 0.05, seed) + AFTER for seed in range(10) for item in (QUESTION, CODE, "nothing at all")]
    path = written(tmp_path)
    forwards, backwards = step(path), step(path)
    assert [hits(forwards, text) for text in texts] == [hits(backwards, text) for text in texts[::-1]][::-1]


def test_a_stray_word_before_an_item_does_not_shift_its_start(tmp_path):
    text = BEFORE + "Here is a tale of old: " + QUESTION + " That is a lot, and then a roll" + AFTER
    [hit] = hits(step(written(tmp_path)), text)
    assert text[hit["start"] : hit["end"]] == QUESTION.rstrip("?") and hit["share"] == 1.0


def test_the_fullest_item_comes_first_and_each_stands_once_where_it_is_fullest(tmp_path):
    text = " ".join(QUESTION.split()[:-8]) + AFTER + CODE + BEFORE + QUESTION[:-20] + AFTER
    found = hits(step(written(tmp_path)), text)
    assert [hit["item"] for hit in found] == ["code", "rolls"] and found[0]["share"] == 1.0 > found[1]["share"]
    assert text[found[1]["start"] : found[1]["end"]] == QUESTION[:-20].rstrip()


def test_text_that_repeats_itself_costs_bounded_time(tmp_path):
    rows = [{"id": str(n), "question": "a b c d " * (2000 + n), "answer": "x"} for n in range(40)]
    filter_ = step(written(tmp_path, rows))
    filter_.warm_up()
    started = time.process_time()
    assert judged(filter_, "a b c d " * 200_000)[0] is not None
    assert time.process_time() - started < 10


# Real benchmarks in real text


def real() -> Decontaminate:
    evals = SHARED / "evals"
    blocks = [
        {"name": "gsm8k", "path": str(evals / "gsm8k_test_A.jsonl.gz"), "fields": ["question", "answer"]},
        {"name": "humaneval", "path": str(evals / "humaneval.jsonl.gz"), "fields": ["prompt", "canonical_solution"], "id": "task_id"},
        {"name": "ifeval", "path": str(evals / "ifeval.jsonl.gz"), "fields": ["prompt"], "id": "key"},
    ]
    return Decontaminate(use="decontaminate", benchmarks=blocks)


def real_texts(name: str, *fields: str) -> list[str]:
    with gzip.open(SHARED / name, "rt", encoding="utf-8") as lines:
        return [row[field] for row in map(json.loads, lines) for field in fields]


@needs_shared
def test_real_items_are_found_in_real_text_verbatim_and_edited_and_clean_text_is_kept():
    filter_ = real()
    hosts = real_texts("text/c4_demo.jsonl.gz", "text")
    clean = hosts + real_texts("text/wiki_demo.jsonl.gz", "text")
    assert not [text for text in clean if judged(filter_, text)[0]]
    items = real_texts("evals/gsm8k_test_A.jsonl.gz", "question") + real_texts("evals/humaneval.jsonl.gz", "prompt")
    items = (items + real_texts("evals/ifeval.jsonl.gz", "prompt"))[::3]
    for share, least in ((0.0, 0.99), (0.05, 0.9)):
        planted = [f"{hosts[n % 300]}\n{edited(item, share, n) if share else item}\n{AFTER}" for n, item in enumerate(items)]
        found = sum(judged(filter_, text)[0] is not None for text in planted)
        assert found >= least * len(items), f"{found} of {len(items)} at {share:.0%} edits"
