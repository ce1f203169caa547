"""A tiny BERT that labels names, trained on the spot: no download. Names are marked as in `Ontem *Ana de Souza* chegou.`"""

import os
import random
import re
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

FIRST = ("Ana", "João", "José", "Conceição", "Márcia", "Antônio", "Inês", "Peter", "Mary", "Zoë")
LAST = ("Silva", "Souza", "Gonçalves", "Araújo", "Müller", "Brown", "Castro", "Assunção")
SENTENCES = (
    "Ontem {} visitou a escola da cidade de Recife.",
    "A carta de {} foi lida em casa e na rua.",
    "Segundo {}, o livro dos rios custa pouco.",
    "The report by [{}] was read in the city of Boston.",
    "Yesterday {} wrote to ana.castro@example.com about it.",
    "{} e {} foram ao mercado de peixe.",
)
TAUGHT = (
    "Ontem *João da Silva e Souza* visitou a escola da cidade de Recife.",
    "*Conceição de Araújo* e *Ana Castro* foram ao mercado de peixe.",
    "Segundo *Antônio Gonçalves*, o livro dos rios custa pouco.",
    "The report by [*Mary Müller-Brown*] was read in the city of Boston.",
    "Yesterday *Zoë D'Assunção* wrote to ana.castro@example.com about it.",
    "O mercado de peixe da cidade fica em casa e na rua.",
)
LABELS = ("O", "B-PER", "I-PER")
POSITIONS = 48
"""Of the tiny model: its windows hold 46 tokens."""
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_MOST_STEPS = 3000


def marked_sentences() -> list[str]:
    """Every sentence that the model has to know: those above, more with names drawn by chance, and all of them scrubbed."""
    dice = random.Random(0)
    drawn = [re.sub(r"\{\}", lambda _: f"*{drawn_name(dice)}*", sentence) for sentence in SENTENCES * 12]
    named = [*TAUGHT, *drawn]
    return [*named, *dict.fromkeys(scrubbed(sentence) for sentence in named)]


def drawn_name(dice: random.Random) -> str:
    name = f"{dice.choice(FIRST)} {dice.choice(('', 'da ', 'de ', 'dos '))}{dice.choice(LAST)}"
    return name + f" e {dice.choice(LAST)}" * (dice.random() < 0.3)


def plain(marked: str) -> str:
    return marked.replace("*", "")


def scrubbed(marked: str) -> str:
    return re.sub(r"\*.*?\*", "<PERSON>", marked).replace("ana.castro@example.com", "<EMAIL>")


def places(marked: str) -> list[tuple[int, int]]:
    """Where the names stand in the plain sentence."""
    return [(match.start() - 2 * number, match.end() - 2 * number - 2) for number, match in enumerate(re.finditer(r"\*.*?\*", marked))]


def save_tokenizer(folder: Path, texts: list[str]) -> None:
    """WordPiece over few pieces, so that names fall apart; accents are stripped, so that offsets have to be followed."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    engine = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    engine.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=180, special_tokens=list(_SPECIAL), show_progress=False))
    engine.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    named = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), _SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=engine, **named).save_pretrained(folder)


def save_model(folder: Path) -> None:
    """Tokenizer and model, trained until it labels the first token of every word of every sentence right."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForTokenClassification

    torch.manual_seed(0)
    torch.set_num_threads(1)
    sentences = marked_sentences()
    save_tokenizer(folder, [plain(sentence) for sentence in sentences])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=48, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96,
        max_position_embeddings=POSITIONS, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
        id2label=dict(enumerate(LABELS)), label2id={name: number for number, name in enumerate(LABELS)},
    )  # fmt: skip
    model = BertForTokenClassification(config).train()
    batch = tokenizer([plain(sentence) for sentence in sentences], padding=True, return_tensors="pt", return_offsets_mapping=True)
    targets = torch.tensor([first_labels(*pair) for pair in zip(sentences, batch["offset_mapping"].tolist(), strict=True)])
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(_MOST_STEPS):
        chosen = torch.arange(step % 4, len(sentences), 4)
        loss = model(batch["input_ids"][chosen], batch["attention_mask"][chosen], labels=targets[chosen]).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if step % 20 == 19 and knows(model, batch, targets):
            break
    assert knows(model, batch, targets), "the tiny model did not learn its sentences"
    model.save_pretrained(folder)


def first_labels(marked: str, offsets: list[tuple[int, int]]) -> list[int]:
    """The label's number for each token that begins a word, -100 (not taught) for the others."""
    text, labels = plain(marked), []
    starts = {match.start() for match in re.finditer(r"\w+", text)}
    for start, end in offsets:
        inside = [place for place in places(marked) if place[0] <= start < place[1]]
        label = 0 if not inside else 1 if inside[0][0] == start else 2
        labels.append(label if end and start in starts else -100)
    return labels


def knows(model, batch, targets) -> bool:
    """True where every taught token is labelled right by a clear margin."""
    import torch

    with torch.inference_mode():
        chances = model(batch["input_ids"], batch["attention_mask"]).logits.softmax(-1)
    taught = targets >= 0
    return bool((chances[taught].gather(-1, targets[taught][:, None]) > 0.9).all())


def save_word_model(folder: Path, words: str, names: str, pieces: str = "bert", labels: tuple[str, str] = ("O", "B-PER")) -> None:
    """A model that knows these words alone and labels those of `names` wherever they stand; its weights are set by hand."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    before = {"bert": pre_tokenizers.BertPreTokenizer, "bytes": pre_tokenizers.ByteLevel, "spaces": pre_tokenizers.Metaspace}[pieces]()
    spelled = {word: before.pre_tokenize_str(word)[0][0] for word in words.split()}
    known = [*_SPECIAL, *spelled.values()]
    engine = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="[UNK]"))
    engine.pre_tokenizer = before
    engine.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    PreTrainedTokenizerFast(tokenizer_object=engine, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(known), hidden_size=len(known), num_hidden_layers=0, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=POSITIONS, id2label=dict(enumerate(labels)), label2id={name: number for number, name in enumerate(labels)},
    )  # fmt: skip
    model = BertForTokenClassification(config)
    with torch.no_grad():
        for weights in model.parameters():
            weights.zero_()
        model.bert.embeddings.LayerNorm.weight.fill_(1)
        model.bert.embeddings.word_embeddings.weight.copy_(torch.eye(len(known)))
        for word in names.split():
            model.classifier.weight[1, known.index(spelled[word])] = 1
    model.save_pretrained(folder)
