"""Measurements of a model: perplexity and bits a byte by hand, accuracy of pairs with an interval."""

import math
from pathlib import Path

import pytest
from training_models import artifact, config_file, conversations, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

from training import dpo, evaluate
from training.config import Dpo, Run
from training.run import main

TRAIN, HELD_OUT = range(32), range(64, 96)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "base")


def test_a_model_that_knows_nothing_is_as_perplexed_as_its_vocabulary_is_large(tmp_path: Path, base: Path) -> None:
    import json

    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    even = tmp_path / "even"
    model.save_pretrained(even)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (even / name).write_bytes((base / name).read_bytes())
    data = artifact(tmp_path / "mix", {"test": conversations(HELD_OUT)})
    found = evaluate.evaluate("perplexity", Run(model=str(even), data=str(data), split="test", output="none"))
    size = json.loads((even / "config.json").read_text())["vocab_size"]
    assert found["perplexity"].value == pytest.approx(size, rel=1e-4)
    assert found["perplexity"].rows == 32


def test_an_interval_holds_the_truth_and_narrows_with_more_rows() -> None:
    few, many = ([(float(number % 4 == 0), 1.0) for number in range(size)] for size in (40, 4_000))
    one, other = evaluate.interval(few, evaluate.mean), evaluate.interval(many, evaluate.mean)
    assert one.value == other.value == 0.25
    assert one.low < 0.25 < one.high and other.high - other.low < (one.high - one.low) / 5
    assert other.high - other.low == pytest.approx(2 * 1.96 * math.sqrt(0.25 * 0.75 / 4_000), rel=0.15)


def test_the_implicit_reward_of_dpo_is_accurate_on_held_out_pairs(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = artifact(tmp_path / "mix", {"train": pairs(TRAIN), "test": pairs(HELD_OUT)})
    values = {"model": str(base), "data": str(data), "output": str(tmp_path / "out"), "reference_store": str(tmp_path / "store")}
    assert main("dpo", Dpo, dpo.build, [config_file(tmp_path, **values, epochs=15)]) == 0
    capsys.readouterr()
    assert evaluate.main(["pairs", str(tmp_path / "out"), str(data), "--reference", str(base)]) == 0
    accuracy, margin = (float(line.split()[1]) for line in capsys.readouterr().out.splitlines())
    assert accuracy > 0.8 and margin > 0


def test_a_split_without_rows_is_refused_in_one_line(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = artifact(tmp_path / "mix", {"test": conversations(HELD_OUT)})
    assert evaluate.main(["pairs", str(base), str(data), "--split", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err
