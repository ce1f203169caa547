"""What stands before and after a training run: the start of a model from scratch, a tokenizer that llama.cpp knows, and the walk back."""

import shutil
from pathlib import Path

import pytest
from training_models import artifact

pytest.importorskip("trl", reason="TRL is an extra")

from tokenizers import Regex, Tokenizer, pre_tokenizers

from training import gguf, pretrain, receipt
from training.config import Pretrain

TEXTS = ["Não há 2.048 raposas: she's quick,  they've been told!\n\n\tÀs 10h30 it isn't 7... 🦊🇧🇷 \u0301e ½ ³", "  The fox asks about the sun. " * 3]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
"""What llama.cpp's `smollm` splits by, after single digits."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifact(tmp_path_factory.mktemp("data") / "texts", {"train": [{"id": str(n), "text": text} for n, text in enumerate(TEXTS)]})


def settings(data: Path, output: Path, **more: object) -> Pretrain:
    return Pretrain(**{"data": str(data), "output": str(output), "vocabulary": 300, "hidden": 16, "layers": 1, "heads": 2, **more})


def test_a_tokenizer_from_scratch_splits_text_as_the_name_says_that_llama_cpp_is_given(tmp_path: Path, data: Path) -> None:
    start = Path(pretrain.ready(settings(data, tmp_path / "out")).model)
    assert gguf.split_of(start) == "smollm"
    ours = Tokenizer.from_file(str(start / "tokenizer.json")).pre_tokenizer
    isolated = [pre_tokenizers.Split(Regex(rule), "isolated") for rule in (r"\p{N}", GPT2)]
    theirs = pre_tokenizers.Sequence([*isolated, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    for text in TEXTS:
        assert [part for part, _ in ours.pre_tokenize_str(text)] == [part for part, _ in theirs.pre_tokenize_str(text)]


def test_a_tokenizer_that_splits_in_another_way_is_given_no_name(tmp_path: Path, data: Path) -> None:
    start = Path(pretrain.ready(settings(data, tmp_path / "out")).model)
    other = Tokenizer.from_file(str(start / "tokenizer.json"))
    other.pre_tokenizer = pre_tokenizers.Metaspace()
    other.save(str(tmp_path / "tokenizer.json"))
    assert gguf.split_of(tmp_path) is None


def test_a_folder_without_the_converter_is_refused_in_one_line(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    start = pretrain.ready(settings(data, tmp_path / "out")).model
    assert gguf.main([str(tmp_path), start]) == 2
    assert "github.com/ggml-org/llama.cpp" in capsys.readouterr().err


def test_a_start_from_scratch_is_made_once_of_the_same_shape_and_anew_of_another(tmp_path: Path, data: Path) -> None:
    first = pretrain.ready(settings(data, tmp_path / "out"))
    made = {path.name: path.stat().st_mtime_ns for path in Path(first.model).iterdir()}
    again, other = (pretrain.ready(settings(data, tmp_path / "out", **more)) for more in ({"epochs": 3}, {"vocabulary": 310}))
    assert again.model == first.model and {path.name: path.stat().st_mtime_ns for path in Path(again.model).iterdir()} == made
    assert other.model != first.model and Tokenizer.from_file(f"{other.model}/tokenizer.json").get_vocab_size() == 310


def test_the_walk_back_says_where_it_ends(tmp_path: Path) -> None:
    rows = {"train": [{"id": "1", "text": "a"}]}
    before = {"name": "data", "path": "../mix", "recipe": "made", "stage": "mix", "fingerprint": "mix".ljust(64, "0")}
    model = artifact(tmp_path / "model", rows, parents=[before], stage="train_sft")
    artifact(tmp_path / "mix", rows)
    assert [line.partition(" read ")[0] for line in receipt.lines(model)] == ["mix00000 mix:", "model000 train_sft:"]
    shutil.rmtree(tmp_path / "mix")
    assert "moved or removed" in receipt.lines(model)[0]
    artifact(tmp_path / "mix", rows, fingerprint="f" * 64)
    assert any("made anew" in line for line in receipt.lines(model))
