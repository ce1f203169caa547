"""Models and data as users have them: other families and tokenizers than Llama's, folders of the Hub, rows that do not fit."""

import json
import shutil
from pathlib import Path

import pytest
from contract_models import CORPUS, UNMARKED, saved
from training_models import artifact, assistant, config_file, conversations, labelled, model_folder, pairs, user

pytest.importorskip("trl", reason="TRL is an extra")

import pyarrow.parquet as pq
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from curate.artifact import read_receipt
from curate.config import UsageError
from curate.contract import load_tokenizer
from training import dpo, guards, kto, preference, reward, sft
from training.config import Dpo, Kto, Preference, Reward, Sft, load
from training.data import prepared, source_of, tokenizer_of
from training.models import turn_end
from training.run import main
from training.sources import files_of

TRAINERS = {"sft": (sft, Sft), "dpo": (dpo, Dpo), "kto": (kto, Kto), "reward": (reward, Reward), "preference": (preference, Preference)}
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
OLDER = {"n_embd": 32, "n_layer": 2, "n_head": 2}
FAMILIES = {
    "qwen3": {**SMALL, "head_dim": 16, "tie_word_embeddings": True},
    "mistral": {**SMALL, "sliding_window": 16},
    "gemma2": {**SMALL, "head_dim": 16, "sliding_window": 16},
    "gpt2": OLDER,
    "gpt_neo": {
        "hidden_size": 32, "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 256,
    },
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    "qwen3_moe": {**SMALL, "head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "granite": SMALL,
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
}  # fmt: skip


def bare(name: str, size: int) -> transformers.PreTrainedModel:
    """A tiny random model of a family."""
    config = AutoConfig.for_model(name, vocab_size=size, bos_token_id=0, eos_token_id=1, pad_token_id=1, **FAMILIES[name])
    transformers.set_seed(0)
    return AutoModelForCausalLM.from_config(config)


def family(name: str, folder: Path) -> Path:
    """Such a model with a tokenizer of ChatML, whose turns end by another token than EOS."""
    saved(folder, "byte_level")
    bare(name, load_tokenizer(folder).backend.get_vocab_size()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "base")


def ran(kind: str, folder: Path, model: Path, data: Path, **more: object) -> int:
    """The exit code of two steps of a trainer, to `out`."""
    room, shape = TRAINERS[kind]
    store = {"reference_store": str(folder / "logps")} if shape is Dpo else {}
    values = {"model": str(model), "data": str(data), "output": str(folder / "out"), "max_steps": 2, **store, **more}
    return main(kind, shape, room.build, [config_file(folder, **values)])


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def lines(file: Path, rows: list[dict]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return file


@pytest.mark.parametrize(("name", "more"), [
    ("qwen3", {"adapter": {"rank": 4}}), ("mistral", {}), ("gemma2", {}), ("gpt_neo", {}), ("gpt2", {"adapter": {"rank": 4}}),
])  # fmt: skip
def test_pairs_are_learnt_from_ln_2_on_and_the_saved_folder_ends_its_turns(tmp_path: Path, name: str, more: dict) -> None:
    start, data = family(name, tmp_path / "start"), artifact(tmp_path / "mix", {"train": pairs(range(8))})
    assert ran("dpo", tmp_path, start, data, **more) == 0
    out = tmp_path / "out"
    assert read_receipt(out).report["dpo"]["curve"][0]["loss"] == pytest.approx(guards.LN2, abs=1e-4)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    ends = model.generation_config.eos_token_id
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") in (ends if isinstance(ends, list) else [ends])
    asked = tokenizer.apply_chat_template([user("sun?")], add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert model.generate(**asked, max_new_tokens=2, do_sample=False).shape[1] > asked["input_ids"].shape[1]


def test_sdpa_that_is_asked_for_is_refused_where_the_architecture_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start, data = family("gemma2", tmp_path / "start"), artifact(tmp_path / "mix", {"train": pairs(range(8))})
    assert ran("dpo", tmp_path, start, data, attention="sdpa") == 2
    assert "set `attention: eager`" in told(capsys)


@pytest.mark.parametrize(("name", "apart"), [
    ("qwen3", True), ("gemma2", True), ("gpt2", True), ("qwen3_moe", True), ("bloom", False), ("falcon", False), ("mamba", False),
])  # fmt: skip
def test_rows_of_a_pack_that_would_read_each_other_are_found(name: str, apart: bool) -> None:
    model = bare(name, 64)
    found = guards.rows_mix(model, DataCollatorForLanguageModeling(pad_token_id=1, padding_free=True), 96)
    assert (found is None) == apart
    assert model.training == bare(name, 64).training


def test_a_line_that_is_longer_than_a_models_own_mask_is_refused_before_the_first_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start, data = family("gpt_neo", tmp_path / "start"), artifact(tmp_path / "mix", {"train": conversations(range(8))})
    assert ran("sft", tmp_path, start, data, packing="bfd_split") == 2  # eight rows of 96 tokens
    assert "768 tokens is over the 256 that this model has a mask for" in told(capsys)


@pytest.mark.parametrize(("name", "adapter"), [
    ("qwen3", {"targets": ["q_projj"]}), ("mamba", {}), ("qwen3_moe", {"dora": True}),
])  # fmt: skip
def test_adapters_that_do_not_fit_a_model_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, adapter: dict) -> None:
    start, data = family(name, tmp_path / "start"), artifact(tmp_path / "mix", {"train": conversations(range(8))})
    assert ran("sft", tmp_path, start, data, adapter={"rank": 4, **adapter}) == 2
    assert "adapter: " in (said := told(capsys)) and "`adapter.targets`" in said


def test_an_architecture_without_a_score_head_is_no_start_of_a_reward_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start, data = family("granite", tmp_path / "start"), artifact(tmp_path / "mix", {"train": pairs(range(8))})
    assert ran("reward", tmp_path, start, data) == 2
    assert "no reward model of its architecture; begin with another" in told(capsys)


MARKED_LINE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role }}{% if m.role == 'assistant' %}{% generation %}{{ '\n' + m.content + '<|im_end|>\n' }}"
    "{% endgeneration %}{% else %}{{ '\n' + m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""As TRL marks Qwen's template: the end of the header's line is among the answer's tokens."""


