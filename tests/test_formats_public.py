"""Public datasets: each is guessed rightly, and each row of it is used or dropped for the reason that is true."""

import json
from collections import Counter
from itertools import islice

import pytest
from public_conversations import CONVERSATIONS, DOCUMENTS, THOUGHT, TOOLS, Public
from public_preferences import PREFERENCES, REFUSED
from pydantic import TypeAdapter
from test_formats import one, reason, spoilt

from curate.config import UsageError
from curate.formats import AnyDialect, Fields, Refused, read, together
from curate.formats.guess import guess

PUBLIC: dict[str, Public] = {**CONVERSATIONS, **TOOLS, **DOCUMENTS, **PREFERENCES}


def ingested(name: str) -> tuple[list[Fields], Counter[str]]:
    """The rows that a dataset gives under its guessed dialect, and how many of its rows are dropped by which law."""
    public = PUBLIC[name]
    dialect = guess(public.rows, name).dialect
    rows: list[Fields] = []
    dropped: Counter[str] = Counter()
    for group in together(public.rows, lambda row: dialect.key(dialect.renamed(row))):
        try:
            rows += read(dialect, group).rows
        except Refused as refused:
            dropped[refused.reason] += len(group)
    return rows, dropped


def first(name: str) -> Fields:
    return ingested(name)[0][0]


def said(turns: list) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in turns]


def ranks(name: str) -> list[list[int | None]]:
    return [[answer["rank"] for answer in fields["candidates"]] for fields in ingested(name)[0]]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_dataset_is_known_by_its_columns_and_every_row_is_accounted_for(name: str) -> None:
    public = PUBLIC[name]
    assert guess(public.rows, name).dialect.name == public.use
    rows, dropped = ingested(name)
    assert dict(dropped) == public.dropped
    assert len(rows) == (1 if name == "oasst1" else len(public.rows) - sum(dropped.values()))


@pytest.mark.parametrize("name", REFUSED)
def test_a_dataset_that_could_be_misread_is_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(UsageError, match="set `format:|format: {use: pku_saferlhf") as told:
        guess(REFUSED[name], name)
    if name == "ultrafeedback_binarized":
        assert "messages: columns" in str(told.value) and "chosen_rejected: columns" in str(told.value)


def test_a_refusal_tells_which_column_makes_more_of_a_question_and_an_answer() -> None:
    with pytest.raises(UsageError, match="beside is_safe; where they are, set .* columns: {prompt: prompt, completion: response}}"):
        guess(REFUSED["BeaverTails"], "rows")
    with pytest.raises(UsageError, match="a label for every step"):
        guess(REFUSED["PRM800K"], "rows")
    plain = TypeAdapter(AnyDialect).validate_python({"use": "prompt_completion", "columns": {"prompt": "prompt", "completion": "response"}})
    assert said(read(plain, REFUSED["BeaverTails"]).rows[0]["messages"]) == [("user", "Hi"), ("assistant", "Hello")]


def test_system_texts_come_from_whatever_column_holds_them() -> None:
    assert said(ingested("OpenOrca")[0][1]["messages"])[0] == ("system", "You are an AI assistant.")
    assert said(first("Llama-Nemotron")["messages"])[0] == ("system", "detailed thinking on")
    assert said(first("OpenThoughts-114k")["messages"])[0] == ("system", "Your role as an assistant")
    assert said(first("smoltalk2")["messages"])[0] == ("system", "Be brief.")
    assert [turn["role"] for turn in ingested("OpenHermes-2.5")[0][1]["messages"]] == ["system", "user", "assistant"]
    assert said(first("distilabel-intel-orca")["prompt"]) == [("system", "Be kind."), ("user", "Hi")]
    assert first("UltraFeedback")["metadata"]["system_prompts"] == ["Be honest.", "Be brief."]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("UltrachatBR", ["Olá, tudo bem?", "D'ouro.\nSim."]),
        ("Capybara", ["Hi", "Hello", "Why?", "So."]),
        ("LIMA", ["Hi", "Hello"]),
        ("GPTeacher", ["Sort.\n\n3 1", "1 3"]),
        ("Aya", ["Qual é a capital?", "Lisboa."]),
        ("perguntas", ["Qual é a capital?", "Lisboa."]),
        ("DeepScaleR", ["2+2?", "It is $4$."]),
        ("WildChat-1M", ["Oi", "Olá"]),
        ("OpenR1-Math-220k", ["2+2?", THOUGHT]),
    ],
)
def test_turns_are_read_from_whatever_way_they_are_written(name: str, texts: list[str]) -> None:
    assert said(first(name)["messages"]) == [(("user", "assistant")[place % 2], text) for place, text in enumerate(texts)]


def test_calls_and_tools_are_read_from_transcripts_and_from_json() -> None:
    glaive, plain = (fields for fields in ingested("glaive-function-calling-v2")[0])
    assert [turn["role"] for turn in glaive["messages"]] == ["system", "user", "assistant", "tool", "assistant", "user", "assistant"]
    assert json.loads(glaive["messages"][2]["tool_calls"])[0]["function"] == {"name": "rain", "arguments": {"city": "D'ouro"}}
    assert glaive["messages"][0]["content"].endswith("Use them if required") and json.loads(glaive["tools"]) == [{"name": "rain"}]
    assert plain["tools"] is None and said(plain["messages"])[1:] == [("user", "Hi"), ("assistant", "Hello")]
    xlam = first("xlam-function-calling-60k")
    assert json.loads(xlam["messages"][1]["tool_calls"])[0]["function"]["arguments"] == {"city": "Porto"} and "rain" in xlam["tools"]


