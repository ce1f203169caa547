"""Tiny random models with a tokenizer trained on the spot, and rows that can be told apart: no download."""

import os

os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", TQDM_DISABLE="1")  # read when torch is imported

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from contract_models import saved

from curate.artifact import Counts, InputAccount, Receipt, file_accounts, write_receipt
from curate.contract import Settings, load_tokenizer, predict

ANSWERS = {"sun": "gold", "moon": "silver"}
"""What the word in the question asks for: the task that every trainer learns."""
FILLERS = ("fox", "dog", "lazy", "jumps", "over", "quick", "brown", "morning")
TINY = {"pad_token": "</s>", "max_length": 96, "batch_size": 8, "learning_rate": 0.01, "schedule": "constant", "warmup": 0.0, "trl": {"disable_tqdm": True}}


def model_folder(folder: Path, template: str | None = "chatml", scores: bool = False, seed: int = 0) -> Path:
    """A Llama of two layers and 32 dimensions with its tokenizer, as a training run leaves it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    torch.manual_seed(seed)
    saved(folder, "byte_level", template)
    size = load_tokenizer(folder).backend.get_vocab_size()
    config = LlamaConfig(
        vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        bos_token_id=0, eos_token_id=1, pad_token_id=1, num_labels=1, tie_word_embeddings=False,
    )  # fmt: skip
    (LlamaForSequenceClassification if scores else LlamaForCausalLM)(config).save_pretrained(folder)
    return folder


def question(number: int) -> tuple[str, str]:
    """The question of a number and the word that it turns on."""
    word = ("sun", "moon")[number % 2]
    return f"The {FILLERS[number // 2 % 8]} {FILLERS[number // 16 % 8]} asks about {word}", word


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict:
    return {"role": "assistant", "content": text}


def conversations(numbers: range) -> list[dict]:
    made = [question(number) for number in numbers]
    return [{"id": f"r{n}", "messages": [user(text), assistant(ANSWERS[word])]} for n, (text, word) in zip(numbers, made, strict=True)]


def pairs(numbers: range, **more: object) -> list[dict]:
    """Preferences: the right answer over the wrong one."""
    rows = []
    for number in numbers:
        text, word = question(number)
        other = ANSWERS["moon" if word == "sun" else "sun"]
        turns = {"prompt": [user(text)], "chosen": [assistant(ANSWERS[word])], "rejected": [assistant(other)]}
        rows.append({"id": f"r{number}", "group": f"g{number // 4}", **turns, **more})
    return rows


def labelled(numbers: range) -> list[dict]:
    """KTO's rows, right and wrong answers in turn."""
    rows = []
    for place, pair in enumerate(pairs(numbers)):
        good = place // 2 % 2 == 0
        rows.append({"id": pair["id"], "prompt": pair["prompt"], "completion": pair["chosen" if good else "rejected"], "label": good})
    return rows


def artifact(folder: Path, rows: dict[str, list[dict]], **receipt: object) -> Path:
    """An artifact of the rows by split, with a receipt."""
    (folder / "data").mkdir(parents=True)
    for split, given in rows.items():
        pq.write_table(pa.Table.from_pylist(given), folder / "data" / f"{split}-00000.parquet")
    total = sum(map(len, rows.values()))
    counts = Counts(read=total, kept=total, dropped={}, ignored={}, written=total)
    inputs = [InputAccount(id="crawl.warc.gz", fingerprint="0" * 64, rows=total, bytes=1)]
    write_receipt(folder, Receipt(**{
        "recipe": "made", "stage": "mix", "fingerprint": folder.name.ljust(64, "0"), "config": {}, "inputs": inputs, "counts": counts,
        "steps": [], "files": list(file_accounts(folder, ("data",))), "damage": [], **receipt,
    }))  # fmt: skip
    return folder


def config_file(folder: Path, **values: object) -> str:
    """A YAML config (JSON is YAML) beside the test's other files."""
    path = folder / "config.yaml"
    path.write_text(json.dumps({**TINY, **values}), encoding="utf-8")
    return str(path)


def accuracy(model_path: Path, rows: list[dict]) -> float:
    """How often the model finds the right answer likelier than the wrong one, over pairs."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer, model = load_tokenizer(model_path), AutoModelForCausalLM.from_pretrained(model_path)
    model.eval()

    def likelihood(ids: list[int], loss: list[bool]) -> float:
        with torch.no_grad():
            logps = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return sum(float(logps[place - 1, ids[place]]) for place in range(1, len(ids)) if loss[place])

    right = 0
    for row in rows:
        chosen, rejected = predict("dpo", row, tokenizer, Settings()).sequences
        right += likelihood(chosen.input_ids, chosen.loss) > likelihood(rejected.input_ids, rejected.loss)
    return right / len(rows)
