"""Does the data matter: small models on raw against curated text, and DPO on biased against debiased labels.

    python -m benchmarks.ablation text [--held-out FILE] [--seeds 3] [--steps 150]
    python -m benchmarks.ablation labels [--seeds 3]

Stated before any result:
- text: the bundled pages, extracted; then the chain of `pipelines/fineweb_like.yaml` cut after each step
  of STEPS. Models of 1M parameters see the same number of optimiser steps. Metric: bits a byte on
  texts of another source, which no recipe has seen, so that a tokenizer of its own gives no advantage.
- labels: 256 questions, each with two answers of which one is right, and 128 held-out ones. A judge with
  slope 1.5, quality gaps |N(0, 1)| and a position bias of b logits labels them: by one hard call in a
  drawn order; by both orders, whose logits are averaged, as a soft label. Metric: accuracy of the
  trained model on held-out gold. b in BIASES.
Losses are printed as well as wins: every arm is a line, the best is not picked.
"""

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from training import dpo, evaluate, pretrain, sft
from training.config import Dpo, Pretrain, Run
from training.run import train

ROOT = Path(__file__).resolve().parents[1]
CHAIN = ROOT / "pipelines" / "fineweb_like.yaml"
STEPS = {"raw": 2, "language": 3, "quality": 7, "deduplicated": 9}
"""Arms by the number of steps of the chain that they keep."""
BIASES = (0.0, 1.0, 2.0)
SLOPE = 1.5
WORDS = {"sun": "gold", "moon": "silver"}
FILLERS = "the quick brown fox jumps over a lazy dog and sleeps until morning comes again".split()


def text_arm(name: str, keep: int, held_out: Path, seed: int, steps: int, home: Path) -> float:
    """Bits a byte of a model that was trained on the chain's first `keep` steps."""
    chain = yaml.safe_load(CHAIN.read_text(encoding="utf-8"))
    chain["stages"][0]["web"]["steps"] = chain["stages"][0]["web"]["steps"][:keep]
    chain["params"]["input"] = str(CHAIN.parent / chain["params"]["input"])
    recipe = home / f"{name}.yaml"
    recipe.write_text(yaml.safe_dump(chain, sort_keys=False), encoding="utf-8")
    words = [sys.executable, "-m", "curate.cli", "run", str(recipe), "--root", str(home / "runs")]
    data = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
    config = Pretrain(
        data=data, output=str(home / f"{name}-{seed}"), vocabulary=2048, max_steps=steps, epochs=1000, batch_size=8, max_length=256, seed=seed,
        log_steps=50,
    )  # fmt: skip
    model = train("pretrain", pretrain.ready(config), sft.build)
    return evaluate.evaluate("perplexity", Run(model=str(model), data=str(held_out), output="none", max_length=256))["bits_per_byte"].value


def questions(count: int, seed: int) -> list[dict]:
    """Questions with the right and the wrong answer, drawn by the seed."""
    draw, made = random.Random(seed), []
    for number in range(count):
        word = draw.choice(sorted(WORDS))
        text = " ".join([*draw.choices(FILLERS, k=4), "asks about", word])
        answers = [WORDS[word], WORDS["moon" if word == "sun" else "sun"]]
        made.append({"id": f"q{number}", "text": text, "answers": answers})
    return made


def judged(rows: list[dict], bias: float, both: bool, seed: int) -> list[dict]:
    """Pairs as the judge labels them: one hard call in a drawn order, or a soft label from both orders."""
    draw, made = random.Random(seed), []
    for row in rows:
        gap = SLOPE * abs(draw.gauss(0, 1))  # > 0: the first of `answers` is the right one
        shown_first = draw.random() < 0.5
        first, second = gap + bias, gap - bias  # logits for the right answer, shown first and shown second
        logit = (first + second) / 2 if both else (first if shown_first else second)
        drawn = logit if both else (1 if draw.random() < 1 / (1 + math.exp(-logit)) else -1)
        chosen, rejected = row["answers"] if drawn >= 0 else row["answers"][::-1]
        probability = 1 / (1 + math.exp(-abs(logit))) if both else None
        made.append(_pair(row, chosen, rejected, probability))
    return made


def _pair(row: dict, chosen: str, rejected: str, probability: float | None) -> dict:
    answers = {name: [{"role": "assistant", "content": text}] for name, text in (("chosen", chosen), ("rejected", rejected))}
    return {"id": row["id"], "prompt": [{"role": "user", "content": row["text"]}], **answers, "probability": probability, "weight": 1.0}


def label_arm(bias: float, both: bool, seed: int, home: Path) -> float:
    """Accuracy on held-out gold of a model that DPO trained on the judge's labels."""
    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    lists = [(name, turns) for name in ("prompt", "chosen", "rejected")]
    schema = pa.schema([("id", pa.string()), *lists, ("probability", pa.float64()), ("weight", pa.float64())])
    folder = home / f"labels-{bias}-{both}-{seed}"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(judged(questions(256, seed), bias, both, seed), schema), folder / "train-0.parquet")
    gold = [_pair(row, *row["answers"], None) for row in questions(128, seed + 1_000)]
    pq.write_table(pa.Table.from_pylist(gold, schema), folder / "test-0.parquet")
    texts = [{"text": " ".join([row["text"], *row["answers"]])} for row in questions(256, seed)]
    pq.write_table(pa.Table.from_pylist(texts), folder / "texts.parquet")
    start = Pretrain(data=str(folder / "texts.parquet"), output=str(folder / "base"), vocabulary=400, hidden=32, layers=2, heads=2, seed=seed)
    config = Dpo(
        model=pretrain.ready(start).model, data=str(folder), output=str(folder / "dpo"), reference_store=str(folder / "store"), epochs=12,
        batch_size=16, learning_rate=2e-3, max_length=96, seed=seed, log_steps=50,
    )  # fmt: skip
    model = train("dpo", config, dpo.build)
    found = evaluate.evaluate("pairs", Run(model=str(model), data=str(folder), split="test", output="none"))
    return found["accuracy"].value


def table(arms: dict[str, list[float]], metric: str) -> None:
    """Print the mean of each arm over seeds with the spread."""
    print(f"| arm | {metric}, mean | least | most | seeds |\n|---|---|---|---|---|")
    for name, values in arms.items():
        print(f"| {name} | {statistics.mean(values):.4f} | {min(values):.4f} | {max(values):.4f} | {len(values)} |")


def main() -> None:
    """Run one of the two comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["text", "labels"])
    parser.add_argument("--held-out", type=Path, help="a .jsonl or .parquet file of texts from elsewhere")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=150)
    given = parser.parse_args()
    seeds = range(given.seeds)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if given.what == "labels":
            ways = {"one hard call": False, "both orders, soft": True}
            arms = {f"b = {bias}, {name}": [label_arm(bias, both, seed, home) for seed in seeds] for bias in BIASES for name, both in ways.items()}
            table(arms, "held-out gold accuracy")
        elif given.held_out is None:
            parser.error("text needs --held-out")
        else:
            arms = {name: [text_arm(name, keep, given.held_out, seed, given.steps, home) for seed in seeds] for name, keep in STEPS.items()}
            table(arms, "bits a byte")
    print(json.dumps(arms))


if __name__ == "__main__":
    main()
