"""A config's names in; a model, a tokenizer and adapters as transformers and peft have them out, or one clear line.

Nothing is downloaded: a Hub id is looked up in the local cache.
"""

import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from curate.artifact import RECEIPT, sha256_of
from curate.config import UsageError
from curate.contract import Tokenizer, load_tokenizer, read_template
from training.config import Adapter, Run

if TYPE_CHECKING:
    from peft import LoraConfig
    from tokenizers import Tokenizer as Backend
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

ADAPTER = "adapter_config.json"
TOKENIZER = ("config.json", "tokenizer.json")
"""Either says that a folder has a tokenizer: one that is kept without a model has no config."""
_WORDS = "Qq7"
"""Of a turn that is rendered to see what the template writes after it."""
RUN = "run.json"
"""What a run of ours leaves in its output before its receipt."""


def folder_of(name: str, holds: tuple[str, ...] = ("config.json",)) -> Path:
    """The folder of a model, or one that `holds` another such file. Raises UsageError where there is none, or where its training is unfinished."""
    place = Path(name)
    if place.exists() and (place / RUN).exists() and not (place / RECEIPT).exists():
        raise UsageError(f"{place}: its training is unfinished; run the same command again, it goes on from the last checkpoint")
    if any((place / file).exists() for file in holds):
        return place
    if place.exists():
        raise UsageError(f"{place}: no {' or '.join(holds)}, so this is no model; name the output of a training run, or a Hub id")
    return _cached(name)


def _cached(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        raise UsageError(f"{name}: neither a model's folder nor in the Hub's local cache; fetch it with `hf download {name}`") from None


def stated(name: str, *keys: str) -> int | None:
    """A number of a model's own config, under whichever of the names it has there; None where it states none."""
    text = _text_config(name)
    return next((text[key] for key in keys if isinstance(text.get(key), int)), None)


def is_rotary(name: str) -> bool:
    """True where a model's own config speaks of rotary positions (Su et al. 2021), which have no weights of their own."""
    return any(key.startswith(("rope", "rotary")) for key, value in _text_config(name).items() if value is not None)


def _text_config(name: str) -> dict:
    config = json.loads((folder_of(name) / "config.json").read_text(encoding="utf-8"))
    return {**config, **(config.get("text_config") or {})}


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


def policy_folder(name: str) -> Path:
    """The folder of a model of words, or of adapters. Raises UsageError where it is a reward model."""
    folder = Path(name) if is_adapter(Path(name)) else folder_of(name)
    if is_scorer(folder):
        raise UsageError(f"{name}: a reward model, which writes no words; name the policy")
    return folder


def weights_hash(name: str) -> dict[str, str]:
    """sha256 of the files that make a model, its tokenizer, or a tokenizer alone what they are, by name."""
    kinds, folder = ("*.safetensors", "*.bin", "config.json", "tokenizer*.json", "*.jinja"), folder_of(name, TOKENIZER)
    files = [file for kind in kinds for file in sorted(folder.glob(kind))]
    return {file.name: _sha256(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files}


@lru_cache(maxsize=256)
def _sha256(file: Path, size: int, changed: int) -> str:
    """The file's hash, reckoned once while its size and time stay."""
    return sha256_of(file)


def on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def devices() -> int:
    """GPUs that this process sees."""
    import torch

    return torch.cuda.device_count()


def precision_of(config: Run) -> str:
    """bf16 or fp32: what the config says, else what the machine is good at."""
    return config.precision or ("bf16" if on_gpu() and has_bf16() else "fp32")


def has_bf16() -> bool:
    """True where the GPU reckons in bf16 itself; older ones (before NVIDIA's Ampere) imitate it slowly."""
    import torch

    return torch.cuda.is_bf16_supported(including_emulation=False)


def tokenizer_for(config: Run) -> "PreTrainedTokenizerBase":
    """The tokenizer of transformers, with the config's template and padding."""
    name = config.tokenizer or config.model
    made = _tokenizer(name)
    if config.template is not None:
        made.chat_template = read_template(config.template)
    if config.pad_token is not None:
        if config.pad_token not in made.get_vocab():
            raise UsageError(f"{name}: pad_token {config.pad_token!r} is no token of this tokenizer; name one that is")
        made.pad_token = config.pad_token
    if made.pad_token is None:
        raise UsageError(f"{name}: the tokenizer has no pad token; name one that no text holds, such as `pad_token: {made.eos_token!r}`")
    return made


def _tokenizer(name: str) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder_of(name, TOKENIZER)), local_files_only=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"{name}: no tokenizer can be loaded from it: {_first_line(error)}") from None


def backend_of(name: str) -> "Backend":
    """The encoder that transformers makes of a tokenizer's files by its class, whose rules may be others than those of tokenizer.json."""
    return _tokenizer(name).backend_tokenizer


def model_for(config: Run, scores: bool = False) -> "PreTrainedModel":
    """The model that is trained: a causal one, or one with a score head where `scores`."""
    made = loaded(config, config.model, scores, config.adapter)
    return made if scores else ended(made, config)


