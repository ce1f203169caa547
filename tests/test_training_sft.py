"""SFT as a script: checked rows in, a model that has learnt them and nothing else out."""

import subprocess
import sys
from pathlib import Path

import pytest
from training_models import artifact, config_file, conversations, model_folder

pytest.importorskip("trl", reason="TRL is an extra")

from curate.artifact import Artifact, read_receipt
from training import sft
from training.config import Sft, load
from training.run import main, material_of, report_of, source_of

TRAIN, HELD_OUT = range(32), range(64, 96)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifact(tmp_path_factory.mktemp("data") / "mix", {"train": conversations(TRAIN), "test": conversations(HELD_OUT)})


def trained(folder: Path, base: Path, data: Path, build: object = sft.build, **more: object) -> Path:
    values = {"model": str(base), "data": str(data), "output": str(folder / "out"), "epochs": 30, "log_steps": 20, "eval_steps": 60, **more}
    assert main("sft", Sft, build, [config_file(folder, **values)]) == 0
    return folder / "out"


def test_a_held_out_split_is_measured_while_rows_are_learnt(tmp_path: Path, base: Path, data: Path) -> None:
    metrics = read_receipt(trained(tmp_path, base, data, held_out="test")).report["sft"]["metrics"]
    assert metrics["eval_loss"] < 1


