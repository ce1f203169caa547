"""The GPU benchmark, run for real on a CPU with a tiny model; and what its table says of sides that cannot be compared."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is an extra")

from benchmarks.gpu import COLUMNS, Line, Side, grown, mfu, reason, table_lines, unequal
from benchmarks.gpu_rows import rows

ROOT = Path(__file__).resolve().parents[1]
TURN = {"tokens_s": 100_000.0, "pairs_s": None, "padding": 0.25, "memory_gb": 10.0, "loss": 10.4, "parameters": 10**8, "card": "NVIDIA H100 80GB HBM3"}
LINE = Line("sft", "125m", 1024)


def cells(line: str) -> dict[str, str]:
    """A line of the table by the names of its columns."""
    return dict(zip(COLUMNS, (cell.strip() for cell in line.strip("|").split("|")), strict=True))


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The benchmark as a user starts it: as a script, from another folder than its own."""
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, check=False)


def test_both_sides_train_for_real_at_equal_loss_and_are_told_one_by_one(tmp_path: Path) -> None:
    done = run(*f"--sizes tiny --lengths 96 --precision fp32 --device cpu --steps 4 --warm 1 --turns 1 --minutes 60 --out {tmp_path}".split())
    assert done.returncode == 0, done.stderr
    *sides, _, head, _, names, _, bare_sft, ours_sft, bare_dpo, ours_dpo = done.stdout.splitlines()
    assert head.startswith("CPU, fp32, 20") and all(name in names for name in COLUMNS)
    assert (tmp_path / "gpu.jsonl").read_text(encoding="utf-8").splitlines() == sides
    assert (tmp_path / "gpu.md").read_text(encoding="utf-8") in done.stdout
    told = [json.loads(line) for line in sides]
    assert [(one["trainer"], one["side"]) for one in told] == [("sft", "bare"), ("sft", "ours"), ("dpo", "bare"), ("dpo", "ours")]
    table = [cells(line) for line in (bare_sft, ours_sft, bare_dpo, ours_dpo)]
    assert all(float(row["tokens/s"].replace(",", "")) > 0 and row["MFU"] == "" for row in table)
    assert [bool(row["pairs/s"]) for row in table] == [False, False, True, True]
    assert float(table[1]["padding"].rstrip("%")) == 0 < float(table[0]["padding"].rstrip("%"))
    losses = [one["loss"] for one in told]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5) and losses[2] == pytest.approx(losses[3], abs=1e-5)
    assert abs(losses[2] - 0.693147) > 1e-4  # away from ln 2, where any two trainers agree


def test_what_there_is_no_time_for_is_named_and_not_begun() -> None:
    done = run(*"--sizes tiny --lengths 96 --trainers sft --precision fp32 --device cpu --turns 1 --minutes 0".split())
    assert done.returncode == 0 and "| sft" not in done.stdout
    assert [line.split(";")[0] for line in done.stderr.splitlines()] == [f"no time for turn 1 of sft, tiny, 96, {side}" for side in ("bare", "ours")]


def test_a_side_that_is_not_done_in_time_fails_for_that_reason() -> None:
    job = {**LINE._asdict(), "side": "ours"}
    assert grown(Side([]), job, "cpu", end=time.monotonic()) == Side([], "the time was over")


def test_our_side_is_run_again_with_recomputation_where_memory_ran_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "sitecustomize.py"  # stands for the GPU: a side that does not recompute runs out of its memory
    seen.write_text(
        "import json, os, sys\n"
        "if 'gpu_side' in ' '.join(sys.orig_argv):\n"
        "    job = json.load(open(sys.orig_argv[-1]))\n"
        "    sys.stderr.write('ValueError: after that' if job.get('checkpointing') else 'torch.OutOfMemoryError: CUDA out of memory.')\n"
        "    sys.stderr.flush()\n"
        "    os._exit(1)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sides = {side: grown(Side([]), {**LINE._asdict(), "side": side}, "cpu", time.monotonic() + 600) for side in ("bare", "ours")}
    assert sides["bare"].failed.endswith("out of memory.") and not sides["bare"].recomputes
    assert sides["ours"] == Side([], "ValueError: after that", recomputes=True)


def test_a_machine_without_a_gpu_is_told_in_one_line() -> None:
    done = run(CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2 and done.stderr.startswith("no GPU") and len(done.stderr.splitlines()) == 1


def test_the_reason_of_a_failure_is_the_line_that_says_so() -> None:
    assert reason("Traceback\n torch.OutOfMemoryError: CUDA out of memory.\nSee documentation\n") == "torch.OutOfMemoryError: CUDA out of memory."
    assert reason("Traceback\nValueError: no\n") == "ValueError: no" and reason("") == ""


def test_sides_that_do_not_do_the_same_work_are_named() -> None:
    sides = {"bare": Side([TURN]), "ours": Side([{**TURN, "loss": 10.4005}])}
    assert unequal(sides, "bf16") is None and "not the same work" in unequal(sides, "fp32")


def test_a_side_that_fails_has_no_numbers_and_no_ratio() -> None:
    sides = {"bare": Side([], "CUDA out of memory"), "ours": Side([TURN])}
    bare, ours = map(cells, table_lines(LINE, sides, "bf16"))
    assert "out of memory" in bare["tokens/s"] and ours["ratio"] == "" and unequal(sides, "bf16") is None


def test_utilisation_is_reckoned_from_the_parameters_and_the_cards_peak() -> None:
    # 1e5 tokens/s x (6 x 1e8 + 12 x 12 x 768 x 256) / 989e12
    assert mfu(LINE, Side([TURN])) == pytest.approx(1e5 * (6e8 + 28_311_552) / 989e12)
    assert mfu(LINE._replace(trainer="dpo"), Side([TURN])) == pytest.approx(1e5 * (6e8 + 28_311_552) * 4 / 3 / 989e12)
    assert mfu(LINE, Side([{**TURN, "card": "CPU"}])) is None


def test_rows_are_the_same_each_time_and_of_many_lengths() -> None:
    made = rows("sft", 1024, 50)
    assert made == rows("sft", 1024, 50)
    assert len({len(row["text"].split()) for row in made}) > 20
