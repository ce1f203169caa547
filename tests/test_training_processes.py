"""Several processes, started as `accelerate launch` does it: the same rows, each once, and one receipt."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from training_models import artifact, config_file, conversations, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

from curate.artifact import read_receipt

ROOT = Path(__file__).resolve().parents[1]


def launched(trainer: str, folder: Path, rows: dict[str, list[dict]], **more: object) -> dict:
    """What a trainer says of itself after a run in two processes."""
    base, data = model_folder(folder / "base"), artifact(folder / "mix", rows)
    config = config_file(folder, model=str(base), data=str(data), output=str(folder / "out"), log_steps=1, batch_size=4, **more)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", f"training.{trainer}", config]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return read_receipt(folder / "out").report[trainer]


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    told = launched("dpo", tmp_path, {"train": pairs(range(32))}, reference_store=str(tmp_path / "store"), epochs=2, share_prompts=True)
    assert told["steps"] == 2 * 32 // (4 * 2)
    assert told["curve"][0]["loss"] == pytest.approx(0.6931, abs=1e-3)


def test_packed_rows_that_two_processes_cannot_halve_keep_neither_waiting(tmp_path: Path) -> None:
    rows = {"train": conversations(range(18)), "test": conversations(range(64, 69))}  # five packs of three or four rows, and two
    told = launched("sft", tmp_path, rows, packing="bfd_split", epochs=2, held_out="test")
    assert told["steps"] == 2 and told["metrics"]["eval_loss"] > 0