def test_rows_are_shown_with_the_trained_tokens_marked_before_a_model_is_loaded(
    tmp_path: Path, base: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bare").mkdir()
    for file in base.glob("*"):
        if file.suffix != ".safetensors":
            (tmp_path / "bare" / file.name).write_bytes(file.read_bytes())
    words = [config_file(tmp_path, model=str(tmp_path / "bare"), data=str(data), output=str(tmp_path / "out")), "--show", "2"]
    assert main("sft", Sft, sft.build, words) == 0
    told = capsys.readouterr().out
    assert told.count("⟦gold<|im_end|>⟧") == 1 and told.count("⟦silver<|im_end|>⟧") == 1
    assert "⟦The" not in told and not (tmp_path / "out").exists()


def test_a_killed_run_goes_on_with_the_same_loss_curve(tmp_path: Path, base: Path, data: Path) -> None:
    often = {"epochs": 6, "log_steps": 1, "save_steps": 5}
    whole = trained(tmp_path, base, data, **often)
    killed = tmp_path / "killed"
    (tmp_path / "second").mkdir()
    words = [config_file(tmp_path / "second", model=str(base), data=str(data), output=str(killed), **often)]
    dying = "import os, sys, training.sft as s, training.run as r\nfrom transformers import Trainer\nstep = Trainer.training_step\n"
    dying += "def die(self, *a, **k):\n    if self.state.global_step == 13: os.kill(os.getpid(), 9)\n    return step(self, *a, **k)\n"
    dying += "Trainer.training_step = die\nsys.exit(r.main('sft', s.Sft, s.build, sys.argv[1:]))\n"
    assert subprocess.run([sys.executable, "-c", dying, *words], capture_output=True, check=False).returncode == -9
    assert not (killed / "receipt.json").exists()
    assert main("sft", Sft, sft.build, words) == 0
    curves = [[entry["loss"] for entry in read_receipt(one).report["sft"]["curve"]] for one in (whole, killed)]
    assert len(curves[0]) == 24 and curves[0] == curves[1]


def test_as_many_checkpoints_are_kept_as_are_asked_for_and_their_number_is_no_other_run(tmp_path: Path, base: Path, data: Path) -> None:
    often = {"epochs": 1, "save_steps": 1}
    made = trained(tmp_path, base, data, **often, keep_checkpoints=3)
    assert sorted(path.name for path in (made / "checkpoints").glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-3", "checkpoint-4"]
    before = (made / "receipt.json").stat().st_mtime_ns
    assert trained(tmp_path, base, data, **often) == made and (made / "receipt.json").stat().st_mtime_ns == before


def test_whoever_may_read_a_models_config_may_read_its_weights(tmp_path: Path, base: Path, data: Path) -> None:
    made = trained(tmp_path, base, data, max_steps=1)
    assert {path.stat().st_mode for path in made.glob("model*")} == {(made / "config.json").stat().st_mode}


def test_a_checkpoint_that_was_cut_off_is_not_gone_on_with(tmp_path: Path) -> None:
    from training import checkpoints

    for number in (5, 10):
        (tmp_path / f"checkpoint-{number}").mkdir()
        (tmp_path / f"checkpoint-{number}" / "model.safetensors").write_bytes(b"weights")
        checkpoints.mark(tmp_path / f"checkpoint-{number}")
    (tmp_path / "checkpoint-10" / "model.safetensors").write_bytes(b"wei")
    (tmp_path / "checkpoint-15").mkdir()
    assert checkpoints.last_whole(tmp_path).name == "checkpoint-5"


def test_the_receipt_leads_from_the_model_to_the_archive(tmp_path: Path, base: Path, data: Path) -> None:
    first = trained(tmp_path, base, data, epochs=1)
    (tmp_path / "second").mkdir()
    second = trained(tmp_path / "second", first, data, epochs=1)
    walk = Artifact(second).ancestors()
    assert [one.path.name for one in walk] == ["mix", "out"]
    assert walk[0].receipt.inputs[0].id == "crawl.warc.gz"
    assert {file.path for file in Artifact(second).receipt.files} >= {"model.safetensors", "tokenizer.json", "chat_template.jinja"}


def test_the_same_run_is_not_done_twice_and_another_needs_another_output(tmp_path: Path, base: Path, data: Path) -> None:
    output = trained(tmp_path, base, data, epochs=1)
    before = (output / "receipt.json").stat().st_mtime_ns
    trained(tmp_path, base, data, epochs=1)
    assert (output / "receipt.json").stat().st_mtime_ns == before
    values = {"model": str(base), "data": str(data), "output": str(output), "epochs": 2}
    assert main("sft", Sft, sft.build, [config_file(tmp_path, **values)]) == 2


def test_packing_splits_long_rows_and_loses_no_token(tmp_path: Path, base: Path) -> None:
    data = artifact(tmp_path / "texts", {"train": [{"id": f"t{n}", "text": "the lazy fox jumps over " * (n + 1)} for n in range(8)]})
    config = load(config_file(tmp_path, model=str(base), data=str(data), output=str(tmp_path / "out"), packing="bfd_split", max_length=32), Sft)
    report = report_of("sft", config, source_of(config))
    trainer = sft.build(material_of("sft", config, source_of(config)))
    assert sum(len(row["input_ids"]) for row in trainer.train_dataset) == report.tokens


def test_rows_of_one_packed_sequence_do_not_see_each_other(tmp_path: Path, base: Path, data: Path) -> None:
    import torch

    values = {"model": str(base), "data": str(data), "output": str(tmp_path / "out"), "packing": "bfd_split"}
    config = load(config_file(tmp_path, **values), Sft)
    trainer = sft.build(material_of("sft", config, source_of(config)))
    batch = trainer.data_collator([trainer.train_dataset[0]])
    starts = [place for place, position in enumerate(batch["position_ids"][0].tolist()) if position == 0]
    assert len(starts) > 1
    with torch.no_grad():
        packed = trainer.model(input_ids=batch["input_ids"], position_ids=batch["position_ids"]).logits[0]
        for start, end in zip(starts, [*starts[1:], len(packed)], strict=True):
            torch.testing.assert_close(trainer.model(batch["input_ids"][:, start:end]).logits[0], packed[start:end])


def test_adapters_are_merged_into_a_model_that_answers_alike(tmp_path: Path, base: Path, data: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    output = trained(tmp_path, base, data, adapter={"rank": 4, "alpha": 8, "rslora": True, "dora": True}, epochs=4)
    ids = torch.tensor([[5, 6, 7, 8]])
    whole = AutoModelForCausalLM.from_pretrained(output)
    parts = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), output / "adapter")
    plain = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        torch.testing.assert_close(whole(ids).logits, parts(ids).logits)
        assert not torch.allclose(whole(ids).logits, plain(ids).logits)
