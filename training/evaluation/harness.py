"""A checkpoint and names of benchmarks in; a run of lm-evaluation-harness on it out.

TruthfulQA, RealToxicityPrompts, MMLU and the like are not written anew here: `lm_eval` has them, and
downloads their data itself. Arguments are those of lm-eval 0.4.13.
"""

import importlib.util
import os
import subprocess
import sys

from curate.config import StoppedError, UsageError
from curate.contract import load_tokenizer
from training.models import folder_of

_KEY = "PERSPECTIVE_API_KEY"
_ASKS_PERSPECTIVE = "realtoxicityprompts"


def command(model: str, tasks: list[str], more: list[str]) -> list[str]:
    """The words that start the harness; the chat template is used where the tokenizer has one."""
    folder = str(folder_of(model))
    if "," in folder or "=" in folder:
        raise UsageError(f"{folder}: lm_eval cannot be given a path with a comma or an equals sign; link the model under another name")
    chat = ["--apply_chat_template"] if load_tokenizer(folder).template() else []
    return [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={folder}", "--tasks", ",".join(tasks), *chat, *more]


def run(model: str, tasks: list[str], more: list[str]) -> list[str]:
    """Run the harness; the command as a line. Raises UsageError where it is not installed, StoppedError where it fails."""
    words = command(model, tasks, more)
    if importlib.util.find_spec("lm_eval") is None:
        raise UsageError("lm_eval is missing; `pip install lm-eval`")
    if _ASKS_PERSPECTIVE in tasks and not os.environ.get(_KEY):
        raise UsageError(f"{_ASKS_PERSPECTIVE}: it asks the Perspective API; set {_KEY}")
    done = subprocess.run(words, check=False)
    if done.returncode:
        raise StoppedError(f"{' '.join(words)}: failed with exit code {done.returncode}; see above")
    return [" ".join(words)]
