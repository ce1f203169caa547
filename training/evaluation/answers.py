"""A checkpoint and prompts in; its answers, made once and kept, out.

Greedy, or sampled with a seed. Answers lie under a name that stands for the weights, the prompts and
how they were sampled, so that a command that was stopped makes none twice.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from curate.config import Model, UsageError
from curate.contract import Tokenizer
from training.config import Run
from training.data import source_of, turns_of
from training.evaluation.checkpoint import answering, opened
from training.models import folder_of, is_adapter, on_gpu, weights_hash
from training.receipt import versions

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel

_WORD = "answer"
"""Stands for an assistant's words where a template is asked what follows them."""
_LIBRARIES = ("torch", "transformers", "tokenizers")


class Sampling(Model):
    """How answers are made."""

    answer_length: int = Field(512, ge=1, description="Longest answer in tokens.")
    temperature: float = Field(0.0, ge=0, le=10, description="Of sampling; 0 takes the likeliest token.")
    seed: int = Field(0, ge=0, description="Of sampling.")
    batch_size: int = Field(16, ge=1, description="Prompts that are answered at a time.")

    @property
    def sampling(self) -> "Sampling":
        """These settings alone, of a config that has more."""
        return Sampling(**{name: getattr(self, name) for name in Sampling.model_fields})


class Prompt(NamedTuple):
    """Turns that wait for an answer, and the name of the row that they came from."""

    name: str
    turns: list[dict]
    tools: list[dict] | None = None


def prompts_of(data: str, split: str, limit: int | None = None) -> list[Prompt]:
    """The first prompts of a split, each once: its `prompt`, or a conversation up to its last question. Raises UsageError where it has none."""
    source = source_of(Run(model="none", data=data, split=split, output="none", simulated=True))
    found: dict[str, Prompt] = {}
    for row in source.rows(split):
        turns = _asked(row.columns)
        if turns is None:
            raise UsageError(f"{data}: {row.name}: neither a prompt of turns nor messages; write rows by the output `grpo` or `chosen_rejected`")
        found.setdefault(json.dumps(turns, sort_keys=True), Prompt(row.name, turns, row.columns.get("tools")))
        if len(found) == limit:
            break
    if not found:
        raise UsageError(f"{data}: split '{split}' has no row")
    return list(found.values())


def _asked(row: dict) -> list[dict] | None:
    """The turns before the last answer, without empty fields; None where the row has no turns."""
    turns = turns_of(row.get("prompt") or row.get("messages"))
    if turns is None:
        return None
    end = next((place for place in range(len(turns), 0, -1) if turns[place - 1]["role"] != "assistant"), 0)
    return [{name: value for name, value in turn.items() if value is not None} for turn in turns[:end]] or None


def answers_of(model: str, prompts: Sequence[Prompt], sampling: Sampling, store: Path) -> list[str]:
    """An answer to each prompt; from `store`, a directory, where they were made before."""
    file = store / f"{identity(model, prompts, sampling)[:16]}.parquet"
    if not file.exists():
        made = _answered(model, prompts, sampling)
        store.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        names = [prompt.name for prompt in prompts]
        pq.write_table(pa.table({"prompt": names, "answer": made, "model": [model] * len(made)}), temporary)
        temporary.rename(file)
    return pq.read_table(file)["answer"].to_pylist()


def identity(model: str, prompts: Sequence[Prompt], sampling: Sampling) -> str:
    """Hash of all that decides the answers."""
    used = {name: version for name, version in versions().items() if name in _LIBRARIES}
    parts = [_weights(model), [[prompt.turns, prompt.tools] for prompt in prompts], sampling.model_dump(), used, on_gpu()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _weights(model: str) -> dict[str, str]:
    """Hashes of a model's files, adapters too."""
    if is_adapter(Path(model)):
        files = sorted(path for path in Path(model).iterdir() if path.suffix in (".safetensors", ".json", ".jinja"))
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.name != "trainer_state.json"}
    return weights_hash(str(folder_of(model)))


def _answered(name: str, prompts: Sequence[Prompt], sampling: Sampling) -> list[str]:
    answering(name)
    of = opened(name)
    model = of.model.bfloat16() if on_gpu() else of.model
    asked = [of.tokenizer.encode(of.tokenizer.render(prompt.turns, prompt.tools, True).text).ids for prompt in prompts]
    _refuse_long(name, model, prompts, asked, sampling)
    ending = ending_of(of.tokenizer)
    ends = _end_ids(model, of.tokenizer, ending)
    made: list[str] = []
    for ids in _generated(model, of.tokenizer, asked, ends, sampling):
        stop = next((place for place, one in enumerate(ids) if one in ends), len(ids))
        text = of.tokenizer.backend.decode(ids[:stop], skip_special_tokens=True)
        made.append((text.partition(ending)[0] if ending else text).strip())
    return made


def _refuse_long(name: str, model: "PreTrainedModel", prompts: Sequence[Prompt], asked: list[list[int]], sampling: Sampling) -> None:
    most = getattr(model.config, "max_position_embeddings", None)
    for prompt, ids in zip(prompts, asked, strict=True):
        if most and len(ids) + sampling.answer_length > most:
            room = f"{len(ids):,} tokens of prompt and {sampling.answer_length:,} of answer are over the {most:,} places of {name}"
            raise UsageError(f"{prompt.name}: {room}; lower answer_length, or leave the row out")


def ending_of(tokenizer: Tokenizer) -> str:
    """What the template writes after an assistant's words: `<|im_end|>`; empty where that is nothing."""
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": _WORD}]
    return tokenizer.render(turns).text.rpartition(_WORD)[2].strip()


def _end_ids(model: "PreTrainedModel", tokenizer: Tokenizer, ending: str) -> list[int]:
    """Tokens that end an answer: the tokenizer's EOS, the model's own, and the template's where that is one token."""
    stated = model.generation_config.eos_token_id
    found = [tokenizer.id_of("eos_token"), *(stated if isinstance(stated, list) else [stated])]
    closing = tokenizer.encode(ending).ids if ending else []
    return sorted({one for one in [*found, *(closing if len(closing) == 1 else [])] if one is not None})


def _generated(
    model: "PreTrainedModel", tokenizer: Tokenizer, asked: list[list[int]], ends: list[int], sampling: Sampling
) -> Iterator[list[int]]:
    """The new tokens of each prompt; a batch draws by the seed and its place, whatever came before it."""
    import torch
    from transformers import GenerationConfig

    padding = tokenizer.id_of("pad_token") or 0
    drawn = {"do_sample": True, "temperature": sampling.temperature, "top_k": 0, "top_p": 1.0} if sampling.temperature else {"do_sample": False}
    settings = GenerationConfig(max_new_tokens=sampling.answer_length, eos_token_id=ends or None, pad_token_id=padding, use_cache=True, **drawn)
    for start in range(0, len(asked), sampling.batch_size):
        batch = asked[start : start + sampling.batch_size]
        torch.manual_seed(sampling.seed * 1_000_003 + start)
        yield from _batch(model, batch, padding, settings)


def _batch(model: "PreTrainedModel", batch: list[list[int]], padding: int, settings: "GenerationConfig") -> list[list[int]]:
    import torch

    longest = max(map(len, batch))
    ids = torch.tensor([[padding] * (longest - len(row)) + row for row in batch], device=model.device)
    seen = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in batch], device=model.device)
    with torch.no_grad():
        return model.generate(ids, attention_mask=seen, generation_config=settings)[:, longest:].tolist()
