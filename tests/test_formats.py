"""Dialects: what a row of each becomes, and the law under which a broken one is refused."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator

import pytest
from conftest import SHARED
from dialect_rows import BAD, GOOD, TREE, flat
from pydantic import TypeAdapter, ValidationError

from curate.formats import DIALECTS, AnyDialect, Dialect, Fields, Refused, Row, read
from curate.formats.laws import LAWS
from curate.rows import SHAPES


def dialect(use: str, **options: object) -> Dialect:
    options = {"by": "better", **options} if use == "pku_saferlhf" else options
    return TypeAdapter(AnyDialect).validate_python({"use": use, **options})


def one(use: str, row: Row, **options: object) -> Fields:
    found = read(dialect(use, **options), [row])
    assert len(found.rows) == 1 and not found.refused
    return found.rows[0]


def reason(use: str, row: Row, **options: object) -> str:
    with pytest.raises(Refused) as refused:
        read(dialect(use, **options), [row])
    return refused.value.reason


def said(turns: list) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in turns]


def ranked(fields: Fields) -> list[tuple[str, int | None]]:
    return [(answer["text"], answer["rank"]) for answer in fields["candidates"]]


def rows_of(name: str) -> list[Row]:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"no {path}")
    text = gzip.open(path, "rt", encoding="utf-8").read() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if ".jsonl" in path.name else [json.loads(text)]


def outcomes(use: str, name: str) -> Counter[str]:
    """What becomes of every row of a real file."""
    found: Counter[str] = Counter()
    for row in rows_of(name):
        try:
            found["kept"] += len(read(dialect(use), [row]).rows)
        except Refused as refused:
            found[refused.reason] += 1
    return found


@pytest.mark.parametrize("use", GOOD)
def test_a_lawful_row_of_every_dialect_becomes_a_row_of_its_shape(use: str) -> None:
    if use == "oasst_messages":
        return  # one message alone is no conversation; its trees are below
    chosen = dialect(use)
    shape = SHAPES[chosen.makes]
    common = set(shape.model_fields) & {"messages", "tools", "prompt", "candidates", "chosen", "rejected", "completion", "label", "text"}
    for fields in read(chosen, [GOOD[use]]).rows:
        assert common <= set(fields)


@pytest.mark.parametrize("use", BAD)
def test_a_row_that_breaks_a_law_is_refused_by_its_name(use: str) -> None:
    change, expected = BAD[use]
    assert reason(use, {**GOOD[use], **change}) == expected


def test_every_dialect_has_a_kept_and_a_dropped_row_here() -> None:
    names = {kind.model_fields["use"].default for kind in DIALECTS}
    assert names == set(GOOD) == set(BAD)


ODD = [None, 5, -1.5, float("nan"), True, "", "[", "\ud800", "[1]", b"\xff", [], [None], [[]], {}, {"a": 1}, [{"role": "user"}]]


def spoilt(value: object) -> Iterator[object]:
    """The value with every part of it, however deep, lost or replaced by something odd."""
    places = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for place in places:
        for other in (*ODD, *spoilt(value[place])):
            changed = value.copy()
            changed[place] = other
            yield changed
        changed = value.copy()
        del changed[place]
        yield changed


@pytest.mark.parametrize("use", GOOD)
def test_a_lost_or_odd_value_is_never_more_than_a_refusal(use: str) -> None:
    chosen, refused = dialect(use), 0
    for row in spoilt(GOOD[use]):
        try:
            read(chosen, [row])
        except Refused as refusal:
            assert refusal.reason in LAWS
            refused += 1
    assert refused


def test_alpaca_puts_system_and_history_before_the_question_and_its_input() -> None:
    turns = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Add.\n\n2 and 3"), ("assistant", "5")]
    assert said(one("alpaca", GOOD["alpaca"])["messages"]) == turns


def test_a_sharegpt_tool_call_becomes_an_assistant_turn_that_calls() -> None:
    call = {"name": "weather", "arguments": {"city": "Porto"}}
    row = {
        "conversations": [
            {"from": "human", "value": "Rain?"},
            {"from": "function_call", "value": json.dumps(call)},
            {"from": "observation", "value": '{"rain": true}'},
            {"from": "gpt", "value": "Yes."},
        ],
        "tools": json.dumps([{"name": "weather", "parameters": {}}]),
    }
    found = one("sharegpt", row)
    assert [turn["role"] for turn in found["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert json.loads(found["messages"][1]["tool_calls"]) == [{"type": "function", "function": call}]
    assert json.loads(found["tools"])[0]["name"] == "weather"


def test_tags_of_the_users_own_are_mapped_and_unknown_ones_refused() -> None:
    row = {"conversations": [{"from": "USER", "value": "Hi"}, {"from": "BOT", "value": "Hello"}]}
    assert reason("sharegpt", row) == "unknown_role"
    assert said(one("sharegpt", row, tags={"USER": "user", "BOT": "assistant"})["messages"]) == [("user", "Hi"), ("assistant", "Hello")]


def test_columns_of_other_names_are_read_under_the_dialects_own() -> None:
    row = {"question": "Hi", "answer": "Hello", "topic": "greeting"}
    found = one("prompt_completion", row, columns={"prompt": "question", "completion": "answer"})
    assert (said(found["messages"]), found["metadata"]) == ([("user", "Hi"), ("assistant", "Hello")], {"topic": "greeting"})


def test_openai_calls_and_their_answers_are_matched_by_id() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Porto"}'}}
    turns = [{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    answered = [*turns, {"role": "tool", "tool_call_id": "c1", "content": "yes"}, {"role": "assistant", "content": "Yes."}]
    found = one("messages", {"messages": answered})["messages"]
    assert found[2]["name"] == "weather"
    assert json.loads(found[1]["tool_calls"])[0]["function"]["arguments"] == {"city": "Porto"}
    answered[2] = {**answered[2], "tool_call_id": "c9"}
    assert reason("messages", {"messages": answered}) == "tool_result_without_call"


def test_no_robots_keeps_its_category_and_not_the_prompt_twice() -> None:
    assert one("no_robots", GOOD["no_robots"])["metadata"] == {"prompt_id": "p1", "category": "Chat"}


def test_a_tree_gives_every_thread_with_the_ranks_of_its_messages() -> None:
    threads = read(dialect("oasst_trees"), [GOOD["oasst_trees"]]).rows
    assert [[turn["content"] for turn in thread["messages"]] for thread in threads] == [
        ["Why is the sea salty?", "Rivers bring salt.", "Since when?", "For ages."],
        ["Why is the sea salty?", "Nobody knows."],
    ]
    assert [thread["metadata"]["ranks"] for thread in threads] == [[None, 1, None, None], [None, 2]]


def test_the_answers_of_a_tree_are_ranked_candidates() -> None:
    found = read(dialect("oasst_trees", make="answers"), [GOOD["oasst_trees"]]).rows
    assert [ranked(fields) for fields in found] == [[("Rivers bring salt.", 1), ("Nobody knows.", 2)], [("For ages.", None)]]
    assert len(found[1]["prompt"]) == 3


def test_flat_messages_of_a_tree_give_the_same_threads_as_the_tree() -> None:
    rows = flat(TREE)
    whole = read(dialect("oasst_trees"), [GOOD["oasst_trees"]]).rows
    assert [thread["messages"] for thread in read(dialect("oasst_messages"), rows).rows] == [thread["messages"] for thread in whole]
    assert len({dialect("oasst_messages").key(row) for row in rows}) == 1


def test_a_thread_with_a_deleted_message_is_left_out_and_counted() -> None:
    tree = json.loads(json.dumps(TREE))
    tree["replies"][1]["deleted"] = True
    found = read(dialect("oasst_trees"), [{**GOOD["oasst_trees"], "prompt": tree}])
    assert (len(found.rows), dict(found.refused)) == (1, {"deleted_turn": 1})
    tree["replies"][1]["message_id"] = "b"
    assert reason("oasst_trees", {"message_tree_id": "a", "prompt": tree}) == "duplicate_message"


def test_a_tree_ten_thousand_deep_is_refused_and_not_followed() -> None:
    node: Row = {"message_id": "0", "text": "x", "role": "prompter", "replies": []}
    for number in range(1, 3_000):
        node = {"message_id": str(number), "text": "x", "role": ("prompter", "assistant")[number % 2], "replies": [node]}
    assert reason("oasst_trees", {"message_tree_id": "a", "prompt": node}) == "broken_tree"


TURN, REPLY, OTHER = ({"role": role, "content": text} for role, text in (("user", "Hi"), ("assistant", "Hello"), ("assistant", "Bye")))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi", "chosen": "Hello", "rejected": "Bye"},
        {"prompt": "Hi", "chosen": [TURN, REPLY], "rejected": [TURN, OTHER]},
        {"prompt": "Hi", "chosen": [REPLY], "rejected": "Bye"},
        {"prompt": [TURN], "chosen": [REPLY], "rejected": [OTHER]},
        {"prompt": [TURN], "chosen": "Hello", "rejected": [TURN, OTHER]},
        {"chosen": [TURN, REPLY], "rejected": [TURN, OTHER]},
        {"question": "Hi", "chosen": "Hello", "rejected": "Bye"},
        {"instruction": "Hi", "input": "", "chosen": "Hello", "rejected": "Bye"},
        {"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": "Hello", "rejected": "Bye"},
        {"conversations": [{"from": "human", "value": "Hi"}], "chosen": {"from": "gpt", "value": "Hello"}, "rejected": {"from": "gpt", "value": "Bye"}},
    ],
)
def test_texts_turns_and_conversations_give_the_same_pair(row: Row) -> None:
    found = one("chosen_rejected", row)
    assert [said(found[name]) for name in ("prompt", "chosen", "rejected")] == [[("user", "Hi")], [("assistant", "Hello")], [("assistant", "Bye")]]


def test_a_pair_that_parts_before_its_last_turn_is_refused() -> None:
    row = {"chosen": [TURN, REPLY, TURN, REPLY], "rejected": [TURN, OTHER, TURN, REPLY]}
    assert reason("chosen_rejected", row) == "diverges_before_last_turn"
    assert reason("chosen_rejected", {"chosen": "Hello", "rejected": "Bye"}) == "no_prompt"
    assert reason("chosen_rejected", {**row, "rejected": row["chosen"], "prompt": "Ho"}) == "no_common_prompt"


@pytest.mark.parametrize(
    ("use", "rest"),
    [
        ("rankings", {"answers": [{"answer": "Bye", "rank": 1.0}]}),
        ("prompt_completion", {"completion": "Hello"}),
        ("kto", {"completion": "Hello", "label": True}),
    ],
)
def test_a_prompt_that_is_a_transcript_becomes_its_turns(use: str, rest: Row) -> None:
    spoken = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Who are you?\n\nAssistant: "
    found = one(use, {"prompt": spoken, **rest})
    turns = found["messages"][:-1] if use == "prompt_completion" else found["prompt"]
    assert said(turns) == [("user", "Hi"), ("assistant", "Hello"), ("user", "Who are you?")]
    quoted = one(use, {"prompt": "Human: what does a transcript end with? Assistant:", **rest})
    assert said(quoted["messages"][:-1] if use == "prompt_completion" else quoted["prompt"])[0][1].startswith("Human: what")


@pytest.mark.parametrize("mark", [{"weight": 0}, {"weight": 0.0}, {"train": False}])
def test_a_conversation_with_an_answer_not_to_be_learnt_is_refused(mark: Row) -> None:
    asked, replied = {"role": "user", "content": "Hi", **mark}, {"role": "assistant", "content": "Hello"}
    assert len(one("messages", {"messages": [asked, {**replied, "weight": 1, "train": True}]})["messages"]) == 2
    assert reason("messages", {"messages": [asked, {**replied, **mark}]}) == "masked_turn"
    assert reason("sharegpt", {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello", **mark}]}) == "masked_turn"
    assert one("kto", {"messages": [asked, {**replied, **mark}], "label": False})["label"] is False


def test_scores_of_both_answers_become_the_margin() -> None:
    assert one("chosen_rejected", {**GOOD["chosen_rejected"], "chosen_score": 8.5, "rejected_score": 6.0})["margin"] == 2.5
    assert one("chosen_rejected", {**GOOD["chosen_rejected"], "chosen_score": 8.5})["margin"] is None


def test_an_overall_ten_that_the_aspects_belie_is_no_rating() -> None:
    first, second = one("ultrafeedback", GOOD["ultrafeedback"])["candidates"]
    assert {r["aspect"]: r["value"] for r in first["ratings"]} == {"honesty": 5.0, "helpfulness": None, "overall": 8.5}
    assert {r["aspect"]: r["value"] for r in second["ratings"]}["overall"] is None


def test_neighbouring_answers_to_one_prompt_are_gathered() -> None:
    rows = [GOOD["helpsteer2"], {**GOOD["helpsteer2"], "response": "Bye", "helpfulness": 0}]
    found = read(dialect("helpsteer2"), rows).rows
    assert [(a["text"], a["ratings"][0]["value"]) for a in found[0]["candidates"]] == [("Hello", 3.0), ("Bye", 0.0)]


def test_the_better_and_the_safer_answer_are_chosen_by_name() -> None:
    row = GOOD["pku_saferlhf"]
    assert one("pku_saferlhf", row, by="better")["chosen"][0]["content"] == "Hello"
    assert one("pku_saferlhf", row, by="safer")["chosen"][0]["content"] == "Bye"
    with pytest.raises(ValidationError):
        TypeAdapter(AnyDialect).validate_python({"use": "pku_saferlhf"})


@pytest.mark.parametrize(("winner", "ranks"), [("model_a", [1, 2]), ("model_b", [2, 1]), ("tie", [1, 1]), ("tie (bothbad)", [1, 1])])
def test_votes_are_ranks_and_ties_are_values(winner: str, ranks: list[int]) -> None:
    found = one("arena", {**GOOD["arena"], "winner": winner})
    assert [rank for _, rank in ranked(found)] == ranks
    assert [answer["ratings"] for answer in found["candidates"]] == [[{"aspect": "acceptable", "value": 0.0}]] * 2 if "bad" in winner else [[], []]
    assert [answer["model"] for answer in found["candidates"]] == ["m1", "m2"]


def test_votes_in_columns_of_their_own_with_texts_as_json_are_read() -> None:
    row = {
        "model_a": "m1", "model_b": "m2", "prompt": '["Hi"]', "response_a": '["Hello"]', "response_b": '["Bye"]',
        "winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0,
    }  # fmt: skip
    assert ranked(one("arena", row)) == [("Hello", 2), ("Bye", 1)]
    assert reason("arena", {**row, "winner_tie": 1}) == "unreadable_label"


def test_other_votes_and_rankings_are_ranks_too() -> None:
    assert ranked(one("two_outputs", GOOD["two_outputs"])) == [("Hello", 2), ("Bye", 1)]
    assert ranked(one("summaries", GOOD["summaries"])) == [("Short.", 2), ("Shorter.", 1)]
    assert ranked(one("rankings", GOOD["rankings"])) == [("Bye", 2), ("Hello", 1)]
    assert ranked(one("rankings", {"prompt": "Hi", "answers": ["a", "b", "c"], "ranks": [1, 2, 2]})) == [("a", 1), ("b", 2), ("c", 2)]
    assert ranked(one("helpsteer2_preference", GOOD["helpsteer2_preference"])) == [("Hello", 1), ("Bye", 2)]


@pytest.mark.parametrize(("label", "expected"), [(True, True), ("false", False), (0, False), ("1", True)])
def test_a_truth_value_is_read_in_its_usual_spellings(label: object, expected: bool) -> None:
    assert one("kto", {**GOOD["kto"], "label": label})["label"] is expected


@pytest.mark.parametrize("use", ["alpaca", "sharegpt", "messages", "prompt_completion", "chosen_rejected", "kto", "document"])
def test_a_row_written_in_its_dialect_reads_back_as_the_same_row(use: str) -> None:
    found = one(use, GOOD[use])
    written = dialect(use).from_row(found)
    again = one(use, json.loads(json.dumps(written)))
    assert {**again, "metadata": {}} == {**found, "metadata": {}}


def test_a_dialect_that_cannot_say_all_of_a_row_refuses_to_write_it() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": "[]", "name": None}
    with pytest.raises(Refused, match="not_in_dialect"):
        dialect("alpaca").from_row({"messages": [call], "tools": None})


@pytest.mark.parametrize(
    ("use", "name", "expected"),
    [
        ("sharegpt", "instruct/conversation.json", {"kept": 1}),
        ("sharegpt", "instruct/conversation.missingturns.json", {"empty_turn": 1}),
        ("sharegpt", "instruct/glaive_toolcall_en_sharegpt.jsonl.gz", {"kept": 300}),
        ("sharegpt", "instruct/vicuna_identity_sharegpt.jsonl.gz", {"kept": 500}),
        ("chosen_rejected", "instruct/dpo_en_demo_A.jsonl.gz", {"kept": 150}),
        ("kto", "instruct/kto_en_demo_A.jsonl.gz", {"kept": 137}),
        ("hh_rlhf", "pref/hh_harmless_test_A.jsonl.gz", {"kept": 1158, "empty_turn": 3, "diverges_before_last_turn": 2}),
        ("prometheus", "pref/hhh_alignment_221.jsonl.gz", {"kept": 221}),
        ("two_outputs", "pref/llmbar_419.jsonl.gz", {"kept": 419}),
    ],
)
def test_every_row_of_a_real_file_is_kept_or_refused_by_name(use: str, name: str, expected: dict[str, int]) -> None:
    assert outcomes(use, name) == expected


@pytest.mark.parametrize(
    ("use", "row"),
    [
        ("messages", {"messages": '[{"role": "user", "content": "Hi", "content": "Ho"}, {"role": "assistant", "content": "Hello"}]'}),
        ("xlam", {**GOOD["xlam"], "answers": '[{"name": "rain", "arguments": {"city": "Porto", "city": "Lisboa"}}]'}),
        ("xlam", {**GOOD["xlam"], "tools": '[{"name": "rain", "name": "wind"}]'}),
    ],
)
def test_a_text_of_json_that_names_a_key_twice_loses_neither_value_in_silence(use: str, row: Row) -> None:
    assert reason(use, row) == "duplicate_key"
