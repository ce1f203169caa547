"""What real endpoints answer beside the plain case: each odd reply is read, or ends in its reason with what to set instead."""

import json
from pathlib import Path

import pytest
from judge_answering import answering
from judge_stages import JUDGE, run, table, verdicts
from mix_artifacts import Row, candidates
from pydantic import ValidationError

from curate.config import StoppedError, UsageError
from curate.judges.endpoint import ChatModel
from curate.judges.journal import Attempt, Journal
from curate.judges.parse import pairwise_json, pairwise_letter, pairwise_line
from curate.judges.replies import Raw, read
from curate.judges.retry import asked_wait


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


def test_three_lists_side_by_side_are_log_probabilities_too() -> None:
    """Together's form, which vLLM and llama-cpp-python had before."""
    lists = {"tokens": ["A", "<|eot|>"], "token_logprobs": [-0.5, -0.1], "top_logprobs": [{"A": -0.5, "B": -1.0}, None]}
    assert pairwise_letter(read(Raw(200, message("A", logprobs=lists))).positions).logit == pytest.approx(0.5)
    del lists["top_logprobs"]
    found = pairwise_letter(read(Raw(200, message("A", logprobs=lists))).positions)
    assert found.label == "first" and found.flags == ("floored",)
    assert read(Raw(200, message("A", logprobs={**lists, "tokens": 3}))).positions == ()


@pytest.mark.parametrize("finish", ["error", "insufficient_system_resource", "abort", "network_error"])
def test_a_reply_that_the_endpoint_broke_off_is_no_answer(finish: str) -> None:
    found = read(Raw(200, message("Verdict: A", finish)))
    assert (found.failed, found.final, found.text, found.tokens_out) == ("server_error", False, None, 2) and finish in found.detail
    body = json.loads(message(""))
    body["choices"][0]["error"] = {"code": 502, "message": "Upstream idle timeout"}
    assert read(Raw(200, json.dumps(body))).detail == "502 Upstream idle timeout"


def test_a_text_that_met_the_models_own_limit_is_a_cut_one() -> None:
    assert [read(Raw(200, message("Because", finish))).finish for finish in ("length", "model_length", "MAX_TOKENS")] == ["length"] * 3
    assert read(Raw(200, '{"choices": [{"finish_reason": "length"}]}')).failed == "cut_before_text"


@pytest.mark.parametrize("finish", ["content_filter", "SAFETY", "content_filter: PROHIBITED_CONTENT", "sensitive"])
def test_what_a_filter_took_away_is_no_answer_whatever_it_is_called(finish: str) -> None:
    assert read(Raw(200, message("Verdict: A", finish))).failed == "content_filter"
    assert read(Raw(200, json.dumps({"choices": [{"finish_reason": finish}]}))).failed == "content_filter"


def test_thoughts_that_stand_in_the_sum_alone_are_paid_for(tmp_path: Path) -> None:
    body = json.loads(message("A"))
    body["usage"] = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 60}
    found = read(Raw(200, json.dumps(body)))
    assert (found.tokens_in, found.tokens_out) == (5, 55)
    book = Journal(tmp_path / "calls.sqlite", "run")
    book.add_all([Attempt(b"k", "e", "m", 200, json.dumps(body)), Attempt(b"l", "e", "m", 200, message("A"))])
    assert [(one.tokens_in, one.tokens_out) for one in book.sums()] == [(10, 57)]
    book.close()


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
    ('{"detail":[{"type":"extra_forbidden","loc":["body","max_completion_tokens"],"msg":"Extra inputs"}]}', "max_tokens_name: max_tokens"),
    ("'max_completion_tokens' is not supported by this server", "max_tokens_name: max_tokens"),
    ("parameter.enable_thinking must be set to false for non-streaming calls", "stream: true"),
    ("This model only support stream mode, please enable the stream parameter to access the model.", "stream: true"),
    ("enable thinking can not be support when `stream=False`.", "stream: true"),
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
        (200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"}, "model_not_found", "ends in /v1"),
        (400, {"error": {"message": "No models loaded. Please load a model."}}, "model_not_found", "No models loaded"),
        (400, {"error": {"message": "Invalid model name passed in model=x."}}, "model_not_found", "Invalid model name"),
        (403, {"error": {"code": "model_not_found", "message": "The project has no access to model `x`"}}, "model_not_found", "no access"),
        (403, {"error": {"message": "Country, region, or territory not supported"}}, "key_refused", "Country"),
        (413, {}, "context_too_long", "413"),
        (400, {"error": {"message": "The input token count (9000) exceeds the maximum number of tokens allowed (8192)."}}, "context_too_long", "9000"),
        (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096"}, "context_too_long", "4096"),
        (422, {"detail": [{"loc": ["body", "x"], "msg": "field required"}]}, "bad_request", "field required"),
        (429, {"error": {"message": "Too many tokens a minute", "code": "rate_limit_exceeded"}}, "rate_limited", "minute"),
        (529, {"error": {"message": "Overloaded"}}, "server_error", "Overloaded"),
        (498, {"error": {"message": "Flex tier capacity exceeded"}}, "server_error", "capacity"),
        (424, {"error": "Request failed during generation", "error_type": "generation"}, "server_error", "during generation"),
        (400, [{"error": {"code": 400, "message": "Unknown name \"seed\":\nCannot find field."}}], "bad_request", "`seed: null`: Unknown"),
        (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}], "key_refused", "not valid"),
        (403, {"error": {"code": 403, "message": "Your input was flagged", "metadata": {"reasons": ["x"]}}}, "content_filter", "flagged"),
        (403, {"code": "No permission", "error": "Content violates usage guidelines. Failed check: X"}, "content_filter", "usage guidelines"),
        (400, {"error": {"message": "Content Exists Risk", "code": "invalid_request_error"}}, "content_filter", "Risk"),
        (400, {"error": {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}}, "content_filter", "Input"),
        (400, {"error": {"code": "400", "message": "litellm.ContentPolicyViolationError: AzureException"}}, "content_filter", "Azure"),
        (400, {"error": {"code": "invalid_prompt", "message": "Invalid prompt"}}, "content_filter", "Invalid prompt"),
        (400, {"error": {"code": 400, "message": "Provider returned error", "metadata": {"raw": "logprobs: no"}}}, "bad_request", "`logprobs`, or 0"),
        (400, {"error": {"code": "json_validate_failed", "message": "Failed to generate JSON."}}, "malformed_reply", "generate JSON"),
        (400, {"error": {"code": "tool_use_failed", "message": "Tool choice is none"}}, "called_a_tool", "Tool choice"),
        (400, {"error": {"code": "400", "type": "budget_exceeded", "message": "Budget has been exceeded!"}}, "quota_used_up", "Budget"),
        (429, {"error": {"type": "exceeded_current_quota_error", "message": "please check your plan"}}, "quota_used_up", "plan"),
    ],
)
def test_an_error_says_what_the_endpoint_said(status: int, body: dict | list, failed: str, told: str) -> None:
    found = read(Raw(status, json.dumps(body)))
    assert found.failed == failed and told in found.detail and len(found.detail) <= 200 and "\n" not in found.detail