def test_a_call_written_into_the_text_stays_there_and_may_be_answered() -> None:
    for name, text in (("hermes-function-calling-v1", "<tool_call>"), ("ToolACE", "[Market Trends API(")):
        turns = first(name)["messages"]
        assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "tool", "assistant"]
        assert turns[2]["content"].startswith(text) and turns[2]["tool_calls"] is None


def test_votes_scores_and_ties_become_ranks_ratings_and_margins() -> None:
    assert ranks("SHP") == [[1, 2], [2, 1]]
    assert [answer["ratings"] for answer in first("SHP")["candidates"]] == [[{"aspect": "score", "value": 10.0}], [{"aspect": "score", "value": 4.0}]]
    assert ranks("webgpt_comparisons") == [[1, 2], [1, 1]]
    assert ranks("chatbot_arena_conversations") == [[2, 1], [1, 1], [1, 1]]
    assert ranks("HelpSteer2 preference") == [[1, 1]] and ranks("HelpSteer3") == [[1, 2]]
    assert said(first("HelpSteer3")["prompt"]) == [("user", "Oi"), ("assistant", "Olá"), ("user", "E?")]
    margins = ("preference_700K", "distilabel-capybara-dpo", "ultrafeedback-binarized-preferences", "ultrafeedback-binarized-preferences-cleaned")
    assert [first(name)["margin"] for name in margins] == [2.5, 2.0, 2.0, 2.0]


def test_a_vote_on_the_first_turn_is_on_the_first_answers() -> None:
    judged = first("mt_bench_human_judgments")
    assert said(judged["prompt"]) == [("user", "Hi")] and [answer["text"] for answer in judged["candidates"]] == ["Hello", "Bye"]


def test_addresses_dates_languages_and_ids_go_where_they_are_looked_for() -> None:
    found = first("FineWeb")
    assert (found["url"], found["date"], found["language"], found["language_score"]) == ("https://example.org/", "2024-02-21T01:02:03Z", "en", 0.98)
    assert found["metadata"]["id"] == "<urn:uuid:1>" and "url" not in found["metadata"]
    assert first("C4")["date"] == "2023-04-09T00:02:53+00:00" and first("CulturaX")["date"] == "2019/01/23"
    assert first("datatrove")["url"] == "https://example.org/" and first("datatrove")["metadata"]["license"] == "MIT"
    assert (first("Common Corpus")["date"], first("Common Corpus")["metadata"]["date"]) == (None, 1884.0)
    assert first("Aya")["metadata"]["language_code"] == "por" and first("Llama-Nemotron")["metadata"]["license"] == "cc-by-4.0"


def test_a_column_that_repeats_a_turn_is_not_kept_beside_it() -> None:
    assert first("UltraChat-200k")["metadata"] == {"prompt_id": "f0"}
    assert not {"instruction", "response"} & set(first("Magpie")["metadata"]) and first("Magpie")["metadata"]["language"] == "PT"
    assert first("OpenR1-Math-220k")["metadata"]["solution"] == "4."
    row = {"prompt": "another", "messages": PUBLIC["UltraChat-200k"].rows[0]["messages"]}
    assert read(guess([row], "rows").dialect, [row]).rows[0]["metadata"] == {"prompt": "another"}


def test_the_evidence_names_the_columns_of_the_file() -> None:
    told = {name: guess(PUBLIC[name].rows, name).evidence for name in ("OpenOrca", "GPTeacher", "LMSYS-chat-1M")}
    assert "columns question as prompt, response as completion, system_prompt in 3 of 3 rows" in told["OpenOrca"]
    assert "columns instruction and input as prompt, response as completion" in told["GPTeacher"]
    assert told["LMSYS-chat-1M"].startswith("messages: columns conversation as messages in 2 of 2 rows, 1 keep its laws, 1 not_ending")


def test_no_lost_or_odd_value_makes_a_guess_or_a_reading_fail() -> None:
    refused = 0
    for name, public in PUBLIC.items():
        dialect = guess(public.rows, name).dialect
        for row in islice(spoilt(public.rows[0]), 0, None, 5):
            try:
                guess([row], name)
                read(dialect, [row])
            except (UsageError, Refused):
                refused += 1
    assert refused > len(PUBLIC)


def test_a_thought_beside_the_text_is_refused_written_or_left_out_as_asked() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello", "thinking": "Greet."}]
    assert reason("messages", {"messages": turns}) == "thought_beside_text"
    assert said(one("messages", {"messages": turns}, thoughts="tags")["messages"])[1][1] == "<think>\nGreet.\n</think>\n\nHello"
    assert said(one("messages", {"messages": turns}, thoughts="leave_out")["messages"])[1][1] == "Hello"
    turns[1]["content"] = "<think>Greet.</think>Hello"
    assert said(one("messages", {"messages": turns})["messages"])[1][1] == "<think>Greet.</think>Hello"
