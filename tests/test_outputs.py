"""Outputs: what each format makes of a row of each shape, what it refuses by name, and that nothing is lost on the way back."""

import json

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from output_rows import CALLING, CANDIDATES, CONVERSATION, DOCUMENT, FEEDBACK, NAMES, PREFERENCE, output, said, turn
from pydantic import TypeAdapter

from curate.config import UsageError
from curate.formats import AnyDialect, Fields, Refused, read
from curate.formats.laws import broken_turns
from curate.outputs import holds_tools, interleaved, needs_tools, pattern, table, weight_ranges
from curate.outputs.output import PROVENANCE
from curate.rows import SHAPES, arrow_schema

ROWS = {"conversation": CONVERSATION, "preference": PREFERENCE, "feedback": FEEDBACK, "candidates": CANDIDATES, "document": DOCUMENT}


def refusal(use: str, shape: str, row: dict, **options: object) -> str:
    with pytest.raises(Refused) as refused:
        output(use, **options).rows(shape, row)
    return refused.value.reason


@pytest.mark.parametrize("shape", ROWS)
def test_the_rows_of_these_tests_are_rows_of_their_shape(shape: str) -> None:
    schema = arrow_schema(SHAPES[shape])
    assert set(ROWS[shape]) | {"probability", "margin"} >= set(schema.names)
    pa.Table.from_pylist([ROWS[shape]], schema)


@pytest.mark.parametrize("use", NAMES)
def test_every_output_writes_every_shape_that_it_takes_with_its_provenance(use: str) -> None:
    made = output(use, **({"chosen": True} if "chosen" in type(output(use)).model_fields else {}))
    for shape in made.accepts:
        rows = made.rows(shape, ROWS[shape])
        assert rows and all(set(row) == set(made.schema().names) for row in rows)
        assert table(rows, made.schema()).schema.names == made.schema().names
        assert all({name: row[name] for name in ("origins", "source", "licence", "group")}.items() <= ROWS[shape].items() for row in rows)


@pytest.mark.parametrize("use", NAMES)
def test_an_output_tells_how_many_rows_it_gives_without_giving_them(use: str) -> None:
    made = output(use, **({"chosen": True} if "chosen" in type(output(use)).model_fields else {}))
    for shape in made.accepts:
        rows = made.rows(shape, ROWS[shape])
        pair = {name: PREFERENCE[name] for name in ("prompt", "chosen", "rejected", "probability", "margin")}
        expected = len(rows), sum(row.get("label") or 0 for row in rows)
        assert made.told(shape, ROWS[shape]) == made.told(shape, pair if shape == "preference" else ROWS[shape], plain=True) == expected
    if "preference" in made.accepts and use != "grpo":
        with pytest.raises(Refused, match="undecided"):
            made.told("preference", {**PREFERENCE, "probability": 0.5}, plain=True)


@pytest.mark.parametrize("use", ["chosen_rejected", "reward"])
def test_pairs_written_at_once_are_those_written_one_by_one(use: str) -> None:
    longer = [turn("system", "Sê breve."), turn("user", "Olá"), turn("assistant", "Olá!"), turn("user", "E agora?")]
    rows = [PREFERENCE, {**PREFERENCE, "prompt": longer, "margin": None, "probability": None, "licence": None, "origins": ["a", "b"]}] * 3
    batch = pa.RecordBatch.from_pylist(rows, arrow_schema(SHAPES["preference"])).slice(1).take(pa.array([3, 0, 0, 1]))
    made = output(use)
    expected = table([one for row in batch.to_pylist() for one in made.rows("preference", row)], made.schema())
    found = made.at_once("preference", batch)
    assert found.schema == expected.schema and found.to_pylist() == expected.to_pylist() and found.num_rows == 4
    assert output(use, tools=True).at_once("preference", batch) is None


@pytest.mark.parametrize("use", NAMES)
def test_an_output_says_which_rows_it_can_be_made_of(use: str) -> None:
    other = next(shape for shape in ROWS if shape not in output(use).accepts)
    with pytest.raises(UsageError, match=f"{use}: cannot be made of {other} rows"):
        output(use).rows(other, ROWS[other])


