"""The generate stage against a simulated model: answers, texts made of documents, critiques and revisions."""

import json
from pathlib import Path

import pytest
from judge_asking import until
from judge_server import running
from judge_stages import as_given, run, table
from judge_stages import running as running_stage
from mix_artifacts import candidates, conversation, document, preference, said
from pydantic import TypeAdapter

from curate.config import StoppedError, UsageError
from curate.judges.prompts import constitution_path, load_constitution
from curate.stages.asked import Read
from curate.stages.calls_ahead import calls
from curate.stages.generate import Generate
from curate.stages.generate_answers import answer_calls
from curate.stages.generate_chat import prompt_of

MODEL = {"endpoint": "judge", "model": "writer-a", "max_tokens": 400}


def test_every_prompt_gets_its_answers_from_all_models_in_turn(tmp_path: Path) -> None:
    source = table(tmp_path, "c", [conversation("c", number) for number in range(8)], "conversation")
    models = [MODEL, {**MODEL, "model": "writer-b", "temperature": 0.3}]
    with running(tmp_path / "s") as server:
        made = run("generate", {"use": "answers", "models": models, "answers": 4}, source, tmp_path / "g", server.url)
        assert len(server.entries()) == 32
    for row in made.data().collect().to_dicts():
        assert sorted(one["model"] for one in row["candidates"]) == ["writer-a"] * 2 + ["writer-b"] * 2
        assert len({one["text"] for one in row["candidates"]}) == 4  # draws of one model differ
        assert [turn["role"] for turn in row["prompt"]] == ["user"]
    assert made.receipt.report["simulated"] is True


def test_each_answer_has_a_principle_of_its_own_and_the_row_names_it(tmp_path: Path) -> None:
    source = table(tmp_path, "d", [document("d", number) for number in range(6)], "document")
    with running(tmp_path / "s") as server:
        made = run("generate", {"use": "answers", "models": [MODEL], "answers": 3}, source, tmp_path / "g", server.url)
    known = {one.name for one in load_constitution(constitution_path("answer_principles"))}
    drawn = [json.loads(row["metadata"])["principles"] for row in made.data().collect().to_dicts()]
    assert all(len(set(names.values())) == 3 and set(names.values()) <= known for names in drawn)
    assert len({tuple(names.values()) for names in drawn}) > 1


def test_a_system_turn_of_the_prompt_stays_below_the_principle(tmp_path: Path) -> None:
    row = candidates("p", 1, [{"text": "Old."}])
    row["prompt"] = [said("system", "Speak Latin."), said("user", "Greet me.")]
    with running(tmp_path / "s") as server:
        source = table(tmp_path, "p", [row], "candidates")
        made = run("generate", {"use": "answers", "models": [MODEL], "answers": 1}, source, tmp_path / "g", server.url)
    assert made.data().collect().to_dicts()[0]["prompt"] == row["prompt"]


def test_rows_without_a_prompt_are_dropped_by_name(tmp_path: Path) -> None:
    blank, unanswered, unasked = conversation("c", 1, asked=" "), conversation("c", 2), conversation("c", 4)
    unanswered["messages"] = [said("user", "Add."), {**said("assistant", ""), "tool_calls": CALLS}, said("tool", "4"), said("assistant", "4.")]
    unasked["messages"] = [said("user", "Add."), {**said("assistant", ""), "tool_calls": "[]"}, said("tool", "4"), said("assistant", "4.")]
    with running(tmp_path / "s") as server:
        source = table(tmp_path, "c", [blank, unanswered, unasked, conversation("c", 3)], "conversation")
        made = run("generate", {"use": "answers", "models": [MODEL], "answers": 1}, source, tmp_path / "g", server.url)
    assert made.receipt.counts.dropped == {"generate.no_prompt": 1, "generate.unmatched_tool_turns": 2}


CALLS = json.dumps(
    [
        {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}},
        {"id": "x", "type": "function", "function": {"name": "say", "arguments": {"text": "olá"}}},
    ]
)
TOOLS = json.dumps([{"name": "add", "parameters": {}}, {"type": "function", "function": {"name": "say"}}])


