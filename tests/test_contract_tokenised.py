"""Tokenised output: what is written, what `datasets` reads back, and that templates without marks teach the same."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contract_models import UNMARKED, saved
from curate.config import UsageError
from curate.contract import Settings, check, load_tokenizer, tokenised
from curate.contract.columns import Stops
from curate.formats import Refused
from curate.formats.templates import NAMES
from curate.outputs.output import table
from curate.outputs.tokenised import Tokenised

PROVENANCE = {"id": "a", "content_id": "c", "origins": ["o"], "source": "s.jsonl", "licence": "MIT", "group": None}
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Onde fica o Porto?"},
    {"role": "assistant", "content": "No norte."},
    {"role": "user", "content": "And Faro?"},
    {"role": "assistant", "content": "In the south."},
]
ROW = {**PROVENANCE, "messages": [{**turn, "tool_calls": None, "name": None} for turn in TURNS], "tools": None}


def trained(row: dict, folder: Path) -> str:
    return load_tokenizer(folder).decode([label for label in row["labels"] if label != -100])


@pytest.mark.parametrize("backend", ["byte_level", "trimmed", "metaspace"])
@pytest.mark.parametrize("name", NAMES)
def test_a_template_without_marks_teaches_what_the_marked_one_does(name: str, backend: str, tmp_path: Path) -> None:
    plain = Path(__file__).with_name("templates") / f"{name}.jinja"
    folder = saved(tmp_path, backend)
    by_text, by_marks = (tokenised(ROW, load_tokenizer(folder, template)) for template in (plain, name))
    assert by_text == by_marks


def test_a_file_of_tokens_has_labels_and_provenance(tmp_path: Path) -> None:
    output = Tokenised(tokenizer=str(saved(tmp_path / "model", "metaspace") / "tokenizer.json"))
    pq.write_table(table(output.rows("conversation", ROW), output.schema()), tmp_path / "train-00000.parquet")
    (row,) = pq.read_table(tmp_path / "train-00000.parquet").to_pylist()
    assert {name: row[name] for name in PROVENANCE} == PROVENANCE
    assert len(row["input_ids"]) == len(row["labels"])
    assert trained(row, tmp_path / "model") == "No norte.<|im_end|>In the south.<|im_end|>"
    report = check(tmp_path / "train-00000.parquet", "sft", load_tokenizer(tmp_path / "model"), Settings())
    assert not report.findings


def test_a_document_is_learnt_whole_and_ends_once(tmp_path: Path) -> None:
    output = Tokenised(tokenizer=str(saved(tmp_path, "metaspace", None) / "tokenizer.json"))
    for text in ("Um texto.", "Um texto.</s>"):
        (row,) = output.rows("document", {**PROVENANCE, "text": text})
        assert row["labels"] == row["input_ids"]
        assert load_tokenizer(tmp_path).decode(row["input_ids"]) == "<s> Um texto.</s>"


def test_only_the_completion_of_a_prompt_is_learnt(tmp_path: Path) -> None:
    folder = saved(tmp_path, "byte_level")
    row = tokenised({"prompt": TURNS[:4], "completion": TURNS[4:]}, load_tokenizer(folder))
    assert trained(row, folder) == "In the south.<|im_end|>"


def test_an_answer_that_begins_with_a_space_is_learnt(tmp_path: Path) -> None:
    folder = saved(tmp_path, "trimmed")
    turns = [TURNS[1], {"role": "assistant", "content": " No norte. "}, *TURNS[3:]]
    assert trained(tokenised({"messages": turns}, load_tokenizer(folder)), folder).endswith(" No norte. <|im_end|>In the south.<|im_end|>")


@pytest.mark.parametrize("backend", ["byte_level", "trimmed", "metaspace"])
def test_every_byte_of_a_character_is_learnt(backend: str, tmp_path: Path) -> None:
    folder = saved(tmp_path, backend)
    turns = [TURNS[1], {"role": "assistant", "content": "🦊 日本"}]
    assert trained(tokenised({"messages": turns}, load_tokenizer(folder)), folder) == "🦊 日本<|im_end|>"


def test_a_template_that_rewrites_earlier_turns_is_refused(tmp_path: Path) -> None:
    forgetful = UNMARKED.replace("m.content", "(m.content if loop.last or m.role != 'assistant' else '...')")
    tokenizer = load_tokenizer(saved(tmp_path, "byte_level", forgetful))
    with pytest.raises(Stops, match="template_refuses"):
        tokenised(ROW, tokenizer)


def test_a_row_that_the_template_cannot_say_is_a_counted_reason(tmp_path: Path) -> None:
    output = Tokenised(tokenizer=str(saved(tmp_path, "byte_level", "gemma") / "tokenizer.json"))
    with pytest.raises(Refused, match="not_in_dialect"):
        output.rows("conversation", {**ROW, "messages": [*ROW["messages"][:3], {**TURNS[2], "tool_calls": None, "name": None}]})


@pytest.mark.parametrize("template", [None, "{{ strftime_now('%Y') }}" + UNMARKED])
def test_a_template_that_is_missing_or_prints_the_date_is_a_usage_error(template: str | None, tmp_path: Path) -> None:
    output = Tokenised(tokenizer=str(saved(tmp_path, "byte_level", template) / "tokenizer.json"))
    with pytest.raises(UsageError, match="tokenised"):
        output.rows("conversation", ROW)


def test_a_template_file_replaces_the_tokenizers_own_and_enters_the_identity(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "byte_level")
    (tmp_path / "own.jinja").write_text(UNMARKED.replace("user", "USER"))
    plain, own = (Tokenised(tokenizer=str(folder / "tokenizer.json"), template=path) for path in (None, str(tmp_path / "own.jinja")))
    assert plain.model_dump(context={"content_hash": lambda path: Path(path).name}) == {
        "use": "tokenised", "tokenizer": "tokenizer.json", "template": None
    }  # fmt: skip
    assert own.model_dump(context={"content_hash": lambda path: Path(path).name})["template"] == "own.jinja"
    assert {path.name for path in plain.reads()} == {"tokenizer_config.json", "chat_template.jinja"}


def test_tools_that_a_template_would_leave_out_are_refused_by_what_they_are(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(saved(tmp_path, "byte_level", UNMARKED))
    call = [{"type": "function", "function": {"name": "weather", "arguments": {}}}]
    asks = [TURNS[1], {"role": "assistant", "content": "", "tool_calls": call}, {"role": "tool", "content": "21"}, TURNS[2]]
    with pytest.raises(Stops) as caught:
        tokenised({"messages": asks}, tokenizer)
    assert (caught.value.trap, caught.value.detail) == ("tools_unsaid", "calls")
    with pytest.raises(Stops, match="definitions"):
        tokenised({"messages": TURNS, "tools": [{"type": "function", "function": {"name": "weather"}}]}, tokenizer)
