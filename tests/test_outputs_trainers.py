"""Outputs in the hands of those who read them: TRL's own dataset preparation, datasets and chat templates, LLaMA-Factory's rules."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from output_rows import CALLING, CONVERSATION, FEEDBACK, NAMES, PREFERENCE, output, said

from curate.outputs import table
from curate.outputs.entries import SHAREGPT_TAGS

trl = pytest.importorskip("trl", reason="TRL is an extra")

import datasets
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast



@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


CHATML = (
    "{% if tools %}<|im_start|>tools\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% if 'tool_calls' in message %}{% for call in message.tool_calls %}<call>{{ call.function.name }}"
    "{{ call.function.arguments | tojson }}</call>{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QUIET = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": [], "disable_tqdm": True}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes with a few merges, trained here."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(["user assistant system tool"], trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<|pad|>", eos_token="<|im_end|>", chat_template=CHATML)


def tiny(tokenizer: PreTrainedTokenizerFast, kind: type = LlamaForCausalLM, **more: int) -> torch.nn.Module:
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    return kind(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **shape, **more))


def loaded(folder: Path, use: str, *rows: tuple[str, dict], **options: object) -> datasets.Dataset:
    """The rows written as Parquet and loaded as a user would."""
    made = output(use, **options)
    path = folder / f"{use}.parquet"
    pq.write_table(table([row for shape, one in rows for row in made.rows(shape, one)], made.schema()), path)
    return datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(folder / "cache"))


def prepared(folder: Path, name: str, tokenizer: PreTrainedTokenizerFast, data: datasets.Dataset, **options: object) -> datasets.Dataset:
    """What TRL's trainer made of the data for its collator."""
    kind = LlamaForSequenceClassification if name == "Reward" else LlamaForCausalLM
    model = tiny(tokenizer, kind, **({"num_labels": 1} if name == "Reward" else {}))
    config = getattr(trl, f"{name}Config")(output_dir=str(folder), **QUIET, **options)
    reference = {"ref_model": tiny(tokenizer)} if name in ("DPO", "KTO") else {}
    trainer = getattr(trl, f"{name}Trainer")(model=model, args=config, train_dataset=data, processing_class=tokenizer, **reference)
    next(iter(trainer.get_train_dataloader()))
    return trainer.train_dataset


def chat(tokenizer: PreTrainedTokenizerFast, turns: list, **how: object) -> str:
    return tokenizer.apply_chat_template(turns, tokenize=False, **how)


@pytest.mark.parametrize("tools", [False, True])
def test_sft_tokenises_messages_as_the_chat_template_says(tmp_path: Path, tokenizer: PreTrainedTokenizerFast, tools: bool) -> None:
    data = loaded(tmp_path, "messages", ("conversation", CONVERSATION), tools=tools)
    ids = prepared(tmp_path, "SFT", tokenizer, data)[0]["input_ids"]
    assert tokenizer.decode(ids) == chat(tokenizer, [{"role": role, "content": text} for role, text in said(CONVERSATION["messages"])])


