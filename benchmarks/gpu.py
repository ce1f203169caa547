"""SFT and DPO on a GPU beside a bare TRL script, in turns, each side a process of its own: one table, at equal loss.

    python benchmarks/gpu.py [--sizes 125m,350m,1.3b] [--lengths 2048,1024,4096] [--trainers sft,dpo] [--minutes 9] [--out DIR]
    python benchmarks/gpu.py --sizes 10m --lengths 512 --precision fp32 --device cpu       the same path without a GPU

Models are drawn at random in the shape of Llama, with a tokenizer trained on the spot; rows are made of drawn words,
their lengths log-normal around a quarter of the longest. Both sides train the same rows in batches of 8 for as many
steps (our packing puts more rows into a batch), and the first `--warm` steps are not counted; what the reference's
log-probabilities cost beforehand is counted for every pair. Our side recomputes no activations until memory runs out;
then it is run again with recomputation, and called so. Tokens are those that are no padding, also where
both sides of a pair share them. Rates are medians of the turns, memory is the most of them. MFU is 6 operations a parameter and token
and 12 x layers x width x row length for attention (Chowdhery et al. 2022, B), a third more for DPO's reference, as if
every row were read whole, over the card's dense bf16 peak. The loss is that of fixed rows before training; it must
be equal to 1e-3 in bf16 and 1e-5 in fp32, or the exit code is 1. Without a GPU seconds are of the process's CPU, memory
is its own, and there is no MFU.

A line of JSON is printed for every side as soon as it is done, and the table at the end; with `--out` both stand in files
there from the first side on. A side that fails is a line of the table with its reason. What `--minutes` leave no room for
is not begun, and named. The first length of all sizes comes before the second one.
"""

import argparse
import datetime
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # as a script, too

from benchmarks.gpu_rows import data_of, model_of  # noqa: E402

NEEDED = ("torch", "transformers", "trl", "accelerate", "datasets", "pyarrow", "pydantic", "tokenizers")
SIZES = {
    "tiny": {"hidden": 64, "layers": 2, "heads": 2, "vocabulary": 512},
    "10m": {"hidden": 384, "layers": 6, "heads": 6, "vocabulary": 8192},
    "125m": {"hidden": 768, "layers": 12, "heads": 12, "vocabulary": 32768},
    "350m": {"hidden": 1024, "layers": 24, "heads": 16, "vocabulary": 32768},
    "1.3b": {"hidden": 2048, "layers": 24, "heads": 16, "vocabulary": 32768},
}
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Operations a second of a card, dense bf16, as its maker's data sheet has them."""
EQUAL = {"bf16": 1e-3, "fp32": 1e-5}
AIMS = {"sft": 1.2, "dpo": 1.5}
OURS_AGAIN = {"checkpointing": True}
"""What our side changes where memory runs out."""
COLUMNS = ("trainer", "size", "tokens", "side", "tokens/s", "pairs/s", "memory, GB", "padding", "MFU", "fixed rows' loss", "ratio")


class Line(NamedTuple):
    """One comparison of the table."""

    trainer: str
    size: str
    length: int


class Side(NamedTuple):
    """What the turns of one side gave; `failed` says why there is nothing else."""

    turns: list[dict]
    failed: str | None = None
    recomputes: bool = False
    """True where memory ran out without recomputation."""

    def middle(self, name: str) -> float | None:
        """The median of the turns."""
        return statistics.median(turn[name] for turn in self.turns) if self.turns and self.turns[0][name] is not None else None


def grown(side: Side, job: dict, device: str, end: float) -> Side:
    """The side with one turn more, or with why there is none."""
    again = OURS_AGAIN if side.recomputes else {}
    turn = alone({**job, **again}, device, end)
    if isinstance(turn, str) and "memory" in turn and job["side"] == "ours" and not side.turns and not side.recomputes:
        return grown(side._replace(recomputes=True), job, device, end)
    return side._replace(failed=turn) if isinstance(turn, str) else side._replace(turns=[*side.turns, turn])


