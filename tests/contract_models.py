"""Tokenizers trained on the spot, saved as transformers reads them, and tiny random models: no download."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from curate.contract import read_template

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and then it sleeps until the morning comes.",
    "A rápida raposa castanha salta sobre o cão preguiçoso; não há nada a fazer além de esperar.",
    "What is the capital of Portugal? Qual é a capital do Brasil? Lisboa, Brasília, São Paulo.",
    "user assistant system model USER: ASSISTANT: ### Instruction: ### Response: [INST] [/INST] <<SYS>>",
    "{\"name\": \"weather\", \"arguments\": {\"city\": \"Porto\"}} <tools> </tools> <tool_call> </tool_call>",
] * 20
MARKERS = [
    "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>",
]  # fmt: skip


UNMARKED = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML without marks."""


def byte_level(trim: bool = False) -> Tokenizer:
    """GPT-2's sort: bytes, cut by its pattern, nothing added around a text; as GPT-NeoX has it where spaces have no place."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=trim)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=700, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet))
    return made


def metaspace() -> Tokenizer:
    """Llama's sort: spaces as a letter, bytes where there is no piece, BOS before every plain text."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = decoders.Sequence([decoders.Metaspace(), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)]]
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=700, special_tokens=special))
    made.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    return made


BACKENDS = {"byte_level": byte_level, "trimmed": lambda: byte_level(trim=True), "metaspace": metaspace}


def saved(folder: Path, backend: str, template: str | None = "chatml", markers: bool = True) -> Path:
    """A folder that `AutoTokenizer.from_pretrained` reads; `template` is one of ours, or the text of another."""
    folder.mkdir(parents=True, exist_ok=True)
    made = BACKENDS[backend]()
    made.add_special_tokens([AddedToken(marker, special=True) for marker in (MARKERS if markers else [])])
    made.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if template is not None:
        text = template if "{" in template else read_template(template)
        (folder / "chat_template.jinja").write_text(text, encoding="utf-8")
    return folder


def tiny_llama(size: int, scores: bool = False) -> object:
    """A Llama of one layer and eight dimensions; with a score head where `scores`."""
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    config = LlamaConfig(
        vocab_size=size, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1,
        bos_token_id=0, eos_token_id=1, pad_token_id=1, num_labels=1, tie_word_embeddings=False,
    )  # fmt: skip
    return (LlamaForSequenceClassification if scores else LlamaForCausalLM)(config)