def with_tools() -> dict:
    row = conversation("c", 1)
    answers = [{**said("tool", "said"), "name": "say"}, said("tool", "3")]
    turns = [said("system", "Be brief."), said("user", "Add 1 and 2."), {**said("assistant", "Let me see."), "tool_calls": CALLS}, *answers]
    return {**row, "messages": [*turns, said("assistant", "It is 3.")], "tools": TOOLS}


def test_calls_and_answers_of_tools_are_sent_to_the_model_and_stay_in_the_prompt(tmp_path: Path) -> None:
    row = with_tools()
    with running(tmp_path / "s") as server:
        source = table(tmp_path, "c", [row], "conversation")
        made = run("generate", {"use": "answers", "models": [MODEL], "answers": 2}, source, tmp_path / "g", server.url)
    answered = made.data().collect().to_dicts()[0]
    assert answered["prompt"] == row["messages"][:-1] and len(answered["candidates"]) == 2
    stage = TypeAdapter(Generate).validate_python({"use": "answers", "models": [MODEL], "answers": 1, "principles": None})
    for shape, again in (("conversation", row), ("candidates", answered)):  # what is answered once can be answered again
        request = answer_calls(stage, again, prompt_of(shape, again))[0][0].request
        assert [message["role"] for message in request["messages"]] == ["system", "user", "assistant", "tool", "tool"]
        assert request["messages"][2]["tool_calls"] == [
            {"id": "call_2_0", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}},
            {"id": "x", "type": "function", "function": {"name": "say", "arguments": '{"text": "olá"}'}},
        ]
        assert [message["tool_call_id"] for message in request["messages"][3:]] == ["x", "call_2_0"]
        assert [tool["function"]["name"] for tool in request["tools"]] == ["add", "say"] and request["tool_choice"] == "none"


def test_a_critic_sees_what_was_called(tmp_path: Path) -> None:
    row = {**candidates("p", 1, [{"text": "It is 3."}]), "prompt": with_tools()["messages"][:-1]}
    stage = TypeAdapter(Generate).validate_python({"use": "revise", "models": [MODEL], "rounds": 1})
    shown = next(calls(stage, "candidates", lambda: iter([Read(row, 0, "f", 0)]))).messages[-1]["content"]
    assert f"assistant: Let me see.\ntool_calls: {CALLS}\n\ntool say: said\n\ntool: 3" in shown


def test_answers_that_fail_are_counted_and_a_row_without_any_is_dropped(tmp_path: Path) -> None:
    source = table(tmp_path, "c", [conversation("c", number) for number in range(30)], "conversation")
    with running(tmp_path / "s", faults={"refusal": 0.5}) as server:
        made = run("generate", {"use": "answers", "models": [MODEL], "answers": 2}, source, tmp_path / "g", server.url)
    counts, report = made.receipt.counts, made.receipt.report
    answers = sum(len(row["candidates"]) for row in made.data().collect().to_dicts())
    assert counts.read == 30 == counts.kept + counts.dropped["generate.refused"]
    assert answers + report["missing"]["refused"] == 60
    assert report["bill"]["judge"]["tokens_out"] > 0


def test_a_model_that_is_not_there_stops_the_stage_long_before_its_end(tmp_path: Path) -> None:
    rows = [conversation("c", number) for number in range(1_000)]
    block = {"use": "answers", "models": [MODEL], "answers": 1}
    with running(tmp_path / "s", models=["writer-b"]) as server:
        with pytest.raises(StoppedError, match="100 of 100 calls failed .model_not_found 100: 404 The model `writer-a` does not exist"):
            run("generate", block, table(tmp_path, "c", rows, "conversation"), tmp_path / "g", server.url)
        assert len(server.entries()) < 1_000
        some = table(tmp_path, "d", rows[:120], "conversation")
        made = run("generate", {**block, "max_failed": 1.0}, some, tmp_path / "h", server.url)
    assert made.receipt.counts.dropped == {"generate.model_not_found": 120}