def alone(job: dict, device: str, end: float) -> dict | str:
    """A turn of one side as a process; what its error says where it fails, as for want of memory, or is not done at `end`."""
    seen = "" if device == "cpu" else os.environ.get("CUDA_VISIBLE_DEVICES", "0")  # one, where there are several
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "CUDA_VISIBLE_DEVICES": seen}
    with tempfile.TemporaryDirectory() as out:
        file = Path(out) / "job.json"
        file.write_text(json.dumps({**job, "out": out}), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.gpu_side", str(file)]
        try:
            left = end - time.monotonic()
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=left)
        except subprocess.TimeoutExpired:
            return "the time was over"
    if done.returncode:
        return reason(done.stderr) or f"exit code {done.returncode}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def reason(told: str) -> str:
    """The line of a traceback that says what went wrong; that of memory before those that a library adds to it."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "out of memory" in line), lines[-1] if lines else "")


def mfu(line: Line, side: Side) -> float | None:
    """Model operations a second over the card's peak; None where the peak is not known."""
    peak = next((peak for name, peak in PEAKS.items() if name in side.turns[0]["card"]), None)
    shape = SIZES[line.size]
    operations = 6 * side.turns[0]["parameters"] + 12 * shape["layers"] * shape["hidden"] * line.length / 4
    return peak and side.middle("tokens_s") * operations * (4 / 3 if line.trainer == "dpo" else 1) / peak


def table_lines(line: Line, sides: dict[str, Side], precision: str) -> list[str]:
    """Two lines of the table; the ratio is of tokens a second, and stands with the aim."""
    cells = []
    for name, side in sides.items():
        if not side.turns:
            failed = (side.failed or "not run").replace("|", "/")
            cells.append([name, f"failed: {failed[:60]}", *[""] * 6])
            continue
        known = mfu(line, side)
        rates = [f"{side.middle('tokens_s'):,.0f}", "" if side.middle("pairs_s") is None else f"{side.middle('pairs_s'):,.1f}"]
        memory, loss = max(turn["memory_gb"] for turn in side.turns), side.middle("loss")
        whole = [f"{memory:.2f}", f"{side.middle('padding'):.1%}", f"{known:.1%}" if known and precision == "bf16" else "", f"{loss:.6f}"]
        told = f"{name}, recomputing" if side.recomputes else name
        cells.append([told, *rates, *whole, ratio(line, sides) if name == "ours" else ""])
    return [f"| {' | '.join([line.trainer, line.size, f'{line.length:,}', *row])} |" for row in cells]


def ratio(line: Line, sides: dict[str, Side]) -> str:
    """Ours over bare, with the aim."""
    if not sides["bare"].turns:
        return ""
    return f"{sides['ours'].middle('tokens_s') / sides['bare'].middle('tokens_s'):.2f} (aim {AIMS[line.trainer]})"


def unequal(sides: dict[str, Side], precision: str) -> str | None:
    """What is wrong with the comparison where the two sides' losses of the fixed rows differ."""
    if not all(side.turns for side in sides.values()):
        return None
    bare, ours = (sides[name].middle("loss") for name in ("bare", "ours"))
    return None if abs(bare - ours) <= EQUAL[precision] else f"losses differ by {abs(bare - ours):.2e}, over {EQUAL[precision]}: not the same work"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="125m,350m,1.3b", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--lengths", default="2048,1024,4096", help="longest rows, in tokens")
    parser.add_argument("--trainers", default="sft,dpo")
    parser.add_argument("--precision", choices=sorted(EQUAL), default="bf16")
    parser.add_argument("--attention", choices=["sdpa", "flash_attention_2", "flash_attention_3"], default="sdpa", help="of our side")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--warm", type=int, default=10, help="steps before the clock starts")
    parser.add_argument("--turns", type=int, default=2, help="a second turn begins when every line has had the first")
    parser.add_argument("--minutes", type=float, default=9, help="nothing is begun that would end after so many, and nothing runs on")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--out", type=Path, help="folder for gpu.jsonl, a line a side, and gpu.md, the table")
    given = parser.parse_args()
    if unknown := [size for size in given.sizes.split(",") if size not in SIZES]:
        parser.error(f"--sizes {unknown[0]}: one of {', '.join(SIZES)}")
    if not 0 <= given.warm < given.steps:
        parser.error("--warm: fewer than --steps")
    return given


