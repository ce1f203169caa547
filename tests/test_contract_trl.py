"""The prediction against TRL 1.16 itself: its prepared data set, through its own collator, equal for every row."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from contract_models import UNMARKED, saved, tiny_llama
from curate.contract import Settings, Tokenizer, load_tokenizer, predict, tokenised

datasets = pytest.importorskip("datasets")
trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'curate[train]'")
transformers = pytest.importorskip("transformers")

ROWS = 150
WORDS = (
    "the fox não há coração jumps\n\n over Lisboa ### Response: naïve 日本 🦊 <|im_end|> </s> <s> user assistant: [INST] {% x %} "
    "  e\u0301 don't 1234 \t end. Ünïcode\r\n"
).split(" ")
CASES = [("byte_level", True), ("trimmed", False), ("metaspace", True)]
"""A tokenizer, and whether half of the rows are too long."""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets.disable_progress_bars()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def words(dice: random.Random, most: int = 14) -> str:
    return " ".join(dice.choices(WORDS, k=dice.randint(1, most)))


def turn(role: str, content: str) -> dict:
    return {"role": role, "content": content, "tool_calls": None, "name": None}


def conversation(dice: random.Random) -> list[dict]:
    turns = [turn("system", words(dice))] if dice.random() < 0.4 else []
    for _ in range(dice.randint(1, 3)):
        turns += [turn("user", words(dice)), turn("assistant", words(dice))]
    return turns


def prompt(dice: random.Random) -> list[dict]:
    return conversation(dice)[:-1]


def called(dice: random.Random) -> list[dict]:
    """A conversation in which the assistant calls a tool and reads its answer."""
    call = [{"type": "function", "function": {"name": "weather", "arguments": {"city": words(dice, 2)}}}]
    asked = [*prompt(dice), {**turn("assistant", ""), "tool_calls": call}, turn("tool", words(dice)), turn("assistant", words(dice))]
    return asked if dice.random() < 0.5 else conversation(dice)


TOOLS = '[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]'
MAKERS: dict[str, Callable[[random.Random], dict]] = {
    "messages": lambda dice: {"messages": conversation(dice)},
    "tools": lambda dice: {"messages": called(dice), "tools": TOOLS},
    "prompt_completion": lambda dice: {"prompt": prompt(dice), "completion": [turn("assistant", words(dice))]},
    "strings": lambda dice: {"prompt": words(dice), "completion": words(dice) + dice.choice(["", "</s>"])},
    "text": lambda dice: {"text": words(dice, 40) + dice.choice(["", "</s>"])},
    "pairs": lambda dice: {
        "prompt": prompt(dice), "chosen": [turn("assistant", words(dice))], "rejected": [turn("assistant", words(dice))]
    },
    "string_pairs": lambda dice: {"prompt": words(dice, 30), "chosen": words(dice), "rejected": words(dice)},
    "implicit_strings": lambda dice: {"chosen": (start := words(dice)) + words(dice), "rejected": start + "." + words(dice)},
    "implicit_pairs": lambda dice: {
        "chosen": [*(start := prompt(dice)), turn("assistant", words(dice))], "rejected": [*start, turn("assistant", words(dice) + ".")]
    },
    "labelled": lambda dice: {
        "prompt": prompt(dice), "completion": [turn("assistant", words(dice))], "label": dice.random() < 0.5
    },
    "labelled_strings": lambda dice: {"prompt": words(dice, 30), "completion": words(dice), "label": dice.random() < 0.5},
}  # fmt: skip


def made(columns: str, rows: int = ROWS) -> list[dict]:
    dice = random.Random(columns)
    return [MAKERS[columns](dice) for _ in range(rows)]


def configured(kind: str, folder: Path, settings: Settings, **more: object) -> object:
    """TRL's config with the same settings; CPU, nothing logged."""
    name = {"sft": "SFTConfig", "dpo": "DPOConfig", "kto": "KTOConfig", "reward": "RewardConfig"}[kind]
    more |= {"truncation_mode": settings.truncation_mode} if kind in ("sft", "dpo") else {}
    return getattr(trl, name)(
        output_dir=str(folder / "out"), max_length=settings.max_length, use_cpu=True, bf16=False,
        gradient_checkpointing=False, report_to=[], disable_tqdm=True, **more,
    )  # fmt: skip