def test_provenance_is_every_column_that_all_rows_have() -> None:
    assert PROVENANCE.names == ["id", "content_id", "origins", "source", "licence", "group"]


def test_prompt_and_completion_part_before_the_last_turn() -> None:
    row = output("prompt_completion").rows("conversation", CONVERSATION)[0]
    assert [*row["prompt"], *row["completion"]] == output("messages").rows("conversation", CONVERSATION)[0]["messages"]
    assert row["completion"] == [{"role": "assistant", "content": "Até já."}]


def test_a_chosen_answer_is_learned_only_where_that_is_asked() -> None:
    with pytest.raises(UsageError, match="chosen: true"):
        output("messages").rows("preference", PREFERENCE)
    row = output("messages", chosen=True).rows("preference", PREFERENCE)[0]
    assert [one["content"] for one in row["messages"]] == ["Hi", "Hello"]
    assert row["content_id"] != PREFERENCE["content_id"]


def test_a_pair_becomes_one_desirable_and_one_undesirable_row() -> None:
    chosen, rejected = output("kto").rows("preference", PREFERENCE)
    assert (chosen["completion"][0]["content"], chosen["label"], rejected["completion"][0]["content"], rejected["label"]) == ("Hello", True, "Bye", False)
    assert {chosen["id"], rejected["id"]} == {"a1-chosen", "a1-rejected"} and chosen["content_id"] != rejected["content_id"]
    assert (chosen["probability"], rejected["weight"]) == (0.9, 0.5)


@pytest.mark.parametrize(("use", "options"), [("kto", {}), ("reward", {}), ("chosen_rejected", {}), ("messages", {"chosen": True})])
def test_a_tie_is_no_pair(use: str, options: dict) -> None:
    assert refusal(use, "preference", {**PREFERENCE, "probability": 0.5}, **options) == "undecided"
    assert output(use, **options).rows("preference", {**PREFERENCE, "probability": None})


def test_a_reward_pair_without_a_margin_has_none_to_lose() -> None:
    assert output("reward").rows("preference", {**PREFERENCE, "margin": None})[0]["margin"] == 0.0
    assert output("chosen_rejected").rows("preference", {**PREFERENCE, "margin": None})[0]["margin"] is None


@pytest.mark.parametrize(
    ("shape", "row", "answer"),
    [
        ("conversation", CONVERSATION, "Até já."),
        ("preference", PREFERENCE, "Hello"),
        ("preference", {**PREFERENCE, "probability": 0.5}, None),
        ("feedback", FEEDBACK, None),
        ("feedback", {**FEEDBACK, "label": True}, "Go"),
        ("candidates", CANDIDATES, "Hello"),
        ("candidates", {**CANDIDATES, "candidates": [{**one, "rank": 1} for one in CANDIDATES["candidates"]]}, None),
    ],
)
def test_a_prompt_carries_the_best_answer_that_is_known(shape: str, row: dict, answer: str | None) -> None:
    made = output("grpo").rows(shape, row)[0]
    assert made["answer"] == answer and made["prompt"][-1]["role"] == "user" and made["metadata"] == row["metadata"]


def test_plain_messages_refuse_calls_names_and_tools() -> None:
    assert refusal("messages", "conversation", CALLING) == "not_in_dialect"
    assert refusal("grpo", "conversation", {**CONVERSATION, "tools": "[]"}) == "not_in_dialect"
    named = {**CONVERSATION, "messages": [turn("user", "Hi", None, "Ana"), turn("assistant", "Hello")]}
    assert needs_tools(named) and not needs_tools(CONVERSATION)
    batches = [pa.RecordBatch.from_pylist([CONVERSATION, row], arrow_schema(SHAPES["conversation"])) for row in (named, CALLING, CONVERSATION)]
    assert [holds_tools(batch) for batch in batches] == [True, True, False]
    assert output("messages", tools=True).rows("conversation", named)[0]["messages"][0]["name"] == "Ana"


