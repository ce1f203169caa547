"""Prompts as stages use them: with reasons first or without, in text or JSON, and what is said of one that does not fit."""

import json
from pathlib import Path

import pytest
from judge_server import running
from judge_stages import JUDGE, run, table
from mix_artifacts import candidates, conversation, document, preference
from pydantic import TypeAdapter, ValidationError

from curate.agree import agree
from curate.config import UsageError
from curate.judges import parse
from curate.stages.asked import Read
from curate.stages.generate import Revise, Write
from curate.stages.judge import Judge
from curate.stages.judge_questions import Question, questions
from curate.stages.judge_units import judged

WRITTEN = {**JUDGE, "logprobs": 0}
USES = ["pairwise", "constitutional", "pointwise", "rubric", "documents", "ranking", "factuality"]


def asked(use: str, **settings: object) -> list[Question]:
    """What a stage asks of one row."""
    stage = TypeAdapter(Judge).validate_python({"use": use, **settings})
    answers = candidates("p", 1, [{"text": "One."}, {"text": "Two."}])
    row = document("d", 1) if use == "documents" else {**answers, "metadata": json.dumps({"snippet": "Facts."})}
    return questions(stage, judged("document" if use == "documents" else "candidates", Read(row, 0, "f", 0)))


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("rationale", [True, False])
def test_reasons_come_first_only_where_they_are_wanted(use: str, rationale: bool) -> None:
    for judge in (WRITTEN, {**WRITTEN, "structured": True}):
        found = asked(use, judges=[judge], rationale=rationale)
        assert found
        for question in found:
            words = question.call.messages[-1]["content"]
            assert any(sign in words for sign in ("First ", '"rationale"')) is rationale
            if judge.get("structured"):
                schema = question.call.request["response_format"]["json_schema"]["schema"]
                assert ("rationale" in schema["properties"]) is rationale and schema["required"] == list(schema["properties"])


@pytest.mark.parametrize("structured", [False, True])
def test_ratings_without_reasons_are_read(tmp_path: Path, structured: bool) -> None:
    rows = [candidates("p", 1, [{"text": "Good."}, {"text": "Bad."}])]
    block = {"use": "pointwise", "rationale": False, "judges": [{**WRITTEN, "structured": structured}]}
    with running(tmp_path / "s", utilities={"Good.": 2.0, "Bad.": -2.0}) as server:
        made = run("judge", block, table(tmp_path, "p", rows, "candidates"), tmp_path / "j", server.url)
    good, bad = (answer["ratings"][0]["value"] for answer in made.data().collect()["candidates"][0])
    assert good > bad


@pytest.mark.parametrize("rationale", [True, False])
def test_facts_are_checked_by_json_too(tmp_path: Path, rationale: bool) -> None:
    row = {**candidates("f", 1, [{"text": "Right."}, {"text": "Wrong."}]), "metadata": json.dumps({"snippet": "A fact."})}
    block = {"use": "factuality", "rationale": rationale, "judges": [{**WRITTEN, "structured": True}]}
    with running(tmp_path / "s", utilities={"Right.": 1.0, "Wrong.": -1.0}) as server:
        made = run("judge", block, table(tmp_path, "f", [row], "candidates"), tmp_path / "j", server.url)
    assert [answer["ratings"][0]["value"] for answer in made.data().collect()["candidates"][0]] == [1.0, 0.0]


