"""SFT and DPO on a GPU beside a bare TRL script, in turns, each side a process of its own: one table, at equal loss.

    python -m benchmarks.gpu [--sizes 125m,350m,1.3b] [--lengths 1024,2048,4096] [--trainers sft,dpo] [--precision bf16] [--turns 2]
    python -m benchmarks.gpu --sizes tiny --lengths 128 --precision fp32 --device cpu      the same path without a GPU

Models are drawn at random in the shape of Llama, with a tokenizer trained on the spot; rows are made of drawn words,
their lengths log-normal around a quarter of the longest. Both sides train the same rows in batches of 8 for as many
steps (our packing puts more rows into a batch), and the first `--warm` steps are not counted; what the reference's
log-probabilities cost beforehand is counted for every pair. Tokens are those that are no padding. Rates are medians of
the turns, memory is the most of them. MFU is 6 operations a parameter and token and 12 x layers x width x row length for
attention (Chowdhery et al. 2022, B), a third more for DPO's reference, over the card's dense bf16 peak.
The loss is that of one fixed batch before training; it must be equal to 1e-3 in bf16 and 1e-5 in fp32, or the exit code is 1.
Without a GPU seconds are of the process's CPU, memory is its own, and there is no MFU.
"""

import argparse
import datetime
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.web import ROOT
from training import pretrain
from training.config import Pretrain

SIZES = {
    "tiny": {"hidden": 64, "layers": 2, "heads": 2, "vocabulary": 512},
    "125m": {"hidden": 768, "layers": 12, "heads": 12, "vocabulary": 32768},
    "350m": {"hidden": 1024, "layers": 24, "heads": 16, "vocabulary": 32768},
    "1.3b": {"hidden": 2048, "layers": 24, "heads": 16, "vocabulary": 32768},
}
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Operations a second of a card, dense bf16, as its maker's data sheet has them."""
EQUAL = {"bf16": 1e-3, "fp32": 1e-5}
AIMS = {"sft": 1.2, "dpo": 1.5}
PROBED, BATCH = 8, 8
WORDS = 20_000
SYLLABLES = [start + vowel for start in "b c d f g l m n p r s t v ch br pr tr st".split() for vowel in "a e i o u ão é".split()]
COLUMNS = ("trainer", "size", "tokens", "side", "tokens/s", "pairs/s", "memory, GB", "padding", "MFU", "fixed batch's loss", "ratio")


class Line(NamedTuple):
    """One comparison of the table."""

    trainer: str
    size: str
    length: int


class Side(NamedTuple):
    """What the turns of one side gave; `failed` says why there is nothing else."""

    turns: list[dict]
    failed: str | None = None

    def middle(self, name: str) -> float | None:
        """The median of the turns."""
        return statistics.median(turn[name] for turn in self.turns) if self.turns and self.turns[0][name] is not None else None


def words(seed: int) -> list[str]:
    """Drawn words of one to four syllables: enough for a vocabulary of 32,768 pieces."""
    draw = random.Random(seed)
    return ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 4))) for _ in range(WORDS)]


def texts(length: int, seed: int) -> Iterator[str]:
    """Endless texts whose lengths are log-normal, no longer than `length` words."""
    draw, known = random.Random(seed), words(0)
    while True:
        yield " ".join(draw.choices(known, k=min(length, max(4, round(draw.lognormvariate(0, 0.7) * length / 4)))))


