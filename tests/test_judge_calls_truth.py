"""From a programmed judge through prompt, server, caller and parser: what comes out is what was put in."""

import asyncio
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from judge_server import running
from judge_truth import Truth

from curate.judges.caller import Caller
from curate.judges.calls import Call, Reply
from curate.judges.endpoint import ChatModel, Endpoint
from curate.judges.order import in_order
from curate.judges.parse import (
    Choice,
    pairwise_json,
    pairwise_letter,
    pairwise_line,
    pairwise_schema,
    ranking_json,
    ranking_line,
    ranking_schema,
    rating_json,
    rating_line,
    rating_schema,
    verdict_line,
)
from curate.judges.prompts import load_prompt, prompt_path

ANSWERS = [f"Answer number {number}" + " and more" * (number % 5) + "." for number in range(12)]
PAIRS = [(one, other) for place, one in enumerate(ANSWERS) for other in ANSWERS[place + 1 :]]
BOTH = PAIRS + [(other, one) for one, other in PAIRS]


def model(**fields: object) -> ChatModel:
    return ChatModel(**{"endpoint": "judge", "model": "m", "temperature": 0, "max_tokens": 60, **fields})


def pairwise(ending: str, *, language: str = "en", **fields: object) -> list[Call]:
    """Each pair in both orders: first all as they are, then all swapped."""
    prompt = load_prompt(prompt_path(f"pairwise.{language}"))
    data = [{"prompt": "Say something.", "answer_a": a, "answer_b": b} for a, b in BOTH]
    return [Call(model(**fields), prompt.messages(one, ending=ending), prompt.hash, schema=pairwise_schema()) for one in data]


def replies(folder: Path, calls: list[Call], **judge: object) -> list[Reply]:
    """What a judge with these faults replies."""

    async def asked(url: str) -> list[Reply]:
        async with Caller({"judge": Endpoint(url=url)}, folder / "calls.sqlite", "run") as caller:
            return [reply async for reply in in_order(calls, caller.ask)]

    with running(folder / "server", judges={"m": judge}) as server:
        return asyncio.run(asked(server.url))


def letters(folder: Path, **judge: object) -> list[Choice]:
    return [pairwise_letter(reply.positions) for reply in replies(folder, pairwise("letter", logprobs=20), **judge)]


def gap(pair: tuple[str, str]) -> float:
    truth = Truth({})
    return truth.utility(pair[0]) - truth.utility(pair[1])


def test_logits_of_both_orders_cancel_a_position_bias(tmp_path: Path) -> None:
    choices = letters(tmp_path, slope=2.0, position=1.0, missing=0.1)
    for pair, shown, swapped in zip(PAIRS, choices[: len(PAIRS)], choices[len(PAIRS) :], strict=True):
        assert (shown.logit - swapped.logit) / 2 == pytest.approx(2.0 * gap(pair), abs=1e-6)
        assert (shown.logit + swapped.logit) / 2 == pytest.approx(1.0, abs=1e-6)
        assert shown.missing_mass == pytest.approx(0.1, abs=1e-6)


def test_rounded_and_cut_log_probabilities_are_read_with_their_flags(tmp_path: Path) -> None:
    rounded = letters(tmp_path / "rounded", logprobs="rounded")
    assert all(abs(choice.logit - 1.5 * gap(pair)) <= 0.2 for choice, pair in zip(rounded, BOTH, strict=True))
    cut = letters(tmp_path / "cut", logprobs="top2", slope=4.0)
    assert {flag for choice in cut for flag in choice.flags} == {"floored"}
    assert all((choice.logit > 0) == (gap(pair) > 0) for choice, pair in zip(cut, BOTH, strict=True))
    assert not any(reply.positions for reply in replies(tmp_path / "off", pairwise("letter", logprobs=20), logprobs="off"))


@pytest.mark.parametrize("language", ["en", "pt"])
@pytest.mark.parametrize(("ending", "read"), [("line", pairwise_line), ("json", pairwise_json)])
def test_written_and_structured_verdicts_name_the_better_answer(
    tmp_path: Path, language: str, ending: str, read: Callable[[str], Choice]
) -> None:
    calls = pairwise(ending, language=language, structured=ending == "json")
    choices = [read(reply.text) for reply in replies(tmp_path, calls, tie=0.5)]
    expected = ["tie" if abs(1.5 * gap(pair)) < 0.5 else "first" if gap(pair) > 0 else "second" for pair in BOTH]
    assert [choice.label for choice in choices] == expected and {"tie", "first", "second"} == set(expected)
    assert all(choice.rationale for choice in choices)


def test_a_length_bias_and_a_bias_that_grows_with_the_difference_do_what_they_are_called(tmp_path: Path) -> None:
    longer = [(len(a.split()) - len(b.split())) / 100 for a, b in BOTH]
    for choice, pair, more in zip(letters(tmp_path / "length", length=3.0), BOTH, longer, strict=True):
        assert choice.logit == pytest.approx(1.5 * gap(pair) + 3 * more, abs=1e-6)
    for choice, pair, more in zip(letters(tmp_path / "growing", position_by_length=3.0), BOTH, longer, strict=True):
        assert choice.logit == pytest.approx(1.5 * gap(pair) + 3 * abs(more), abs=1e-6)


