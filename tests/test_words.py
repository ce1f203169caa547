"""Words are spaCy's own, as datatrove cuts them, whatever was read before."""

import gzip
import json
from pathlib import Path
from time import process_time

import pytest
from datatrove.utils.word_tokenizers import load_word_tokenizer

from curate.steps import words
from curate.steps.shared import Shared
from curate.steps.words import words_of

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
UDHR = {
    "en": "eng", "pt": "por_BR", "de": "deu", "fr": "fra", "es": "spa", "it": "ita", "nl": "nld", "pl": "pol",
    "ru": "rus", "cs": "ces", "sv": "swe", "fi": "fin", "el": "ell_monotonic", "hu": "hun", "ro": "ron",
    "tr": "tur", "fa": "pes_1", "uk": "ukr", "bg": "bul", "sl": "slv",
}  # fmt: skip
HARD = (
    'He said: "Don\'t go (etc.), e.g. to St. Louis..." and left... U.S.A.; 3.5km, $12.50, 31. 7th—well-known a.m. o\'clock :)',
    "Visit https://example.org/a?b=c, mail me@example.org (or not). C++/C# v2.0-rc1 [1][2] 'quoted' ''twice'' #tag @name",
    "O Sr. Silva foi à EE. UU. às 10h30min; д-р мед. наук Иванов, т.е. и др. L'homme d'État qu'il a vu, aujourd'hui.",
    "tabs\tand  double spaces\u00a0and\u3000wide\n\n\nlines \r\n end. IS_ALPHA IS_ALPHA.",
    "word). (word) (word), \"word.\" «word» „word“ word;) ;) :-( word... word.. ...word ¿qué? ¡no! 1,5 1.000,00 50% №5",
)


@pytest.mark.parametrize("language", ["en", "pt", "de", "fr", "es", "fi", "hu", "ru", "eo"])
def test_marks_abbreviations_and_odd_spaces_are_cut_as_datatrove_cuts_them(language: str) -> None:
    expected = [load_word_tokenizer(language).word_tokenize(text) for text in HARD]
    assert [Shared(text, language).words for text in HARD] == expected


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_the_declaration_of_human_rights_is_cut_as_datatrove_cuts_it_in_each_language() -> None:
    rows = map(json.loads, gzip.open(SHARED / "langid" / "udhr2.jsonl.gz", "rt", encoding="utf-8"))
    texts = {row["code"]: row["text"] for row in rows}
    different = [
        language
        for language, code in UDHR.items()
        if Shared(texts[code], language).words != load_word_tokenizer(language).word_tokenize(texts[code])
    ]
    assert different == []


def test_the_words_of_a_text_do_not_depend_on_the_texts_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [Shared(text, "en").words for text in HARD]
    monkeypatch.setattr(words, "CHUNKS_REMEMBERED", 3)
    monkeypatch.setattr(words, "FEWEST_REMEMBERED", 3)
    assert [Shared(text, "en").words for text in reversed(HARD)] == expected[::-1]


def test_a_text_keeps_its_words_when_the_memo_starts_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Shared("Some words stay what they were.", "en")
    numbers = first.word_numbers
    monkeypatch.setattr(words, "CHUNKS_REMEMBERED", 1)
    monkeypatch.setattr(words, "FEWEST_REMEMBERED", 1)
    second = Shared("Others take their numbers.", "en")
    assert second.words == ["Others", "take", "their", "numbers", "."]
    assert second.tokenizer is not first.tokenizer
    assert first.words == ["Some", "words", "stay", "what", "they", "were", "."]
    assert len(numbers) == 7


def test_a_chunk_longer_than_the_bound_is_not_remembered() -> None:
    chunk = "x" * (words.LONGEST_REMEMBERED + 1)
    assert Shared(chunk, "en").words == [chunk]
    assert chunk not in words_of("en").chunks


def test_languages_without_spaces_are_cut_into_characters_and_marks_stay_with_theirs() -> None:
    assert Shared("我在2024年学习Python。", "zh").words == ["我", "在", "2024", "年", "学", "习", "Python", "。"]
    assert Shared("ที่นี่", "th").words == ["ที่", "นี่"]


def test_an_empty_text_has_no_words() -> None:
    assert Shared("", "en").words == []
    assert Shared(" \n ", None).words == []


@pytest.mark.parametrize("language", ["en", "pt", "de", "ru"])
@pytest.mark.parametrize(
    "line",
    [
        "One. Two! Three?",
        "No end",
        "Ends here. ",
        "Ends here.  ",
        "Wide.  Space -  and. \t tab.  .",
        "  Leading. Spaces",
        "Dr. Who e.g. said: \"Stop.\" (He did.) U.S. forces, 3.5 km. Next...And so... on.",
        "…Well. «Sim.» — disse. Fim!?! 'Ok.' e",
        "a.b.c. d. E. f.g",
    ],
)
def test_sentences_are_counted_as_spacys_sentencizer_does(language: str, line: str) -> None:
    expected = len(load_word_tokenizer(language).span_tokenize(line))
    assert words_of(language).sentences(line, line.split()) == expected


@pytest.mark.parametrize("mark", [")", "(", "'", ":)", "_", "=", "US$"])
def test_a_hundred_thousand_marks_in_a_row_cost_less_than_seconds(mark: str) -> None:
    start = process_time()
    found = Shared("Look: " + mark * (100_000 // len(mark)) + " there.", "en").words
    assert process_time() - start < 10
    assert (found[:2], found[-2:]) == (["Look", ":"], ["there", "."])
    assert "".join(found) == "Look:" + mark * (100_000 // len(mark)) + "there."
