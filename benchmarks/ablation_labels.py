"""DPO on a biased judge's labels, raw and debiased: made pairs with known gold in; accuracy and lean to length out. See ablation.md."""

import random
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curate.stages.given import Given
from training import dpo, evaluate, pretrain, sft
from training.config import Dpo, Pretrain, Run, Sft
from training.run import train

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from judge_server import running  # noqa: E402
from judge_stages import JUDGE, run, table  # noqa: E402
from mix_artifacts import Row, preference, said  # noqa: E402

JUDGES = {"no bias": {}, "place": {"position": 2.0}, "place and length": {"position": 2.0, "length": 20.0}}
"""Log-odds that a judge adds for the answer shown first, and for 100 words more."""
SLOPE = 1.5
"""Log-odds for one unit of worth."""
GOLD = "gold labels"
ASKED = {"one order": {"orders": "one"}, "both orders": {}, "length off": {"aggregate": "bradley_terry"}}
"""How the judge stage is set."""
ARMS = {
    "one order, hard": ("one order", False),
    "one order, soft": ("one order", True),
    "both orders, hard": ("both orders", False),
    "both orders, soft": ("both orders", True),
    "length off, soft": ("length off", True),
}
"""Whose labels an arm has, and whether DPO reads their probabilities."""
PAIRS = [(f"{judge}: {arm}", f"{judge}: {other}") for judge in JUDGES for arm, other in (
    ("both orders, soft", "one order, hard"), ("both orders, soft", "one order, soft"), ("both orders, hard", "one order, hard"),
    ("both orders, soft", "both orders, hard"), ("length off, soft", "both orders, soft"),
)]  # fmt: skip
"""The comparisons, named before any result: the debiased arm first."""
JUDGED_BY = {"accuracy on gold": False, "lean to length": True}
"""The measures that decide; True: the least is best."""
WORDS, VALUED, MOST_FILLERS = 24, 4, 16
QUESTION = "Speak."
FILLERS = "the a of and to in it is that was for on as with by at from".split()


class Size(NamedTuple):
    """A model's shape, its rates of SFT and of DPO, and how many pairs are labelled, and as many held out."""

    shape: dict[str, int]
    sft_rate: float
    dpo_rate: float
    labelled: int


SIZES = {
    "small": Size({"vocabulary": 600, "hidden": 48, "layers": 2, "heads": 4}, 5e-3, 2e-3, 256),
    "medium": Size({"vocabulary": 600, "hidden": 512, "layers": 8, "heads": 8}, 5e-4, 1e-4, 4096),
}
"""0.1 million parameters for a CPU; 25 million, for a GPU."""
COMMON = {"epochs": 4, "batch_size": 16, "max_length": 256, "log_steps": 50, "trl": {"disable_tqdm": True}}


