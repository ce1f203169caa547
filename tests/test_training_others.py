"""KTO, reward models, ORPO, SimPO, GRPO and pretraining: each learns 32 separable rows, and refuses what it must."""

from pathlib import Path

import pytest
from training_models import accuracy, artifact, config_file, labelled, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

from curate.artifact import read_receipt
from training import grpo, kto, preference, pretrain, reward
from training.batches import batches
from training.config import Grpo, Kto, Preference, Pretrain, Reward
from training.run import main

TRAIN, HELD_OUT = range(32), range(64, 96)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "base")


def run(folder: Path, trainer: object, shape: type, base: Path, rows: list[dict], look: object = None, **more: object) -> int:
    data = artifact(folder / "mix", {"train": rows, "test": pairs(HELD_OUT)})
    kind = trainer.__name__.rpartition(".")[2]
    values = {"model": str(base), "data": str(data), "output": str(folder / "out"), "log_steps": 5, **more}
    return main(kind, shape, trainer.build, [config_file(folder, **values)], look)


def first_and_last(folder: Path, kind: str) -> tuple[float, float]:
    curve = read_receipt(folder / "out").report[kind]["curve"]
    return curve[0]["loss"], curve[-1]["loss"]


def test_kto_learns_which_answers_are_good(tmp_path: Path, base: Path) -> None:
    assert run(tmp_path, kto, Kto, base, labelled(TRAIN), learning_rate=0.005, epochs=20) == 0
    first, last = first_and_last(tmp_path, "kto")
    assert first == pytest.approx(0.5, abs=0.01) and last < 0.2
    assert accuracy(tmp_path / "out", pairs(HELD_OUT)) > 0.8


def test_kto_batches_of_one_label_are_refused(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = sorted(labelled(TRAIN), key=lambda row: row["label"])
    assert run(tmp_path, kto, Kto, base, rows) == 2
    assert "one_label_batches" in capsys.readouterr().err


def test_a_reward_model_tells_held_out_answers_apart(tmp_path: Path, base: Path) -> None:
    assert run(tmp_path, reward, Reward, base, pairs(TRAIN, margin=0.5), learning_rate=0.005, epochs=15, held_out="test") == 0
    first, last = first_and_last(tmp_path, "reward")
    assert last < 0.1 < first
    assert read_receipt(tmp_path / "out").report["reward"]["metrics"]["eval_accuracy"] > 0.8


def test_pairs_of_a_group_stand_in_one_batch_and_no_row_is_lost() -> None:
    lengths, groups = [10 + number % 7 for number in range(40)], [f"g{number // 3}" for number in range(40)]
    made = batches(lengths, groups, 8, seed=1, epoch=0)
    assert sorted(row for rows in made for row in rows) == list(range(40))
    assert all(len(rows) <= 8 for rows in made)
    assert all(sum(any(groups[row] == group for row in rows) for rows in made) == 1 for group in set(groups))
    assert made == batches(lengths, groups, 8, seed=1, epoch=0) != batches(lengths, groups, 8, seed=1, epoch=1)


@pytest.mark.parametrize(("loss", "beta"), [("orpo", 1.0), ("simpo", 2.0)])
def test_losses_without_a_reference_learn_pairs(tmp_path: Path, base: Path, loss: str, beta: float) -> None:
    assert run(tmp_path, preference, Preference, base, pairs(TRAIN), loss=loss, beta=beta, learning_rate=0.01, epochs=20) == 0
    first, last = first_and_last(tmp_path, "preference")
    assert last < first / 2
    assert accuracy(tmp_path / "out", pairs(HELD_OUT)) > 0.8


def short_answers(completions: list, **rest: object) -> list[float]:
    """A reward that a few steps can earn: answers with few different characters."""
    return [-len(set(answer[0]["content"])) / 10 for answer in completions]


SAMPLED = {"batch_size": 8, "generations": 4, "answer_length": 6, "max_steps": 12, "learning_rate": 0.01, "reward": f"{__name__}:short_answers", "trust_code": True}


def test_grpo_earns_more_of_a_function_with_the_kl_term_on(tmp_path: Path, base: Path) -> None:
    assert run(tmp_path, grpo, Grpo, base, pairs(TRAIN), grpo.look, **SAMPLED, log_steps=1) == 0
    curve = read_receipt(tmp_path / "out").report["grpo"]["curve"]
    assert sum(entry["reward"] for entry in curve[-3:]) > sum(entry["reward"] for entry in curve[:3])
    assert curve[-1]["kl"] > 0


def test_grpo_takes_a_reward_model(tmp_path: Path, base: Path) -> None:
    scorer = model_folder(tmp_path / "scorer", scores=True)
    more = {**SAMPLED, "reward": str(scorer), "trust_code": False, "max_steps": 1}
    assert run(tmp_path, grpo, Grpo, base, pairs(TRAIN), grpo.look, **more) == 0


@pytest.mark.parametrize(
    ("more", "told"),
    [({"beta": 0.0}, "kl_off"), ({"trust_code": False}, "trust_code"), ({"generations": 3}, "generations")],
    ids=["no_kl", "code", "generations"],
)
def test_grpo_refuses(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str], more: dict, told: str) -> None:
    assert run(tmp_path, grpo, Grpo, base, pairs(TRAIN), grpo.look, **{**SAMPLED, **more}) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("template", [None, "{% for m in messages %}{{ m.content }}{% endfor %}"], ids=["none", "unmarked"])
def test_grpo_refuses_a_template_that_sft_could_not_have_been_done_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], template: str | None
) -> None:
    bare = model_folder(tmp_path / "bare", template)
    assert run(tmp_path, grpo, Grpo, bare, pairs(TRAIN), grpo.look, **SAMPLED) == 2
    assert "template" in capsys.readouterr().err


def test_a_tokenizer_and_a_model_are_made_from_texts_alone(tmp_path: Path) -> None:
    texts = [{"id": f"t{n}", "text": f"The {w} raposa castanha salta sobre o cão {n % 5}. " * 6} for n, w in enumerate(["quick", "rápida"] * 16)]
    data = artifact(tmp_path / "texts", {"train": texts[:28], "test": texts[28:]})
    values = {"data": str(data), "output": str(tmp_path / "out"), "vocabulary": 320, "hidden": 32, "layers": 2, "heads": 2, "epochs": 20, "log_steps": 10}
    config = config_file(tmp_path, **{**values, "pad_token": None, "max_length": 64, "held_out": "test"})
    assert main("pretrain", Pretrain, pretrain.build, [config], ready=pretrain.ready) == 0
    report = read_receipt(tmp_path / "out").report["pretrain"]
    assert report["curve"][-1]["loss"] < 0.5 < 3 < report["curve"][0]["loss"]
    assert report["metrics"]["eval_loss"] < 0.5