def rows(trainer: str, length: int, count: int) -> list[dict]:
    """Rows of a trainer, the first ones for the fixed batch. A third of the length in words: no word has more than three tokens on average."""
    drawn = texts(length // 3, 1)
    if trainer == "sft":
        return [{"id": f"r{n}", "text": next(drawn)} for n in range(count)]
    short = texts(length // 9, 2)
    turn = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    return [{"id": f"r{n}", **{name: [{"role": role, "content": next(short)}] for name, role in turn.items()}} for n in range(count)]


def model_of(size: str, length: int, home: Path) -> str:
    """A folder with a drawn model of a size and its tokenizer."""
    known = words(0)
    lines = [{"text": " ".join(known[start : start + 50])} for start in range(0, WORDS, 50)]
    pq.write_table(pa.Table.from_pylist(lines), home / "words.parquet")
    made = Pretrain(data=str(home / "words.parquet"), output=str(home / f"{size}-{length}"), max_length=length, **SIZES[size])
    return pretrain.ready(made).model


def compared(line: Line, model: str, given: argparse.Namespace, home: Path) -> dict[str, Side]:
    """Both sides in turns on the same rows."""
    folder = home / f"{line.trainer}-{line.length}"
    folder.mkdir(exist_ok=True)
    made = rows(line.trainer, line.length, PROBED + BATCH * given.steps)
    for split, part in (("probe", made[:PROBED]), ("train", made[PROBED:])):
        pq.write_table(pa.Table.from_pylist(part), folder / f"{split}-0.parquet")
    job = {**line._asdict(), "model": model, "data": str(folder)}
    job |= {name: getattr(given, name) for name in ("steps", "warm", "precision", "attention")}
    sides = {"bare": Side([]), "ours": Side([])}
    for _ in range(given.turns):
        for side, so_far in sides.items():
            if so_far.failed is None:
                turn = alone({**job, "side": side}, given.device)
                sides[side] = so_far._replace(failed=turn) if isinstance(turn, str) else Side([*so_far.turns, turn])
    return sides


def alone(job: dict, device: str) -> dict | str:
    """A turn of one side as a process; the last line of its error where it fails, as for want of memory."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"} | ({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})
    with tempfile.TemporaryDirectory() as out:
        file = Path(out) / "job.json"
        file.write_text(json.dumps({**job, "out": out}), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.gpu_side", str(file)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1])


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
        if side.failed is not None:
            cells.append([name, f"failed: {side.failed[:60]}", *[""] * 6])
            continue
        known = mfu(line, side)
        rates = [f"{side.middle('tokens_s'):,.0f}", "" if side.middle("pairs_s") is None else f"{side.middle('pairs_s'):,.1f}"]
        memory, loss = max(turn["memory_gb"] for turn in side.turns), side.middle("loss")
        whole = [f"{memory:.2f}", f"{side.middle('padding'):.1%}", f"{known:.1%}" if known and precision == "bf16" else "", f"{loss:.6f}"]
        cells.append([name, *rates, *whole, ratio(line, sides) if name == "ours" else ""])
    return [f"| {' | '.join([line.trainer, line.size, f'{line.length:,}', *row])} |" for row in cells]


def ratio(line: Line, sides: dict[str, Side]) -> str:
    """Ours over bare, with the aim."""
    if sides["bare"].failed is not None:
        return ""
    return f"{sides['ours'].middle('tokens_s') / sides['bare'].middle('tokens_s'):.2f} (aim {AIMS[line.trainer]})"


def unequal(sides: dict[str, Side], precision: str) -> str | None:
    """What is wrong with the comparison where the two sides' losses of the fixed batch differ."""
    if any(side.failed is not None for side in sides.values()):
        return None
    bare, ours = (sides[name].middle("loss") for name in ("bare", "ours"))
    return None if abs(bare - ours) <= EQUAL[precision] else f"losses differ by {abs(bare - ours):.2e}, over {EQUAL[precision]}: not the same work"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="125m,350m,1.3b", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--lengths", default="1024,2048,4096", help="longest rows, in tokens")
    parser.add_argument("--trainers", default="sft,dpo")
    parser.add_argument("--precision", choices=sorted(EQUAL), default="bf16")
    parser.add_argument("--attention", choices=["sdpa", "flash_attention_2", "flash_attention_3"], default="sdpa", help="of our side")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--warm", type=int, default=10, help="steps before the clock starts")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    return parser.parse_args()


def comparisons(given: argparse.Namespace, home: Path) -> Iterator[tuple[Line, dict[str, Side]]]:
    """Every line of the table, one after another."""
    for size, length in itertools.product(given.sizes.split(","), map(int, given.lengths.split(","))):
        model = model_of(size, length, home)
        for trainer in given.trainers.split(","):
            line = Line(trainer, size, length)
            yield line, compared(line, model, given, home)


def main() -> int:
    """Print the table; its exit code."""
    given, wrong, card = arguments(), [], None
    with tempfile.TemporaryDirectory() as folder:
        for line, sides in comparisons(given, Path(folder)):
            if card is None:
                card = next((side.turns[0]["card"] for side in sides.values() if side.turns), "no side ran")
                print(f"{card}, {given.precision}, {datetime.date.today()}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
            print("\n".join(table_lines(line, sides, given.precision)), flush=True)
            problem = unequal(sides, given.precision)
            wrong += [f"{line.trainer}, {line.size}, {line.length}: {problem}"] if problem else []
    for problem in wrong:
        print(problem, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
