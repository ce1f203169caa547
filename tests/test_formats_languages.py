"""What data call a language: codes, tags and names of it, and what a row keeps of them."""

import json
from pathlib import Path

import pytest
from reading import jsonl, read, write

from curate.formats import read as read_rows
from curate.formats.languages import language_code
from curate.formats.texts import Texts


@pytest.mark.parametrize(
    ("given", "code"),
    [
        *((name, "pt") for name in ("pt", "PT", "por", "pt-BR", "pt_BR", "pt-PT", "por_Latn", "pt-Latn-BR", "pt_BR.UTF-8", " Portuguese ", "português",
                                    "Portugues", "Portuguese (Brazil)", "Português do Brasil", "Brazilian Portuguese", "pt-419")),
        ("eng", "en"), ("English", "en"), ("inglês", "en"), ("en-US", "en"), ("Español", "es"), ("spa", "es"), ("espanhol", "es"),
        ("fre", "fr"), ("fra", "fr"), ("zh-Hans-CN", "zh"), ("cmn_Hani", "zh"), ("中文", "zh"), ("arb", "ar"), ("iw", "he"), ("Persian", "fa"),
        ("de-1996", "de"), ("ast_Latn", "ast"), ("gsw", "gsw"), ("nob", "nb"), ("no", "no"), ("Tagalog", "tl"),
        ("unknown", "unknown"), ("code", "code"), ("", ""), ("Portuguese, English", "Portuguese, English"),
    ],
)  # fmt: skip
def test_codes_tags_and_names_of_a_language_are_one_code(given: str, code: str) -> None:
    assert language_code(given) == code


def test_every_name_stands_for_one_language() -> None:
    names = json.loads(Path(language_code.__wrapped__.__code__.co_filename).with_name("languages.json").read_text(encoding="utf-8"))
    said = [name for code, others in names.items() for name in (code, *others)]
    assert len(said) == len(set(said)) and all(name == name.casefold() for name in said)


def test_a_document_keeps_what_its_source_called_the_language() -> None:
    fields = read_rows(Texts(), [{"text": "Olá.", "language": "por_Latn"}]).rows[0]
    assert (fields["language"], fields["metadata"]) == ("pt", {"language": "por_Latn"})
    assert read_rows(Texts(), [{"text": "Olá.", "language": "pt"}]).rows[0]["metadata"] == {}


def test_so_does_a_text_of_the_web_stage(tmp_path: Path) -> None:
    units, _ = read(write(tmp_path / "a.jsonl", jsonl({"text": "Olá.", "language": "Portuguese"}, {"text": "Olá.", "language": "pt"})))
    assert [(unit.language, unit.metadata) for unit in units] == [("pt", {"language": "Portuguese"}), ("pt", {})]