class Drawn:
    """The world of a seed: made words with a worth each, and answers that hold some of them among words without any."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        words = sorted({"".join(self.random.choice(part) for part in ("bdfgklmnprst", "aeiou") * 2) for _ in range(4 * WORDS)})
        self.worth = {word: self.random.gauss(0, 1) for word in self.random.sample(words, WORDS)}

    def valued(self) -> list[str]:
        return self.random.choices([*self.worth], k=VALUED)

    def answer(self, valued: list[str], fillers: int) -> str:
        words = [*valued, *self.random.choices(FILLERS, k=fillers)]
        return " ".join(self.random.sample(words, len(words)))

    def of(self, answer: str) -> float:
        """The worth of an answer, so that the gap of two has a deviation of about 1."""
        return sum(self.worth.get(word, 0.0) for word in answer.split()) / (2 * VALUED) ** 0.5

    def gold(self, name: str, count: int) -> list[Row]:
        """Pairs of answers of drawn length whose better one is chosen; length tells nothing of worth."""
        drawn = [self.answer(self.valued(), self.random.randint(0, MOST_FILLERS)) for _ in range(2 * count)]
        pairs = [sorted(drawn[2 * number : 2 * number + 2], key=self.of, reverse=True) for number in range(count)]
        return [_row(name, number, *pair) for number, pair in enumerate(pairs)]

    def alike(self, count: int) -> list[Row]:
        """Pairs of equal worth, the longer answer as the chosen one."""
        made = []
        for number in range(count):
            valued, (short, long) = self.valued(), sorted(self.random.sample(range(MOST_FILLERS + 1), 2))
            made.append(_row("alike", number, self.answer(valued, long), self.answer(valued, short)))
        return made


def _row(name: str, number: int, chosen: str, rejected: str) -> Row:
    sides = {"chosen": [said("assistant", chosen)], "rejected": [said("assistant", rejected)]}
    return {**preference(name, number, QUESTION), **sides}


def measures(seed: int, home: Path, size: Size = SIZES["small"], judges: dict[str, dict] = JUDGES) -> dict[str, dict[str, float]]:
    """Accuracy on gold and lean to length, by judge and arm, all arms from one model; what `home` holds is not trained again."""
    world, folder, count = Drawn(seed), home / f"labels-{seed}", size.labelled
    shutil.rmtree(folder / "artifacts", ignore_errors=True)
    source = table(folder, "pairs", world.gold("gold", count), "preference")
    unseen = {"held-out": world.gold("held-out", count), "alike": world.alike(count)}
    held_out = [table(folder, name, rows, "preference").artifact.path for name, rows in unseen.items()]
    start, made = tuned(source.artifact.path, seed, folder, size), {GOLD: (source.artifact.path, False)}
    for name, bias in judges.items():
        labels = labelled(source, world, bias, seed, folder / name)
        made |= {f"{name}: {arm}": (labels[asked], soft) for arm, (asked, soft) in ARMS.items()}
    found = {name: measured(data, soft, start, held_out, seed, folder / f"dpo, {name}", size) for name, (data, soft) in made.items()}
    usual = found[GOLD]["longer preferred"]
    return {name: {**values, "lean to length": abs(values["longer preferred"] - usual)} for name, values in found.items()}


def labelled(source: Given, world: Drawn, bias: dict[str, float], seed: int, folder: Path) -> dict[str, Path]:
    """The pairs as a judge with this bias labels them, by how it was asked."""
    shutil.rmtree(folder, ignore_errors=True)
    worth = {text: world.of(text) for text in _answers(source.artifact.path)}
    with running(folder / "server", utilities=worth, judges={"judge-a": {"slope": SLOPE, **bias}}) as server:
        blocks = {name: {"use": "pairwise", "judges": [JUDGE], "seed": seed, **block} for name, block in ASKED.items()}
        return {name: run("judge", block, source, folder / name, server.url).path for name, block in blocks.items()}


def _answers(artifact: Path) -> list[str]:
    rows = pq.read_table(artifact / "data", columns=["chosen", "rejected"]).to_pylist()
    return [row[side][0]["content"] for row in rows for side in ("chosen", "rejected")]


def tuned(pairs: Path, seed: int, folder: Path, size: Size) -> str:
    """A model that has learnt to give answers of this kind, good and bad ones alike."""
    texts, chats = folder / "texts.parquet", folder / "chats.parquet"
    answers = _answers(pairs)
    pq.write_table(pa.table({"text": answers}), texts)
    turns = [[{"role": "user", "content": QUESTION}, {"role": "assistant", "content": answer}] for answer in answers]
    pq.write_table(pa.table({"messages": turns}), chats)
    start = pretrain.ready(Pretrain(data=str(texts), output=str(folder / "start"), max_length=256, seed=seed, **size.shape)).model
    config = Sft(model=start, data=str(chats), output=str(folder / "sft"), learning_rate=size.sft_rate, seed=seed, **COMMON)
    return str(train("sft", config, sft.build))


def measured(data: Path, soft: bool, start: str, held_out: list[Path], seed: int, folder: Path, size: Size) -> dict[str, float]:
    """Align a model by the labels and measure it by DPO's own reward, against the model that it came from."""
    store = str(folder.parent / "reference")
    config = Dpo(
        model=start, data=str(data), output=str(folder), reference_store=store, soft_labels=soft, simulated=True, seed=seed, beta=0.1,
        learning_rate=size.dpo_rate, **COMMON,
    )  # fmt: skip
    model = str(train("dpo", config, dpo.build))
    runs = [Run(model=model, data=str(pairs), output="none") for pairs in held_out]
    right, longer = (evaluate.evaluate("pairs", one, start)["accuracy"].value for one in runs)
    return {"accuracy on gold": right, "longer preferred": longer}