def test_a_cyclic_judge_prefers_in_a_circle(tmp_path: Path) -> None:
    choices = letters(tmp_path, cyclic=True)
    better = {pair for pair, choice in zip(BOTH, choices, strict=True) if choice.logit > 0}
    assert any((a, b) in better and (b, c) in better and (c, a) in better for a, b in BOTH for c in ANSWERS)


def test_a_judge_likes_what_its_own_model_wrote(tmp_path: Path) -> None:
    write = load_prompt(prompt_path("document_questions.en"))
    prompt = load_prompt(prompt_path("pairwise.en"))

    async def asked(url: str) -> float:
        async with Caller({"judge": Endpoint(url=url)}, tmp_path / "calls.sqlite", "run") as caller:
            document = write.messages({"document": "Rivers carry sand to the sea."})
            own = await caller.ask(Call(model(), document, write.hash))
            other = await caller.ask(Call(model(model="n"), document, write.hash))
            data = {"prompt": "Ask.", "answer_a": own.text, "answer_b": other.text}
            judged = [Call(model(model=name, logprobs=20), prompt.messages(data, ending="letter"), prompt.hash) for name in ("m", "o")]
            logits = [pairwise_letter((await caller.ask(call)).positions).logit for call in judged]
            return logits[0] - logits[1]

    with running(tmp_path / "server", judges={name: {"slope": 0.1, "self_preference": 1.5} for name in "mo"}) as server:
        assert asyncio.run(asked(server.url)) == pytest.approx(1.5, abs=1e-6)


def test_a_drifting_judge_changes_while_it_is_asked() -> None:
    prompt = load_prompt(prompt_path("pairwise.en"))
    truth = Truth({"judges": {"m": {"drift": 1.0}}})
    call = Call(model(logprobs=20), prompt.messages({"prompt": "Go.", "answer_a": "Yes.", "answer_b": "No."}, ending="letter"), prompt.hash)
    early, late = (dict(truth.say(call.request, served).top) for served in (0, 1000))
    assert (late["A"] - late["B"]) - (early["A"] - early["B"]) == pytest.approx(1.0)


@pytest.mark.parametrize("structured", [False, True])
def test_ratings_and_rankings_follow_the_utility(tmp_path: Path, structured: bool) -> None:
    rate, rank = load_prompt(prompt_path("pointwise.en")), load_prompt(prompt_path("ranking.en"))
    ending = "json" if structured else "line"
    judge = model(structured=structured)
    scale = {"low": 1, "middle": 6, "high": 10}
    calls = [Call(judge, rate.messages({"prompt": "Go.", "answer": text}, scale, ending), rate.hash, 0, rating_schema(1, 10)) for text in ANSWERS]
    listed = rank.messages({"prompt": "Go.", "answer": ANSWERS}, {"count": len(ANSWERS)}, ending)
    *rated, ranked = replies(tmp_path, [*calls, Call(judge, listed, rank.hash, 0, ranking_schema())])
    best_first = sorted(range(len(ANSWERS)), key=lambda number: -Truth({}).utility(ANSWERS[number]))
    values = [(rating_json if structured else rating_line)(reply.text, 1, 10).value for reply in rated]
    assert [values[number] for number in best_first] == sorted(values, reverse=True) and len(set(values)) > 3
    ranks = (ranking_json if structured else ranking_line)(ranked.text, len(ANSWERS)).ranks
    assert [ranks[number] for number in best_first] == list(range(1, len(ANSWERS) + 1))


def test_a_factual_reply_is_called_correct_by_its_utility(tmp_path: Path) -> None:
    prompt = load_prompt(prompt_path("factuality_verdict.en"))
    calls = [Call(model(), prompt.messages({"snippet": "S.", "question": "Q?", "reply": text}, ending="line"), prompt.hash) for text in ANSWERS]
    said = [verdict_line(reply.text, ("correct", "incorrect")) for reply in replies(tmp_path, calls)]
    assert said == ["correct" if Truth({}).utility(text) > 0 else "incorrect" for text in ANSWERS]


def test_a_drawn_verdict_comes_out_as_often_as_its_probability_says(tmp_path: Path) -> None:
    prompt = load_prompt(prompt_path("pairwise.en"))
    messages = prompt.messages({"prompt": "Go.", "answer_a": ANSWERS[0], "answer_b": ANSWERS[1]}, ending="letter")
    calls = [Call(model(temperature=1.0), messages, prompt.hash, draw) for draw in range(300)]
    share = sum(reply.text == "A" for reply in replies(tmp_path, calls)) / 300
    probability = 1 / (1 + math.exp(-1.5 * gap((ANSWERS[0], ANSWERS[1]))))
    assert abs(share - probability) < 4 * math.sqrt(probability * (1 - probability) / 300)