def test_sft_masks_the_prompt_of_prompt_and_completion(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    row = prepared(tmp_path, "SFT", tokenizer, loaded(tmp_path, "prompt_completion", ("conversation", CONVERSATION)))[0]
    trained = [id_ for id_, mask in zip(row["input_ids"], row["labels"], strict=True) if mask != -100]
    assert tokenizer.decode(trained) == "Até já.<|im_end|>\n"


def test_sft_takes_tokenised_rows_as_they_are(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    data = loaded(tmp_path, "tokenised", ("conversation", CONVERSATION), tokenizer=str(tmp_path / "tokenizer" / "tokenizer.json"))
    rows = prepared(tmp_path, "SFT", tokenizer, data)
    assert (rows[0]["input_ids"], rows[0]["labels"]) == (data[0]["input_ids"], data[0]["labels"])
    assert data[0]["attention_mask"] == [1] * len(data[0]["input_ids"])
    trained = [id_ for id_ in rows[0]["labels"] if id_ != -100]
    assert tokenizer.decode(trained) == "Olá!<|im_end|>Até já.<|im_end|>"


def test_dpo_takes_pairs_with_one_shared_prompt(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    row = prepared(tmp_path, "DPO", tokenizer, loaded(tmp_path, "chosen_rejected", ("preference", PREFERENCE)))[0]
    assert tokenizer.decode(row["prompt_ids"]) == chat(tokenizer, [{"role": "user", "content": "Hi"}], add_generation_prompt=True)
    assert [tokenizer.decode(row[name]) for name in ("chosen_ids", "rejected_ids")] == ["Hello<|im_end|>\n", "Bye<|im_end|>\n"]


def test_kto_takes_labels_in_the_order_of_the_file(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    data = loaded(tmp_path, "kto", ("preference", PREFERENCE), ("feedback", FEEDBACK), ("preference", PREFERENCE))
    rows = prepared(tmp_path, "KTO", tokenizer, data, per_device_train_batch_size=5)
    assert [row["label"] for row in rows] == [True, False, False, True, False]
    assert tokenizer.decode(rows[0]["completion_ids"]) == "Hello<|im_end|>\n"


def test_reward_takes_pairs_with_and_without_a_margin(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    data = loaded(tmp_path, "reward", ("preference", PREFERENCE), ("preference", {**PREFERENCE, "margin": None}))
    rows = prepared(tmp_path, "Reward", tokenizer, data)
    assert [row["margin"] for row in rows] == [1.5, 0.0]
    assert tokenizer.decode(rows[0]["rejected_ids"]).endswith("Bye<|im_end|>\n")


def test_grpo_takes_prompts(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    data = loaded(tmp_path, "grpo", ("preference", PREFERENCE), ("feedback", FEEDBACK))
    config = trl.GRPOConfig(output_dir=str(tmp_path), num_generations=2, per_device_train_batch_size=2, max_completion_length=2, **QUIET)
    asked = []

    def reward(prompts: list, answer: list, **rest: object) -> list[float]:
        asked.extend(zip([prompt[0]["content"] for prompt in prompts], answer, strict=True))
        return [0.0] * len(prompts)

    trainer = trl.GRPOTrainer(tiny(tokenizer), reward, args=config, train_dataset=data, processing_class=tokenizer)
    trainer.model.train()
    trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    assert set(asked) <= {("Hi", "Hello"), ("Hi", None)} and asked


@pytest.mark.parametrize("use", ["messages", "prompt_completion"])
def test_calls_reach_the_chat_template_as_objects_with_their_own_arguments_only(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, use: str
) -> None:
    other = json.loads(json.dumps(CALLING).replace("city", "lugar").replace("Porto", "Évora"))
    data = loaded(tmp_path, use, ("conversation", CALLING), ("conversation", other), ("conversation", CONVERSATION), tools=True)
    turns = data[1].get("messages") or data[1]["prompt"] + data[1]["completion"]
    text = chat(tokenizer, turns, tools=data[1]["tools"])
    assert '<call>weather{"days": 2, "lugar": "Évora"}</call>' in text.replace('"lugar": "Évora", "days": 2', '"days": 2, "lugar": "Évora"')
    rows = prepared(tmp_path, "SFT", tokenizer, data)
    assert tokenizer.decode(rows[1]["input_ids"]) == text
    assert "tool_calls" not in (data[2].get("messages") or data[2]["prompt"])[0] and "null" not in text


def llama_factory_reads(row: dict, entry: dict) -> dict | None:
    """What LLaMA-Factory's converters make of a row, by its entry; None where it would skip the row with a warning."""
    columns = entry["columns"]
    if entry.get("formatting") != "sharegpt":
        return {"prompt": row[columns["prompt"]], "history": row.get(columns.get("history", ""))}
    tags, turns = entry["tags"], list(row[columns["messages"]])
    if turns[0][tags["role_tag"]] == tags["system_tag"]:
        turns = turns[1:]
    sides = ((tags["user_tag"], tags["observation_tag"]), (tags["assistant_tag"], tags["function_tag"]))
    in_turn = all(turn[tags["role_tag"]] in sides[place % 2] for place, turn in enumerate(turns))
    if not in_turn or len(turns) % 2 != int(entry.get("ranking", False)):
        return None
    if entry.get("ranking"):
        pair = [row[columns[name]] for name in ("chosen", "rejected")]
        assert all(isinstance(turn, dict) and turn[tags["role_tag"]] in sides[1] for turn in pair)
        return {"prompt": turns, "answers": [turn[tags["content_tag"]] for turn in pair]}
    if "kto_tag" in columns:
        assert isinstance(row[columns["kto_tag"]], bool)
    return {"prompt": turns[:-1], "answers": [turns[-1][tags["content_tag"]]]}


def entries() -> Iterator[tuple[str, str, dict]]:
    rows = {"conversation": CONVERSATION, "preference": PREFERENCE, "feedback": FEEDBACK}
    yield from ((use, shape, rows[shape]) for use in NAMES for shape in output(use).takes if shape in rows)


@pytest.mark.parametrize(("use", "shape", "row"), list(entries()), ids=lambda value: value if isinstance(value, str) else "")
def test_llama_factory_reads_every_row_by_the_entry_that_is_written_for_it(tmp_path: Path, use: str, shape: str, row: dict) -> None:
    made = output(use, **({"chosen": True} if "chosen" in type(output(use)).model_fields else {}))
    info = made.info("mine", ["mine.parquet"])
    if use in ("prompt_completion", "preference", "grpo"):
        assert info == {}
        return
    assert info["mine"]["file_name"] == "mine.parquet"
    data = loaded(tmp_path, use, (shape, row), **made.model_dump(exclude={"use"}))
    assert set(info["mine"]["columns"].values()) <= set(data.column_names)
    assert all(llama_factory_reads(one, info["mine"]) for one in data)


def test_llama_factory_reads_calls_from_sharegpt_and_its_tags_are_those_written() -> None:
    row = output("sharegpt").rows("conversation", CALLING)[0]
    assert {turn["from"] for turn in row["conversations"]} <= set(SHAREGPT_TAGS.values())
    call = json.loads(row["conversations"][1]["value"])
    assert call["name"] == "weather" and call["arguments"] == {"city": "Porto", "days": 2}
    assert json.loads(row["tools"])[0]["function"]["name"] == "weather"
