"""IFEval: every verifiable instruction with an answer that follows it and one that does not, and what loose accuracy forgives."""

import gzip
import json
from pathlib import Path

import pytest

from curate.config import UsageError
from training import evaluate
from training.evaluation.ifeval import Scores, answers_in, followed, prompts_in, score, variants
from training.evaluation.ifeval_rules import RULES, count_sentences

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "evals" / "ifeval.jsonl.gz"
ENGLISH = "The committee met on Tuesday and agreed to repair the old bridge before the winter comes."

CASES = {
    "keywords:existence": ({"keywords": ["Bridge", "winter"]}, ENGLISH, "The bridge will be repaired in spring."),
    "keywords:frequency": ({"keyword": "rain", "frequency": 2, "relation": "at least"}, "Rain, then rain again.", "Rain once."),
    "keywords:forbidden_words": ({"forbidden_words": ["run"]}, "He was running late.", "They RUN home."),
    "keywords:letter_frequency": ({"letter": "q", "let_frequency": 2, "let_relation": "less than"}, "A Quiet day.", "A quiet quarry."),
    "language:response_language": ({"language": "pt"}, "A ponte velha foi reparada antes de chegar o inverno, e ninguém reclamou.", ENGLISH),
    "length_constraints:number_paragraphs": ({"num_paragraphs": 2}, "One.\n\n***\n\nTwo.\n***", "One.\n***\n***\nTwo."),
    "length_constraints:number_words": ({"num_words": 4, "relation": "less than"}, "Only three words", "There are four words"),
    "length_constraints:number_sentences": (
        {"num_sentences": 2, "relation": "at least"}, "Dr. Silva came. She left early.", "Dr. Silva came at 3.15 p.m. and left",
    ),
    "length_constraints:nth_paragraph_first_word": (
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "weekend"}, "First.\n\n\"Weekend!\" she said.", "Weekend.\n\nFirst.",
    ),
    "detectable_content:postscript": ({"postscript_marker": "P.P.S"}, "Dear all.\n\nP. P. S. Bring a coat.", "Dear all.\n\nP.S. Bring a coat."),
    "detectable_content:number_placeholders": ({"num_placeholders": 2}, "[name] lives in [city].", "[name] lives in Porto."),
    "detectable_format:number_bullet_lists": ({"num_bullets": 2}, "Buy:\n* milk\n - bread\n**Thanks**", "* milk\n* bread\n* eggs"),
    "detectable_format:constrained_response": ({}, "Well. My answer is maybe.", "I would say yes."),
    "detectable_format:title": ({}, "<<A short walk>>\nIt rained.", "<< >>\nA short walk"),
    "detectable_format:number_highlighted_sections": ({"num_highlights": 2}, "*One* and **two** and ** **", "*One* and * * and two"),
    "detectable_format:multiple_sections": ({"section_spliter": "Section", "num_sections": 2}, "Section 1\nA\nSection 2\nB", "Section one\nSections 2"),
    "detectable_format:json_format": ({}, '```json\n{"a": [1, 2]}\n```', "{'a': 1}"),
    "combination:repeat_prompt": ({"prompt_to_repeat": "Why is the sky blue?"}, "why is the sky blue? It scatters.", "It scatters. Why is the sky blue?"),
    "combination:two_responses": ({}, "A.\n******\nB.", "A.\n******\nA."),
    "change_case:english_capital": ({}, ENGLISH.upper(), ENGLISH),
    "change_case:english_lowercase": ({}, ENGLISH.lower(), "a ponte velha foi reparada antes de chegar o inverno, e ninguém reclamou."),
    "change_case:capital_word_frequency": (
        {"capital_frequency": 2, "capital_relation": "at least"}, "STOP and BREATHE-OUT now", "STOP and Breathe now",
    ),
    "startend:end_checker": ({"end_phrase": "Peace!"}, '"We left. peace! "', "Peace! We left."),
    "startend:quotation": ({}, ' "All of it." ', '"All" of it.'),
    "punctuation:no_comma": ({}, "No comma; none.", "One, comma."),
}  # fmt: skip


def test_all_25_instructions_of_the_paper_are_here() -> None:
    assert CASES.keys() == RULES.keys() and len(RULES) == 25


@pytest.mark.parametrize("name", CASES)
def test_an_answer_that_follows_the_instruction_passes_and_one_that_does_not_fails(name: str) -> None:
    arguments, good, bad = CASES[name]
    assert followed(name, arguments, good) and not followed(name, arguments, bad)


FINER = [
    ("keywords:forbidden_words", {"forbidden_words": ["C++"]}, "A C+ grade.", "I write C++ code."),
    ("keywords:letter_frequency", {"letter": "s", "let_frequency": 3, "let_relation": "less than"}, "Straße, sim.", "Strasse, sim."),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, "Cora\u00e7a\u0303o \u0939\u093f\u0928\u094d\u0926\u0940", "um dois tres"),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "well"}, "“Well”, he said.", "Well-known."),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "here"}, "Here's one.", "**Here** is one."),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "b"}, "A\n\n\n\nB", "A\n \nB"),
    ("detectable_content:number_placeholders", {"num_placeholders": 1}, "Dear [name]", "[\n 1\n]"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "- one\n---\nend", "- one\n- \n"),
    ("detectable_format:constrained_response", {}, "My answer is no.", "my answer is no."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "* **One** and *two*", "* **One** and * two *"),
    ("detectable_format:multiple_sections", {"section_spliter": "Day ", "num_sections": 2}, "Day 1\nA\nDay 2\nB", "Day 1\nA"),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"}, "NASA's men and I'm in", "Nasa's men and I'm in"),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "less than"}, "DON'T", "I DON'T"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), FINER)
