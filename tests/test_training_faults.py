"""What a machine runs out of while a model is trained, for real and in a process of its own: one line, and the checkpoint before it goes on."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from training_models import artifact, config_file, conversations, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

from safetensors.torch import load_file, save_file
from transformers import Trainer as HfTrainer

from curate.artifact import read_receipt, write_json
from curate.config import UsageError
from training import checkpoints, curves, grpo, place, sft
from training.arguments import CHECKPOINTS
from training.config import Grpo, Sft
from training.models import RUN
from training.run import main

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {"epochs": 3, "save_steps": 4, "log_steps": 3}
"""12 steps, and checkpoints after 4, 8 and 12, between two logs."""
LOGGED = [1, 3, 4, 6, 8, 9, 12]
CHILD = """
import os, resource, sys
import torch
from transformers import Trainer
from training import run, sft

def at_step(number, act):
    step = Trainer.training_step
    def stepped(self, *rest, **named):
        if self.state.global_step == number:
            act()
        return step(self, *rest, **named)
    Trainer.training_step = stepped

def files_of_at_most(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

def no_more_memory():
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(),) * 2)

def half_written(thing, place, *rest, **named):
    with open(place, "wb") as file:
        file.write(b"half")
    os.kill(os.getpid(), 9)
"""
ENDS = "\nsys.exit(run.main('sft', sft.Sft, sft.build, sys.argv[1:]))\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifact(tmp_path_factory.mktemp("data") / "mix", {"train": conversations(range(32))})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, base: Path, data: Path) -> Path:
    """The run that nothing went wrong in."""
    folder = tmp_path_factory.mktemp("whole")
    assert main("sft", Sft, sft.build, [config(folder, base, data)]) == 0
    return folder / "out"


def config(folder: Path, base: Path, data: Path, **more: object) -> str:
    return config_file(folder, **{"model": str(base), "data": str(data), "output": str(folder / "out"), **SETTINGS, **more})


def child(plan: str, file: str) -> subprocess.CompletedProcess[str]:
    """SFT in a process of its own, in which `plan` happens."""
    return ran([sys.executable, "-c", CHILD + plan + ENDS, file])


def ran(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)


def told(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of a stopped run, which has no traceback."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def curve(output: Path) -> list[dict]:
    return read_receipt(output).report["sft"]["curve"]


def assert_goes_on(file: str, folder: Path, whole: Path) -> None:
    """The same command again ends with the curve of a run in which nothing went wrong."""
    assert main("sft", Sft, sft.build, [file]) == 0
    assert curve(folder / "out") == curve(whole) and [entry["step"] for entry in curve(whole)] == LOGGED


def size_of(whole: Path, name: str) -> int:
    return (whole / "checkpoints" / "checkpoint-12" / name).stat().st_size


def test_a_disk_that_fills_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path: Path, base: Path, data: Path, whole: Path) -> None:
    file, limit = config(tmp_path, base, data), size_of(whole, "optimizer.pt") - 1
    line = told(child(f"at_step(5, lambda: files_of_at_most({limit}))", file))
    assert "disk is full" in line and line.endswith("checkpoint-4")
    assert not checkpoints.is_whole(tmp_path / "out" / "checkpoints" / "checkpoint-8")
    assert_goes_on(file, tmp_path, whole)


def test_a_disk_that_fills_while_the_model_is_saved_leaves_the_last_checkpoint(tmp_path: Path, base: Path, data: Path, whole: Path) -> None:
    file, limit = config(tmp_path, base, data), size_of(whole, "model.safetensors") - 1
    plan = f"save = run._save\nrun._save = lambda *rest, **named: (files_of_at_most({limit}), save(*rest, **named))"
    line = told(child(plan, file))
    assert "disk is full" in line and line.endswith("checkpoint-12")
    assert not (tmp_path / "out" / "receipt.json").exists() and not (tmp_path / "out" / "model.safetensors").exists()
    assert_goes_on(file, tmp_path, whole)


def test_a_full_file_system_leaves_the_checkpoint_before(tmp_path: Path, base: Path, data: Path, whole: Path) -> None:
    (tmp_path / "out").mkdir()
    mount = f"mount -t tmpfs -o size={{}} tmpfs {tmp_path / 'out'}"
    if not shutil.which("unshare") or ran(["unshare", "-Urm", "sh", "-c", mount.format("1m")]).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    room = 1.6 * sum(path.stat().st_size for path in (whole / "checkpoints" / "checkpoint-12").iterdir())
    file = config(tmp_path, base, data)
    train = f"{sys.executable} -m training.sft {file}; code=$?; cp -a {tmp_path / 'out'} {tmp_path / 'kept'}; exit $code"
    line = told(ran(["unshare", "-Urm", "sh", "-c", f"{mount.format(int(room))} && {train}"]))
    assert "disk is full" in line and line.endswith("checkpoint-4")
    (tmp_path / "out").rmdir()
    (tmp_path / "kept").rename(tmp_path / "out")
    assert_goes_on(file, tmp_path, whole)


def test_memory_that_runs_out_is_said_in_one_line_and_the_checkpoint_before_is_whole(tmp_path: Path, base: Path) -> None:
    rows = artifact(tmp_path / "mix", {"train": conversations(range(512))})
    line = told(child("at_step(1, no_more_memory)", config(tmp_path, base, rows, batch_size=256, save_steps=1)))
    assert "out of memory at 256 rows" in line and "batch_size" in line and line.endswith("checkpoint-1")


def test_a_run_that_is_killed_while_it_writes_a_checkpoint_goes_on_from_the_one_before(tmp_path: Path, base: Path, data: Path, whole: Path) -> None:
    file = config(tmp_path, base, data)
    done = child("at_step(7, lambda: setattr(torch, 'save', half_written))", file)
    assert done.returncode == -9
    folder = tmp_path / "out" / "checkpoints"
    assert (folder / "checkpoint-8").exists() and checkpoints.last_whole(folder) == folder / "checkpoint-4"
    assert_goes_on(file, tmp_path, whole)


def test_a_run_that_is_asked_to_stop_says_so_in_one_line_and_goes_on(tmp_path: Path, base: Path, data: Path, whole: Path) -> None:
    file = config(tmp_path, base, data)
    line = told(child("at_step(6, lambda: os.kill(os.getpid(), 15))", file))
    assert "interrupted" in line and line.endswith("checkpoint-4")
    assert_goes_on(file, tmp_path, whole)


def test_a_loss_that_is_no_number_ends_the_run_before_a_checkpoint_holds_it(tmp_path: Path, base: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    folder = shutil.copytree(base, tmp_path / "astray")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"].fill_(float("inf"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert main("sft", Sft, sft.build, [config(tmp_path, folder, data, log_steps=2, save_steps=2)]) == 1
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "the loss is no number by step 1" in told and "no checkpoint yet" in told
    assert not list((tmp_path / "out").glob("**/checkpoint-*"))


@pytest.mark.parametrize("kind", ["sft", "sft_shuffled", "grpo"])
def test_a_run_that_is_stopped_in_its_second_epoch_goes_on_with_the_rows_that_it_would_have_read(
    kind: str, tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, shape, build, look, more = courses(kind, tmp_path)
    curves_of, step = [], HfTrainer.training_step
    for stopped in (False, True):
        folder = tmp_path / str(stopped)
        folder.mkdir()
        file = config(folder, base, tmp_path / "rows", **{**SETTINGS, "save_steps": 3, "epochs": 2, **more})
        if stopped:
            monkeypatch.setattr(HfTrainer, "training_step", interrupted_at(7, step))
            assert main(name, shape, build, [file], look=look) == 1
            assert checkpoints.last_whole(folder / "out" / CHECKPOINTS).name == "checkpoint-6"
            monkeypatch.setattr(HfTrainer, "training_step", step)
        assert main(name, shape, build, [file], look=look) == 0
        curves_of.append([entry["loss"] for entry in read_receipt(folder / "out").report[name]["curve"]])
    assert curves_of[0] == curves_of[1]


def courses(kind: str, folder: Path) -> tuple:
    """A trainer with its rows, four steps an epoch: its name, config, building, report, and further settings."""
    if kind == "grpo":
        artifact(folder / "rows", {"train": [{"id": row["id"], "prompt": row["prompt"]} for row in pairs(range(8))]})
        reward = str(model_folder(folder / "reward", scores=True, seed=1))
        return "grpo", Grpo, grpo.build, grpo.look, {"reward": reward, "generations": 4, "answer_length": 4}
    artifact(folder / "rows", {"train": conversations(range(32))})
    return "sft", Sft, sft.build, None, {"length_buckets": kind == "sft"}


def interrupted_at(number: int, step: Callable[..., object]) -> Callable[..., object]:
    def stepped(self: HfTrainer, *rest: object, **named: object) -> object:
        if self.state.global_step == number:
            raise KeyboardInterrupt
        return step(self, *rest, **named)

    return stepped


def test_a_folder_in_which_another_run_writes_is_left_as_it_is(tmp_path: Path, base: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    file = config(tmp_path, base, data)
    with place.held(tmp_path / "out"):
        assert main("sft", Sft, sft.build, [file]) == 1
    assert "another run is writing here" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == [place.LOCK]


def test_a_run_goes_on_in_as_many_processes_as_it_was_begun_in(tmp_path: Path) -> None:
    write_json(tmp_path / RUN, {"fingerprint": "this", "processes": 2})
    place.begin(tmp_path, "this")  # nothing is lost without a checkpoint
    write_json(tmp_path / RUN, {"fingerprint": "this", "processes": 2})
    (tmp_path / CHECKPOINTS / "checkpoint-4").mkdir(parents=True)
    checkpoints.mark(tmp_path / CHECKPOINTS / "checkpoint-4")
    with pytest.raises(UsageError, match="begun in 2 processes"):
        place.begin(tmp_path, "this")


def test_an_output_that_cannot_be_written_is_named_in_one_line(tmp_path: Path, base: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "file").touch()
    assert main("sft", Sft, sft.build, [config(tmp_path, base, data, output=str(tmp_path / "file" / "out"))]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert str(tmp_path / "file") in line and "Not a directory" in line


def test_the_curves_are_drawn_and_the_same_history_is_the_same_picture(whole: Path, tmp_path: Path) -> None:
    state = json.loads((whole / "checkpoints" / "checkpoint-12" / "trainer_state.json").read_text(encoding="utf-8"))
    assert (whole / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "curves.png" in {file.path for file in read_receipt(whole).files}
    measured = [*state["log_history"], {"step": 12, "eval_loss": 0.5}]
    drawn = []
    for history in (state["log_history"], measured, measured):
        curves.draw(history, tmp_path)
        drawn.append((tmp_path / "curves.png").read_bytes())
    assert drawn[0] != drawn[1] == drawn[2]
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_what_the_log_holds_decides_the_panels(tmp_path: Path) -> None:
    from PIL import Image

    loss, pair = {"step": 1, "loss": 0.7}, {"step": 1, "rewards/accuracies": 0.5, "rewards/margins": 0.0, "eval_rewards/margins": 0.1}
    heights = []
    for entry in (loss, loss | pair):
        curves.draw([entry], tmp_path)
        with Image.open(tmp_path / "curves.png") as image:
            heights.append(image.height)
    assert heights == [300, 780]
    (tmp_path / "curves.png").unlink()
    curves.draw([{"step": 1}], tmp_path)
    assert not (tmp_path / "curves.png").exists()