@pytest.mark.parametrize("reply", ['{"verdict": "right"}', '{"verdict": ["correct"]}', "Verdict: correct", '{"verdict": "correct", "verdict": "open"}'])
def test_a_check_by_json_is_read_strictly(reply: str) -> None:
    assert parse.verdict_json(reply, ["correct", "open"]) is None
    assert parse.verdict_json('{"rationale": "x", "verdict": "correct"}', ["correct", "open"]) == "correct"


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"use": "pairwise", "prompt": "pointwise.en"}, "no ending 'letter'"),
        ({"use": "pairwise", "prompt": "pointwise.en", "rationale": True}, "nothing is given for {middle}"),
        ({"use": "pointwise", "aspects": {"overall": "edu_quality.pt"}}, "nothing is given for {document}"),
        ({"use": "constitutional", "constitution": "constituion.pt"}, "did you mean 'constitution.pt'"),
        ({"use": "ranking", "prompt": "factuality_verdict.en"}, "nothing is given for {snippet}"),
    ],
)
def test_a_prompt_of_another_task_is_named_before_any_work(block: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TypeAdapter(Judge).validate_python({**block, "judges": [WRITTEN]})


SCALES = [
    ("Grade it with a number from 1 to 5.", False),
    ("Rate the answer 1-5 please.", False),
    ("Dê uma nota entre 0 e 5.", False),
    ("Avalie com um número inteiro de 1 até 7.", False),
    ("Grade it with a number from 1 to 10.", True),
    ("Dê uma nota de 1 a 10.", True),
    ("Rate it in 2-3 sentences, then say a number.", True),
    ("A number from 1 to 5 for each fault, and then a grade from 1 to 10.", True),
    ("Rate 2 - 3 faults, then a number from {low} to {high}.", True),
    ("In 1 to 3 words, how good is it?", True),
]


@pytest.mark.parametrize(("text", "fits"), SCALES)
def test_a_prompt_that_states_another_scale_is_refused(tmp_path: Path, text: str, fits: bool) -> None:
    path = tmp_path / "mine.md"
    path.write_text(f"---\ntask: rating\nlanguage: en\nendings: {{line: 'Rating: {{middle}}'}}\n---\n{{prompt}} {{answer}} {text} {{ending}}\n", encoding="utf-8")
    block = {"use": "pointwise", "aspects": {"mine": str(path)}, "judges": [WRITTEN]}
    if fits:
        assert asked(**block)
    else:
        with pytest.raises(ValidationError, match="the scale is 1 to 10; set `low` and `high`"):
            asked(**block)


@pytest.mark.parametrize("name", ["pointwise.en", "pointwise.pt"])
@pytest.mark.parametrize("rationale", [True, False])
def test_a_shipped_prompt_says_the_scale_that_is_set(name: str, rationale: bool) -> None:
    (first, *_) = asked("pointwise", aspects={"overall": name}, low=0, high=7, rationale=rationale, judges=[WRITTEN])
    said = first.call.messages[-1]["content"]
    assert ("from 0 to 7" in said or "de 0 a 7" in said) and "Rating: 4" in said and "10" not in said


def test_a_shipped_rubric_holds_for_its_own_scale_only() -> None:
    with pytest.raises(ValidationError, match="asks for 1 to 5, and the scale is 1 to 10"):
        asked("rubric", high=10, judges=[WRITTEN])
    with pytest.raises(ValidationError, match="asks for 0 to 5, and the scale is 1 to 5"):
        TypeAdapter(Judge).validate_python({"use": "documents", "aspects": {"edu": "edu_quality.pt"}, "low": 1, "judges": [WRITTEN]})


def test_a_prompt_that_cannot_be_filled_writes_nothing(tmp_path: Path) -> None:
    model = {"endpoint": "writer", "model": "w"}
    with pytest.raises(ValidationError, match="{document}, {audience}"):
        Write(models=[model], prompt="document_textbook.pt")
    (tmp_path / "mine.md").write_text("---\ntask: text\nlanguage: pt\n---\nEscreva algo.\n", encoding="utf-8")
    with pytest.raises(ValidationError, match="left are: none"):
        Write(models=[model], prompt=str(tmp_path / "mine.md"))
    with pytest.raises(ValidationError, match="critique"):
        Revise(models=[model], revision="critique.pt")


def test_a_selection_that_proves_nothing_warns(tmp_path: Path) -> None:
    rows = [preference("h", number) for number in range(20)]
    with running(tmp_path / "s") as server:
        block = {"use": "pairwise", "judges": [JUDGE], "select": {}}
        made = run("judge", block, table(tmp_path, "h", rows, "preference"), tmp_path / "j", server.url)
    assert made.receipt.counts.dropped == {"judge.under_selection": 20}
    assert made.receipt.report["select"]["sentence"] in made.receipt.report["warnings"]
    with pytest.raises(UsageError, match="keeps no row"):
        agree(made.path, made.path)


def test_a_broken_line_among_labels_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    good = json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"})
    path.write_text(f'{good}\n\n{good}\n{{"prompt": "half \\ud800"}}\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"labels\.jsonl:4: no JSON"):
        agree(path, path)


def test_a_prompt_saved_on_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "meu.md"
    text = "---\r\ntask: pairwise\r\nlanguage: pt\r\nendings: {letter: Só A ou B.}\r\n---\r\n{prompt} {answer_a} {answer_b} {ending}\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    (first, *_) = asked("pairwise", judges=[WRITTEN], prompt=str(path))
    assert first.call.messages[-1]["content"].endswith("Só A ou B.")


def test_active_choice_works_with_a_judge_that_gives_no_log_probabilities(tmp_path: Path) -> None:
    row = candidates("p", 1, [{"text": f"Answer {number}."} for number in range(5)])
    truth = {answer["text"]: 3.0 * number for number, answer in enumerate(row["candidates"])}
    with running(tmp_path / "s", utilities=truth) as server:
        block = {"use": "pairwise", "judges": [WRITTEN], "active": 0.8}
        made = run("judge", block, table(tmp_path, "p", [row], "candidates"), tmp_path / "j", server.url)
        assert len(server.entries()) == 16
    ranks = [answer["rank"] for answer in made.data().collect()["candidates"][0]]
    assert ranks[-1] == 1 and ranks[0] == 5


def test_a_run_says_when_many_texts_were_cut(tmp_path: Path) -> None:
    rows = [conversation("c", number) for number in range(8)]
    short, long = ({"endpoint": "judge", "model": "w", "max_tokens": most} for most in (1, 1000))
    with running(tmp_path / "s") as server:
        block = {"use": "answers", "answers": 2, "models": [short, long]}
        made = run("generate", block, table(tmp_path, "c", rows, "conversation"), tmp_path / "g", server.url)
    assert made.receipt.report["missing"] == {"cut_at_max_tokens": 8} and made.receipt.counts.kept == 8
    assert any("8 texts of 16 calls are missing: cut_at_max_tokens 8; raise" in warning for warning in made.receipt.report["warnings"])
