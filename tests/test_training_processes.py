"""Several processes, started as `accelerate launch` does it: the same rows, each once, and one receipt."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from training_models import artifact, config_file, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

from curate.artifact import read_receipt

ROOT = Path(__file__).resolve().parents[1]


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    base = model_folder(tmp_path / "base")
    data = artifact(tmp_path / "mix", {"train": pairs(range(32))})
    values = {"model": str(base), "data": str(data), "output": str(tmp_path / "out"), "reference_store": str(tmp_path / "store")}
    config = config_file(tmp_path, **values, epochs=2, log_steps=1, batch_size=4)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "training.dpo", config]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = read_receipt(tmp_path / "out").report["dpo"]
    assert told["steps"] == 2 * 32 // (4 * 2)
    assert told["curve"][0]["loss"] == pytest.approx(0.6931, abs=1e-3)
