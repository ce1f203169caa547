"""Several processes, started as `accelerate launch` does it: the same rows, each once, and one receipt."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ports import free_ports
from training_models import artifact, config_file, conversations, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

from curate.artifact import read_receipt
from training import checkpoints, dpo
from training.config import Dpo
from training.run import main

ROOT = Path(__file__).resolve().parents[1]
CUT = """
import os, signal, sys
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from transformers import Trainer
from training import dpo, run
from training.config import Dpo

begin, step = PartialState.__init__, Trainer.training_step

def on_cards(self, *rest, **named):
    begin(self, *rest, **named)
    if self.distributed_type == DistributedType.MULTI_CPU:  # accelerate cuts a model over GPUs alone; torch does it over these, too
        self.distributed_type = DistributedType.MULTI_GPU

def stepped(self, *rest, **named):
    if self.state.global_step == int(os.environ["KILLED_AT"]) and self.args.process_index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *rest, **named)

PartialState.__init__, Trainer.training_step = on_cards, stepped
sys.exit(run.main("dpo", Dpo, dpo.build, sys.argv[1:]))
"""


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


def cut_over_two(folder: Path, config: str, killed_at: int = -1) -> int:
    """DPO as `fsdp.yaml` says, gloo instead of NCCL, one process killed at a step; the exit code."""
    script, port = folder / "cut.py", free_ports(1)[0]
    script.write_text(CUT, encoding="utf-8")
    words = ["-m", "accelerate.commands.launch", "--config_file", "training/configs/fsdp.yaml", "--num_processes", "2", "--mixed_precision", "no"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "KILLED_AT": str(killed_at)}
    words = [sys.executable, *words, "--main_process_port", str(port), str(script), config]
    return subprocess.run(words, cwd=ROOT, capture_output=True, timeout=300, env=environment, check=False).returncode


def test_a_model_cut_over_two_processes_learns_what_one_process_does_even_when_one_of_them_is_killed(tmp_path: Path) -> None:
    base, data = model_folder(tmp_path / "base"), artifact(tmp_path / "mix", {"train": pairs(range(32), probability=0.9)})
    curves = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        given = {"output": str(folder / "out"), "reference_store": str(folder / "store"), "batch_size": 8 // count, "length_buckets": False}
        config = config_file(folder, model=str(base), data=str(data), log_steps=1, save_steps=3, epochs=2, **given)
        if count == 1:
            assert main("dpo", Dpo, dpo.build, [config]) == 0
        else:
            assert cut_over_two(folder, config, killed_at=7)
            assert checkpoints.last_whole(folder / "out" / "checkpoints").name == "checkpoint-6"  # in the middle of the second epoch
            assert not cut_over_two(folder, config)
        curves.append([entry["loss"] for entry in read_receipt(folder / "out").report["dpo"]["curve"]])
    assert len(curves[0]) == 8 and curves[1] == pytest.approx(curves[0], abs=1e-5)
