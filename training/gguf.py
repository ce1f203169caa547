"""A model's folder in; the same model as one GGUF file out, by llama.cpp's own converter, which is given its own words.

    git clone https://github.com/ggml-org/llama.cpp; pip install sentencepiece      # the converter imports it
    python -m training.gguf llama.cpp models/dpo --outfile dpo.gguf --outtype bf16

The converter knows how a tokenizer splits text by the ids that it gives one sentence, and so refuses every vocabulary
that it has not met: those of `training.pretrain` all. Here such a tokenizer is known by its splits instead.
"""

import importlib
import json
import sys
from pathlib import Path

from curate.config import UsageError
from training.command import finished
from training.models import folder_of

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_DIGITS = {"type": "Digits", "individual_digits": True}
SPLITS = {"smollm": [_DIGITS, _BYTES], "gpt-2": [_BYTES]}
"""llama.cpp's names of ways to split, each by the parts of tokenizers' pre-tokenizer that do the same."""


def split_of(folder: Path) -> str | None:
    """llama.cpp's name of the way in which a tokenizer splits text before it merges; None for one that is not of `SPLITS`."""
    told = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    whole = told["pre_tokenizer"] or {}
    parts = whole.get("pretokenizers", [whole])
    if told["normalizer"] is not None:
        return None
    return next((name for name, wanted in SPLITS.items() if _alike(parts, wanted)), None)


def _alike(parts: list[dict], wanted: list[dict]) -> bool:
    return len(parts) == len(wanted) and all(have.items() >= want.items() for have, want in zip(parts, wanted, strict=True))


def convert(place: Path, words: list[str]) -> None:
    """Run the converter of a llama.cpp folder. Raises UsageError where it is not there, or lacks a library."""
    if not (place / "conversion" / "base.py").exists():
        raise UsageError(f"{place}: no llama.cpp with its converter; clone https://github.com/ggml-org/llama.cpp, of 2026 or later")
    sys.path.insert(0, str(place))
    try:
        converter, kind = importlib.import_module("convert_hf_to_gguf"), importlib.import_module("conversion.base").TextModel
        importlib.import_module("sentencepiece")
    except ModuleNotFoundError as error:
        raise UsageError(f"{place}: its converter needs {error.name}; `pip install {error.name}`") from None
    known = kind.get_vocab_base_pre

    def named(self: object, tokenizer: object) -> str:
        try:
            return known(self, tokenizer)
        except NotImplementedError:
            if (name := split_of(self.dir_model)) is None:
                raise UsageError(f"{self.dir_model}: llama.cpp knows neither this tokenizer nor the way it splits text") from None
            return name

    kind.get_vocab_base_pre, sys.argv = named, ["convert_hf_to_gguf.py", *words]
    converter.main()


def main(words: list[str]) -> int:
    """The command; its exit code."""

    def work() -> list[str]:
        if len(words) < 2:
            raise UsageError("usage: python -m training.gguf LLAMA_CPP MODEL [the converter's own options, such as --outfile FILE]")
        convert(Path(words[0]), [str(folder_of(words[1])), *words[2:]])
        return []

    return finished(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
