"""KTO, reward models, ORPO, SimPO, GRPO and pretraining: each learns 32 separable rows, and refuses what it must."""

import json
from pathlib import Path

import pytest
from training_models import artifact, assistant, config_file, labelled, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

from curate.artifact import read_receipt
from curate.contract import load_tokenizer
from training import grpo, kto, preference, pretrain, reward
from training.batches import batches
from training.config import Grpo, Kto, Preference, Pretrain, Reward, load
from training.data import source_of
from training.run import Material, main, material_of

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


def test_kto_starts_from_its_reference(tmp_path: Path, base: Path) -> None:
    assert run(tmp_path, kto, Kto, base, labelled(TRAIN), learning_rate=0.005, epochs=1) == 0
    assert first_and_last(tmp_path, "kto")[0] == pytest.approx(0.5, abs=0.01)


def test_kto_batches_of_one_label_are_refused(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = sorted(labelled(TRAIN), key=lambda row: row["label"])
    assert run(tmp_path, kto, Kto, base, rows) == 2
    assert "one_label_batches" in capsys.readouterr().err


def test_a_reward_model_tells_held_out_answers_apart(tmp_path: Path, base: Path) -> None:
    assert run(tmp_path, reward, Reward, base, pairs(TRAIN, margin=0.5), learning_rate=0.002, epochs=25, schedule="linear", held_out="test") == 0
    first, last = first_and_last(tmp_path, "reward")
    assert last < 0.35 < first
    assert read_receipt(tmp_path / "out").report["reward"]["metrics"]["eval_accuracy"] > 0.7


def test_pairs_of_a_group_stand_in_one_batch_and_no_row_is_lost() -> None:
    lengths, groups = [10 + number % 7 for number in range(40)], [f"g{number // 3}" for number in range(40)]
    made = batches(lengths, groups, 8, seed=1, epoch=0)
    assert sorted(row for rows in made for row in rows) == list(range(40))
    assert all(len(rows) <= 8 for rows in made)
    assert all(sum(any(groups[row] == group for row in rows) for rows in made) == 1 for group in set(groups))
    assert made == batches(lengths, groups, 8, seed=1, epoch=0) != batches(lengths, groups, 8, seed=1, epoch=1)


def test_orpo_learns_the_answer_and_not_the_prompt(tmp_path: Path, base: Path) -> None:
    import torch

    data = artifact(tmp_path / "mix", {"train": pairs(TRAIN)})
    config = load(config_file(tmp_path, model=str(base), data=str(data), output=str(tmp_path / "out"), loss="orpo"), Preference)
    trainer = preference.build(material_of("preference", config, source_of(config)))
    batch = trainer.data_collator([dict(trainer.train_dataset[place]) for place in range(4)])
    trainer.model.eval()
    likelihood = trainer.concatenated_forward(trainer.model, batch)[4]
    answers, ids = batch["chosen_labels"][:, 1:] != -100, batch["chosen_input_ids"]
    with torch.no_grad():
        logps = trainer.model(ids, attention_mask=batch["chosen_attention_mask"]).logits[:, :-1].log_softmax(-1)
    of_answers = logps.gather(2, ids[:, 1:, None])[..., 0][answers]
    assert likelihood.item() == pytest.approx(-of_answers.mean().item(), abs=1e-5)
    assert answers.sum() < batch["chosen_attention_mask"][:, 1:].sum()


def short_answers(completions: list, **rest: object) -> list[float]:
    """A reward of the user's own: answers with few different characters."""
    return [-len(set(answer[0]["content"])) / 10 for answer in completions]


SAMPLED = {"batch_size": 8, "generations": 4, "answer_length": 6, "max_steps": 3, "learning_rate": 0.01, "reward": f"{__name__}:short_answers", "trust_code": True}


def test_grpo_trains_with_the_kl_term_on(tmp_path: Path, base: Path) -> None:
    assert run(tmp_path, grpo, Grpo, base, pairs(TRAIN), grpo.look, **SAMPLED, log_steps=1) == 0
    curve = read_receipt(tmp_path / "out").report["grpo"]["curve"]
    assert len(curve) == 3 and curve[-1]["kl"] > 0


def test_grpo_takes_a_reward_model(tmp_path: Path, base: Path) -> None:
    scorer = model_folder(tmp_path / "scorer", scores=True)
    more = {**SAMPLED, "reward": str(scorer), "trust_code": False, "max_steps": 1}
    assert run(tmp_path, grpo, Grpo, base, pairs(TRAIN), grpo.look, **more) == 0


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"beta": 0.0}, "kl_off"), ({"trust_code": False}, "trust_code"), ({"generations": 3}, "generations"),
        ({"reward": "nowhere"}, "nowhere"), ({"reward": "POLICY"}, "no reward model"),
    ],
    ids=["no_kl", "code", "generations", "reward", "policy"],
)
def test_grpo_refuses(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str], more: dict, told: str) -> None:
    named = {name: str(base) if value == "POLICY" else value for name, value in more.items()}
    assert run(tmp_path, grpo, Grpo, base, pairs(TRAIN), grpo.look, **{**SAMPLED, **named}) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("prompt", [None, [], [{"content": "a"}], [assistant("a")]], ids=["none", "empty", "no_role", "answered"])
