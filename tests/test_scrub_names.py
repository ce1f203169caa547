"""Names by a token-classification model on disk: tiny BERTs made here, read as the step reads any."""

import hashlib
import os
import random
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import yaml
from name_model import FIRST, LAST, SENTENCES, TAUGHT, drawn_name, plain, save_model, save_word_model, scrubbed

from curate.config import UsageError
from curate.runner import run
from curate.steps.scrub import Scrub
from curate.steps.step import Unit

pytest.importorskip("torch", reason="the extra `ner` is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned its sentences to the last word."""
    place = tmp_path_factory.mktemp("ner")
    save_model(place)
    return place


def step(folder: Path, **settings: object) -> Scrub:
    return Scrub(use="pii", names=str(folder), **settings)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("marked", TAUGHT)
def test_a_name_with_particles_and_accents_becomes_one_placeholder(folder: Path, marked: str, form: str) -> None:
    text = unicodedata.normalize(form, plain(marked))
    assert step(folder).scrub(text, "pt")[0] == unicodedata.normalize(form, scrubbed(marked))


def test_names_are_counted_as_people(folder: Path) -> None:
    unit = Unit(text="\n".join(map(plain, TAUGHT)), id="a", title=plain(TAUGHT[0]))
    assert step(folder).apply(unit) is None
    assert unit.text == "\n".join(map(scrubbed, TAUGHT))
    assert unit.pii == {"email": 1, "person": 7}


def jumbled(dice: random.Random) -> str:
    """Lines of names and pieces of sentences in no order, such as no model was taught."""
    words = [word for sentence in SENTENCES for word in sentence.split()]
    words += [*FIRST, *LAST, "a@example.com", "+44 20 7946 0958", "<PERSON>", "\ud800", "\0", "\n", "ana-", "Ana,"]
    return " ".join(drawn_name(dice) if word == "{}" else word for word in dice.choices(words, k=60))


def test_a_scrubbed_text_scanned_again_has_no_name(folder: Path) -> None:
    dice, scrub = random.Random(3), step(folder)
    for text in [jumbled(dice) for _ in range(12)]:
        once, counts = scrub.scrub(text, "pt")
        assert counts["person"] > 0
        assert not scrub.find(once, "pt")


def test_a_model_that_sees_a_name_in_every_word_leaves_the_other_items_whole(tmp_path: Path) -> None:
    words = "write to mailto : ana @ example . com now EMAIL < > PERSON"
    save_word_model(tmp_path, words, words)
    unit = Unit(text="write to mailto:ana@example.com now", id="a")
    assert step(tmp_path).apply(unit) is None
    assert unit.text == "<PERSON> <PERSON> <PERSON>:<EMAIL> <PERSON>"
    assert not step(tmp_path).find(unit.text, "en")


@pytest.mark.parametrize("pieces", ["bert", "bytes", "spaces"])
def test_a_line_longer_than_the_model_is_read_to_its_end(tmp_path: Path, pieces: str) -> None:
    save_word_model(tmp_path, "uma casa Inês João rio", "Inês João", pieces)
    dice = random.Random(1)
    words = dice.choices(["uma", "casa", "Inês", "rio", "João"], k=700)
    expected = " ".join("<PERSON>" if word in ("Inês", "João") else word for word in words)
    assert step(tmp_path).scrub(" ".join(words), "pt")[0] == expected


def test_a_line_of_hundreds_of_thousands_of_characters_is_cut_between_words(tmp_path: Path) -> None:
    save_word_model(tmp_path, "casa João", "João")
    line = "João casa " * 7000 + "João"
    assert step(tmp_path).scrub(line, "pt")[0] == "<PERSON> casa " * 7000 + "<PERSON>"


def test_a_script_without_spaces_is_labelled_character_by_character(tmp_path: Path) -> None:
    save_word_model(tmp_path, "王 说", "王")
    from tokenizers import Tokenizer, pre_tokenizers

    engine = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    engine.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    engine.save(str(tmp_path / "tokenizer.json"))
    assert step(tmp_path).scrub("说王说", "zh")[0] == "说<PERSON>说"


def test_a_model_s_own_word_for_people_is_a_setting(tmp_path: Path) -> None:
    save_word_model(tmp_path, "casa João", "João", labels=("O", "Nome"))
    with pytest.raises(UsageError, match="its labels are Nome, O; name those of people in name_labels"):
        step(tmp_path).scrub("João", "pt")
    assert step(tmp_path, name_labels=["nome"]).scrub("casa João", "pt")[0] == "casa <PERSON>"


def test_one_thread_reads(folder: Path) -> None:
    import torch

    step(folder).warm_up()
    assert torch.get_num_threads() == 1


def without_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def with_another_tokenizer(folder: Path) -> None:
    save_word_model(folder / "other", "uma casa João", "João")
    (folder / "other" / "tokenizer.json").rename(folder / "tokenizer.json")


def without_labels(folder: Path) -> None:
    from transformers import BertModel

    BertModel.from_pretrained(folder).save_pretrained(folder)


def cut_short(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 200)


def of_no_kind(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (without_tokenizer, "no fast tokenizer of this model"),
        (with_another_tokenizer, "no fast tokenizer of this model"),
        (without_labels, "no weights for classifier.bias, classifier.weight"),
        (cut_short, "cannot be loaded"),
        (of_no_kind, "cannot be loaded"),
    ],
)
def test_a_folder_without_a_whole_model_is_the_users_mistake(tmp_path: Path, spoil: Callable[[Path], None], told: str) -> None:
    save_word_model(tmp_path, "casa João", "João")
    spoil(tmp_path)
    with pytest.raises(UsageError, match=told):
        step(tmp_path).scrub("João", "pt")


