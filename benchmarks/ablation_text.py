"""Raw against curated text: archives in; bits a byte of small models, one for each arm and seed, out. See ablation.md."""

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from curate.artifact import Artifact
from curate.contract import load_tokenizer
from training import evaluate, pretrain, sft
from training.config import Pretrain, Run, Sft
from training.run import train

ROOT = Path(__file__).resolve().parents[1]
CHAIN = ROOT / "pipelines" / "fineweb_like.yaml"
SHARED = ROOT.parent / "shared" / "data"
ARCHIVES = [SHARED / "web" / f"{name}.warc.gz" for name in ("extraction_dev", "shared_docs", "shared_gold")]
HELD_OUT = {"wiki": SHARED / "text" / "wiki_demo.jsonl.gz", "c4": SHARED / "text" / "c4_demo.jsonl.gz"}
ADDED = {
    "raw": ("extract", "decontaminate"),
    "language": ("language",),
    "quality": ("gopher_repetition", "gopher_quality", "c4", "fineweb"),
    "deduplicated": ("exact_dedup", "minhash_dedup"),
    "curated": ("url", "pii"),
}
"""Arms, and the steps that each has beside those of the arm before it."""
PAIRS = [*zip([*ADDED][1:], ADDED, strict=False), ("quality", "raw"), ("curated", "raw")]
"""The comparisons, named before any result: each arm with the one before it, and two with the raw text."""
JUDGED_BY = {f"bits a byte, {name}": True for name in HELD_OUT}
"""The measures that decide; True: the least is best."""


class Size(NamedTuple):
    """A model's shape, and what it is trained on: steps of so many blocks of so many tokens."""

    shape: dict[str, int]
    length: int
    batch: int
    steps: int
    learning_rate: float


SIZES = {
    "small": Size({"hidden": 96, "layers": 2, "heads": 4, "vocabulary": 1024}, 128, 4, 300, 4e-3),
    "medium": Size({"hidden": 512, "layers": 8, "heads": 8, "vocabulary": 4096}, 256, 16, 1000, 1e-3),
}
"""0.3 million parameters for a CPU; 30 million, for a GPU."""
PIECE, PIECES = 800, 120
"""Characters of a held-out piece, and pieces that a seed draws of each held-out file."""


def recipe(arm: str, archives: list[Path], held_out: dict[str, Path]) -> dict:
    """The bundled chain with the steps of the arms up to this one, for English; no arm sees a text that holds held-out text."""
    chain = yaml.safe_load(CHAIN.read_text(encoding="utf-8"))
    ours = {one["use"]: one for one in chain["stages"][0]["web"]["steps"]}
    benchmarks = [{"name": name, "path": str(path.resolve()), "fields": ["text"]} for name, path in held_out.items()]
    ours |= {"extract": {"use": "extract"}, "decontaminate": {"use": "decontaminate", "benchmarks": benchmarks}}
    arms = list(ADDED)
    steps = [ours[name] for one in arms[: arms.index(arm) + 1] for name in ADDED[one]]
    params = {"input": [str(path.resolve()) for path in archives], "languages": {"en": chain["params"]["languages"]["en"]}}
    return {"params": params, "stages": [{"web": {"source": "${input}", "steps": steps}}]}


def curated(arm: str, archives: list[Path], held_out: dict[str, Path], home: Path) -> Artifact:
    """The artifact of an arm, made by the command line where it is not made yet."""
    file = home / f"{arm}.yaml"
    file.write_text(yaml.safe_dump(recipe(arm, archives, held_out), sort_keys=False), encoding="utf-8")
    words = [sys.executable, "-m", "curate.cli", "run", str(file), "--root", str(home / "runs"), "--workers", "1"]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return Artifact(Path(done.stdout.splitlines()[-1]))


def start_model(raw: Artifact, seed: int, home: Path, size: Size) -> str:
    """A model drawn by the seed, and the tokenizer of all arms: learnt from the raw text, which favours no arm that is cleaner."""
    config = Pretrain(data=str(raw.path), output=str(home / f"start-{seed}"), max_length=size.length, seed=seed, **size.shape)
    return pretrain.ready(config).model


def blocks(texts: Iterable[str], model: str, length: int) -> list[list[int]]:
    """The texts as one stream of tokens, cut so that every step of every arm learns from as many."""
    tokenizer = load_tokenizer(model)
    end = tokenizer.backend.token_to_id(pretrain.END)
    stream = [number for text in texts for number in [*tokenizer.encode(text).ids, end]]
    return [stream[place : place + length] for place in range(0, len(stream) - length + 1, length)]


def pieces(path: Path, seed: int) -> list[dict[str, str]]:
    """Held-out pieces that the seed draws, of whole texts read one by one."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    cut = [text[place : place + PIECE] for text in texts for place in range(0, len(text), PIECE)]
    return [{"text": text} for text in random.Random(seed).sample(cut, min(PIECES, len(cut)))]


def measures(
    seed: int, home: Path, archives: list[Path] = ARCHIVES, held_out: dict[str, Path] = HELD_OUT, size: Size = SIZES["small"],
    arms: tuple[str, ...] = tuple(ADDED),
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Bits a byte on each held-out file by arm, all arms from the same weights; what is done already under `home` is not done again."""
    artifacts = {arm: curated(arm, archives, held_out, home) for arm in arms}
    start = start_model(artifacts["raw"], seed, home, size)
    asked = {name: pieces(path, seed) for name, path in held_out.items()}
    for name, rows in asked.items():
        pq.write_table(pa.Table.from_pylist(rows), home / f"{name}-{seed}.parquet")
    return {arm: measured(artifact, start, seed, home / f"{arm}-{seed}", [*asked], size) for arm, artifact in artifacts.items()}


def measured(artifact: Artifact, start: str, seed: int, folder: Path, held_out: list[str], size: Size) -> dict[str, float]:
    """Train one model on an arm's text and measure it; beside it, how much text there was and how often it was read."""
    texts = artifact.data().collect()["text"]
    whole, data = blocks(texts, start, size.length), folder.with_name(f"{folder.name}.parquet")
    drawn = random.Random(seed).sample(whole, min(len(whole), size.steps * size.batch))
    pq.write_table(pa.table({"input_ids": drawn, "labels": drawn}), data)
    config = Sft(
        model=start, data=str(data), output=str(folder), mask="all", max_steps=size.steps, epochs=1000, batch_size=size.batch,
        max_length=size.length, learning_rate=size.learning_rate, weight_decay=0.1, warmup=0.1, seed=seed, log_steps=50, trl={"disable_tqdm": True},
    )  # fmt: skip
    model = str(train("sft", config, sft.build))
    found = {f"bits a byte, {name}": bits_per_byte(model, folder.with_name(f"{name}-{seed}.parquet"), size.length) for name in held_out}
    return {**found, "documents": len(texts), "times read": size.steps * size.batch / len(whole)}


def bits_per_byte(model: str, texts: Path, length: int) -> float:
    """Of a model on the texts of a file, each cut at as many tokens, to the same bytes in every arm."""
    config = Run(model=model, data=str(texts), output="none", max_length=length)
    return evaluate.evaluate("perplexity", config)["bits_per_byte"].value
