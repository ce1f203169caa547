"""DPO: the loss by hand and against TRL's, the reference, the stored log-probabilities, and a model that has learnt."""

import math
from pathlib import Path

import pytest
from training_models import artifact, config_file, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

import torch

from curate.artifact import Artifact, read_receipt
from training import dpo, guards
from training.config import Dpo, load
from training.run import Material, main, material_of, report_of, source_of
from training.soft import SoftDpo, soft_loss

TRAIN, HELD_OUT = range(32), range(64, 96)
LEARNT = 0.35
"""Loss under which the pairs count as learnt; it starts at ln 2 = 0.693."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "base")


def values(folder: Path, base: Path, rows: list[dict], **more: object) -> dict:
    data = folder / "mix"
    if not data.exists():
        artifact(data, {"train": rows, "test": pairs(HELD_OUT)})
    store = {"output": str(folder / "out"), "reference_store": str(folder / "store")}
    return {"model": str(base), "data": str(data), "epochs": 25, "log_steps": 5, "learning_rate": 0.005, **store, **more}


def built(folder: Path, base: Path, rows: list[dict], **more: object) -> SoftDpo:
    config = load(config_file(folder, **values(folder, base, rows, **more)), Dpo)
    return dpo.build(material_of("dpo", config, source_of(config)))


def run(folder: Path, base: Path, rows: list[dict], **more: object) -> int:
    return main("dpo", Dpo, dpo.build, [config_file(folder, **values(folder, base, rows, **more))])


def test_the_loss_and_its_slope_are_those_reckoned_by_hand() -> None:
    z = torch.tensor([0.0, 2.0, -1.0], dtype=torch.float64, requires_grad=True)
    p, w = torch.tensor([0.5, 0.9, 1.0], dtype=torch.float64), torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    loss = soft_loss(z, p, w)
    loss.sum().backward()
    # ln 2; 0.5 * (0.9 * 0.126928 + 0.1 * 2.126928); 2 * 1.313262
    assert loss.tolist() == pytest.approx([0.693147180559945, 0.163464007, 2.626523373], abs=1e-8)
    # w * (s(z) - p): 0; 0.5 * (0.880797 - 0.9); 2 * (0.268941 - 1)
    assert z.grad.tolist() == pytest.approx([0.0, -0.009601461, -1.462117157], abs=1e-8)


def test_a_hard_label_of_weight_one_costs_what_trl_says_by_value_and_gradient(tmp_path: Path, base: Path) -> None:
    trainer = built(tmp_path, base, pairs(TRAIN))
    batch = trainer.data_collator([trainer.train_dataset[n] for n in range(4)])
    batch["ref_chosen_logps"] = batch["ref_chosen_logps"] - torch.tensor([3.0, -2.0, 1.0, 0.0])  # away from z = 0
    trainer.state.global_step = 1
    found = []
    for soft in (True, False):
        trainer.soft = soft
        trainer.model.zero_grad()
        loss = trainer._compute_loss(trainer.model, dict(batch), False)
        loss.backward()
        found.append((loss.detach(), [weight.grad.clone() for weight in trainer.model.parameters()]))
    torch.testing.assert_close(found[0][0], found[1][0])
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_soft_labels_and_weights_come_through_trls_own_collator_into_the_loss(tmp_path: Path, base: Path) -> None:
    trainer = built(tmp_path, base, pairs(TRAIN, probability=0.75, weight=0.5))
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["probability"].tolist() == [0.75] * 8 and batch["weight"].tolist() == [0.5] * 8
    trainer.state.global_step = 1
    batch["ref_chosen_logps"] = batch["ref_chosen_logps"] - 20.0  # z = 2
    loss = trainer._compute_loss(trainer.model, batch, False)
    expected = -0.5 * (0.75 * math.log(1 / (1 + math.exp(-2))) + 0.25 * math.log(1 / (1 + math.exp(2))))
    assert loss.item() == pytest.approx(expected, abs=1e-4)


def test_pairs_are_learnt_against_kept_log_probabilities_from_ln_2_on(tmp_path: Path, base: Path) -> None:
    assert run(tmp_path, base, pairs(TRAIN), held_out="test", schedule="linear") == 0
    told = read_receipt(tmp_path / "out").report["dpo"]
    assert told["curve"][0]["loss"] == pytest.approx(guards.LN2, abs=1e-3)
    assert told["curve"][-1]["loss"] < LEARNT and told["metrics"]["eval_rewards/accuracies"] > 0.7


@pytest.mark.parametrize("loss", ["hinge", "robust", "apo_zero"])
def test_other_losses_are_trls_own(tmp_path: Path, base: Path, loss: str) -> None:
    assert run(tmp_path, base, pairs(TRAIN), loss=[loss], epochs=1) == 0
    assert math.isfinite(read_receipt(tmp_path / "out").report["dpo"]["curve"][-1]["loss"])


@pytest.mark.parametrize("loss", ["sigmoid", "ipo"])
def test_a_loss_that_does_not_read_soft_labels_says_so_once_and_is_given_none(
    tmp_path: Path, base: Path, caplog: pytest.LogCaptureFixture, loss: str
) -> None:
    data = artifact(tmp_path / "mix", {"train": pairs(TRAIN, probability=0.75, weight=0.5, margin=1.0)})
    config = load(config_file(tmp_path, **{**values(tmp_path, base, []), "data": str(data), "loss": [loss]}), Dpo)
    source = source_of(config)
    report_of("dpo", config, source)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    columns = set(dpo.build(material_of("dpo", config, source)).train_dataset.column_names)
    judged = {"probability", "weight"}
    if loss == "sigmoid":
        assert said == [] and judged <= columns
    else:
        assert len(said) == 1 and "the loss ipo does not read probability and weight" in said[0] and not judged & columns


def test_kept_log_probabilities_are_those_of_the_reference_and_are_reckoned_once(tmp_path: Path, base: Path) -> None:
    (tmp_path / "live").mkdir()
    kept, live = built(tmp_path, base, pairs(TRAIN)), built(tmp_path / "live", base, pairs(TRAIN), precompute=False)
    batch = live.data_collator([live.train_dataset[n] for n in range(8)])
    chosen, rejected = live.compute_ref_log_probs(live.ref_model, batch)
    assert kept.train_dataset["ref_chosen_logps"][:8] == pytest.approx(chosen.tolist(), abs=1e-3)
    assert kept.train_dataset["ref_rejected_logps"][:8] == pytest.approx(rejected.tolist(), abs=1e-3)
    store = next((tmp_path / "store").iterdir())
    assert Artifact(store).receipt.counts.written == 32
    before = (store / "receipt.json").stat().st_mtime_ns
    (tmp_path / "again").mkdir()
    built(tmp_path / "again", base, pairs(range(8, 24)), reference_store=str(tmp_path / "store"))
    assert (store / "receipt.json").stat().st_mtime_ns == before


def test_a_reference_that_is_another_model_is_refused(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = model_folder(tmp_path / "other", seed=1)
    assert run(tmp_path, base, pairs(TRAIN), reference=str(other)) == 2
    assert "not the SFT model" in capsys.readouterr().err


def test_a_reference_in_memory_that_is_another_model_is_named(tmp_path: Path, base: Path) -> None:
    from transformers import AutoModelForCausalLM

    model, same = (AutoModelForCausalLM.from_pretrained(base) for _ in range(2))
    assert guards.reference_differs(model, same) is None
    with torch.no_grad():
        model.lm_head.weight.add_(0.01)
    assert "lm_head" in guards.reference_differs(model, same)


def test_a_first_loss_other_than_ln_2_stops_the_run(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shifted(material: Material) -> SoftDpo:
        trainer = dpo.build(material)
        moved = [number - 1.0 for number in trainer.train_dataset["ref_chosen_logps"]]
        trainer.train_dataset = trainer.train_dataset.remove_columns("ref_chosen_logps").add_column("ref_chosen_logps", moved)
        return trainer

    assert main("dpo", Dpo, shifted, [config_file(tmp_path, **values(tmp_path, base, pairs(TRAIN)))]) == 2
    assert "not ln 2" in capsys.readouterr().err and not (tmp_path / "out" / "receipt.json").exists()


def test_pairs_that_truncation_makes_equal_are_refused(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pairs(TRAIN)
    for row in rows:
        for name in ("chosen", "rejected"):
            row[name][0]["content"] = "lazy " * 120 + row[name][0]["content"]
    assert run(tmp_path, base, rows) == 2
    assert "pair_identical" in capsys.readouterr().err