def identity(folder: Path) -> str:
    return step(folder).model_dump(context={"content_hash": lambda path: hashlib.sha256(Path(path).read_bytes()).hexdigest()})["names"]


def test_the_model_s_files_are_its_identity_but_not_a_download_s_notes(tmp_path: Path) -> None:
    save_word_model(tmp_path, "casa João", "João")
    before = identity(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "fetched").write_text("today")
    assert identity(tmp_path) == before
    save_word_model(tmp_path, "casa João", "casa")
    assert identity(tmp_path) != before


def test_without_the_extra_its_command_is_said_and_without_names_it_is_not_needed(tmp_path: Path) -> None:
    save_word_model(tmp_path, "casa João", "João")
    code = (
        "import sys; sys.modules['torch'] = None\n"  # as where it is not installed
        "from curate.steps.scrub import Scrub\n"
        "print(Scrub(use='pii').scrub('a@example.com', 'pt')[0], 'transformers' in sys.modules)\n"
        f"Scrub(use='pii', names={str(tmp_path)!r}).scrub('João', 'pt')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "<EMAIL> False\n"
    assert "pip install 'curate[ner]'" in done.stderr.splitlines()[-1]


def test_two_workers_make_of_the_rows_what_one_process_makes_of_each_alone(tmp_path: Path, folder: Path) -> None:
    dice = random.Random(5)
    texts = [jumbled(dice).replace("\ud800", "").replace("\0", "") for _ in range(12)]
    for part in range(4):
        (tmp_path / f"{part}.jsonl").write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts[part * 3 : part * 3 + 3]))
    recipe = tmp_path / "recipe.yaml"
    step_of = {"use": "pii", "names": str(folder)}
    recipe.write_text(yaml.safe_dump({"stages": [{"web": {"source": "*.jsonl", "shard_bytes": 1500, "steps": [step_of]}}]}))
    made = run(recipe, root=tmp_path / "runs", workers=2)
    rows = made.data().collect()["text"].to_list()
    assert sorted(rows) == sorted(step(folder).scrub(text, None)[0] for text in texts)