@pytest.mark.parametrize(
    "turns",
    [
        [turn("user", "Hi"), turn("assistant", "Wait.", CALLING["messages"][1]["tool_calls"]), turn("tool", "x"), turn("assistant", "So.")],
        [turn("user", "Hi"), turn("assistant", "", CALLING["messages"][1]["tool_calls"]), turn("tool", "x"), turn("tool", "y"), turn("assistant", "So.")],
    ],
)
def test_sharegpt_refuses_two_turns_of_one_side(turns: list) -> None:
    assert broken_turns(turns) is None
    assert refusal("sharegpt", "conversation", {**CALLING, "messages": turns}) == "not_in_dialect"


def test_alpaca_refuses_what_it_has_no_place_for() -> None:
    assert refusal("alpaca", "conversation", CALLING) == "not_in_dialect"
    assert refusal("alpaca", "conversation", {**CONVERSATION, "tools": "[]"}) == "not_in_dialect"
    row = output("alpaca").rows("conversation", CONVERSATION)[0]
    assert (row["system"], row["history"], row["instruction"], row["output"]) == ("Sê breve.", [["Olá", "Olá!"]], "Adeus", "Até já.")


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
NAMED = st.text("abcdefg_", min_size=1, max_size=8)
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | WORDS, lambda inner: st.lists(inner, max_size=2), max_leaves=3)
CALLS = st.lists(st.tuples(NAMED, st.dictionaries(WORDS, VALUES, max_size=3), st.booleans()), min_size=1, max_size=2)


