"""What is refused before a model is loaded, and what a user reads of it: one line each."""

import re
from pathlib import Path

import pytest
from training_models import artifact, config_file, conversations, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

import errno

import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import read_receipt
from curate.config import StoppedError, UsageError
from curate.contract import Settings, load_tokenizer, predict
from curate.formats.templates import NAMES
from training import dpo, guards, sft
from training.arguments import arguments
from training.config import Dpo, Sft, load
from training.faults import explained
from training.run import _installed, main

TRAIN = range(32)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifact(tmp_path_factory.mktemp("data") / "mix", {"train": conversations(TRAIN)})


BAR = re.compile(r"\d+%\||examples/s|it/s|\x1b")
"""A progress bar of a library, which other tests in this process may have switched on."""


def refused(folder: Path, capsys: pytest.CaptureFixture[str], **values: object) -> str:
    """What SFT says of a config that it refuses, without a traceback."""
    assert main("sft", Sft, sft.build, [config_file(folder, **{"output": str(folder / "out"), **values})]) == 2
    lines = re.split(r"[\r\n]", capsys.readouterr().err)
    told = [line for line in lines if line.strip() and not BAR.search(line)]
    assert len(told) == 1 and "Traceback" not in told[0]
    return told[0]


def test_user_turns_in_the_loss_are_refused_by_the_contract(tmp_path: Path, base: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "user_turns_in_loss" in refused(tmp_path, capsys, model=str(base), data=str(data), mask="all")


def test_user_turns_in_given_labels_are_refused(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = load_tokenizer(base)
    ids = [tokenizer.encode(tokenizer.render(row["messages"]).text).ids for row in conversations(TRAIN)]
    data = artifact(tmp_path / "tokens", {"train": [{"id": str(n), "input_ids": one, "labels": one} for n, one in enumerate(ids)]})
    assert "outside the answers are in the loss" in refused(tmp_path, capsys, model=str(base), data=str(data))


def test_a_later_user_turn_in_given_labels_is_refused(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = load_tokenizer(base)
    rows = []
    for number, row in enumerate(conversations(TRAIN)):
        first = tokenizer.encode(tokenizer.render(row["messages"][:1], None, True).text).ids
        ids = tokenizer.encode(tokenizer.render(row["messages"] * 2).text).ids
        rows.append({"id": str(number), "input_ids": ids, "labels": [-100] * len(first) + ids[len(first) :]})
    data = artifact(tmp_path / "tokens", {"train": rows})
    assert "outside the answers are in the loss" in refused(tmp_path, capsys, model=str(base), data=str(data))


@pytest.mark.parametrize("template", NAMES)
def test_user_turns_are_seen_under_every_template_and_answers_alone_are_trained(base: Path, template: str) -> None:
    tokenizer = load_tokenizer(base, template)
    row = {"messages": conversations(TRAIN)[0]["messages"] * 2}
    one = predict("sft", row, tokenizer, Settings(assistant_only_loss=True)).sequences[0]
    labels = [number if trained else guards.IGNORED for number, trained in zip(one.input_ids, one.loss, strict=True)]
    headers = guards.headers_of(tokenizer)
    assert guards.user_tokens_in_loss(one.input_ids, labels, headers) is None
    assert "outside the answers" in guards.user_tokens_in_loss(one.input_ids, one.input_ids, headers)


def test_a_batch_of_one_label_and_a_pair_of_equal_tokens_are_named() -> None:
    assert "one label" in guards.one_label([True] * 8) and guards.one_label([True, False]) is None
    alike, unlike = ({"chosen_ids": [1, 2], "rejected_ids": [1, last]} for last in (2, 3))
    assert "1 pairs are identical" in guards.identical_pairs([alike, unlike]) and guards.identical_pairs([unlike]) is None


@pytest.mark.parametrize(("template", "trap"), [(None, "no_chat_template"), ("{% for m in messages %}{{ m.content }}{% endfor %}", "no_generation_marks")])
def test_a_template_that_is_missing_or_has_no_marks_is_refused(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], template: str | None, trap: str
) -> None:
    bare = model_folder(tmp_path / "bare", template)
    assert trap in refused(tmp_path, capsys, model=str(bare), data=str(data))


def test_padding_in_labels_is_named() -> None:
    import torch

    batch = {"labels": torch.tensor([[5, 1], [5, -100]]), "attention_mask": torch.tensor([[1, 0], [1, 0]])}
    assert "1 padding" in guards.padding_in_loss(batch)
    assert guards.padding_in_loss({**batch, "labels": torch.tensor([[5, -100], [5, -100]])}) is None


def test_a_collator_that_trains_other_tokens_than_the_rows_mark_is_named() -> None:
    import torch

    assert guards.trained_differs({"labels": torch.tensor([[5, 6, -100]])}, 1) is not None
    assert guards.trained_differs({"labels": torch.tensor([[5, 6, -100]])}, 2) is None


def test_a_tokenizer_without_padding_is_refused(tmp_path: Path, base: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "pad_token" in refused(tmp_path, capsys, model=str(base), data=str(data), pad_token=None)


def test_a_corrupt_shard_is_named(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = artifact(tmp_path / "mix", {"train": conversations(TRAIN)})
    shard = data / "data" / "train-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    assert "train-00000.parquet" in refused(tmp_path, capsys, model=str(base), data=str(data))


def test_a_corrupt_file_without_a_receipt_is_named(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(conversations(TRAIN)), file, compression="zstd")
    raw = bytearray(file.read_bytes())
    raw[40:400] = b"\0" * 360
    file.write_bytes(raw)
    assert "rows.parquet" in refused(tmp_path, capsys, model=str(base), data=str(file))


def test_wrong_columns_are_named(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = artifact(tmp_path / "mix", {"train": [{"id": "a", "question": "x"}]})
    assert "wrong_columns" in refused(tmp_path, capsys, model=str(base), data=str(data))


def test_a_model_that_is_not_here_is_named(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nobody/nothing" in refused(tmp_path, capsys, model="nobody/nothing", data=str(data))


def test_a_data_set_that_is_not_here_is_named(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nobody/nothing" in refused(tmp_path, capsys, model=str(base), data="nobody/nothing")


def test_an_unfinished_artifact_is_refused(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = artifact(tmp_path / "mix", {"train": conversations(TRAIN)})
    (data / "receipt.json").unlink()
    assert "unfinished" in refused(tmp_path, capsys, model=str(base), data=str(data))


def test_simulated_verdicts_are_trained_on_only_when_asked_for(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged = artifact(tmp_path / "judged", {"train": pairs(TRAIN)})
    (judged / "verdicts").mkdir()
    pq.write_table(pa.table({"simulated": [False, True]}), judged / "verdicts" / "00000.parquet")
    parent = {"name": "judged", "path": "../judged", "recipe": "made", "stage": "judge", "fingerprint": "j"}
    data = artifact(tmp_path / "mix", {"train": conversations(TRAIN)}, parents=[parent])
    values = {"model": str(base), "data": str(data)}
    assert "simulated" in refused(tmp_path, capsys, **values)
    words = [config_file(tmp_path, **values, output=str(tmp_path / "out"), max_steps=1), "--simulated"]
    assert main("sft", Sft, sft.build, words) == 0


def test_mistakes_in_a_config_are_named_with_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "dpo.yaml"
    file.write_text("model: m\ndata: d\noutput: o\nbetta: 0.1\nepochs: -1\n", encoding="utf-8")
    assert main("dpo", Dpo, dpo.build, [str(file)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and ":4:" in told[0] and "beta" in told[0] and ":5:" in told[1]


def test_a_reward_model_is_not_trained_to_talk(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scorer = model_folder(tmp_path / "scorer", scores=True)
    assert "reward model" in refused(tmp_path, capsys, model=str(scorer), data=str(data))


def test_a_model_that_lacks_a_weight_is_refused(tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import load_file, save_file

    file = model_folder(tmp_path / "part") / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    words = [config_file(tmp_path, model=str(file.parent), data=str(data), output=str(tmp_path / "out"))]
    assert main("sft", Sft, sft.build, words) == 2
    assert "has no model.layers.1.mlp.up_proj.weight" in capfd.readouterr().err


def test_a_loss_that_trl_does_not_know_is_refused_before_the_rows_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("dpo", Dpo, dpo.build, [config_file(tmp_path, model="m", data="d", output="o", loss=["sigmoyd"])]) == 2
    assert "sigmoyd" in capsys.readouterr().err


def test_a_word_that_trl_does_not_know_is_refused(tmp_path: Path, base: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(tmp_path, capsys, model=str(base), data=str(data), trl={"max_lenght": 3})
    assert "max_length" in told


def test_a_command_line_word_is_laid_over_the_file(tmp_path: Path) -> None:
    file = config_file(tmp_path, model="m", data="d", output="o")
    config = load(file, Sft, ["learning_rate=1e-5", "adapter.rank=4", "adapter.targets=[q_proj]"])
    assert config.learning_rate == 1e-5 and config.adapter.rank == 4 and config.adapter.targets == ["q_proj"]
    with pytest.raises(UsageError, match="key=value"):
        load(file, Sft, ["nonsense"])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), "batch_size"),
        (MemoryError(), "batch_size"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0: file write failed"), "disk is full"),
    ],
    ids=["gpu", "cpu", "disk", "torch_disk"],
)
def test_what_the_machine_lacks_is_said_in_one_line(error: Exception, told: str) -> None:
    said = explained(error, Sft(model="m", data="d", output="o"))
    assert isinstance(said, StoppedError) and told in str(said) and "\n" not in str(said)


def test_one_process_that_sees_several_gpus_is_told_to_be_several(
    tmp_path: Path, base: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    said = refused(tmp_path, capsys, model=str(base), data=str(data))
    assert "accelerate launch" in said and "CUDA_VISIBLE_DEVICES" in said
    monkeypatch.setenv("WORLD_SIZE", "2")
    _installed(load(config_file(tmp_path, model=str(base), data=str(data), output="o"), Sft))


def test_a_first_loss_may_miss_ln_2_by_what_rounding_makes_of_it_and_by_no_more() -> None:
    assert guards.first_loss_misses(guards.LN2 + 0.02, 1.0) is not None
    assert guards.first_loss_misses(guards.LN2 + 0.02, 1.0, rounding=0.05) is None
    assert guards.first_loss_misses(guards.LN2 + 0.04, 1.0, rounding=0.05) is not None


def test_qlora_without_a_gpu_is_refused(tmp_path: Path, base: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert "GPU" in refused(tmp_path, capsys, model=str(base), data=str(data), adapter={"quantised": True})


def test_qlora_is_double_quantised_under_a_paged_optimiser() -> None:
    from trl import SFTConfig

    from training.models import quantisation

    made = quantisation()
    assert made.load_in_4bit and made.bnb_4bit_quant_type == "nf4" and made.bnb_4bit_use_double_quant
    config = Sft(model="m", data="d", output="o", adapter={"quantised": True})
    assert arguments(config, SFTConfig).optim.startswith("paged_")


def test_the_receipt_names_the_commit_that_trained(tmp_path: Path, base: Path, data: Path) -> None:
    values = {"model": str(base), "data": str(data), "output": str(tmp_path / "out"), "max_steps": 1}
    assert main("sft", Sft, sft.build, [config_file(tmp_path, **values)]) == 0
    git = read_receipt(tmp_path / "out").git
    if not (Path(__file__).resolve().parents[1] / ".git").exists():
        assert git == {}
    else:
        assert set(git) == {"commit", "dirty"}
