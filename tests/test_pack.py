"""Packed tokens: the same bytes as datatrove's own DocumentTokenizer, read back by datatrove's own datasets."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from datatrove.data import Document
from datatrove.pipeline.tokens.tokenizer import DocumentTokenizer
from datatrove.utils.dataset import DatatroveFileDataset, DatatroveFolderDataset
from output_rows import output
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from curate.config import UsageError
from curate.outputs import write_packed

TEXTS = ["a b c", "", "c c Olá b", "a " * 400, "x"] * 60


def rows(texts: list[str]) -> Iterator[dict]:
    return ({"text": text} for text in texts)


def trained(path: Path, words: int = 0) -> Path:
    """A tokenizer of whole words that would add `<s>` and cut long texts, neither of which packing wants."""
    known = ["<unk>", "<s>", "</s>", "a", "b", "c", "Olá", *(f"w{number}" for number in range(words))]
    made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(known)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    made.save(str(path))
    return path


@pytest.mark.parametrize(("words", "token_bytes"), [(0, 2), (70_000, 4)])
def test_tokens_and_index_are_those_of_datatroves_tokenizer(tmp_path: Path, words: int, token_bytes: int) -> None:
    tokenizer = trained(tmp_path / "tokenizer.json", words)
    counts = write_packed(rows(TEXTS), tokenizer, "</s>", tmp_path / "ours")
    theirs = DocumentTokenizer(str(tmp_path / "theirs"), str(tokenizer), eos_token="</s>", shuffle_documents=False)
    for _ in theirs.run((Document(text=text, id=str(place)) for place, text in enumerate(TEXTS)), rank=0) or ():
        pass
    written = next((tmp_path / "theirs").glob("*.ds"))
    for suffix in ("", ".index"):
        assert (tmp_path / "ours" / f"train-00000.ds{suffix}").read_bytes() == written.with_name(written.name + suffix).read_bytes()
    tokens = (tmp_path / "ours" / "train-00000.ds.metadata").read_text(encoding="utf-8").split("\n")
    assert tokens[0].endswith(f"|{token_bytes}") and tokens[1] == written.with_name(written.name + ".metadata").read_text().split("\n")[1]
    assert (counts.documents, counts.token_bytes, counts.files) == (len(TEXTS), token_bytes, ["train-00000.ds"])
    assert counts.tokens * token_bytes == (tmp_path / "ours" / "train-00000.ds").stat().st_size


def test_datatroves_datasets_read_the_tokens_and_the_places_within_documents(tmp_path: Path) -> None:
    write_packed(rows(["a b c", "c a", "b b b b", "a"]), trained(tmp_path / "tokenizer.json"), "</s>", tmp_path / "ours")
    found = DatatroveFileDataset(str(tmp_path / "ours" / "train-00000.ds"), seq_len=6, token_size=2, return_positions=True)
    assert found[0]["input_ids"].tolist() == [3, 4, 5, 2, 5, 3, 2]
    assert found[0]["positions"].tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert len(found) == 2


def test_many_tokens_are_cut_into_files_at_the_end_of_a_document(tmp_path: Path) -> None:
    tokenizer = trained(tmp_path / "tokenizer.json")
    whole = write_packed(rows(TEXTS), tokenizer, "</s>", tmp_path / "whole")
    cut = write_packed(rows(TEXTS), tokenizer, "</s>", tmp_path / "cut", "valid", shard_tokens=1_000)
    assert cut.files == [f"valid-{number:05d}.ds" for number in range(len(cut.files))] and len(cut.files) > 10
    assert (cut.documents, cut.tokens) == (whole.documents, whole.tokens)
    parts = [np.fromfile(tmp_path / "cut" / name, "<u2") for name in cut.files]
    assert (np.concatenate(parts) == np.fromfile(tmp_path / "whole" / "train-00000.ds", "<u2")).all()
    assert all(part[-1] == 2 for part in parts)
    assert len(DatatroveFolderDataset(str(tmp_path / "cut"), seq_len=10, filename_pattern="*.ds", shuffle=False)) == sum(len(p) // 11 for p in parts)
    assert sorted(path.suffix for path in (tmp_path / "cut").iterdir()) == sorted([".ds", ".index", ".metadata"] * len(cut.files))


def test_no_documents_are_one_empty_file(tmp_path: Path) -> None:
    counts = write_packed(rows([]), trained(tmp_path / "tokenizer.json"), "</s>", tmp_path / "ours")
    assert (counts.documents, counts.tokens, counts.files) == (0, 0, ["train-00000.ds"])


def test_a_missing_tokenizer_or_end_is_named(tmp_path: Path) -> None:
    tokenizer = trained(tmp_path / "tokenizer.json")
    (tmp_path / "broken.json").write_text("{}")
    missing, broken = tmp_path / "no.json", tmp_path / "broken.json"
    for path, eos, said in ((tokenizer, "<eot>", "has no token '<eot>'"), (missing, "</s>", "no such file"), (broken, "</s>", "no tokenizer")):
        with pytest.raises(UsageError, match=said):
            write_packed(rows(TEXTS), path, eos, tmp_path / "ours")
    assert output("packed", tokenizer=str(tokenizer), eos="</s>").accepts == ("document",)