def test_a_page_in_place_of_an_error_is_told_on_one_line() -> None:
    found = read(Raw(503, "<html>\n<h1>503 Service Temporarily\n Unavailable</h1>\n"))
    assert (found.failed, found.final, found.detail) == ("server_error", False, "503 <html> <h1>503 Service Temporarily Unavailable</h1>")


def test_a_wait_that_stands_in_the_body_alone_is_heeded() -> None:
    body = '[{"error": {"code": 429, "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]}}]'
    assert asked_wait({}, body=body) == 34.5
    assert asked_wait({"retry-after": "2"}, body=body) == 2.0
    assert asked_wait({}, body='{"error": "retryDelay"}') is None


@pytest.mark.parametrize("extra", [{"n": 3}, {"temperature": 0}, {"top_logprobs": 5}, {"messages": []}])
def test_a_further_field_that_has_a_setting_of_its_own_is_refused(extra: dict) -> None:
    with pytest.raises(ValidationError, match=f"`{next(iter(extra))}`"):
        ChatModel(endpoint="e", model="m", extra=extra)
    assert ChatModel(endpoint="e", model="m", extra={"stream": False}).parameters(None, 0)["stream"] is False


def rows(count: int = 3) -> list[Row]:
    return [candidates("p", number, [{"text": f"One {number}."}, {"text": f"Two {number}."}]) for number in range(count)]


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (400, json.dumps({"error": {"message": NO_TEMPERATURE}}), StoppedError, "bad_request 6: 400 set `temperature: null`"),
        (404, '{"detail": "Not Found"}', StoppedError, "model_not_found 6: 404 no such model, or no such address"),
        (200, 'data: {"choices": []}\n\n', StoppedError, "malformed_reply 6: 200 no chat completion: it has no choices"),
        (200, "<html>", StoppedError, "malformed_reply 6: 200 no chat completion .a base URL mostly ends in /v1.: <html>"),
        (400, '[{"error": {"code": 400, "message": "API key not valid."}}]', UsageError, "the API key was refused; set a valid"),
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


def test_log_probabilities_that_do_not_come_are_told_and_the_letter_counts(tmp_path: Path) -> None:
    block, source = {"use": "pairwise", "judges": [JUDGE]}, table(tmp_path, "p", rows(), "candidates")
    with answering(200, message("A")) as url:
        made = run("judge", block, source, tmp_path / "without" / "j", url)
    assert any("6 replies of model 'judge-a' hold no log-probabilities" in warning for warning in made.receipt.report["warnings"])
    assert verdicts(made)["label"].to_list() == ["first"] * 6
    with answering(200, message("A", logprobs=tokens("A"))) as url:
        made = run("judge", block, source, tmp_path / "with" / "j", url)
    assert not any("no log-probabilities" in warning for warning in made.receipt.report["warnings"])
