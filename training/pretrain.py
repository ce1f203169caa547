"""Pretraining from scratch: a curated text artifact in; a byte-level BPE tokenizer and a small Llama-style model out.

    python -m training.pretrain training/configs/pretrain.yaml --set data=runs/my/02-mix-1a2b3c4d
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from curate.config import UsageError
from curate.contract import read_template
from training.config import Pretrain
from training.data import Source, source_of
from training.place import held
from training.receipt import content_of
from training.run import first_alone, main
from training.sft import build

END, PAD = "<|im_end|>", "<|pad|>"
_MADE_OF = {"split", "template", "vocabulary", "max_length", "hidden", "layers", "heads", "tied", "seed"}
"""Keys of a config that the tokenizer and the model at its start depend on."""
MARKERS = [END, PAD, "<|im_start|>"]
"""Special tokens; the one that ends a turn ends a text too, so that a chat model needs no other."""


def ready(config: Pretrain) -> Pretrain:
    """The config with a tokenizer and a randomly drawn model beside its output, made once of the same shape and texts."""
    source = source_of(config)
    made_of = [config.model_dump(mode="json", include=_MADE_OF), content_of(source, config.split)]
    start = Path(config.output) / f"start-{hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:8]}"
    with first_alone():
        if not start.exists():
            with held(start.parent):
                make_start(config, source, start)
    return config.model_copy(update={"model": str(start)})


def make_start(config: Pretrain, source: Source, start: Path) -> None:
    """Make the tokenizer and the model under another name, and rename their folder at the end."""
    making = start.with_name(f".{start.name}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    make_model(config, make_tokenizer(config, source, making), making)
    making.rename(start)


def make_tokenizer(config: Pretrain, source: Source, folder: Path) -> int:
    """Train byte-level BPE (Radford et al. 2019, 2.2), digits apart (Touvron et al. 2023, 2.1), and save it; its number of tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    digits, byte_level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer, made.decoder = pre_tokenizers.Sequence([digits, byte_level]), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=config.vocabulary, special_tokens=MARKERS, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(texts(source, config.split), trainer)
    whole = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=END, pad_token=PAD, chat_template=read_template(config.template), model_max_length=config.max_length
    )
    whole.save_pretrained(folder)
    return made.get_vocab_size()


def texts(source: Source, split: str) -> Iterator[str]:
    """The texts of a split. Raises UsageError for a row without one."""
    for row in source.rows(split):
        if not isinstance(row.columns.get("text"), str):
            raise UsageError(f"{source.name}: {row.name}: no column `text`; pretrain on documents, or on rows written by the output `text`")
        yield row.columns["text"]


def make_model(config: Pretrain, vocabulary: int, folder: Path) -> None:
    """Draw a Llama-style model by the seed and save it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(config.seed)
    shape = LlamaConfig(
        vocab_size=vocabulary, hidden_size=config.hidden, intermediate_size=-(-config.hidden * 8 // 24) * 8, num_hidden_layers=config.layers,
        num_attention_heads=config.heads, num_key_value_heads=config.heads, max_position_embeddings=config.max_length,
        tie_word_embeddings=config.tied, bos_token_id=None, eos_token_id=MARKERS.index(END), pad_token_id=MARKERS.index(PAD),
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)


if __name__ == "__main__":
    sys.exit(main("pretrain", Pretrain, build, ready=ready))
