"""A checkpoint and names of benchmarks in; a run of lm-evaluation-harness, or of lighteval, on it out.

TruthfulQA, RealToxicityPrompts, MMLU and the like are not written anew here: both have them, under names of
their own, and download their data themselves. Arguments are those of lm-eval 0.4.13 and lighteval 0.13.0.
lighteval keeps answers by the model's path and would give those of an earlier checkpoint of that path again;
its store is therefore one of the weights' own.
"""

import importlib.util
import os
import subprocess
import sys
from typing import Literal

from curate.config import StoppedError, UsageError
from curate.contract import load_tokenizer
from training.models import folder_of
from training.serving import name_of

Harness = Literal["lm_eval", "lighteval"]
INSTALL: dict[Harness, str] = {"lm_eval": "lm-eval", "lighteval": "lighteval"}
"""The harnesses by their modules; what pip calls them."""
_STORE = "~/.cache/huggingface/lighteval"
_KEY = "PERSPECTIVE_API_KEY"
_ASKS_PERSPECTIVE = "realtoxicityprompts"


def command(model: str, tasks: list[str], more: list[str], by: Harness = "lm_eval") -> list[str]:
    """The words that start the harness; the chat template is used where the tokenizer has one, which lighteval sees by itself."""
    folder = str(folder_of(model))
    if "," in folder or "=" in folder:
        raise UsageError(f"{folder}: {by} cannot be given a path with a comma or an equals sign; link the model under another name")
    if by == "lighteval":
        return [sys.executable, "-m", "lighteval", "accelerate", f"model_name={folder},cache_dir={_STORE}/{name_of(folder)}", ",".join(tasks), *more]
    chat = ["--apply_chat_template"] if load_tokenizer(folder).template() else []
    return [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={folder}", "--tasks", ",".join(tasks), *chat, *more]


def run(model: str, tasks: list[str], more: list[str], by: Harness = "lm_eval") -> list[str]:
    """Run the harness; the command as a line. Raises UsageError where it is not installed or refuses its words, StoppedError where it fails."""
    words = command(model, tasks, more, by)
    if importlib.util.find_spec(by) is None:
        raise UsageError(f"{by} is missing; `pip install {INSTALL[by]}`")
    if by == "lm_eval" and _ASKS_PERSPECTIVE in tasks and not os.environ.get(_KEY):
        raise UsageError(f"{_ASKS_PERSPECTIVE}: it asks the Perspective API; set {_KEY}")
    done = subprocess.run(words, check=False)
    if done.returncode:
        raise (UsageError if done.returncode == 2 else StoppedError)(f"{' '.join(words)}: failed with exit code {done.returncode}; see above")
    return [" ".join(words)]
