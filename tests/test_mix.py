"""The mix stage: sources in; splits of exact size, by share and by epochs, out; with the account of every row."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from mix_artifacts import Row, candidates, contents, conversation, document, given, mixed, preference, report, split, words
from pydantic import ValidationError
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from curate.artifact import Counts
from curate.config import UsageError
from curate.rows import content_id
from curate.stages.given import Given
from curate.stages.mix import Mix
from curate.stages.mix_report import steps

RANKED = [{"text": f"answer {place}", "rank": place} for place in (1, 2, 3)]


def ids(rows: list[Row]) -> list[str]:
    return [row["id"] for row in rows]


def chats(folder: Path, files: int = 1, **counts: int) -> list[Given]:
    """Sources of so many conversations by name, no prompt of one in another."""
    numbered = [(name, count, 5_000 * place) for place, (name, count) in enumerate(counts.items())]
    return [
        given(folder, name, [conversation(name, n + start) for n in range(count)], "conversation", files) for name, count, start in numbered
    ]


def ledger(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "ledger" / "00000.parquet")


def test_splits_have_exact_sizes_formats_of_their_own_and_share_no_prompt(tmp_path: Path) -> None:
    pairs = given(tmp_path, "pairs", [preference("pairs", n, asked=words(n // 2)) for n in range(200)], "preference", files=3)
    ranked = given(tmp_path, "ranked", [candidates("ranked", n, RANKED, asked=words(n + 60)) for n in range(100)], "candidates")
    splits = {
        "sft": {"rows": 31, "as": {"use": "messages", "chosen": True}},
        "reward": "147 as reward",
        "labels": "40 as kto",
        "rl": "rest as grpo",
    }
    made = mixed(tmp_path / "mix", {"splits": splits, "pairs": "all"}, [pairs, ranked])
    rows = {name: split(made, name) for name in splits}
    assert [len(rows[name]) for name in ("sft", "reward", "labels")] == [31, 147, 40]
    groups = {name: {row["group"] for row in found} for name, found in rows.items()}
    assert all(not groups[one] & groups[other] for one in groups for other in groups if one < other)
    assert set().union(*groups.values()) == {content_id(words(n)) for n in range(160)}
    assert {"messages"} <= set(rows["sft"][0]) and {"margin", "weight"} <= set(rows["reward"][0]) and "label" in rows["labels"][0]
    assert [report(made)["splits"][name]["rows"] for name in splits] == [len(rows[name]) for name in splits]


def test_near_duplicate_prompts_stay_together_across_sources(tmp_path: Path) -> None:
    asked = [words(n, 20) for n in range(60)]
    edited = [text.replace(text.split()[9], "changed").upper() + "!" for text in asked]
    one = given(tmp_path, "one", [conversation("one", n, text) for n, text in enumerate(asked)], "conversation")
    two = given(tmp_path, "two", [preference("two", n, text) for n, text in enumerate(edited)], "preference")
    numbers = {text: n % 60 for n, text in enumerate([*asked, *edited])}

    def sides(folder: str, **settings: object) -> list[set[int]]:
        made = mixed(tmp_path / folder, {"splits": {"a": 60, "b": "rest"}, "as": "grpo", **settings}, [one, two])
        return [{numbers[row["prompt"][0]["content"]] for row in split(made, name)} for name in ("a", "b")]

    first, second = sides("near")
    assert not first & second and len(first) == 30
    first, second = sides("equal_only", near_duplicates=None)
    assert first & second


def test_a_prompt_of_many_rows_goes_to_one_split_and_sizes_still_come_out(tmp_path: Path) -> None:
    rows = [conversation("a", n, words(group)) for group in range(40) for n in range(group * 10, group * 10 + 1 + group % 5)]
    source = given(tmp_path, "a", rows, "conversation")
    made = mixed(tmp_path / "mix", {"splits": {"x": 37, "y": 23, "z": "rest"}, "as": "messages"}, [source])
    found = {name: [row["group"] for row in split(made, name)] for name in "xyz"}
    assert (len(found["x"]), len(found["y"])) == (37, 23) and sum(map(len, found.values())) == len(rows)
    assert not set(found["x"]) & set(found["y"]) and not set(found["x"] + found["y"]) & set(found["z"])


def test_a_size_that_whole_groups_cannot_make_is_refused_with_the_nearest(tmp_path: Path) -> None:
    rows = [conversation("a", n, words(n // 2)) for n in range(40)]
    source = given(tmp_path, "a", rows, "conversation")
    with pytest.raises(UsageError, match=r"split 'x' wants 7 messages rows of a.*6 is the nearest below"):
        mixed(tmp_path / "mix", {"splits": {"x": 7}, "as": "messages"}, [source])


def test_sizes_may_count_prompts_with_all_their_rows(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [candidates("a", n, RANKED, asked=words(n // 2)) for n in range(80)], "candidates")
    made = mixed(tmp_path / "mix", {"splits": {"reward": "13 prompts as reward", "rl": "20 prompts as grpo"}, "pairs": "all"}, [source])
    rows = {name: split(made, name) for name in ("reward", "rl")}
    assert [len({row["group"] for row in found}) for found in rows.values()] == [13, 20]
    assert [len(found) for found in rows.values()] == [13 * 2 * 3, 20 * 2]
    with pytest.raises(UsageError, match="wants 41 reward prompts of a and has 40 left: 1 are missing"):
        mixed(tmp_path / "more", {"splits": {"reward": "41 prompts as reward"}, "pairs": "all", "max_epochs": 3}, [source])


def test_a_shortage_names_the_split_the_source_and_the_rows(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [conversation("a", n) for n in range(30)], "conversation")
    with pytest.raises(UsageError, match=r"split 'y' wants 25 messages rows of a and has 10 left: 15 are missing") as caught:
        mixed(tmp_path / "mix", {"splits": {"x": 20, "y": 25}, "as": "messages"}, [source])
    assert "max_epochs" in str(caught.value)


def test_a_shortage_is_made_up_by_repeats_up_to_the_stated_epochs(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [conversation("a", n) for n in range(30)], "conversation")
    made = mixed(tmp_path / "mix", {"splits": {"x": 20, "y": 25}, "as": "messages", "max_epochs": 2}, [source])
    rows = {name: Counter(ids(split(made, name))) for name in "xy"}
    assert [sum(found.values()) for found in rows.values()] == [20, 25] and not set(rows["x"]) & set(rows["y"])
    assert all(max(found.values()) <= 2 for found in rows.values())
    assert report(made)["counts"]["expanded"] == {"epochs": 15}
    with pytest.raises(UsageError, match="missing"):
        mixed(tmp_path / "more", {"splits": {"x": 80}, "as": "messages", "max_epochs": 2}, [source])


def test_shares_hold_in_every_split_and_in_the_rest(tmp_path: Path) -> None:
    sources = chats(tmp_path, a=300, b=200, c=100)
    mix = {"sources": {"a": {"share": 0.5}, "b": {"share": 0.3}, "c": {}}, "splits": {"x": 50, "train": "rest"}, "as": "messages"}
    made = mixed(tmp_path / "mix", mix, sources)
    rows = {name: Counter(row["source"][0] for row in split(made, name)) for name in ("x", "train")}
    assert rows["x"] == {"a": 25, "b": 15, "c": 10}
    assert rows["train"] == {"a": 225, "b": 135, "c": 90}
    achieved = report(made)["sources"]["a"]["achieved"]["train"]
    assert achieved == {"asked": 225, "source_rows": 225, "rows": 225, "share": 0.5, "epochs": 1.0}
    assert ledger(made).filter(pl.col("reason") == "over_share").height == 600 - 50 - 450


def test_sources_that_share_prompts_still_hold_their_shares(tmp_path: Path) -> None:
    sources = [given(tmp_path, name, [conversation(name, n) for n in range(100)], "conversation") for name in ("a", "b")]
    mix = {"sources": {"a": {"share": 0.75}, "b": {"share": 0.25}}, "splits": {"x": 40, "y": 40}, "as": "messages"}
    made = mixed(tmp_path / "mix", mix, sources)
    rows = {name: split(made, name) for name in "xy"}
    assert [Counter(row["source"][0] for row in found) for found in rows.values()] == [{"a": 30, "b": 10}] * 2
    assert not {row["group"] for row in rows["x"]} & {row["group"] for row in rows["y"]}


def test_temperature_flattens_shares_by_size(tmp_path: Path) -> None:
    sources = chats(tmp_path, a=400, b=100)
    made = mixed(tmp_path / "mix", {"temperature": 2, "total": 150, "as": "messages"}, sources)
    assert Counter(row["source"][0] for row in split(made, "train")) == {"a": 100, "b": 50}


def test_epochs_repeat_whole_and_in_part(tmp_path: Path) -> None:
    sources = [given(tmp_path, name, [document(name, n) for n in range(40)], "document") for name in ("a", "b")]
    made = mixed(tmp_path / "mix", {"sources": {"a": {"epochs": 2.5}, "b": {"epochs": 0.25}}, "as": "text"}, sources)
    times = {name: Counter(row["id"] for row in split(made, "train") if row["source"][0] == name) for name in "ab"}
    assert Counter(times["a"].values()) == {2: 20, 3: 20} and Counter(times["b"].values()) == {1: 10}
    assert Counter(ledger(made)["mix.epochs"].to_list()) == {2.0: 20, 3.0: 20, 1.0: 10, 0.0: 30}
    assert report(made)["counts"]["dropped"] == {"mix.not_drawn": 30} and report(made)["counts"]["expanded"] == {"epochs": 60}


@pytest.mark.parametrize("unit", ["words", "bytes", "tokens"])
def test_budgets_count_words_bytes_or_tokens(tmp_path: Path, unit: str) -> None:
    def measured(name: str, n: int) -> Row:
        row = document(name, n)
        return {**row, "tokens": 2 * row["words"]}

    sources = [given(tmp_path, name, [measured(name, n) for n in range(200)], "document") for name in ("a", "b")]
    mix = {"sources": {"a": {"share": 0.8}, "b": {}}, "unit": unit, "total": 1_000, "as": "document"}
    made = mixed(tmp_path / "mix", mix, sources)
    sizes = {name: sum(row[unit] for row in split(made, "train") if row["source"][0] == name) for name in "ab"}
    longest = max(measured("a", n)[unit] for n in range(200))
    assert 800 - longest < sizes["a"] <= 800 and 200 - longest < sizes["b"] <= 200
    assert report(made)["sources"]["a"]["achieved"]["train"][unit] == sizes["a"]


def tokenizer(folder: Path) -> str:
    """A file of a tokenizer whose tokens are words."""
    made = Tokenizer(WordLevel({"[UNK]": 0, "</s>": 1}, unk_token="[UNK]"))
    made.pre_tokenizer = WhitespaceSplit()
    made.save(str(folder / "tokenizer.json"))
    return str(folder / "tokenizer.json")


def test_a_tokenizer_counts_the_turns_of_a_conversation(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [conversation("a", n) for n in range(50)], "conversation")
    mix = {"sources": {"a": {"amount": 240}}, "unit": "tokens", "tokenizer": tokenizer(tmp_path), "as": "messages"}
    made = mixed(tmp_path / "mix", mix, [source])
    assert len(split(made, "train")) == 20  # 8 words asked, 4 answered
    assert report(made)["sources"]["a"]["achieved"]["train"]["tokens"] == 240


def test_packed_tokens_hold_the_documents_in_the_order_of_the_text_split(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [document("a", n) for n in range(60)], "document")
    output = {"use": "packed", "tokenizer": tokenizer(tmp_path), "eos": "</s>"}
    made = mixed(tmp_path / "packed", {"sources": {"a": {"epochs": 1.5}}, "as": output}, [source])
    texts = split(mixed(tmp_path / "text", {"sources": {"a": {"epochs": 1.5}}, "as": "text"}, [source]), "train")
    lengths = np.cumsum([len(row["text"].split()) + 1 for row in texts])
    assert np.fromfile(made / "data" / "train-00000.ds.index", "<u8").tolist() == lengths.tolist()
    assert report(made)["splits"]["train"]["files"] == ["train-00000.ds"] and report(made)["counts"]["written"] == 90


def test_tokens_of_rows_that_state_none_want_a_tokenizer(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [conversation("a", 1)], "conversation")
    with pytest.raises(UsageError, match="give a `tokenizer:`"):
        mixed(tmp_path / "mix", {"sources": {"a": {"amount": 5}}, "unit": "tokens", "as": "messages"}, [source])


def test_caps_and_limits_per_prompt_leave_rows_out_by_name(tmp_path: Path) -> None:
    rows = [preference("a", n, asked=words(n // 4)) for n in range(80)]
    source = given(tmp_path, "a", rows, "preference")
    capped = mixed(tmp_path / "capped", {"sources": {"a": {"cap": 30}}, "as": "reward"}, [source])
    assert report(capped)["counts"]["dropped"] == {"mix.over_cap": 50} and len(split(capped, "train")) == 30
    once = mixed(tmp_path / "once", {"splits": {"rl": {"rows": 12, "as": "grpo", "per_prompt": 1}}}, [source])
    assert len({row["group"] for row in split(once, "rl")}) == 12
    assert report(once)["counts"]["dropped"] == {"mix.over_prompt": 36, "mix.split_full": 32}


def test_percentages_come_as_near_as_groups_allow_and_use_every_row(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [conversation("a", n) for n in range(300)], "conversation")
    made = mixed(tmp_path / "mix", {"splits": {"train": "98%", "validation": "1%", "test": "1% as sharegpt"}, "as": "messages"}, [source])
    assert [len(split(made, name)) for name in ("train", "validation", "test")] == [294, 3, 3]


def test_labels_are_interleaved_and_their_weight_range_is_reported(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [candidates("a", n, RANKED) for n in range(64)], "candidates")
    made = mixed(tmp_path / "mix", {"pairs": "all", "as": "kto"}, [source])
    labels = [row["label"] for row in split(made, "train")]
    assert len(labels) == 64 * 6 and all(len(set(labels[place : place + 8])) == 2 for place in range(0, len(labels), 8))
    found = report(made)["splits"]["train"]
    assert found["labels"] == {"desirable": 192, "undesirable": 192} and found["weight_ranges"]["desirable"] == [1, pytest.approx(4 / 3)]


def test_pairs_of_a_group_stand_together_in_a_reward_set(tmp_path: Path) -> None:
    rows = [candidates("a", n, RANKED, asked=words(n // 2)) for n in range(60)]
    made = mixed(tmp_path / "mix", {"pairs": "all", "as": "reward"}, [given(tmp_path, "a", rows, "candidates")])
    groups = [row["group"] for row in split(made, "train")]
    runs = 1 + sum(one != other for one, other in zip(groups, groups[1:], strict=False))
    assert len(groups) == 180 and runs == len(set(groups)) == 30


def test_candidates_that_give_no_pair_are_dropped_by_name(tmp_path: Path) -> None:
    tied = [{"text": f"answer {n}", "rank": 1} for n in range(3)]
    rows = [candidates("a", 1, RANKED), candidates("a", 2, tied), candidates("a", 3, RANKED[:1])]
    made = mixed(tmp_path / "mix", {"pairs": "best_worst", "as": "chosen_rejected"}, [given(tmp_path, "a", rows, "candidates")])
    assert report(made)["counts"]["dropped"] == {"mix.no_pair": 1, "mix.tie": 1} and len(split(made, "train")) == 1
    assert ledger(made).select("id", "outcome", "step", "reason").rows()[1] == (rows[1]["id"], "dropped", "mix", "tie")


def rated(name: str, number: int, *values: dict[str, float]) -> Row:
    answers = [{"text": f"answer {n}", "ratings": [{"aspect": key, "value": value} for key, value in one.items()]} for n, one in enumerate(values)]
    return candidates(name, number, answers)


def test_each_source_may_have_pairs_of_its_own(tmp_path: Path) -> None:
    steer = given(tmp_path, "steer", [rated("steer", n, {"help": 4, "polite": 1}, {"help": 3, "polite": 4}) for n in range(4)], "candidates")
    ranked = given(tmp_path, "ranked", [candidates("ranked", 100 + n, RANKED) for n in range(4)], "candidates")
    pairs = given(tmp_path, "pairs", [preference("pairs", 200 + n) for n in range(4)], "preference")
    sources = {"steer": {"pairs": {"use": "best_worst", "by": "help"}}, "ranked": None, "pairs": None}
    made = mixed(tmp_path / "mix", {"sources": sources, "pairs": "all", "as": "chosen_rejected"}, [steer, ranked, pairs])
    found = report(made)["sources"]
    assert {name: found[name]["achieved"]["train"]["rows"] for name in sources} == {"steer": 4, "ranked": 12, "pairs": 4}
    assert {row["chosen"][0]["content"] for row in split(made, "train") if row["source"] == "steer.jsonl"} == {"answer 0"}
    with pytest.raises(UsageError, match="source 'pairs': holds preference rows, of which no pairs are made"):
        mixed(tmp_path / "vain", {"sources": {"pairs": {"pairs": "all"}}, "as": "chosen_rejected"}, [pairs])


def test_ratings_that_no_row_of_a_source_has_are_the_users_mistake(tmp_path: Path) -> None:
    steer = given(tmp_path, "steer", [rated("steer", n, {"help": 4, "polite": 1}, {"help": 3, "polite": 4}) for n in range(4)], "candidates")
    rule = {"use": "best_worst", "ratings": {"helpful": 1}}
    with pytest.raises(UsageError, match=r"source 'steer': no row has the ratings .* \(helpful\); they have help, polite"):
        mixed(tmp_path / "mix", {"pairs": rule, "as": "chosen_rejected"}, [steer])


def test_rows_that_a_format_cannot_say_are_dropped_by_law(tmp_path: Path) -> None:
    called = conversation("a", 2)
    called["messages"][1]["tool_calls"] = '[{"type": "function", "function": {"name": "f", "arguments": {}}}]'
    source = given(tmp_path, "a", [conversation("a", 1), called], "conversation")
    made = mixed(tmp_path / "mix", {"as": "messages"}, [source])
    assert report(made)["counts"]["dropped"] == {"laws.not_in_dialect": 1}


def test_the_funnel_of_a_mix_names_broken_laws_as_a_step_of_their_own() -> None:
    total = Counts(read=4, kept=1, dropped={"laws.not_in_dialect": 1, "mix.tie": 2}, ignored={}, expanded={}, written=1)
    assert [(step.name, step.into, step.out) for step in steps(total, 0.5)] == [("laws", 4, 3), ("mix", 3, 1)]
    assert [(step.name, step.into, step.out) for step in steps(total.model_copy(update={"dropped": {"mix.tie": 3}}), 0.5)] == [("mix", 4, 1)]


def test_replay_is_a_share_of_documents_in_a_split_of_its_own(tmp_path: Path) -> None:
    chat = given(tmp_path, "chat", [conversation("chat", n) for n in range(95)], "conversation")
    web = given(tmp_path, "web", [document("web", n) for n in range(50)], "document")
    splits = {"sft": {"as": "messages", "sources": ["chat"]}, "replay": {"rows": 5, "as": "text", "sources": ["web"]}}
    made = mixed(tmp_path / "mix", {"splits": splits}, [chat, web])
    assert (len(split(made, "sft")), len(split(made, "replay"))) == (95, 5) and "text" in split(made, "replay")[0]
    with pytest.raises(UsageError, match=r"split 'train': format messages takes conversation rows, not the document rows of source 'web'.*without 'web'"):
        mixed(tmp_path / "wrong", {"as": "messages"}, [chat, web])


def test_candidates_without_a_rule_are_refused(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [candidates("a", 1, RANKED)], "candidates")
    with pytest.raises(UsageError, match="holds candidates; say how they become pairs"):
        mixed(tmp_path / "mix", {"as": "reward"}, [source])


def test_the_order_of_a_sources_files_and_rows_changes_nothing(tmp_path: Path) -> None:
    rows = [conversation("a", n) for n in range(90)]
    mix = {"splits": {"x": 20, "y": "rest"}, "as": "messages"}
    one = mixed(tmp_path / "one", mix, [given(tmp_path / "one", "a", rows, "conversation")])
    two = mixed(tmp_path / "two", mix, [given(tmp_path / "two", "a", rows[::-1], "conversation", files=4)])
    made = [one, two]
    assert [ids(split(made[0], name)) for name in "xy"] == [ids(split(made[1], name)) for name in "xy"]
    assert ids(split(made[0], "y")) != [row["id"] for row in rows if row["id"] in set(ids(split(made[0], "y")))]


def test_the_seed_draws_other_rows_in_another_order(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [conversation("a", n) for n in range(90)], "conversation")
    one, two = (mixed(tmp_path / str(seed), {"splits": {"x": 20}, "as": "messages", "seed": seed}, [source]) for seed in (1, 2))
    assert set(ids(split(one, "x"))) != set(ids(split(two, "x")))


def test_the_ledger_has_a_row_for_every_input_row(tmp_path: Path) -> None:
    sources = chats(tmp_path, files=2, a=25, b=25)
    made = mixed(tmp_path / "mix", {"splits": {"x": 20}, "as": "messages"}, sources)
    rows = ledger(made)
    assert rows["id"].n_unique() == 50 and Counter(rows["outcome"].to_list()) == {"kept": 20, "dropped": 30}
    assert set(rows["source"].to_list()) == {f"{name}/train-0000{n}.parquet" for name in "ab" for n in (0, 1)}
    assert rows.filter(pl.col("outcome") == "dropped")["reason"].unique().to_list() == ["split_full"]
    assert pq.read_metadata(made / "dropped" / "00000.parquet").num_rows == 0


def test_a_limit_reads_the_first_rows_of_each_source(tmp_path: Path) -> None:
    sources = chats(tmp_path, files=2, a=25, b=25)
    made = mixed(tmp_path / "mix", {"as": "messages"}, sources, limit=15)
    assert report(made)["counts"]["read"] == 30


def test_shards_hold_the_order_and_llama_factory_is_told_of_each(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [conversation("a", n) for n in range(200)], "conversation")
    whole = mixed(tmp_path / "whole", {"as": "messages"}, [source])
    cut = mixed(tmp_path / "cut", {"as": "messages", "shard_bytes": 10_000}, [source])
    names = sorted(path.name for path in (cut / "data").iterdir())
    assert len(names) > 2 and split(whole, "train") == split(cut, "train")
    entries = json.loads((cut / "extra" / "dataset_info.json").read_text())
    assert [entry["file_name"] for entry in entries.values()] == [f"../data/{name}" for name in names]


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({"sources": {"a": {"share": 0.7}, "b": {"share": 0.7}}}, "sum to 1.4; make them sum to 1"),
        ({"sources": {"a": {"share": 0.2}, "b": {"share": 0.7}}}, "sum to 0.9"),
        ({"sources": {"a": {"share": 1.0}, "b": {}}}, "leave nothing"),
        ({"sources": ["a"], "splits": {"x": {"rows": 1, "sources": ["aa"]}}}, "no source 'aa'; did you mean 'a'"),
        ({"sources": ["a", "b"], "splits": {"x": {"rows": 1, "sources": ["a"]}}}, "no split takes from b"),
        ({"sources": ["a"], "splits": {"x": "rest", "y": "rest"}}, "at most one split"),
        ({"sources": ["a"], "splits": {"x": "60%", "y": "50%"}}, "more than 100 %"),
        ({"sources": ["a"], "splits": {"x": "some"}}, "say `13_000 as messages`"),
        ({"sources": ["a"], "splits": {"x-y": 3}}, "letters, digits"),
        ({"sources": {"a": {"share": 0.5, "epochs": 2}}}, "both say how much"),
        ({"sources": {"a": {"epochs": 2}}, "splits": {"x": 3}}, "fill the split without a size"),
        ({"sources": ["a"], "total": 5}, "total is divided"),
        ({"sources": ["a"], "licence": {"target": "nonsense"}}, "no licence 'nonsense'"),
        ({"sources": ["a"], "as": None}, "has no format"),
    ],
)
def test_a_mistake_in_the_recipe_is_named(mix: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Mix.model_validate({"as": "messages", **mix})


def test_short_forms_stand_for_blocks() -> None:
    splits = {"sft": "13_000 as messages", "rl": "31,000 as grpo", "rest": "rest as kto", "dev": "0.5% as text"}
    mix = Mix.model_validate({"sources": ["a"], "splits": splits})
    sizes = {name: (one.rows, one.share, one.output.use) for name, one in mix.splits.items()}
    assert sizes == {"sft": (13_000, None, "messages"), "rl": (31_000, None, "grpo"), "rest": (None, None, "kto"), "dev": (None, 0.005, "text")}
    assert mix.inputs["a"].stage == "a"


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    sources = [given(tmp_path, "a", [conversation("a", 1)], "conversation"), given(tmp_path, "b", [], "conversation")]
    with pytest.raises(UsageError, match="source 'b': .* holds no rows"):
        mixed(tmp_path / "mix", {"as": "messages"}, sources)


def test_one_artifact_named_twice_is_refused_and_rows_known_twice_are_dropped(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [conversation("a", n) for n in range(9)], "conversation")
    with pytest.raises(UsageError, match="'a' and 'b' are the same rows"):
        mixed(tmp_path / "mix", {"as": "messages"}, [source, source._replace(name="b")])
    again = given(tmp_path, "c", [conversation("a", n) for n in range(3)], "conversation")
    made = mixed(tmp_path / "twice", {"as": "messages"}, [source, again])
    assert report(made)["counts"]["dropped"] == {"mix.duplicate_id": 3} and len(split(made, "train")) == 9


def test_a_source_that_fills_nothing_of_its_share_is_a_shortage(tmp_path: Path) -> None:
    sources = chats(tmp_path, a=400, b=10)
    mix = {"sources": {"a": {"share": 0.5}, "b": {"share": 0.5}}, "total": 100, "as": "messages"}
    with pytest.raises(UsageError, match=r"split 'train' wants 50 rows of source 'b', which has 10: 40 are missing; set `max_epochs: 5`"):
        mixed(tmp_path / "mix", mix, sources)
    made = mixed(tmp_path / "repeated", {**mix, "max_epochs": 5}, sources)
    assert Counter(row["source"][0] for row in split(made, "train")) == {"a": 50, "b": 50}


def test_a_source_with_a_share_and_no_row_left_is_a_shortage(tmp_path: Path) -> None:
    sources = chats(tmp_path, a=20, b=20)
    splits = {"x": {"rows": 20, "sources": ["b"]}, "train": "rest"}
    with pytest.raises(UsageError, match="split 'train' finds no row left of source 'b'"):
        mixed(tmp_path / "mix", {"sources": {"a": {}, "b": {"share": 0.5}}, "splits": splits, "as": "messages"}, sources)


def test_the_same_mix_has_the_same_bytes(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [candidates("a", n, RANKED) for n in range(80)], "candidates")
    mix = {"splits": {"x": "32 as kto", "y": "rest as reward"}, "pairs": {"use": "all", "most": 2}}
    one, two = (contents(mixed(tmp_path / name, mix, [source])) for name in ("one", "two"))
    assert one.keys() == two.keys() and all(one[name] == two[name] for name in one)
