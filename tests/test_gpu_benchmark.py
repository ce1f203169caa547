"""The GPU benchmark, run for real on a CPU with a tiny model; and what its table says of sides that cannot be compared."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is an extra")

from benchmarks.gpu import COLUMNS, Line, Side, mfu, rows, table_lines, unequal

ROOT = Path(__file__).resolve().parents[1]
TURN = {"tokens_s": 100_000.0, "pairs_s": None, "padding": 0.25, "memory_gb": 10.0, "loss": 10.4, "parameters": 10**8, "card": "NVIDIA H100 80GB HBM3"}
LINE = Line("sft", "125m", 1024)


def cells(line: str) -> dict[str, str]:
    """A line of the table by the names of its columns."""
    return dict(zip(COLUMNS, (cell.strip() for cell in line.strip("|").split("|")), strict=True))


def test_both_sides_train_for_real_and_at_equal_loss() -> None:
    words = "--sizes tiny --lengths 96 --precision fp32 --device cpu --steps 4 --warm 1 --turns 1".split()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu", *words], capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    head, _, names, _, *lines = done.stdout.splitlines()
    assert head.startswith("CPU, fp32, 20") and all(name in names for name in COLUMNS)
    table = [cells(line) for line in lines]
    assert [(row["trainer"], row["side"]) for row in table] == [("sft", "bare"), ("sft", "ours"), ("dpo", "bare"), ("dpo", "ours")]
    assert all(float(row["tokens/s"].replace(",", "")) > 0 and row["MFU"] == "" for row in table)
    assert [bool(row["pairs/s"]) for row in table] == [False, False, True, True]
    waste = {(row["trainer"], row["side"]): float(row["padding"].rstrip("%")) for row in table}
    assert waste["sft", "ours"] == 0 < waste["sft", "bare"]
    losses = [float(row["fixed batch's loss"]) for row in table]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5) and losses[2] == pytest.approx(losses[3], abs=1e-5)
    assert abs(losses[2] - 0.693147) > 1e-4  # away from ln 2, where any two trainers agree


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
