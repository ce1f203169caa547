"""The comparison of ways of training: one file, five arms over seeds, killed in the middle, one table."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_models import TINY, artifact, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

from curate.config import Model, UsageError
from training import compare
from training.config import load
from training.evaluation.comparison import Compare
from training.evaluation.measures import exponential, over_seeds, share_of, share_over_seeds
from training.evaluation.win_rate import WinRate

ROOT = Path(__file__).resolve().parents[1]
ARMS = ["sft", "sft+dpo", "sft+grpo", "sft+grpo+dpo", "sft+dpo+grpo"]


def trainer(folder: Path, name: str, **values: object) -> dict:
    """A trainer's file, as in training/configs, and its place in the comparison."""
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({**TINY, "model": "models/base", "output": "models/out", **values}), encoding="utf-8")
    return {"config": str(path)}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comparison")
    model_folder(folder / "base")
    model_folder(folder / "reward", scores=True)
    chats = {split: [{"id": row["id"], "messages": row["prompt"] + row["chosen"]} for row in pairs(rows)] for split, rows in SPLITS.items()}
    talk = str(artifact(folder / "chats", chats))
    data = str(artifact(folder / "pairs", {split: pairs(rows) for split, rows in SPLITS.items()}))
    reward = str(folder / "reward")
    trainers = {
        "sft": trainer(folder, "sft", data=talk, epochs=6),
        "dpo": trainer(folder, "dpo", data=data, max_steps=3, learning_rate=0.001),
        "grpo": trainer(folder, "grpo", data=data, max_steps=2, learning_rate=0.001, generations=4, answer_length=4, reward=reward),
    }
    held_out = {name: {"data": place, "split": "test"} for name, place in (("texts", talk), ("pairs", data), ("prompts", data))}
    values = {"base": str(folder / "base"), "trainers": trainers, "seeds": [0, 1], "reward": reward, "answer_length": 4, **held_out}
    path = folder / "compare.yaml"
    path.write_text(json.dumps({**values, "output": str(folder / "out")}), encoding="utf-8")
    return path


SPLITS = {"train": range(16), "test": range(64, 72)}


def receipts(file: Path) -> dict[str, bytes]:
    out = file.parent / "out" / "models"
    return {path.parent.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.glob("*/*/receipt.json"))}