def ended(model: "PreTrainedModel", config: Run) -> "PreTrainedModel":
    """The model, whose generation ends at what ends a turn, too: a chat template may close turns by another token than EOS."""
    end = turn_end(load_tokenizer(config.tokenizer or config.model, config.template))
    stated = model.generation_config.eos_token_id
    known = stated if isinstance(stated, list) else [stated] if stated is not None else []
    if end is not None and end not in known:
        model.generation_config.eos_token_id = [*known, end]
    return model


def turn_end(tokenizer: Tokenizer) -> int | None:
    """The token that the chat template writes after an answer's words; None where that is no token of its own, or there is no template."""
    if tokenizer.template() is None:
        return None
    text = tokenizer.render([{"role": "user", "content": _WORDS}, {"role": "assistant", "content": _WORDS}]).text
    first = tokenizer.encode(text.rpartition(_WORDS)[2].strip()).ids[:1]
    return first[0] if first and first[0] in tokenizer.added else None


def loaded(config: Run, name: str, scores: bool = False, adapter: Adapter | None = None) -> "PreTrainedModel":
    """A model in the config's precision and attention; weights in fp32 unless adapters leave them alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    folder = folder_of(name) if scores else policy_folder(name)
    frozen = adapter is not None and precision_of(config) == "bf16"
    options = {"dtype": torch.bfloat16 if frozen else torch.float32, "local_files_only": True, "output_loading_info": True}
    options |= {"num_labels": 1} if scores else {}
    options |= {"quantization_config": quantisation()} if adapter and adapter.quantised else {}
    kind = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    torch.manual_seed(config.seed)  # a new score head is drawn
    try:
        made, told = kind.from_pretrained(str(folder), attn_implementation=attention_of(config, folder), **options)
    except (OSError, ValueError, ImportError) as error:
        headless = scores and "Unrecognized configuration" in str(error)
        why = "transformers has no reward model of its architecture; begin with another" if headless else _first_line(error)
        raise UsageError(f"{name}: cannot be loaded: {why}") from None
    lacking = sorted(weight for weight in told["missing_keys"] if not scores or weight.startswith(made.base_model_prefix))
    if lacking:
        raise UsageError(f"{name}: has no {lacking[0]}, which would be drawn at random; it is a part of a model, or of another kind")
    made.config.use_cache = False
    return made


def attention_of(config: Run, folder: Path) -> str:
    """The attention that the config names; where it names none, sdpa, or eager for an architecture that has no sdpa, such as Gemma 2."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    known = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(AutoConfig.from_pretrained(str(folder), local_files_only=True)), None)
    if config.attention != "sdpa" or known is None or known._supports_sdpa:
        return config.attention
    if "attention" in config.model_fields_set:
        raise UsageError(f"attention: the architecture of {folder} has no sdpa; set `attention: eager`, or leave the key out")
    return "eager"


def attends_to_all(model: "PreTrainedModel") -> bool:
    """True for a decoder in which every layer reads every token before it: no sliding windows, no states, no experts, no caps."""
    config = model.config.get_text_config()
    layers = {*(getattr(config, "layer_types", None) or ["full_attention"])}
    more = ("sliding_window", "attn_logit_softcapping", "output_router_logits")
    return layers == {"full_attention"} and all(getattr(config, name, None) is None for name in more)


def check_quantised(adapter: Adapter | None) -> None:
    """UsageError where QLoRA is asked for on a machine that cannot do it."""
    if adapter is None or not adapter.quantised:
        return
    if not on_gpu():
        raise UsageError("adapter.quantised: QLoRA needs a GPU; leave it out to train LoRA adapters here")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError("adapter.quantised: bitsandbytes is missing; `pip install 'curate[qlora]'`")


def quantisation() -> "BitsAndBytesConfig":
    """QLoRA's: 4-bit NormalFloat, the constants quantised again (Dettmers et al. 2023, 3)."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )


def peft_config(adapter: Adapter | None, model: "PreTrainedModel", scores: bool = False) -> "LoraConfig | None":
    """peft's config of the adapters of a model; None for full fine-tuning. Raises UsageError where they do not fit it."""
    if adapter is None:
        return None
    import torch
    from peft import LoraConfig, get_peft_model

    given = {
        "task_type": "SEQ_CLS" if scores else "CAUSAL_LM", "r": adapter.rank, "lora_alpha": adapter.alpha, "lora_dropout": adapter.dropout,
        "target_modules": adapter.targets, "use_rslora": adapter.rslora, "use_dora": adapter.dora, "modules_to_save": ["score"] if scores else None,
    }  # fmt: skip
    try:
        with torch.device("meta"):  # the same layers without their weights
            get_peft_model(type(model)(model.config), LoraConfig(**given))
    except ValueError as error:
        raise UsageError(f"adapter: {_first_line(error)[:300]}; name other layers of this model by `adapter.targets`, or train without") from None
    return LoraConfig(**given)


def merged(config: Run, adapter_folder: Path, scores: bool = False) -> "PreTrainedModel":
    """The model with its adapters in its weights, from the full-precision model: a 4-bit one would be merged with its rounding."""
    from peft import PeftModel

    base = loaded(config, config.model, scores)
    base = base if scores else ended(base, config)
    return PeftModel.from_pretrained(base, str(adapter_folder)).merge_and_unload()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
