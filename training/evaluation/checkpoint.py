"""A model's folder in; the model on this machine's device with its tokenizer, ready to be measured, out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from curate.config import UsageError
from curate.contract import Tokenizer, load_tokenizer
from training.config import Run
from training.models import ADAPTER, folder_of, is_adapter, is_scorer, loaded, on_gpu, policy_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Opened(NamedTuple):
    """A model to be measured."""

    model: "PreTrainedModel"
    tokenizer: Tokenizer
    scores: bool
    """True for a reward model."""


def answering(name: str) -> Tokenizer:
    """The tokenizer of a model that can be asked. Raises UsageError for a reward model, and where there is no chat template."""
    tokenizer = load_tokenizer(policy_folder(name))
    if tokenizer.template() is None:
        raise UsageError(f"{name}: no chat template, so it does not know where to answer; fine-tune it with one, such as `template: chatml`")
    return tokenizer


def _folder(name: str) -> Path:
    return Path(name) if is_adapter(Path(name)) else folder_of(name)


def opened(name: str, config: Run | None = None) -> Opened:
    """A model and its tokenizer; `config` may name another tokenizer, template or attention."""
    folder = _folder(name)
    config = config or Run(model=name, data="none", output="none")
    scores = is_scorer(folder)
    model = _with_adapters(config, folder, scores) if is_adapter(folder) else loaded(config, name, scores)
    tokenizer = load_tokenizer(config.tokenizer or folder, config.template)
    return Opened(model.eval().to("cuda" if on_gpu() else "cpu"), tokenizer, scores)


def _with_adapters(config: Run, folder: Path, scores: bool) -> "PreTrainedModel":
    from peft import PeftModel

    base = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))["base_model_name_or_path"]
    return PeftModel.from_pretrained(loaded(config, base, scores), str(folder)).merge_and_unload()
