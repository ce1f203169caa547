"""Replies that come in pieces: read, billed and journalled as the completion that they make, or tried again where they break off."""

import json
from pathlib import Path

import pytest
from judge_answering import answering
from judge_asking import MODEL, ask, endpoint, question
from judge_server import running
from judge_stages import JUDGE, run, table, verdicts
from mix_artifacts import candidates

from curate.judges.budget import Spent
from curate.judges.calls import Reply
from curate.judges.journal import Journal
from curate.judges.parse import pairwise_letter
from curate.judges.replies import Raw, Reading, read
from curate.judges.streams import is_stream, whole

USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def piece(content: object = None, finish: str | None = None, logprobs: object = None, **more: object) -> dict:
    """A chunk with this delta."""
    delta = {name: value for name, value in {"content": content, **more}.items() if value is not None}
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}]}


def stream(*chunks: dict | str, end: str = "data: [DONE]\n\n") -> str:
    """Chunks as events; a text stands as it is."""
    return "".join(one if isinstance(one, str) else f"data: {json.dumps(one, ensure_ascii=False)}\n\n" for one in chunks) + end


TOLD = {"id": "c", "choices": [], "usage": USAGE}
PLAIN = stream(piece("", role="assistant"), piece("Sim"), piece(", é A."), piece(finish="stop"), TOLD)


def reading(text: str) -> Reading:
    made = whole(text)
    assert made is not None
    return read(Raw(200, made))


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        ": PROCESSING\n\n" + PLAIN.replace("\n\n", "\n\n: ping\n\n"),
        "\ufeff" + PLAIN,
        PLAIN.replace("data: ", "event: message\nid: 7\ndata:"),
        PLAIN.removesuffix("\n\n"),
        PLAIN.removesuffix("data: [DONE]\n\n"),
        stream(piece("Sim", usage=None), {**piece(", é A.", "stop"), "usage": USAGE}),
        stream(piece("Sim"), {"choices": [{"delta": {"content": ", é A."}, "finish_reason": "stop", "usage": USAGE}]}),
        stream(piece("Sim"), piece("nothing") | {"choices": [{"index": 1, "delta": {"content": "Não"}}]}, piece(", é A.", "stop"), TOLD),
        stream('data: {"choices": [{"delta":\ndata: {"content": "Sim"}}]}\n\n', piece(", é A.", "stop"), TOLD),
    ],
)
def test_pieces_make_the_reply_that_would_have_come_whole(text: str) -> None:
    assert is_stream(text)
    found = reading(text)
    assert (found.failed, found.text, found.finish, found.tokens_in, found.tokens_out) == (None, "Sim, é A.", "stop", 5, 3)


def test_marks_that_json_may_hold_bare_part_no_line() -> None:
    assert reading(stream(piece("one\u2028two\x85three"), piece(finish="stop"))).text == "one\u2028two\x85three"


def test_what_a_model_thinks_in_pieces_is_no_part_of_its_reply() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "B?"}]}
    assert reading(stream(piece([thinking]), piece("A", "stop"))).text == "A"
    assert reading(stream(piece(reasoning_content="B?"), piece("A", "stop"))).text == "A"
    assert reading(stream(piece(reasoning_content="B?"), piece("", "length"))).failed == "cut_before_text"
    assert reading(stream(piece(tool_calls=[{"index": 0, "id": "t"}]), piece(finish="tool_calls"))).failed == "called_a_tool"
    assert reading(stream(piece(refusal="I can"), piece(refusal="not."), piece(finish="stop"))).detail == "I cannot."


def test_log_probabilities_are_gathered_chunk_by_chunk() -> None:
    listed = [{"token": "A", "logprob": -0.5}, {"token": "B", "logprob": -1.0}]
    blank, letter = {"token": "\n", "logprob": -0.1, "top_logprobs": []}, {"token": "A", "logprob": -0.5, "top_logprobs": listed}
    found = reading(stream(piece("\n", logprobs={"content": [blank]}), piece("A", "stop", {"content": [letter]})))
    assert pairwise_letter(found.positions).logit == pytest.approx(0.5)


@pytest.mark.parametrize(
    "text",
    [
        stream(piece("Sim"), end=""),
        stream(piece("Sim"), end='data: {"choices": [{"delta": {"content": ", é'),
        ": ping\n\n",
        "data:",
    ],
)
def test_a_stream_that_breaks_off_is_no_reply(text: str) -> None:
    assert is_stream(text) and whole(text) is None


