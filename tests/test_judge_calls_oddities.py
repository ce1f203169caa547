"""What real endpoints answer beside the plain case: each odd reply is read, or ends in its reason with what to set instead."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from judge_stages import JUDGE, run, table
from loopback import Server, running
from mix_artifacts import Row, candidates
from pydantic import ValidationError

from curate.config import StoppedError, UsageError
from curate.judges.endpoint import ChatModel
from curate.judges.parse import pairwise_json, pairwise_letter, pairwise_line
from curate.judges.replies import Raw, read


def message(content: object, finish: str = "stop", logprobs: object = None, **more: object) -> str:
    """The body of a completion with this message."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **more}, "finish_reason": finish, "logprobs": logprobs}
    return json.dumps({"choices": [choice], "model": "m", "usage": {"prompt_tokens": 5, "completion_tokens": 2}})


def tokens(*said: str, verdict: int = -1) -> dict:
    """Log-probabilities of these tokens; the verdict might have been B, the others nothing else."""
    plain = [{"token": token, "logprob": -0.1, "bytes": list(token.encode())} for token in said]
    content = [{**one, "top_logprobs": [one]} for one in plain]
    content[verdict]["top_logprobs"] = [{"token": "A", "logprob": -0.5, "bytes": [65]}, {"token": "B", "logprob": -1.0, "bytes": None}]
    return {"content": content}


@pytest.mark.parametrize(
    "body",
    [
        message("<think>\nLet me see.\nVerdict: A\n</think>\n\nVerdict: B"),
        message("The template opened it. Verdict: A</think>Verdict: B"),
        message("[THINK]Verdict: A[/THINK]Verdict: B"),
        message("Verdict: B", reasoning_content="Verdict: A"),
        message([{"type": "thinking", "thinking": [{"type": "text", "text": "Verdict: A"}]}, {"type": "text", "text": "Verdict: B"}]),
        message([{"type": "text", "text": "Ver"}, {"type": "text", "text": "dict: B"}]),
        message("**Veredito:** B"),
    ],
)
def test_what_a_model_thinks_to_itself_is_no_part_of_its_reply(body: str) -> None:
    assert pairwise_line(read(Raw(200, body)).text).label == "second"


def test_an_answer_that_speaks_of_such_marks_is_kept_whole() -> None:
    said = "Models write <think> before and </think> after their thoughts."
    assert read(Raw(200, message(said))).text == said


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        (message("<think>and so on", "length"), "cut_before_text"),
        (message(None, "length", reasoning_content="and so on"), "cut_before_text"),
        (message("<think>and that is all"), "empty_reply"),
        (message("", tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]), "called_a_tool"),
        (message(None, "content_filter"), "content_filter"),
        (message([]), "empty_reply"),
        (message([{"type": "image_url"}, "text"]), "empty_reply"),
        ('data: {"choices": [{"delta": {"content": "A"}}]}\n\ndata: [DONE]\n', "streamed_reply"),
        ("<!doctype html><title>Open WebUI</title>", "malformed_reply"),
        ("Ollama is running", "malformed_reply"),
        ('{"error": "model is loading"}', "malformed_reply"),
        ("[]", "malformed_reply"),
    ],
)
def test_a_reply_without_a_text_has_its_reason(body: str, failed: str) -> None:
    assert read(Raw(200, body)).failed == failed


@pytest.mark.parametrize(
    ("logprobs", "more"),
    [
        (tokens("A"), {}),
        (tokens("<think>", "A", " or", " B", "</think>", "\n\n", "A"), {}),
        (tokens("A", " user", " asks", "A"), {"reasoning_content": "A user asks"}),
        (tokens("\n", "A", "<|eot_id|>", verdict=1), {}),
    ],
)
def test_log_probabilities_are_those_of_the_verdict_and_not_of_the_thought(logprobs: dict, more: dict) -> None:
    found = pairwise_letter(read(Raw(200, message("A", logprobs=logprobs, **more))).positions)
    assert found.logit == pytest.approx(0.5)


def test_a_server_that_lists_no_alternatives_tells_the_token_itself() -> None:
    content = [{"token": "A", "logprob": -0.05, "top_logprobs": []}]
    found = pairwise_letter(read(Raw(200, message("A", logprobs={"content": content}))).positions)
    assert found.label == "first" and found.flags == ("floored",)
    content[0]["top_logprobs"] = [{"token": "A", "logprob": -0.05}, {"token": "B", "logprob": None}]
    assert pairwise_letter(read(Raw(200, message("A", logprobs={"content": content}))).positions).label == "first"


@pytest.mark.parametrize("said", ["Veredito: A melhor é a B", "A melhor é a B", "Veredito: A\nVeredito: B", "Eu escolho a resposta A."])
def test_a_verdict_that_is_not_plain_is_unreadable_in_any_language(said: str) -> None:
    assert pairwise_line(said).label == "unreadable"