def test_white_space_between_a_header_and_its_answer_may_be_learnt_and_nothing_else(base: Path, tmp_path: Path) -> None:
    template = tmp_path / "marked.jinja"
    template.write_text(MARKED_LINE)
    assert ran("sft", tmp_path, base, artifact(tmp_path / "mix", {"train": conversations(range(8))}), template=str(template)) == 0
    tokenizer = load_tokenizer(base, template)
    headers = guards.headers_of(tokenizer)
    ids = tokenizer.encode(tokenizer.render([user("sun?"), assistant("gold")]).text).ids
    assert guards.user_tokens_in_loss(ids, ids, headers)


@pytest.mark.parametrize(("template", "token"), [("chatml", "<|im_end|>"), ("gemma", "<end_of_turn>"), ("vicuna", "</s>"), (None, None)])
def test_the_token_that_ends_a_turn_is_read_from_the_template(tmp_path: Path, template: str | None, token: str | None) -> None:
    tokenizer = load_tokenizer(saved(tmp_path / "tokens", "byte_level", template))
    assert turn_end(tokenizer) == (token and tokenizer.backend.token_to_id(token))


def prepending(folder: Path) -> None:
    """Llama 2's files: tokenizer.json puts a space before every piece between special tokens, which transformers' class does not."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)]]
    made.train_from_iterator([word for text in CORPUS[:5] for word in text.split()], trainers.BpeTrainer(vocab_size=500, special_tokens=special))
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}))


def test_rows_are_tokenised_as_the_tokenizer_does_that_is_saved_with_the_model(tmp_path: Path) -> None:
    start = saved(tmp_path / "start", "byte_level", "llama2")
    prepending(start)
    rows = [{"id": "r", "messages": [user(" leading  spaces "), assistant("gold\nand é")] * 2}]
    path = config_file(tmp_path, model=str(start), data=str(artifact(tmp_path / "mix", {"train": rows})), output=str(tmp_path / "out"), max_length=512)
    transformers.LlamaConfig(vocab_size=500, max_position_embeddings=512).save_pretrained(start)
    config = load(path, Sft)
    ids = prepared("sft", config, source_of(config), "train", tokenizer_of(config), tmp_path / "rows")[0]["input_ids"]
    theirs = AutoTokenizer.from_pretrained(start)
    assert ids == theirs.apply_chat_template(rows[0]["messages"], return_dict=False)


def test_a_folder_with_a_tokenizer_alone_is_one(base: Path, tmp_path: Path) -> None:
    tokens = saved(tmp_path / "tokens", "byte_level")
    data = artifact(tmp_path / "mix", {"train": conversations(range(8))})
    assert ran("sft", tmp_path, base, data, tokenizer=str(tokens)) == 0


@pytest.mark.parametrize(("names", "found"), [
    (["train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test-00000-of-00001.parquet"], 2),
    (["train.jsonl", "test.jsonl", "train_more.jsonl"], 1),
    (["data/train-00000.parquet", "data/validation-00000.parquet"], 1),
    (["chats.jsonl", "more.jsonl", ".cache/train.jsonl"], 2),
])  # fmt: skip
def test_the_files_of_a_split_are_those_named_after_it(tmp_path: Path, names: list[str], found: int) -> None:
    for name in names:
        lines(tmp_path / name, [])
    assert len(files_of(tmp_path, "train")) == found


@pytest.mark.parametrize(("names", "split", "said"), [
    (["train_prefs-00000.parquet", "test_prefs-00000.parquet"], "train", "here are test_prefs, train_prefs"),
    (["test.jsonl"], "train", "no data of split 'train'"),
    (["chats.jsonl"], "test", "no data of split 'test'; here are chats.jsonl"),
    (["sft-00000.parquet", "rl-00000.parquet"], "train", "here are rl, sft"),
    (["main/train.jsonl", "socratic/train.jsonl"], "train", "several folders (main, socratic)"),
    (["train.csv"], "train", "read by an `ingest` stage"),
])  # fmt: skip
def test_files_that_may_be_another_split_are_refused(tmp_path: Path, names: list[str], split: str, said: str) -> None:
    for name in names:
        lines(tmp_path / name, [])
    with pytest.raises(UsageError) as refused:
        files_of(tmp_path, split)
    assert said in str(refused.value)


def test_a_recipes_folder_is_its_latest_artifact(base: Path, tmp_path: Path) -> None:
    for name, count in (("00-mix-old", 4), ("00-mix-new", 8)):
        artifact(tmp_path / "chats" / name, {"train": conversations(range(count))})
    (tmp_path / "chats" / "latest.json").write_text(json.dumps(["00-mix-new"]))
    assert ran("sft", tmp_path, base, tmp_path / "chats") == 0
    made = read_receipt(tmp_path / "out")
    assert made.counts.read == 8 and made.parents[0].path.endswith("chats/00-mix-new")


LONG = " ".join(["word"] * 200)


def too_long(kind: str) -> list[dict]:
    """Rows of a trainer, the third of which has no room for an answer."""
    rows = {"sft": conversations, "dpo": pairs, "preference": pairs, "reward": pairs, "kto": labelled}[kind](range(9))
    (rows[2]["messages"] if kind == "sft" else rows[2]["prompt"])[0]["content"] = LONG
    return rows


@pytest.mark.parametrize("kind", TRAINERS)
def test_rows_that_do_not_fit_are_refused_or_left_out_and_counted(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    data = lines(tmp_path / "rows.jsonl", too_long(kind))
    assert ran(kind, tmp_path, base, data) == 2
    assert "1 of 9 rows" in (said := told(capsys)) and "`too_long: drop`" in said
    assert ran(kind, tmp_path, base, data, too_long="drop") == 0
    counts = read_receipt(tmp_path / "out").counts
    assert (counts.read, counts.kept, counts.dropped) == (9, 8, {"train.too_long": 1})


@pytest.mark.parametrize(("kind", "more", "said"), [
    ("dpo", {"weight": float("nan")}, "weight is nan; write a number from 0"),
    ("dpo", {"weight": -1.0}, "weight is -1.0"),
    ("dpo", {"probability": 1.7}, "probability is 1.7; write a number from 0 to 1, or null"),
    ("dpo", {"probability": "high"}, "probability is 'high'"),
    ("reward", {"margin": float("nan")}, "margin is nan"),
    ("reward", {"margin": "big"}, "margin is 'big'"),
])  # fmt: skip
@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_judgements_that_are_no_numbers_are_refused_by_their_row(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, more: dict, said: str, form: str
) -> None:
    rows = pairs(range(4), **more)
    data = artifact(tmp_path / "mix", {"train": rows}) if form == "parquet" else lines(tmp_path / "rows.jsonl", rows)
    assert ran(kind, tmp_path, base, data) == 2
    assert f"r0: {said}" in told(capsys)


def test_a_judgement_that_only_later_rows_hold_is_read(base: Path, tmp_path: Path) -> None:
    rows = [*pairs(range(2)), *pairs(range(2, 4), probability=0.75, weight=0.5)]
    config = load(config_file(tmp_path, model=str(base), data=str(lines(tmp_path / "rows.jsonl", rows)), output=str(tmp_path / "out")), Dpo)
    made = prepared("dpo", config, source_of(config), "train", tokenizer_of(config), tmp_path / "ids")
    assert made["probability"][:] == [1.0, 1.0, 0.75, 0.75] and made["weight"][:] == [1.0, 1.0, 0.5, 0.5]


def test_pairs_without_a_margin_train_a_reward_model_beside_those_with_one(base: Path, tmp_path: Path) -> None:
    rows = [{**pair, "margin": None if number % 2 else 0.5, "group": number // 4} for number, pair in enumerate(pairs(range(8)))]
    assert ran("reward", tmp_path, base, artifact(tmp_path / "mix", {"train": rows})) == 0
    written = pq.read_table(tmp_path / "out" / "prepared" / "train-00000.parquet").to_pydict()
    assert written["margin"] == [0.5, 0.0] * 4 and written["group"] == ["0"] * 4 + ["1"] * 4


@pytest.mark.parametrize(("row", "said"), [
    ({"input_ids": [5, 6, 7], "labels": [5, 6]}, "not two lists of as many whole numbers"),
    ({"input_ids": [5.5, 6, 7]}, "not two lists of as many whole numbers"),
    ({"input_ids": [5, 99_999], "labels": [5, 99_999]}, "a row holds id 99,999"),
])  # fmt: skip
def test_tokens_that_a_model_cannot_read_are_refused(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: dict, said: str
) -> None:
    assert ran("sft", tmp_path, base, lines(tmp_path / "rows.jsonl", [row] * 4)) == 2
    assert said in told(capsys)


def test_sequences_over_a_models_places_are_told_and_refused_where_positions_have_weights(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    start = shutil.copytree(base, tmp_path / "start")
    config = {**json.loads((start / "config.json").read_text()), "max_position_embeddings": 64}
    data = lines(tmp_path / "rows.jsonl", [{"input_ids": [5] * 90, "labels": [5] * 90}] * 4)
    (start / "config.json").write_text(json.dumps(config))
    assert ran("sft", tmp_path, start, data) == 0
    assert "over the 64 places" in caplog.text
    (start / "config.json").write_text(json.dumps({key: value for key, value in config.items() if not key.startswith("rope")}))
    assert ran("sft", tmp_path, start, data, output=str(tmp_path / "other")) == 2
    assert "over the 64 places" in told(capsys)


SYSTEMLESS = UNMARKED.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")


@pytest.mark.parametrize(("template", "refused"), [(SYSTEMLESS, True), (UNMARKED, False)])
def test_a_template_that_leaves_the_system_turn_out_is_refused_where_rows_have_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], template: str, refused: bool
) -> None:
    start = model_folder(tmp_path / "start", template)
    rows = pairs(range(4))
    rows[2]["prompt"] = [{"role": "system", "content": "Answer in Portuguese."}, *rows[2]["prompt"]]
    assert ran("dpo", tmp_path, start, artifact(tmp_path / "pairs", {"train": rows})) == (2 if refused else 0)
    assert ("r2: the chat template leaves the system turn out" in told(capsys)) == refused


def test_a_template_without_marks_is_refused_for_sft_and_serves_dpo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = model_folder(tmp_path / "start", UNMARKED)
    assert ran("sft", tmp_path, start, artifact(tmp_path / "chats", {"train": conversations(range(8))})) == 2
    assert "no_generation_marks" in told(capsys)
    assert ran("dpo", tmp_path, start, artifact(tmp_path / "pairs", {"train": pairs(range(8))})) == 0
