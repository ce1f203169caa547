"""Every trap between data and trainer: seeded, and seen caught; good data pass."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract_models import UNMARKED, saved
from curate import contract
from curate.config import UsageError
from curate.contract import Report, Settings, Tokenizer, load_tokenizer, predict
from curate.contract.traps import TRAPS
from curate.rows import SHAPES, arrow_schema

LONG = "the quick brown fox " * 40
MARKED_WRONG = (
    "{% for m in messages %}{% generation %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endgeneration %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HEADER_INSIDE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ '<|im_start|>assistant\n' + m.content + '<|im_end|>' }}"
    "{% endgeneration %}{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_STOP = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DEAF = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
DATED = "{{ strftime_now('%Y') }}" + UNMARKED


def user(content: str) -> dict:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict:
    return {"role": "assistant", "content": content}


def chat(answer: str = "Porto.", question: str = "Where?") -> dict:
    return {"messages": [user(question), assistant(answer)]}


def pair(chosen: str = "Yes.", rejected: str = "No.", question: str = "Is it?") -> dict:
    return {"prompt": [user(question)], "chosen": [assistant(chosen)], "rejected": [assistant(rejected)]}


def labelled(label: object, question: str = "Is it?") -> dict:
    return {"prompt": [user(question)], "completion": [assistant("Yes.")], "label": label}


def classed(folder: Path, name: str) -> Tokenizer:
    """A tokenizer that names its class."""
    file = saved(folder, "byte_level") / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "tokenizer_class": name}))
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    folder = tmp_path_factory.mktemp("tokenizers")
    load_tokenizer(saved(folder / "bos", "metaspace", "chatml"))
    templates = {
        "chatml": "chatml", "wrong": MARKED_WRONG, "header": HEADER_INSIDE, "no_stop": NO_STOP, "unmarked": UNMARKED, "deaf": DEAF,
        "dated": DATED, "gemma": "gemma", "llama3_1": "llama3_1", "none": None,
    }  # fmt: skip
    made = {name: load_tokenizer(saved(folder / name, "byte_level", template)) for name, template in templates.items()}
    return made | {
        "bos": load_tokenizer(folder / "bos"),
        "trimmed": load_tokenizer(saved(folder / "trimmed", "trimmed", "chatml")),
        "qwen": classed(folder / "qwen", "Qwen2Tokenizer"),
        "bare": load_tokenizer(saved(folder / "bare", "byte_level", "chatml", markers=False)),
    }


def checked(folder: Path, rows: list[dict], kind: str, tokenizer: Tokenizer, **settings: object) -> Report:
    file = folder / "train-00000.parquet"
    pq.write_table(pa.Table.from_pylist([{"id": f"row{number}", **row} for number, row in enumerate(rows)]), file)
    return contract.check(file, kind, tokenizer, Settings(**settings))


def refusals(report: Report) -> set[str]:
    return {found.trap for found in report.findings if found.refused}


def warnings(report: Report) -> set[str]:
    return {found.trap for found in report.findings} - refusals(report)


TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}


def calling(calls: int = 1, beside: str = "") -> dict:
    """A question, so many calls of a tool, and what becomes of their answers."""
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Faro"}}}
    asks = assistant(beside) | {"tool_calls": [call] * calls}
    return {"messages": [user("Faro?"), asks, *[{"role": "tool", "content": "21"}] * calls, assistant("It is 21 degrees.")]}


GOOD = {
    "tools": ("sft", [calling(2, "One moment.") | {"tools": [TOOL]}, chat()], "chatml", {}),
    "tools of Llama 3.1": ("sft", [calling() | {"tools": [TOOL]}], "llama3_1", {}),
    "messages": ("sft", [chat(), {"messages": [{"role": "system", "content": "Brief."}, *chat()["messages"]]}], "chatml", {}),
    "prompt and completion": ("sft", [{"prompt": [user("Where?")], "completion": [assistant("Porto.")]}], "unmarked", {}),
    "strings without a template": ("sft", [{"prompt": "2+2=", "completion": "4"}], "none", {}),
    "texts": ("sft", [{"text": "A text."}], "none", {}),
    "tokens": ("sft", [{"input_ids": [5, 6, 1], "labels": [-100, 6, 1]}], "none", {}),
    "pairs": ("dpo", [pair()], "chatml", {}),
    "labels": ("kto", [labelled(True), labelled(False)] * 8, "chatml", {}),
    "rewards": ("reward", [pair() | {"margin": 1.0}], "unmarked", {}),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_rows_pass(name: str, tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    kind, rows, tokenizer, settings = GOOD[name]
    report = checked(tmp_path, rows, kind, tokenizers[tokenizer], **settings)
    assert not report.findings
    assert report.kept == report.read == len(rows)


SEEDED = [
    ("wrong_columns", "dpo", [chat()], "chatml", {}),
    ("no_turns", "sft", [{"messages": pa.array([], pa.list_(pa.struct([("role", pa.string())]))).to_pylist()}], "chatml", {}),
    ("mixed_shapes", "dpo", [pair() | {"prompt": "Is it?"}], "chatml", {}),
    ("mixed_shapes", "dpo", [{name: assistant(name) for name in ("chosen", "rejected")}], "chatml", {}),
    ("unknown_role", "sft", [{"messages": [{"role": "human", "content": "Hi"}, {"role": "gpt", "content": "Ho"}]}], "unmarked", {}),
    ("unknown_role", "sft", [{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}], "unmarked", {}),
    ("unknown_role", "sft", [{"messages": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}], "chatml", {}),
    ("content_not_text", "sft", [{"messages": [user([{"type": "text", "text": "Hi"}]), assistant([{"type": "text", "text": "Ho"}])]}], "chatml", {}),
    ("plain_strings", "sft", [{"prompt": "2+2=", "completion": "4"}], "chatml", {}),
    ("plain_strings", "dpo", [{"prompt": "2+2=", "chosen": "4", "rejected": "5"}], "chatml", {}),
    ("implicit_prompt", "dpo", [{"chosen": "Q: sure? Yes ", "rejected": "Q: sure? No "}], "none", {}),
    ("implicit_prompt", "dpo", [{name: [user("Q"), assistant(name)] for name in ("chosen", "rejected")}], "chatml", {}),
    ("pairs_for_kto", "kto", [pair()], "chatml", {}),
    ("label_not_bool", "kto", [labelled(1), labelled(-1)], "chatml", {}),
    ("broken_tools", "sft", [chat() | {"tools": "{not json"}], "chatml", {}),
    ("tool_calls_as_text", "sft", [{"messages": [user("Hi"), assistant("Ho") | {"tool_calls": "[]"}]}], "chatml", {}),
    ("margin_missing", "reward", [pair() | {"margin": 1.0}, pair() | {"margin": None}], "chatml", {}),
    ("no_chat_template", "sft", [chat()], "none", {}),
    ("no_chat_template", "dpo", [pair()], "none", {}),
    ("no_generation_marks", "sft", [chat()], "unmarked", {}),
    ("template_refuses", "sft", [{"messages": [user("a"), user("b"), assistant("c")]}], "gemma", {}),
    ("tools_unsaid", "sft", [chat() | {"tools": [TOOL]}], "header", {}),
    ("tools_unsaid", "sft", [calling()], "header", {}),
    ("tools_unsaid", "dpo", [pair() | {"prompt": calling()["messages"][:-1]}], "unmarked", {}),
    ("template_refuses", "sft", [calling() | {"tools": [TOOL]}], "gemma", {}),
    ("template_refuses", "sft", [calling(2) | {"tools": [TOOL]}], "llama3_1", {}),
    ("headers_in_loss", "sft", [chat()], "header", {}),
    ("headers_in_loss", "dpo", [pair()], "deaf", {}),
    ("user_turns_in_loss", "sft", [chat()], "chatml", {"assistant_only_loss": False}),
    ("user_turns_in_loss", "sft", [chat()], "wrong", {}),
    ("user_turns_in_loss", "sft", [{"prompt": [user("a")], "completion": [assistant("b"), user("c"), assistant("d")]}], "chatml", {}),
    ("user_turns_in_loss", "sft", [{"prompt": [user("a")], "completion": [assistant("b")]}], "chatml", {"completion_only_loss": False}),
    ("diverges_before_last_turn", "dpo", [pair() | {"chosen": [assistant("b"), user("c"), assistant("d")]}], "chatml", {}),
    ("mask_misses", "sft", [{"messages": [*chat()["messages"], user("More?"), assistant(" Yes.")]}], "trimmed", {}),
    ("no_assistant_token", "sft", [chat(" Porto.")], "trimmed", {}),
    ("no_stop_token", "sft", [chat()], "no_stop", {}),
    ("no_stop_token", "sft", [chat()], "bare", {}),
    ("double_bos", "sft", [{"text": "<s>A text."}], "bos", {}),
    ("completion_mask_ignored", "sft", [{"input_ids": [5, 6, 1], "completion_mask": [0, 1, 1]}], "none", {}),
    ("labels_differ", "sft", [{"input_ids": [5, 6, 1], "labels": [6, 1, -100]}], "none", {}),
    ("prompt_too_long", "dpo", [pair(question=LONG)], "chatml", {"max_length": 50}),
    ("prompt_too_long", "kto", [labelled(True, LONG)], "chatml", {"max_length": 50}),
    ("row_too_long", "reward", [pair(chosen=LONG)], "chatml", {"max_length": 50}),
    ("no_trained_token", "sft", [chat(question=LONG)], "chatml", {"max_length": 50}),
    ("pair_identical", "dpo", [pair(chosen=LONG + "yes", rejected=LONG + "no")], "chatml", {"max_length": 50}),
    ("packing_cuts", "sft", [chat(LONG)], "chatml", {"max_length": 50, "packing": "bfd"}),
    ("packing_mixes", "sft", [chat()], "chatml", {"packing": "wrapped"}),
    ("one_label_batches", "kto", [labelled(True)] * 16 + [labelled(False)] * 16, "chatml", {}),
]  # fmt: skip


@pytest.mark.parametrize(("trap", "kind", "rows", "tokenizer", "settings"), SEEDED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_seeded_trap_is_refused(
    trap: str, kind: str, rows: list, tokenizer: str, settings: dict, tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    report = checked(tmp_path, rows, kind, tokenizers[tokenizer], **settings)
    assert trap in refusals(report)
    assert report.lines()[-1] == "refused"


WARNED = [
    ("unread_columns", "dpo", [pair() | {"margin": 1.0}], "chatml", {}),
    ("texts_without_template", "sft", [{"text": "A text."}], "chatml", {}),
    ("tokens_missing", "sft", [chat()], "bare", {}),
    ("class_rebuilt", "sft", [chat()], "qwen", {}),
    ("reads_the_clock", "dpo", [pair()], "dated", {}),
    ("answer_cut", "sft", [chat(LONG)], "chatml", {"max_length": 50}),
    ("prompt_not_prefix", "sft", [{"prompt": "the qui", "completion": "ck fox"}], "none", {}),
]  # fmt: skip


@pytest.mark.parametrize(("trap", "kind", "rows", "tokenizer", "settings"), WARNED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_lesser_trap_is_a_warning(
    trap: str, kind: str, rows: list, tokenizer: str, settings: dict, tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    assert trap in warnings(checked(tmp_path, rows, kind, tokenizers[tokenizer], **settings))


def test_every_trap_is_seeded() -> None:
    alone = {"no_eos_token", "no_rows", "lone_surrogates"}
    assert {trap for trap, *_ in [*SEEDED, *WARNED]} | alone == set(TRAPS)
    assert {trap for trap, *_ in SEEDED} | alone == {name for name, trap in TRAPS.items() if trap.refused}


def test_a_tokenizer_without_eos_is_refused_for_texts(tmp_path: Path) -> None:
    saved(tmp_path / "tokenizer", "byte_level", None)
    path = tmp_path / "tokenizer" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token": None}))
    report = checked(tmp_path, [{"text": "A text."}], "sft", load_tokenizer(tmp_path / "tokenizer"))
    assert refusals(report) == {"no_eos_token"}


def test_a_file_without_rows_is_refused(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([chat()]).slice(0, 0), tmp_path / "train-00000.parquet")
    assert refusals(contract.check(tmp_path, "sft", tokenizers["chatml"], Settings())) == {"no_rows"}


@pytest.mark.parametrize("shape", ["conversation", "preference", "feedback", "document"])
def test_rows_of_our_own_shapes_pass(shape: str, tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    lists = {name: [turn | {"tool_calls": None, "name": None} for turn in turns] for name, turns in [*chat().items(), *pair().items()]}
    whole = lists | {"completion": lists["chosen"], "label": True, "text": "A text.", "metadata": "{}"}
    kind = {"conversation": "sft", "preference": "reward", "feedback": "kto", "document": "sft"}[shape]
    schema = arrow_schema(SHAPES[shape])
    rows = [{name: whole.get(name) for name in schema.names} for _ in range(2)]
    rows[1] |= {"label": False} if shape == "feedback" else {}
    pq.write_table(pa.Table.from_pylist(rows, schema).drop_columns(["margin"] if shape == "preference" else []), tmp_path / "train-00000.parquet")
    report = contract.check(tmp_path, kind, tokenizers["none" if shape == "document" else "chatml"], Settings())
    assert {found.trap for found in report.findings} <= {"unread_columns"}
    assert report.kept == 2


def test_a_report_says_what_the_trainer_has_to_be_set_to(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    report = checked(tmp_path, [chat()], "sft", tokenizers["chatml"], max_length=77)
    assert report.arguments == {"max_length": 77, "truncation_mode": "keep_start", "assistant_only_loss": True}
    assert json.loads(json.dumps(report.as_dict()))["refused"] is False


def test_a_finding_counts_its_rows_and_names_the_first(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    rows = [chat(question=LONG) if number % 2 else chat() for number in range(20)]
    report = checked(tmp_path, rows, "sft", tokenizers["chatml"], max_length=50)
    found = next(one for one in report.findings if one.trap == "no_trained_token")
    assert (found.rows, found.first) == (10, ("row1", "row3", "row5", "row7", "row9"))
    assert (report.read, report.kept) == (20, 10)


@pytest.mark.parametrize(("kind", "row"), [("sft", chat("Half \ud83d")), ("dpo", pair(question="Half \ud83d?")), ("sft", {"text": "\udc00"})])
def test_half_a_character_is_a_trap_and_no_crash(kind: str, row: dict, tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row), encoding="utf-8")
    report = contract.check(tmp_path / "rows.jsonl", kind, tokenizers["chatml"], Settings())
    assert refusals(report) == {"lone_surrogates"} and report.kept == 0


def test_trained_tokens_stand_in_brackets(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    shown = checked(tmp_path, [chat("Lisboa é bonita.")], "sft", tokenizers["chatml"]).shown[0]
    assert "⟦Lisboa é bonita.<|im_end|>⟧" in shown
    assert "user\nWhere?" in shown.split("⟦")[0]


def test_interleaved_labels_pass_where_sorted_ones_do_not(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    report = checked(tmp_path, [labelled(bool(number % 4)) for number in range(64)], "kto", tokenizers["chatml"])
    assert not report.findings


def test_both_ways_out_are_named_for_an_unmarked_template() -> None:
    assert "chatml" in TRAPS["no_generation_marks"].instead
    assert "tokenised" in TRAPS["no_generation_marks"].instead


def test_messages_written_as_json_values_are_read_as_objects(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    call = [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Porto"}}}]
    turns = [user("Weather?"), {"role": "assistant", "tool_calls": call}, {"role": "tool", "content": "Sun."}, assistant("Sun.")]
    storage = pa.table({"messages": pa.array([[json.dumps(turn) for turn in turns]], pa.list_(pa.string()))})
    pq.write_table(storage.cast(pa.schema([("messages", pa.list_(pa.json_()))])), tmp_path / "train-00000.parquet")
    report = contract.check(tmp_path, "sft", tokenizers["chatml"], Settings())
    assert not report.findings
    assert '"arguments": {"city": "Porto"}}\n</tool_call><|im_end|>⟧' in report.shown[0]


def test_our_own_rows_with_tool_calls_as_text_are_predicted_as_objects(tokenizers: dict[str, Tokenizer]) -> None:
    call = [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Porto"}}}]
    given = [[user("Weather?"), {"role": "assistant", "content": "", "tool_calls": value}] for value in (call, json.dumps(call))]
    first, second = (predict("sft", {"messages": turns, "tools": None}, tokenizers["chatml"], Settings()) for turns in given)
    assert first == second
    assert any(first.sequences[0].loss)


def test_rows_of_a_split_are_checked_alone(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([chat()]), tmp_path / "sft-00000.parquet")
    pq.write_table(pa.Table.from_pylist([pair()]), tmp_path / "reward-00000.parquet")
    report = contract.check(tmp_path, "sft", tokenizers["chatml"], Settings(), split="sft")
    assert (report.read, report.refused) == (1, False)
    with pytest.raises(UsageError, match="no data of split 'rl'"):
        contract.check(tmp_path, "sft", tokenizers["chatml"], Settings(), split="rl")


def test_a_row_group_of_forty_megabytes_is_read_in_a_few(tmp_path: Path) -> None:
    dice = random.Random(0)
    rows = [chat(dice.randbytes(1_000).hex()) for _ in range(20_000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train-00000.parquet", row_group_size=len(rows))
    code = "import sys, pyarrow as pa; from pathlib import Path; from curate.contract.files import rows_of\n"
    code += "print(sum(1 for _ in rows_of(Path(sys.argv[1]))), pa.default_memory_pool().max_memory())"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "train-00000.parquet"], capture_output=True, text=True, check=True)
    read, most = map(int, done.stdout.split())
    assert read == len(rows)
    assert most < 10 * 2**20


@pytest.mark.parametrize("content", [b"PAR1 not parquet", b""])
def test_a_broken_parquet_is_a_usage_error(content: bytes, tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    (tmp_path / "train-00000.parquet").write_bytes(content)
    with pytest.raises(UsageError, match="train-00000.parquet"):
        contract.check(tmp_path, "sft", tokenizers["chatml"], Settings())


def test_an_unknown_trainer_is_a_usage_error(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ppo: no such trainer"):
        contract.check(tmp_path, "ppo", tokenizers["chatml"], Settings())


def test_a_broken_line_is_named(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(chat()) + "\n{broken\n")
    with pytest.raises(UsageError, match="rows.jsonl:2"):
        contract.check(tmp_path / "rows.jsonl", "sft", tokenizers["chatml"], Settings())


def test_a_missing_tokenizer_is_a_usage_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", "nobody/nothing"):
        with pytest.raises(UsageError, match="tokenizer"):
            load_tokenizer(path)


def test_a_hub_id_is_read_from_the_local_cache(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--someone--model" / "snapshots" / "0123abcd"
    saved(snapshot, "byte_level")
    (tmp_path / "hub" / "models--someone--model" / "refs").mkdir()
    (tmp_path / "hub" / "models--someone--model" / "refs" / "main").write_text("0123abcd")
    code = "from curate.contract import load_tokenizer; print(load_tokenizer('someone/model').marked)"
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_template_of_ours_is_told_to_the_trainer(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(saved(tmp_path / "tokenizer", "byte_level", UNMARKED), "chatml")
    report = checked(tmp_path, [chat()], "sft", tokenizer)
    assert (report.arguments["chat_template"], report.refused) == ("chatml", False)


def test_a_template_that_does_not_parse_is_a_usage_error(tmp_path: Path) -> None:
    folder = saved(tmp_path / "tokenizer", "byte_level")
    (tmp_path / "bad.jinja").write_text("{% for %}")
    with pytest.raises(UsageError, match="not a chat template"):
        load_tokenizer(folder, tmp_path / "bad.jinja")
