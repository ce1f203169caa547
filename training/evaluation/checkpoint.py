"""A model's folder in; the model on this machine's device with its tokenizer, ready to be measured, out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from curate.config import UsageError
from curate.contract import Tokenizer, load_tokenizer
from training.config import Run
from training.models import folder_of, loaded, on_gpu

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER = "adapter_config.json"


class Opened(NamedTuple):
    """A model to be measured."""

    model: "PreTrainedModel"
    tokenizer: Tokenizer
    scores: bool
    """True for a reward model."""


def is_adapter(folder: Path) -> bool:
    """True for a checkpoint that holds adapters alone, without the model under them."""
    return (folder / ADAPTER).exists() and not (folder / "config.json").exists()


def is_scorer(folder: Path) -> bool:
    """True where a model gives a number, by its own config."""
    if is_adapter(folder):
        return json.loads((folder / ADAPTER).read_text(encoding="utf-8"))["task_type"] == "SEQ_CLS"
    named = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or [""]
    return named[0].endswith("SequenceClassification")


def scorer_folder(name: str) -> Path:
    """The folder of a reward model. Raises UsageError where it is another sort of model."""
    folder = folder_of(name)
    if not is_scorer(folder):
        raise UsageError(f"{name}: no reward model; train one with `python -m training.reward`")
    return folder


def opened(name: str, config: Run | None = None) -> Opened:
    """A model and its tokenizer; `config` may name another tokenizer, template or attention."""
    folder = Path(name) if is_adapter(Path(name)) else folder_of(name)
    config = config or Run(model=name, data="none", output="none")
    scores = is_scorer(folder)
    model = _with_adapters(config, folder, scores) if is_adapter(folder) else loaded(config, name, scores)
    tokenizer = load_tokenizer(config.tokenizer or folder, config.template)
    return Opened(model.eval().to("cuda" if on_gpu() else "cpu"), tokenizer, scores)


def _with_adapters(config: Run, folder: Path, scores: bool) -> "PreTrainedModel":
    from peft import PeftModel

    base = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))["base_model_name_or_path"]
    return PeftModel.from_pretrained(loaded(config, base, scores), str(folder)).merge_and_unload()