def test_what_stands_close_to_a_mistake_is_told_from_it(name: str, arguments: dict, good: str, bad: str) -> None:
    assert followed(name, arguments, good) and not followed(name, arguments, bad)


@pytest.mark.parametrize("name", CASES)
def test_an_empty_answer_follows_nothing(name: str) -> None:
    assert not followed(name, CASES[name][0], " \n", loose=True)


def test_loose_accuracy_forgives_an_introduction_a_closing_line_and_asterisks() -> None:
    quoted = 'Sure, here it is:\n"All *of* it."\nHope it helps!'
    assert not followed("startend:quotation", {}, quoted) and followed("startend:quotation", {}, quoted, loose=True)
    assert 'All of it."' in variants(quoted)[-1]
    assert followed("startend:end_checker", {"end_phrase": "The end."}, "Once. **The end.**", loose=True)
    assert not followed("punctuation:no_comma", {}, "Sure:\nOne, two.\nBye.", loose=True)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [("Mr. Smith paid $3.50. He left!", 2), ("O Sr. Silva saiu. Voltou às 3h? Sim.", 3), ("one line\nthat goes on", 1), ("", 0)],
)
def test_sentences_are_counted_as_their_language_ends_them(text: str, sentences: int) -> None:
    assert count_sentences(text) == sentences


def rows_file(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def task(key: int, names: list[str], *arguments: dict) -> dict:
    return {"key": key, "prompt": f"Prompt {key}", "instruction_id_list": names, "kwargs": list(arguments)}


def test_prompts_and_instructions_are_counted_apart(tmp_path: Path) -> None:
    both = ["punctuation:no_comma", "startend:quotation"]
    prompts = rows_file(tmp_path / "prompts.jsonl", [task(1, both, {}, {}), task(2, both[:1], {"num_words": None}), task(3, both[:1], {})])
    answers = {"Prompt 1": "No comma.", "Prompt 2": "One, two.", "Prompt 3": "Here, look:\nNone."}
    made = score(prompts_in(prompts), answers, str(tmp_path / "out" / "ifeval.json"))
    assert {name: round(one.value, 3) for name, one in made.accuracies.items()} == {
        "prompt_strict": 0.0, "instruction_strict": 0.25, "prompt_loose": 0.333, "instruction_loose": 0.5,
    }  # fmt: skip
    assert all(one.low < one.value < one.high or one.value == one.low == 0 for one in made.accuracies.values())
    written = json.loads((tmp_path / "out" / "ifeval.json").read_text())
    assert [row["strict"] for row in written["rows"]] == [[True, False], [False], [False]]
    assert made.by_rule["startend:quotation"].rows == 1


def test_answers_that_were_made_elsewhere_are_scored_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = rows_file(tmp_path / "prompts.jsonl", [task(1, ["punctuation:no_comma"], {})])
    answers = rows_file(tmp_path / "answers.jsonl", [{"prompt": "Prompt 1", "response": "None."}])
    assert evaluate.main(["ifeval", prompts, "--answers", answers]) == 0
    assert "prompt_strict: 1.0000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "arguments", "told"),
    [
        (["punctuation:no_commas"], {}, "did you mean 'punctuation:no_comma'"),
        (["length_constraints:number_words"], {"num_words": 3}, "relation"),
        (["length_constraints:number_words"], {"num_words": 3, "relation": "about"}, "about"),
        (["punctuation:no_comma", "startend:quotation"], {}, "as many"),
    ],
    ids=["unknown", "missing", "relation", "uneven"],
)
def test_a_prompt_that_cannot_be_checked_is_refused_with_its_line(tmp_path: Path, names: list[str], arguments: dict, told: str) -> None:
    prompts = rows_file(tmp_path / "prompts.jsonl", [task(1, ["punctuation:no_comma"], {}), task(2, names, arguments)])
    with pytest.raises(UsageError, match="prompts.jsonl:2") as raised:
        prompts_in(prompts)
    assert told in str(raised.value)


@pytest.mark.parametrize("content", [b"not json\n", b"[1]\n", b"\xff\xfe\n"], ids=["words", "list", "bytes"])
def test_a_file_that_holds_no_rows_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.jsonl").write_bytes(content)
    for read in (prompts_in, answers_in):
        with pytest.raises(UsageError, match="bad.jsonl"):
            read(str(tmp_path / "bad.jsonl"))


def test_a_prompt_without_an_answer_is_named(tmp_path: Path) -> None:
    tasks = prompts_in(rows_file(tmp_path / "prompts.jsonl", [task(7, ["punctuation:no_comma"], {})]))
    with pytest.raises(UsageError, match="7"):
        score(tasks, {})


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data are not on this machine")
def test_all_541_prompts_of_the_paper_are_read_and_answers_that_are_their_prompts_follow_some() -> None:
    tasks = prompts_in(str(SHARED))
    assert len(tasks) == 541 and sum(len(one.instructions) for one in tasks) == 834
    with gzip.open(SHARED, "rt", encoding="utf-8") as file:
        assert json.loads(file.readline())["prompt"] == tasks[0].prompt
    made: Scores = score(tasks, {one.prompt: one.prompt for one in tasks})
    assert 0 < made.accuracies["prompt_strict"].value < made.accuracies["instruction_loose"].value < 1
    assert made.accuracies["prompt_strict"].rows == 541
