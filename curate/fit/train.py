"""Training lines in, a fastText model and its quantised form out: `python -m curate.fit.train SETTINGS.json`.

A process of its own, since fastText with one thread leaves nine tenths of its input matrix as memory is handed out
(`DenseMatrix::uniform` fills a tenth for each thread). In a process that has worked before, that is garbage: another
model each time, or `Encountered NaN`. Here memory is handed out as zeros.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from curate.config import StoppedError

FEWEST_ROWS = 256
"""A smaller matrix has nothing to quantise: fastText refuses it."""
ZEROS = {"MALLOC_PERTURB_": "255", "PYTHONHASHSEED": "0"}
"""glibc fills what it hands out with the complement of this byte."""


@dataclass(frozen=True)
class Training:
    """What fastText is asked for."""

    lines: str
    """File of lines `__label__x text`."""
    model: str
    """Where the trained model goes."""
    quantised: str
    """Where the quantised one goes."""
    dimensions: int
    word_ngrams: int
    epochs: int
    learning_rate: float
    buckets: int
    """Rows for word n-grams."""
    features: int
    """Words and n-grams that the quantised model keeps."""
    seed: int


def train(training: Training, settings: Path) -> None:
    """Train in a fresh process; the same lines and settings give the same bytes. StoppedError where it fails."""
    settings.write_text(json.dumps(asdict(training)), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "curate.fit.train", str(settings)]
    environment = {**os.environ, **ZEROS}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise StoppedError(f"training failed: {last}")


def _work(training: Training) -> None:
    import fasttext

    model = fasttext.train_supervised(
        training.lines,
        dim=training.dimensions,
        wordNgrams=training.word_ngrams,
        epoch=training.epochs,
        lr=training.learning_rate,
        bucket=training.buckets,
        seed=training.seed,
        minCount=2,
        thread=1,
        verbose=0,
    )
    model.save_model(training.model)
    if len(model.words) + model.f.getArgs().bucket >= FEWEST_ROWS:
        model.quantize(input=training.lines, cutoff=training.features, retrain=True, qnorm=True, thread=1, verbose=0)
    model.save_model(training.quantised)


if __name__ == "__main__":
    _work(Training(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