def not_ready(device: str) -> str | None:
    """Why nothing can run here, in one line."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        return f"{', '.join(missing)}: not installed; `pip install -e '.[train]'`"
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return "no GPU that torch sees; `--sizes tiny --lengths 128 --precision fp32 --device cpu` goes the same way without one"
    return None


class Told(NamedTuple):
    """Where results go: a line of JSON for each side to stdout and a file, and the table anew after each."""

    given: argparse.Namespace
    found: dict[Line, dict[str, Side]]

    def note(self, line: Line, side: str) -> None:
        result = self.found[line][side]
        last = {"failed": result.failed} if result.failed else result.turns[-1]
        text = json.dumps({**line._asdict(), "side": side, "recomputes": result.recomputes, "date": str(datetime.date.today()), **last})
        print(text, flush=True)
        if self.given.out:
            self.given.out.mkdir(parents=True, exist_ok=True)
            with (self.given.out / "gpu.jsonl").open("a", encoding="utf-8") as file:
                file.write(text + "\n")
            (self.given.out / "gpu.md").write_text("\n".join(self.table()) + "\n", encoding="utf-8")

    def table(self) -> list[str]:
        """The card, the date, and two lines for each comparison that was begun."""
        cards = [turn["card"] for sides in self.found.values() for side in sides.values() for turn in side.turns]
        head = f"{cards[0] if cards else 'no side ran'}, {self.given.precision}, {datetime.date.today()}"
        begun = [(line, sides) for line, sides in self.found.items() if any(side.turns or side.failed for side in sides.values())]
        lines = [text for line, sides in begun for text in table_lines(line, sides, self.given.precision)]
        return [head, "", f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}", *lines]


def lines_of(given: argparse.Namespace) -> list[Line]:
    """The comparisons in their order: the first length of all sizes, the smaller ones before, then the next length."""
    lengths, sizes, trainers = (text.split(",") for text in (given.lengths, given.sizes, given.trainers))
    return [Line(trainer, size, int(length)) for length, size, trainer in itertools.product(lengths, sizes, trainers)]


def job_of(line: Line, given: argparse.Namespace, home: Path) -> dict:
    """What both sides of a line are told; the model and the rows are made where they are not there yet."""
    longest = max(map(int, given.lengths.split(",")))
    model = model_of(home / line.size, SIZES[line.size], longest)
    data = data_of(home / f"{line.trainer}-{line.length}", line.trainer, line.length, given.steps)
    same = {name: getattr(given, name) for name in ("steps", "warm", "precision", "attention")}
    return {**line._asdict(), **same, "model": model, "data": str(data)}


def run(given: argparse.Namespace, home: Path) -> tuple[Told, list[str]]:
    """Every side of every line in turns, as long as there is time; and what there was no time for."""
    told = Told(given, {line: {"bare": Side([]), "ours": Side([])} for line in lines_of(given)})
    end, took, late = time.monotonic() + 60 * given.minutes, {}, []
    for turn, line, side in itertools.product(range(given.turns), told.found, ("bare", "ours")):
        begun = time.monotonic()
        if told.found[line][side].failed:
            continue
        if begun + took.get((line.size, line.trainer), 0) > end:
            late.append(f"turn {turn + 1} of {line.trainer}, {line.size}, {line.length}, {side}")
            continue
        try:
            job = {**job_of(line, given, home), "side": side}
        except (OSError, RuntimeError, MemoryError) as error:  # a model that this machine cannot hold takes no other line along
            told.found[line][side] = Side([], reason(str(error)))
        else:
            told.found[line][side] = grown(told.found[line][side], job, given.device, end)
        took[line.size, line.trainer] = time.monotonic() - begun
        told.note(line, side)
    return told, late


def main() -> int:
    """Print the results and the table; the exit code: 1 where the two sides did not do the same work, 2 where nothing can run here."""
    given = arguments()
    if problem := not_ready(given.device):
        print(problem, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        told, late = run(given, Path(folder))
    print("\n".join(["", *told.table()]))
    unlike = {line: unequal(sides, given.precision) for line, sides in told.found.items()}
    wrong = [f"{line.trainer}, {line.size}, {line.length}: {problem}" for line, problem in unlike.items() if problem]
    for text in [*(f"no time for {name}; raise --minutes" for name in late), *wrong]:
        print(text, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
