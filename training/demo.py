"""The whole chain from files of this repository: WARC -> text -> tokenizer -> base model -> SFT -> DPO, offline.

    python -m training.demo [DIRECTORY]

A model of about 1 million parameters on a CPU, of about 50 million on a GPU. It shows that the parts fit,
and how the receipts lead back; a model this small on so little text says nothing of use.
"""

import os
import subprocess
import sys
from pathlib import Path

from curate.config import StoppedError
from training import dpo, pretrain, receipt, sft
from training.command import finished
from training.config import Dpo, Pretrain, Sft
from training.models import on_gpu
from training.run import Build, train

_HERE = Path(__file__).parent
RECIPES = {
    "text": _HERE / "recipes" / "demo_text.yaml",
    "chats": _HERE / "recipes" / "demo_chats.yaml",
    "pairs": _HERE.parent / "pipelines" / "preference_mix.yaml",
}
SMALL = {"hidden": 128, "layers": 4, "heads": 4, "vocabulary": 2048}
LARGE = {"hidden": 512, "layers": 14, "heads": 8, "vocabulary": 8192}
EPOCHS = {"pretrain": 4, "sft": 3, "dpo": 2}
LONGEST = 4096
"""Tokens of the longest conversation and more: a small vocabulary makes long sequences, and a cut row is refused."""
COMMON = {"log_steps": 20, "save_steps": 200}


def artifact_of(name: str, runs: Path) -> str:
    """Run a recipe by the command line; the artifact that it names in its last line. Raises StoppedError where it fails."""
    words = [sys.executable, "-m", "curate.cli", "run", str(RECIPES[name]), "--root", str(runs)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise StoppedError(f"{' '.join(words)}: failed with exit code {done.returncode}; see above")
    return done.stdout.splitlines()[-1]


def chain(home: Path) -> Path:
    """Make the three artifacts and the three models under `home`; the last model's directory."""
    text, chats, pairs = (artifact_of(name, home / "runs") for name in RECIPES)
    models, size = home / "models", LARGE if on_gpu() else SMALL
    base = Pretrain(
        data=text, held_out="validation", output=str(models / "base"), epochs=EPOCHS["pretrain"], batch_size=4, max_length=1024,
        **size, **COMMON,
    )
    base_model = stage("pretrain", pretrain.ready(base), sft.build)
    tuned = Sft(
        model=str(base_model), data=chats, held_out="validation", output=str(models / "sft"), epochs=EPOCHS["sft"], learning_rate=5e-4,
        max_length=LONGEST, **COMMON,
    )
    sft_model = stage("sft", tuned, sft.build)
    store = str(models / "reference_logps")
    aligned = Dpo(
        model=str(sft_model), data=pairs, held_out="test", output=str(models / "dpo"), reference_store=store, epochs=EPOCHS["dpo"],
        learning_rate=5e-5, max_length=LONGEST, **COMMON,
    )  # fmt: skip
    return stage("dpo", aligned, dpo.build)


def stage(kind: str, config: Pretrain | Sft | Dpo, build: Build) -> Path:
    """Train one model, unless it is done."""
    print(f"training.{kind}: {config.data} -> {config.output}", file=sys.stderr)
    return train(kind, config, build)


def main(words: list[str]) -> int:
    """The command; its exit code."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # of several GPUs one, since this is one process

    def work() -> list[str]:
        model = chain(Path(words[0] if words else "demo"))
        return [*receipt.lines(model), str(model)]

    return finished(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