def test_grpo_refuses_a_prompt_that_waits_for_no_answer(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str], prompt: list | None) -> None:
    data = tmp_path / "train-00000.jsonl"
    data.write_text(json.dumps({"id": "odd", "prompt": prompt}), encoding="utf-8")
    words = [config_file(tmp_path, model=str(base), data=str(data), output=str(tmp_path / "out"), **SAMPLED), "--show", "1"]
    assert main("grpo", Grpo, grpo.build, words, grpo.look) == 2
    assert "odd" in capsys.readouterr().err


@pytest.mark.parametrize("template", [None, "{% for m in messages %}{{ m.content }}{% endfor %}"], ids=["none", "unmarked"])
def test_grpo_refuses_a_template_that_sft_could_not_have_been_done_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], template: str | None
) -> None:
    bare = model_folder(tmp_path / "bare", template)
    assert run(tmp_path, grpo, Grpo, bare, pairs(TRAIN), grpo.look, **SAMPLED) == 2
    assert "template" in capsys.readouterr().err


TEXTS = [{"id": f"t{n}", "text": f"The {w} raposa castanha salta sobre o cão {n % 5}. " * 6} for n, w in enumerate(["quick", "rápida"] * 16)]


def pretrained(folder: Path, build: object = pretrain.build) -> Path:
    data = artifact(folder / "texts", {"train": TEXTS[:28], "test": TEXTS[28:]})
    values = {"data": str(data), "output": str(folder / "out"), "vocabulary": 320, "hidden": 32, "layers": 2, "heads": 2, "epochs": 20, "log_steps": 10}
    config = config_file(folder, **{**values, "pad_token": None, "max_length": 64, "held_out": "test"})
    assert main("pretrain", Pretrain, build, [config], ready=pretrain.ready) == 0
    return folder / "out"


def assert_texts_learnt(model_path: Path) -> None:
    """Held-out texts cost little, reckoned apart from the trainer; a uniform guess over 320 tokens costs 5.8."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer, model = load_tokenizer(model_path), AutoModelForCausalLM.from_pretrained(model_path)
    losses = []
    for row in TEXTS[28:]:
        ids = torch.tensor([tokenizer.encode(row["text"]).ids[:64]])
        with torch.no_grad():
            losses.append(model(ids, labels=ids).loss.item())
    assert max(losses) < 1


def test_a_tokenizer_and_a_model_are_made_from_texts_alone(tmp_path: Path) -> None:
    output = pretrained(tmp_path)
    report = read_receipt(output).report["pretrain"]
    assert report["curve"][-1]["loss"] < 0.5 < 3 < report["curve"][0]["loss"]
    assert_texts_learnt(output)


def test_labels_that_are_a_place_off_fail_that_same_check(tmp_path: Path) -> None:
    def shifted(material: Material) -> object:
        trainer = pretrain.build(material)
        inner = trainer.compute_loss
        trainer.compute_loss = lambda model, batch, *rest, **named: inner(model, batch | {"labels": batch["labels"].roll(1, 1)}, *rest, **named)
        return trainer

    with pytest.raises(AssertionError):
        assert_texts_learnt(pretrained(tmp_path, shifted))