@pytest.mark.parametrize(("said", "label"), [("empate", "tie"), ("tie", "tie"), ("A", "first"), ("B", "second"), ("nenhuma", "unreadable")])
def test_a_json_verdict_in_a_fence_is_read_in_either_language(said: str, label: str) -> None:
    fenced = f"```json\n{json.dumps({'verdict': said}, ensure_ascii=False)}\n```"
    assert pairwise_json(fenced).label == label


NO_TEMPERATURE = "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
COMPLAINTS = [
    ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "max_tokens_name: max_com"),
    (NO_TEMPERATURE, "temperature: null"),
    ("System role not supported", "principles: null"),
    ("Invalid value for 'top_logprobs': must be at most 5", "fewer `logprobs`"),
    ("seed: Extra inputs are not permitted", "seed: null"),
    ("'response_format' of type 'json_schema' is not supported", "structured: false"),
    ("max_tokens is too large: 9000. This model supports at most 4096 completion tokens", "a smaller `max_tokens`"),
]


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(("said", "instead"), COMPLAINTS)
def test_a_refused_field_is_told_with_what_to_set_instead(status: int, said: str, instead: str) -> None:
    found = read(Raw(status, json.dumps({"error": {"message": said}})))
    assert (found.failed, found.final) == ("bad_request", True) and found.detail.startswith(f"{status} set ") and instead in found.detail


@pytest.mark.parametrize(
    ("status", "body", "failed", "told"),
    [
        (404, {"detail": "Not Found"}, "model_not_found", "ends in /v1"),
        (404, {"error": "model 'x' not found, try pulling it first"}, "model_not_found", "model 'x' not found"),
        (403, {"error": {"code": "model_not_found", "message": "The project has no access to model `x`"}}, "model_not_found", "no access"),
        (403, {"error": {"message": "Country, region, or territory not supported"}}, "key_refused", "Country"),
        (413, {}, "context_too_long", "413"),
        (400, {"error": {"message": "The input token count (9000) exceeds the maximum number of tokens allowed (8192)."}}, "context_too_long", "9000"),
        (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096"}, "context_too_long", "4096"),
        (422, {"detail": [{"loc": ["body", "x"], "msg": "field required"}]}, "bad_request", "field required"),
        (429, {"error": {"message": "Too many tokens a minute", "code": "rate_limit_exceeded"}}, "rate_limited", "minute"),
        (529, {"error": {"message": "Overloaded"}}, "server_error", "Overloaded"),
    ],
)
def test_an_error_says_what_the_endpoint_said(status: int, body: dict, failed: str, told: str) -> None:
    found = read(Raw(status, json.dumps(body)))
    assert found.failed == failed and told in found.detail and len(found.detail) <= 200


@pytest.mark.parametrize("extra", [{"n": 3}, {"temperature": 0}, {"stream": True}, {"top_logprobs": 5}, {"messages": []}])
def test_a_further_field_that_has_a_setting_of_its_own_is_refused(extra: dict) -> None:
    with pytest.raises(ValidationError, match=f"`{next(iter(extra))}`"):
        ChatModel(endpoint="e", model="m", extra=extra)
    assert ChatModel(endpoint="e", model="m", extra={"stream": False}).parameters(None, 0)["stream"] is False


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """A server that gives every request the same answer; its base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    with running(server):
        yield f"http://127.0.0.1:{server.server_port}/v1"


def rows(count: int = 3) -> list[Row]:
    return [candidates("p", number, [{"text": f"One {number}."}, {"text": f"Two {number}."}]) for number in range(count)]


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (400, json.dumps({"error": {"message": NO_TEMPERATURE}}), StoppedError, "bad_request 6: 400 set `temperature: null`"),
        (404, '{"detail": "Not Found"}', StoppedError, "model_not_found 6: 404 no such model, or no such address"),
        (200, 'data: {"choices": []}\n\n', StoppedError, "streamed_reply 6: 200 the endpoint streams"),
        (200, "<html>", StoppedError, "malformed_reply 6: 200 no chat completion .a base URL mostly ends in /v1.: <html>"),
        (401, '{"error": {"message": "bad key"}}', UsageError, "the API key was refused; set a valid CURATE_ENDPOINT_JUDGE_KEY"),
        (403, '{"error": {"message": "Country not supported"}}', UsageError, "refused .403 Country not supported."),
        (402, "{}", StoppedError, "its quota is used up; add credit"),
    ],
)
def test_a_stage_that_can_have_no_reply_ends_in_one_line(tmp_path: Path, status: int, body: str, error: type[Exception], said: str) -> None:
    with answering(status, body) as url, pytest.raises(error, match=said) as caught:
        run("judge", {"use": "pairwise", "judges": [JUDGE]}, table(tmp_path, "p", rows(), "candidates"), tmp_path / "j", url, tries=2)
    assert "\n" not in str(caught.value)


def test_replies_that_state_no_tokens_are_warned_of(tmp_path: Path) -> None:
    body = json.dumps({**json.loads(message("A")), "usage": None})
    with answering(200, body) as url:
        made = run("judge", {"use": "pairwise", "judges": [JUDGE]}, table(tmp_path, "p", rows(), "candidates"), tmp_path / "j", url)
    assert any("6 replies state no `usage`" in warning for warning in made.receipt.report["warnings"])