def test_an_answer_cut_at_its_limit_is_no_answer(tmp_path: Path) -> None:
    source = table(tmp_path, "c", [conversation("c", 1)], "conversation")
    with running(tmp_path / "s") as server:
        made = run("generate", {"use": "answers", "models": [{**MODEL, "max_tokens": 2}], "answers": 2}, source, tmp_path / "g", server.url)
    assert made.receipt.counts.dropped == {"generate.cut_at_max_tokens": 1}


def test_texts_made_of_a_document_keep_where_they_came_from(tmp_path: Path) -> None:
    rows = [document("d", number) for number in range(4)]
    with running(tmp_path / "s") as server:
        block = {"use": "write", "models": [MODEL], "prompt": "document_textbook.en", "words": {"audience": "children"}, "texts": 2}
        made = run("generate", block, table(tmp_path, "d", rows, "document"), tmp_path / "g", server.url)
    found = made.data().collect().to_dicts()
    assert [row["origins"] for row in found] == [rows[number // 2]["origins"] for number in range(8)]
    assert len({row["id"] for row in found}) == 8 and made.receipt.counts.expanded == {"texts_of_one": 4}
    assert json.loads(found[0]["metadata"])["snippet"] == rows[0]["text"]


def test_revisions_go_back_to_their_answer_round_by_round(tmp_path: Path) -> None:
    source = table(tmp_path, "c", [conversation("c", number) for number in range(3)], "conversation")
    with running(tmp_path / "s") as server:
        answered = run("generate", {"use": "answers", "models": [MODEL], "answers": 1}, source, tmp_path / "g", server.url)
        made = run("generate", {"use": "revise", "models": [MODEL], "rounds": 2}, as_given(answered), tmp_path / "r", server.url)
        assert len(server.entries()) == 3 + 3 * 4
    for row in made.data().collect().to_dicts():
        kinds = [one["kind"] for one in row["candidates"]]
        parents = [one["parent"] for one in row["candidates"]]
        ids = [one["id"] for one in row["candidates"]]
        assert kinds == ["answer", "critique", "revision", "critique", "revision"]
        assert parents == [None, ids[0], ids[0], ids[2], ids[2]]


def test_a_kill_changes_no_byte_of_what_is_generated(tmp_path: Path) -> None:
    source = table(tmp_path, "d", [document("d", number) for number in range(60)], "document")
    block = {"use": "answers", "models": [MODEL], "answers": 3}
    with running(tmp_path / "s0") as server:
        whole = run("generate", block, source, tmp_path / "whole" / "g", server.url)
    with running(tmp_path / "s1", latency_s=0.05) as server:
        places = {"source": str(source.artifact.path), "directory": str(tmp_path / "cut" / "g"), "url": server.url}
        settings = {"stage": "generate", "block": block, **places}
        process = running_stage(tmp_path, **settings)
        until(lambda: server.count() >= 60)
        process.kill()
        process.wait()
        process = running_stage(tmp_path, **settings)
        assert process.wait() == 0, process.stderr.read()
        assert len(server.entries()) <= 180 + 16
    for name in ("data/train-00000.parquet", "ledger/00000.parquet"):
        assert (tmp_path / "cut" / "g" / name).read_bytes() == (whole.path / name).read_bytes(), name


def test_a_stage_refuses_rows_of_another_shape(tmp_path: Path) -> None:
    source = table(tmp_path, "h", [preference("h", 1)], "preference")
    with pytest.raises(UsageError, match="preference rows"):
        run("generate", {"use": "revise", "models": [MODEL]}, source, tmp_path / "g", "http://127.0.0.1:9/v1")


def test_no_key_is_written_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-live-0123456789abcdef"
    monkeypatch.setenv("CURATE_ENDPOINT_JUDGE_KEY", key)
    source = table(tmp_path, "c", [conversation("c", 1)], "conversation")
    with running(tmp_path / "s", api_key=key) as server:
        run("generate", {"use": "answers", "models": [MODEL], "answers": 1}, source, tmp_path / "g", server.url)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path / "s"]
    assert written and not [path for path in written if key.encode() in path.read_bytes()]