@st.composite
def conversations(draw: st.DrawFn, calling: bool) -> Fields:
    """Lawful conversations: unicode, newlines, a system turn or none, and, where asked, calls that are answered."""
    turns = [turn("system", draw(WORDS))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns.append(turn("user", draw(WORDS)))
        if calling and draw(st.booleans()):
            drawn = draw(CALLS)
            calls = [
                {**({"id": f"call_{place}"} if with_id else {}), "type": "function", "function": {"name": name, "arguments": arguments}}
                for place, (name, arguments, with_id) in enumerate(drawn)
            ]
            turns.append(turn("assistant", "", json.dumps(calls, ensure_ascii=False)))
            turns += [turn("tool", draw(WORDS), None, name) for name, _, _ in drawn]
        turns.append(turn("assistant", draw(WORDS)))
    tools = [{"type": "function", "function": {"name": draw(NAMED), "parameters": {}}}] if calling and draw(st.booleans()) else None
    return {"messages": turns, "tools": json.dumps(tools) if tools else None}


def back(use: str, row: dict) -> Fields:
    """A written row, through JSON, as a dialect reads it."""
    fields = read(TypeAdapter(AnyDialect).validate_python({"use": use}), [json.loads(json.dumps(row))]).rows[0]
    return {name: value for name, value in fields.items() if name != "metadata"}


@settings(max_examples=150, deadline=None)
@given(conversations(calling=False))
def test_plain_conversations_come_back_from_every_dialect_as_they_were(fields: Fields) -> None:
    for use in ("messages", "sharegpt", "alpaca", "prompt_completion"):
        assert back(use, TypeAdapter(AnyDialect).validate_python({"use": use}).from_row(fields)) == fields
        assert back(use, output(use).rows("conversation", {**CONVERSATION, **fields})[0]) == fields


@settings(max_examples=150, deadline=None)
@given(conversations(calling=True))
def test_conversations_with_calls_come_back_from_messages_and_sharegpt_as_they_were(fields: Fields) -> None:
    for use in ("messages", "sharegpt"):
        assert back(use, TypeAdapter(AnyDialect).validate_python({"use": use}).from_row(fields)) == fields


@settings(max_examples=60, deadline=None)
@given(st.lists(conversations(calling=True), min_size=1, max_size=4))
def test_messages_come_back_from_arrow_as_they_were(many: list[Fields]) -> None:
    made = output("messages", tools=True)
    rows = [row for fields in many for row in made.rows("conversation", {**CONVERSATION, **fields})]
    kept = table(rows, made.schema()).to_pylist()
    read_back = [{**row, "messages": [json.loads(one) for one in row["messages"]], "tools": row["tools"] and json.loads(row["tools"])} for row in kept]
    assert [back("messages", row) for row in read_back] == many
    assert [said(fields["messages"]) for fields in many] == [[(one["role"], one["content"]) for one in row["messages"]] for row in read_back]


@settings(max_examples=100, deadline=None)
@given(conversations(calling=False), WORDS, st.booleans())
def test_pairs_and_labels_come_back_from_their_outputs_as_they_were(fields: Fields, other: str, label: bool) -> None:
    *prompt, answer = fields["messages"]
    pair = {**PREFERENCE, "prompt": prompt, "chosen": [answer], "rejected": [turn("assistant", f"{answer['content']} {other}")]}
    for use in ("chosen_rejected", "reward"):
        found = back("chosen_rejected", output(use).rows("preference", pair)[0])
        assert {name: found[name] for name in ("prompt", "chosen", "rejected")} == {name: pair[name] for name in ("prompt", "chosen", "rejected")}
    judged = {"prompt": prompt, "completion": [answer], "label": label, "weight": 1.0}
    assert back("kto", output("kto").rows("feedback", {**FEEDBACK, **judged})[0]) == judged


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_no_batch_of_eight_is_of_one_label_where_the_counts_allow_it(desirable: int, undesirable: int) -> None:
    order = pattern(desirable, undesirable)
    assert (order.sum(), len(order)) == (desirable, desirable + undesirable)
    if 8 * min(desirable, undesirable) >= len(order):
        batches = [order[start : start + 8] for start in range(0, len(order), 8)]
        assert all(len(set(batch)) == 2 for batch in batches if len(batch) > 1)


def test_interleaving_is_a_permutation_that_the_seed_alone_decides() -> None:
    labels = np.arange(40) < 10
    order = interleaved(labels, 1)
    assert sorted(order) == list(range(40)) and (labels[order] == pattern(10, 30)).all()
    assert (order == interleaved(labels, 1)).all() and (order != interleaved(labels, 2)).any()


def test_kto_weights_keep_the_weighted_ratio_between_one_and_four_thirds() -> None:
    ranges = weight_ranges(300, 100)
    for low, weighted in ((0, 1.0), (1, 4 / 3)):
        assert ranges.desirable[low] * 300 / 100 == pytest.approx(weighted)
        assert 300 / (ranges.undesirable[1 - low] * 100) == pytest.approx(weighted)
    assert weight_ranges(5, 0) is None


def test_axolotl_is_told_the_files_and_how_to_read_them() -> None:
    found = output("sharegpt").axolotl(["a.parquet"])["datasets"][0]
    assert (found["path"], found["ds_type"], found["field_messages"]) == ("a.parquet", "parquet", "conversations")
    many = output("text").axolotl(["a/0.parquet", "a/1.parquet"])["datasets"][0]
    assert (many["path"], many["data_files"]) == ("a", ["a/0.parquet", "a/1.parquet"])
    assert found["message_property_mappings"] == {"role": "from", "content": "value"}
    pairs = output("chosen_rejected").axolotl(["a/0.parquet", "a/1.parquet"])
    assert (pairs["rl"], [one["path"] for one in pairs["datasets"]]) == ("dpo", ["a/0.parquet", "a/1.parquet"])
    assert "data_files" not in pairs["datasets"][0]
    assert output("kto").axolotl(["a.parquet"]) == {}
    assert output("chosen_rejected", tools=True).axolotl(["a.parquet"]) == {}


def test_several_files_are_named_to_llama_factory_by_their_folder() -> None:
    assert output("text").info("mine", ["sft/a.parquet", "sft/b.parquet"])["mine"]["file_name"] == "sft"