def test_an_error_in_mid_stream_is_the_reply() -> None:
    broken = stream(piece("Sim"), {**piece(finish="error"), "error": {"code": 502, "message": "Provider disconnected"}}, TOLD)
    found = reading(broken)
    assert (found.failed, found.final, found.text, found.tokens_out) == ("server_error", False, None, 3)
    assert "Provider disconnected" in found.detail
    assert reading(stream(piece("Sim"), piece(finish="error"))).failed == "server_error"


def test_a_stream_of_another_service_is_no_chat_completion() -> None:
    other = 'event: message_start\ndata: {"type": "message_start"}\n\nevent: message_stop\ndata: {"type": "message_stop"}\n\n'
    assert reading(other).failed == "malformed_reply"


@pytest.mark.parametrize("body", ['{"choices": []}', "  \n{}", "<html>", "Ollama is running", "[]", ""])
def test_what_is_no_stream_is_left_as_it_is(body: str) -> None:
    assert not is_stream(body)


def asked(folder: Path, *bodies: str, **fields: object) -> tuple[Reply, Spent, list[tuple[int, str]]]:
    """The reply to one call, what the run spent, and the journal's attempts."""
    call = question("Which?", MODEL.model_copy(update={"extra": {"stream": True}}))
    with answering(200, *bodies, headers={"Content-Type": "text/event-stream; charset=utf-8"}) as url:
        replies, caller = ask(folder, [call], endpoint(url, **fields))
    book = Journal(folder / "calls.sqlite", "run")
    attempts, sums = book.attempts(call.key), book.sums()
    book.close()
    spent = caller.spent["judge"]
    assert [(one.calls, one.tokens_in, one.tokens_out) for one in sums] == [(spent.calls, spent.tokens_in, spent.tokens_out)]
    return replies[0], spent, attempts


def test_a_streamed_reply_is_billed_and_journalled_as_a_whole_one(tmp_path: Path) -> None:
    reply, spent, attempts = asked(tmp_path, PLAIN)
    assert (reply.failed, reply.text, reply.model) == (None, "Sim, é A.", "m")
    assert (spent.calls, spent.tokens_in, spent.tokens_out) == (1, 5, 3)
    assert [json.loads(body)["choices"][0]["message"]["content"] for _, body in attempts] == ["Sim, é A."]


def test_a_stream_that_breaks_off_is_asked_again_and_may_have_been_billed(tmp_path: Path) -> None:
    reply, spent, attempts = asked(tmp_path, stream(piece("Sim"), end=""), PLAIN)
    assert reply.text == "Sim, é A." and spent.calls == 2
    assert [status for status, _ in attempts] == [0, 200]


def test_one_that_always_breaks_off_ends_as_a_counted_reason(tmp_path: Path) -> None:
    reply, spent, _ = asked(tmp_path, stream(piece("Sim"), end=""), tries=3)
    assert (reply.failed, spent.calls) == ("connection_cut", 3)


def test_a_key_that_a_stream_repeats_in_parts_is_blotted_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_ENDPOINT_JUDGE_KEY", "Verysecretkey")
    reply, _, attempts = asked(tmp_path, stream(piece("Very"), piece("secretkey"), piece(finish="stop")))
    assert reply.text == "[key]" and "secretkey" not in attempts[0][1]


def test_a_judge_that_only_streams_gives_the_labels_of_one_that_answers_whole(tmp_path: Path) -> None:
    rows = [candidates("p", number, [{"text": f"One {number}."}, {"text": f"Two {number}."}]) for number in range(10)]
    source, found = table(tmp_path, "p", rows, "candidates"), []
    for extra in ({}, {"stream": True, "stream_options": {"include_usage": True}}):
        folder = tmp_path / f"{len(found)}"
        with running(folder / "s", faults={"cut": 0.1, "http_500": 0.1}, judges={"judge-a": {"position": 1.0}}) as server:
            made = run("judge", {"use": "pairwise", "judges": [{**JUDGE, "extra": extra}]}, source, folder / "j", server.url, tries=20)
            billed = [entry["usage"]["total_tokens"] for entry in server.entries() if entry["billed"]]
        found.append(verdicts(made).select("row_id", "order", "label", "logit", "tokens_in", "tokens_out"))
        # A reply that was cut stated its tokens after the cut, or not at all.
        assert sum(found[-1]["tokens_in"]) + sum(found[-1]["tokens_out"]) <= sum(billed)
    assert found[0].equals(found[1]) and found[0]["logit"].null_count() == 0