def killed_after_its_first_model(file: Path) -> None:
    words = [sys.executable, "-m", "training.compare", str(file)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not receipts(file):
        time.sleep(0.05)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def compared(file: Path) -> dict[str, bytes]:
    """The receipts that a killed comparison left; the same command has finished it since."""
    killed_after_its_first_model(file)
    before = receipts(file)
    assert compare.main([str(file)]) == 0
    return before


def test_a_killed_comparison_goes_on_and_repeats_no_finished_run(file: Path, compared: dict[str, bytes]) -> None:
    after = receipts(file)
    assert compared and all(after[name] == receipt for name, receipt in compared.items())
    assert set(after) == {f"seed-{seed}/{arm}" for seed in (0, 1) for arm in ARMS}


def test_one_table_has_every_arm_with_its_intervals_and_comes_again_without_training(
    file: Path, compared: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    before, started = receipts(file), json.loads((file.parent / "out" / "comparison.json").read_text())
    assert compare.main([str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["arm", *ARMS]
    assert all(line.count("[") == 4 for line in lines[2:6]) and lines[1].count("[") == 3
    assert "2 seeds" in lines[6] and lines[-1].endswith("comparison.json")
    assert receipts(file) == before and json.loads((file.parent / "out" / "comparison.json").read_text()) == started
    found = started["arms"]
    assert found["sft"]["win_rate"]["value"] == 0.5
    assert all(one["low"] <= one["value"] <= one["high"] and one["low"] < one["high"] for arm in ARMS[1:] for one in found[arm].values())
    assert found["sft"]["perplexity"]["rows"] == 8


def test_several_processes_may_train_what_one_process_compares(file: Path, compared: dict[str, bytes], tmp_path: Path) -> None:
    launch = ["sh", "-c", f'echo "$2" >> {tmp_path}/launched; exec "$0" "$@"', sys.executable]
    words = [str(file), *(f"--set={word}" for word in (f"output={tmp_path / 'out'}", f"launch={json.dumps(launch)}", "seeds=[0]", "arms=[[sft], [sft, dpo]]"))]
    assert compare.main(words) == 0
    launched = (tmp_path / "launched").read_text(encoding="utf-8").splitlines()
    assert launched == ["training.sft", "training.dpo"]
    models = [tmp_path / "out" / "models" / "seed-0", file.parent / "out" / "models" / "seed-0"]
    for arm in ("sft", "sft+dpo"):
        apart, here = (json.loads((place / arm / "receipt.json").read_text())["report"] for place in models)
        assert [entry["loss"] for entry in apart[arm[-3:]]["curve"]] == [entry["loss"] for entry in here[arm[-3:]]["curve"]]
    assert compare.main(words) == 0 and (tmp_path / "launched").read_text(encoding="utf-8").splitlines() == launched


@pytest.mark.usefixtures("compared")
def test_an_arm_whose_training_fails_is_named_and_the_others_stand_in_the_table(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DPO is given a Python that ends at once; SFT and GRPO are finished already, and are not trained."""
    out = shutil.copytree(file.parent / "out", tmp_path / "out")
    launch = ["sh", "-c", 'case "$2" in *dpo) exit 3;; esac; exec "$0" "$@"', sys.executable]
    for chain in ("seed-1/sft+dpo", "seed-0/sft+grpo+dpo"):
        shutil.rmtree(out / "models" / chain)
    assert compare.main([str(file), "--set", f"output={out}", "--set", f"launch={json.dumps(launch)}"]) == 1
    lines = capsys.readouterr().err.splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("arm "))
    assert [line.split()[0] for line in lines[place : place + 3]] == ["arm", "sft", "sft+grpo"]
    told = json.loads((out / "comparison.json").read_text())
    assert set(told["arms"]) == {"sft", "sft+grpo"} and set(told["failed"]) == {"sft+dpo", "sft+grpo+dpo", "sft+dpo+grpo"}
    assert told["failed"]["sft+dpo"].startswith("seed 1: ") and told["failed"]["sft+dpo+grpo"].startswith("seed 1: ")


def test_a_comparison_in_several_processes_is_refused_with_what_to_do(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert compare.main([str(file)]) == 2
    assert "launch: [accelerate, launch]" in capsys.readouterr().err


def test_each_link_of_a_chain_starts_from_the_one_before_it(file: Path, compared: dict[str, bytes]) -> None:
    def parent(arm: str) -> str:
        made = json.loads((file.parent / "out" / "models" / "seed-1" / arm / "receipt.json").read_text())
        return next(one["path"] for one in made["parents"] if one["name"] == "model")

    assert {arm: parent(arm) for arm in ARMS[1:]} == {
        "sft+dpo": "../sft", "sft+grpo": "../sft", "sft+grpo+dpo": "../sft+grpo", "sft+dpo+grpo": "../sft+dpo",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("reward=nowhere", "nowhere"),
        ("seeds=[1, 1]", "twice"),
        ("arms=[[sft], [sft]]", "twice"),
        ("pairs.split=missing", "missing"),
        ("trainers.dpo.set={learning_rat: 1}", "learning_rat"),
        ("trainers.dpo.set={seed: 1}", "seed"),
        ("trainers={}", "trainers"),
        ("launch=[no-such-launcher]", "no-such-launcher"),
        ("arms=[[sft], [sft, ppo]]", "ppo"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, told: str
) -> None:
    assert compare.main([str(file), "--set", f"output={tmp_path / 'out'}", "--set", word]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "shape"), [("compare", Compare), ("win_rate", WinRate)])
def test_the_bundled_configs_load_and_every_key_says_what_it_is(name: str, shape: type[Model]) -> None:
    assert load(ROOT / "training" / "configs" / f"{name}.yaml", shape).answer_length == 512
    assert all(field.description for field in shape.model_fields.values())


def test_measurements_import_no_room_of_curate_above_its_steps() -> None:
    rooms = {"artifact", "config", "contract", "judges", "rows", "steps"}
    for path in (ROOT / "training" / "evaluation").glob("*.py"):
        named = [node.module for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom) and node.module]
        assert {name.split(".")[1] for name in named if name.startswith("curate.")} <= rooms


def test_an_interval_over_seeds_holds_the_truth_as_often_as_it_says() -> None:
    chance, held = np.random.default_rng(0), 0
    for _ in range(100):
        rows = chance.normal(0, 1, 60) + chance.normal(0, 0.3, (3, 1)) + chance.normal(0, 0.5, (3, 60))
        found = over_seeds(rows, np.ones_like(rows))
        held += found.low <= 0 <= found.high
    assert 90 <= held <= 99


def test_an_interval_over_one_seed_is_that_of_its_rows() -> None:
    rows = np.tile(np.arange(100) % 10, (5, 1)).astype(float)
    same, alone = over_seeds(rows, np.ones_like(rows)), over_seeds(rows[:1], np.ones_like(rows[:1]))
    assert same == alone and same.value == 4.5 and same.rows == 100
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * np.std(rows[0]) / 10, rel=0.2)


def test_a_share_of_ones_has_an_interval_and_answers_that_stand_together_count_less() -> None:
    alone, together = share_of([[1.0]] * 40), share_of([[1.0] * 10] * 4)
    assert alone.value == together.value == 1.0 and alone.rows == together.rows == 40
    assert together.low < alone.low < 1.0
    ones = np.ones((3, 40))
    assert share_over_seeds(ones, ones).low == pytest.approx(alone.low)
    few = np.ones((2, 40)) * (np.arange(40) < 2)
    assert share_over_seeds(few * 0.5, few).value == 0.5
    with pytest.raises(UsageError):
        share_over_seeds(few * 0, few * 0)


def test_values_of_one_prompt_count_as_few_as_they_are_alike() -> None:
    """The share is the same; the values of a prompt are all alike, or as different as those of other prompts."""
    alike = share_of([[1.0] * 4, [1.0] * 4, [0.0] * 4] * 20)
    mixed = share_of([[1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]] * 20)
    single = share_of([[float(number % 3 > 0)] for number in range(240)])
    assert alike.high - alike.low == pytest.approx(2 * (single.high - single.low), rel=0.05)
    assert mixed.high - mixed.low == pytest.approx(single.high - single.low, rel=0.05)


def test_a_model_that_has_diverged_has_an_infinite_perplexity_and_no_error() -> None:
    found = over_seeds([[1e4, 2.0, 2.0], [1e4, 2.0, 2.0]], np.ones((2, 3)), shown=exponential)
    assert found.value == found.high == np.inf and found.low == pytest.approx(np.exp(2))