def prepared(kind: str, rows: list[dict], folder: Path, settings: Settings, **more: object) -> list[tuple[list[int], list[bool]]]:
    """What TRL's trainer hands to the model: ids and mask of each sequence, padding taken off."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = tiny_llama(len(tokenizer), scores=kind == "reward")
    more_models = {"ref_model": tiny_llama(len(tokenizer))} if kind in ("dpo", "kto") else {}
    trainer_class = {"sft": trl.SFTTrainer, "dpo": trl.DPOTrainer, "kto": trl.KTOTrainer, "reward": trl.RewardTrainer}[kind]
    trainer = trainer_class(
        model=model,
        args=configured(kind, folder, settings, **more),
        train_dataset=datasets.Dataset.from_list(rows) if isinstance(rows, list) else rows,
        processing_class=tokenizer,
        **more_models,
    )
    batches = [trainer.data_collator([row]) for row in trainer.train_dataset]
    return [pair for batch in batches for pair in sequences(kind, batch, model)]


def sequences(kind: str, batch: dict, model: object) -> list[tuple[list[int], list[bool]]]:
    if kind == "reward":
        masks = [scored(ids, model) for ids in batch["input_ids"].tolist()]
    else:
        masks = (batch["labels"] != -100).tolist() if kind == "sft" else batch["completion_mask"].bool().tolist()
    out = []
    for ids, real, mask in zip(batch["input_ids"].tolist(), batch["attention_mask"].tolist(), masks, strict=True):
        out.append((ids[: sum(real)], mask[: sum(real)]))
    return out


def scored(ids: list[int], model: object) -> list[bool]:
    """The token whose score the model returns: the last that is no padding (transformers' modeling_layers)."""
    last = max((place for place, number in enumerate(ids) if number != model.config.pad_token_id), default=0)
    return [place == last for place in range(len(ids))]


def predicted(kind: str, rows: list[dict], tokenizer: Tokenizer, settings: Settings) -> list[tuple[list[int], list[bool]]]:
    found = []
    for row in rows:
        prediction = predict(kind, row, tokenizer, settings)
        assert prediction.stops is None, prediction
        if prediction.dropped is None:
            found += [(one.input_ids, one.loss) for one in prediction.sequences]
    return found


def compare(kind: str, columns: str, folder: Path, backend: str, tight: bool, template: str = "chatml", **more: object) -> None:
    tokenizer = load_tokenizer(saved(folder, backend, template))
    whole = Settings(max_length=None)
    rows = [row for row in made(columns) if predict(kind, row, tokenizer, whole).stops != "no_assistant_token"]
    lengths = sorted(len(ids) for ids, _ in predicted(kind, rows, tokenizer, whole))
    settings = Settings(max_length=lengths[len(lengths) // 2]) if tight else whole
    expected = prepared(kind, rows, folder, settings, **more)
    assert predicted(kind, rows, tokenizer, settings) == expected
    assert len(expected) > ROWS // 4


@pytest.mark.parametrize(("backend", "tight"), CASES)
@pytest.mark.parametrize("columns", ["messages", "tools"])
def test_messages_are_read_as_trl_reads_them(columns: str, backend: str, tight: bool, tmp_path: Path) -> None:
    compare("sft", columns, tmp_path, backend, tight, assistant_only_loss=True)


@pytest.mark.parametrize(("backend", "tight"), CASES)
@pytest.mark.parametrize("columns", ["prompt_completion", "strings", "text"])
def test_completions_and_texts_are_read_as_trl_reads_them(columns: str, backend: str, tight: bool, tmp_path: Path) -> None:
    compare("sft", columns, tmp_path, backend, tight)


@pytest.mark.parametrize(("backend", "tight"), CASES)
@pytest.mark.parametrize("columns", ["pairs", "string_pairs"])
def test_pairs_are_read_as_dpo_reads_them(columns: str, backend: str, tight: bool, tmp_path: Path) -> None:
    compare("dpo", columns, tmp_path, backend, tight)


@pytest.mark.parametrize(("backend", "tight"), CASES)
@pytest.mark.parametrize("columns", ["labelled", "labelled_strings"])
def test_labelled_answers_are_read_as_kto_reads_them(columns: str, backend: str, tight: bool, tmp_path: Path) -> None:
    compare("kto", columns, tmp_path, backend, tight)


@pytest.mark.parametrize(("backend", "tight"), CASES)
@pytest.mark.parametrize("columns", ["pairs", "implicit_pairs"])
def test_pairs_are_read_as_the_reward_trainer_reads_them(columns: str, backend: str, tight: bool, tmp_path: Path) -> None:
    compare("reward", columns, tmp_path, backend, tight)


@pytest.mark.parametrize("template", ["llama2", "llama3", "gemma", "mistral", "alpaca", "vicuna"])
def test_every_template_is_read_as_trl_reads_it(template: str, tmp_path: Path) -> None:
    compare("sft", "messages", tmp_path, "metaspace", False, template, assistant_only_loss=True)


@pytest.mark.parametrize("columns", ["implicit_strings", "implicit_pairs"])
def test_an_implicit_prompt_is_cut_out_as_dpo_cuts_it(columns: str, tmp_path: Path) -> None:
    compare("dpo", columns, tmp_path, "byte_level", False)


VARIANTS = [
    ("sft", "messages", {"max_length": 40, "truncation_mode": "keep_end", "assistant_only_loss": True}),
    ("sft", "messages", {"assistant_only_loss": False}),
    ("sft", "prompt_completion", {"assistant_only_loss": True}),
    ("sft", "prompt_completion", {"completion_only_loss": False}),
    ("dpo", "pairs", {"max_length": 40, "truncation_mode": "keep_end"}),
    ("sft", "masked", {"max_length": 9, "completion_only_loss": True}),
    ("sft", "masked", {}),
    ("sft", "labelled_ids", {"max_length": 9}),
    ("sft", "bare_ids", {}),
]


def numbered(dice: random.Random, *names: str) -> dict:
    """A tokenised row: ids, and masks or labels over them."""
    ids = [dice.randint(3, 300) for _ in range(dice.randint(2, 20))]
    masks = {name: [dice.randint(0, 1) for _ in ids] for name in names}
    return {"input_ids": ids, **masks}


def labelled_ids(dice: random.Random) -> dict:
    row = numbered(dice, "mask")
    return {"input_ids": row["input_ids"], "labels": [one if mask else -100 for one, mask in zip(row["input_ids"], row["mask"], strict=True)]}


MAKERS |= {
    "masked": lambda dice: numbered(dice, "completion_mask", "assistant_masks"),
    "bare_ids": lambda dice: numbered(dice),
    "labelled_ids": labelled_ids,
}


@pytest.mark.parametrize(("kind", "columns", "given"), VARIANTS)
def test_every_setting_that_changes_what_is_read_is_followed(kind: str, columns: str, given: dict, tmp_path: Path) -> None:
    tokenizer, settings = load_tokenizer(saved(tmp_path, "metaspace")), Settings(**given)
    more = {name: value for name, value in given.items() if name not in ("max_length", "truncation_mode")}
    rows = made(columns, 100)
    assert predicted(kind, rows, tokenizer, settings) == prepared(kind, rows, tmp_path, settings, **more)


@pytest.mark.parametrize("template", ["chatml", UNMARKED])
def test_trl_reads_a_tokenised_row_as_it_is(template: str, tmp_path: Path) -> None:
    """And learns the same from it as by the marks, whether the template has any or not."""
    tokenizer = load_tokenizer(saved(tmp_path, "metaspace", template))
    rows = made("messages")
    written = [tokenised(row, tokenizer) for row in rows]
    settings = Settings(max_length=None)
    expected = [(row["input_ids"], [label != -100 for label in row["labels"]]) for row in written]
    assert prepared("sft", written, tmp_path, settings) == expected
    assert predicted("sft", rows, load_tokenizer(tmp_path, "chatml"), settings) == expected


def test_tokenizer_settings_of_padding_and_truncation_are_not_followed(tmp_path: Path) -> None:
    saved(tmp_path, "byte_level")
    file = tmp_path / "tokenizer.json"
    content = json.loads(file.read_text())
    content["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 50}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 1, "pad_type_id": 0, "pad_token": "</s>"
    }  # fmt: skip
    file.write_text(json.dumps(content))
    rows, settings = made("prompt_completion", 20), Settings(max_length=None)
    assert predicted("sft", rows, load_tokenizer(tmp_path), settings) == prepared("sft", rows, tmp_path, settings)


def test_special_tokens_that_only_the_config_names_are_one_token(tmp_path: Path) -> None:
    saved(tmp_path, "byte_level", markers=False)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "extra_special_tokens": ["<|im_end|>"], "eos_token": "<|im_start|>"}))
    rows, settings = made("messages", 40), Settings(max_length=None)
    rows = [row for row in rows if predict("sft", row, load_tokenizer(tmp_path), settings).stops is None]
    found = predicted("sft", rows, load_tokenizer(tmp_path), settings)
    assert found == prepared("sft", rows, tmp_path, settings, assistant_only_loss=True)


def test_trl_stops_at_a_row_where_we_see_no_assistant_token(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(saved(tmp_path, "trimmed"))
    rows = [{"messages": [turn("user", "Hello"), turn("assistant", " Hello")]}]
    assert predict("sft", rows[0], tokenizer, Settings()).stops == "no_assistant_token"
    with pytest.raises(RuntimeError, match="no assistant"):
        prepared("sft", rows, tmp_path, Settings(), assistant_only_loss=True)


def test_the_score_of_a_reward_is_read_where_we_say(tmp_path: Path) -> None:
    import torch

    tokenizer = load_tokenizer(saved(tmp_path, "byte_level"))
    model = tiny_llama(len(tokenizer.backend.get_vocab()), scores=True)
    for row in made("pairs", 20):
        for sequence in predict("reward", row, tokenizer, Settings()).sequences:
            ids = torch.tensor([sequence.input_ids])
            scores = model.score(model.model(input_ids=ids).last_hidden_state)[0, :, 0]
            assert torch.allclose(scores[sequence.loss.index(True)], model(input_ids=ids).logits[0, 0])
