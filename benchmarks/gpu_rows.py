"""What the GPU benchmark trains: a seed in; drawn words, rows of many lengths, and models in the shape of Llama out."""

import random
from collections.abc import Iterator
from pathlib import Path

BATCH = 8
PROBED = {"sft": (8, 4096), "dpo": (128, 256)}
"""Fixed rows and their most tokens: a batch of SFT, whose loss is a mean over tokens; of DPO, whose loss is of sums over answers, many short
ones, because rounding to bf16 grows with the sums: it moved the mean of 8 pairs of 512 tokens by 9e-4, which is near the 1e-3 that is allowed."""
WORDS = 20_000
SYLLABLES = [start + vowel for start in "b c d f g l m n p r s t v ch br pr tr st".split() for vowel in "a e i o u ão é".split()]


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
    """Rows of a trainer, the same each time. A third of the length in words: no word has more than three tokens on average."""
    drawn = texts(length // 3, 1)
    if trainer == "sft":
        return [{"id": f"r{n}", "text": next(drawn)} for n in range(count)]
    short = texts(length // 9, 2)
    turn = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    return [{"id": f"r{n}", **{name: [{"role": role, "content": next(short)}] for name, role in turn.items()}} for n in range(count)]


def model_of(folder: Path, shape: dict[str, int], length: int) -> str:
    """A folder with a drawn model of a shape and its tokenizer, made once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from training import pretrain
    from training.config import Pretrain

    known, file = words(0), folder.with_suffix(".parquet")
    pq.write_table(pa.Table.from_pylist([{"text": " ".join(known[start : start + 50])} for start in range(0, WORDS, 50)]), file)
    return pretrain.ready(Pretrain(data=str(file), output=str(folder), max_length=length, **shape)).model


def data_of(folder: Path, trainer: str, length: int, steps: int) -> Path:
    """A folder with the rows of a comparison, written once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not folder.exists():
        folder.mkdir()
        fixed, longest = PROBED[trainer]
        made = rows(trainer, length, fixed + BATCH * steps)[fixed:]
        for split, part in (("probe", rows(trainer, min(length, longest), fixed)), ("train", made)):
            pq.write_table(pa.Table.from_pylist(part), folder / f"{split}-0.parquet")
    return folder
