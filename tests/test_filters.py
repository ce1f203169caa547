"""Gopher, C4 and FineWeb keep what datatrove's classes keep, and say why they drop."""

import gzip
import json
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from pydantic import ValidationError

from curate.steps.filters import C4, FineWeb, GopherQuality, GopherRepetition
from curate.steps.languages import known, limits_of
from curate.steps.shared import Shared
from curate.steps.step import Drop, Step, Unit

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
SIDE_BY_SIDE = runpy.run_path(str(ROOT / "benchmarks" / "filters.py"))

PROSE = """The harbour of the old town was built in the year that the river changed its course.
Nobody who lived there had expected it, and the mayor was slow to believe the news that fishermen brought.
When the water had gone, the people walked out to the ships and found them lying on their sides in the mud.
Some of them said that a new harbour should be dug at once; others wanted to follow the river to the east.
In the end they did neither, because the winter came early and a second flood brought the river home again.
"""
PROSA = """O porto da cidade velha foi construído no ano em que o rio mudou de curso.
Ninguém que morava ali esperava por isso, e o prefeito demorou a acreditar nas notícias dos pescadores.
Quando a água se foi, as pessoas caminharam até os navios e os encontraram deitados na lama.
Uns disseram que era preciso cavar um porto novo; outros queriam seguir o rio para o leste com uma barca.
No fim não fizeram nada disso, porque o inverno chegou cedo e outra cheia trouxe o rio de volta para casa.
"""


def unit(text: str, language: str | None = "en") -> Unit:
    return Unit(text=text, id="0", language=language)


def drop_of(step: Step, text: str, language: str | None = "en") -> Drop | None:
    return step.apply(unit(text, language))


REPETITION = GopherRepetition(use="gopher_repetition")
QUALITY = GopherQuality(use="gopher_quality")
C4_STEP = C4(use="c4")
FINEWEB = FineWeb(use="fineweb")
ALL = (REPETITION, QUALITY, C4_STEP, FINEWEB)


@pytest.mark.parametrize("step", ALL, ids=lambda step: step.name)
@pytest.mark.parametrize(("text", "language"), [(PROSE, "en"), (PROSE, None), (PROSA, "pt")])
def test_prose_is_kept(step: Step, text: str, language: str | None) -> None:
    assert drop_of(step, text, language) is None


def without(*values: str, text: str = PROSE) -> str:
    for value in values:
        text = text.replace(value, "")
    return text


LINES = PROSE.splitlines()
REPETITIVE = {
    "empty": "",
    "dup_paragraph_fraction": "\n\n".join(["Short.", LINES[0], "Short.", "Short."]),
    "dup_paragraph_char_fraction": "\n\n".join([*LINES, LINES[2], "One.", "Two.", LINES[3]]),
    "dup_line_fraction": "\n".join([*LINES, *["Menu"] * 6]),
    "dup_line_char_fraction": "\n".join([*LINES, "a", "b", "c", "d", LINES[2], LINES[3]]),
    "top_2_gram": PROSE + "more money " * 30,
    "top_3_gram": PROSE + "".join(f"get rich now {word} " for word in PROSE.split()[:18]),
    "duplicated_5_gram": PROSE + " ".join(f"{n} " + " ".join(PROSE.split()[n * 5 : n * 5 + 5]) for n in range(9)),
    "duplicated_10_gram": PROSE + "wandering fishermen followed harbours eastward whenever mountain rivers brought flooding " * 2,
}


@pytest.mark.parametrize("reason", REPETITIVE)
def test_a_text_that_repeats_itself_is_dropped_with_the_reason(reason: str) -> None:
    drop = drop_of(REPETITION, REPETITIVE[reason])
    assert drop and drop.reason == reason
    assert reason == "empty" or drop.value > drop.threshold


POOR = {
    "too_few_words": "\n".join(LINES[:2]),
    "too_many_words": "the and " * 50_001,
    "words_too_short": "a b of i to " * 20,
    "words_too_long": "the of " + "antidisestablishmentarianism " * 60,
    "too_many_hashes": PROSE + "# # # # # # # # # # # # # #",
    "too_many_ellipses": PROSE.replace(" the ", "... "),
    "too_many_bullet_lines": "".join(f"- {line}\n" for line in LINES),
    "too_many_ellipsis_lines": PROSE.replace(".\n", "...\n"),
    "too_few_alphabetic_words": PROSE + "12 345 678 910 " * 10,
    "too_few_stop_words": PROSA,
}


@pytest.mark.parametrize("reason", POOR)
def test_what_is_no_running_text_is_dropped_with_the_reason(reason: str) -> None:
    drop = drop_of(QUALITY, POOR[reason])
    assert drop and drop.reason == reason
    assert drop.value != drop.threshold


LISTED = {
    "empty": " \n \n",
    "too_few_punctuated_lines": PROSE.replace(".\n", "\n"),
    "too_many_short_lines": PROSE.replace(" the ", " the.\n"),
    "dup_line_characters": PROSE + LINES[1],
    "too_many_newlines": PROSE.replace("\n", "\n" * 8),
}


@pytest.mark.parametrize("reason", LISTED)
def test_a_list_or_menu_is_dropped_with_the_reason(reason: str) -> None:
    drop = drop_of(FINEWEB, LISTED[reason])
    assert drop and drop.reason == reason


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("lorem_ipsum", PROSE + "Here stands Lorem Ipsum for now."),
        ("curly_bracket", PROSE + "function of x { return x }"),
        ("too_few_sentences", "\n".join(LINES[:4])),
        ("lorem_ipsum", "a b lorem ipsum\nc d {\n" + PROSE),
        ("curly_bracket", "c d {\na b lorem ipsum\n" + PROSE),
    ],
)
def test_a_page_that_is_no_text_is_dropped_by_c4_with_what_came_first(reason: str, text: str) -> None:
    drop = drop_of(C4_STEP, text)
    assert drop and drop.reason == reason


@pytest.mark.parametrize(
    ("count", "line"),
    [
        ("too_few_words", "Home About"),
        ("javascript", "Please enable JavaScript to see this."),
        ("policy", "This site uses cookies to serve you."),
        ("too_long_word", "See the code " + "x" * 1001),
    ],
)
def test_c4_takes_out_an_unwanted_line_and_counts_it(count: str, line: str) -> None:
    page = unit(LINES[0] + "\n" + line + "\n" + "\n".join(LINES[1:]))
    assert C4_STEP.apply(page) is None
    assert page.text == PROSE.strip()
    assert page.values[f"c4.{count}"] == 1


def test_c4_takes_out_citations() -> None:
    page = unit(PROSE.replace(" was ", " was[1][edit] ").replace("east.", "east.[citation needed]"))
    assert C4_STEP.apply(page) is None
    assert page.text == PROSE.strip()
    assert page.values["c4.citations"] == 5


def test_c4_leaves_a_clean_text_as_the_object_that_it_was() -> None:
    text = PROSE.strip()
    assert C4_STEP.rewrite(text, Shared(text, "en"))[0] is text


def test_terminal_punctuation_is_asked_for_when_the_recipe_says_so() -> None:
    page = unit(PROSE + "Read more about the harbour")
    assert C4(use="c4", terminal_punctuation=True).apply(page) is None
    assert page.text == PROSE.strip()


def test_a_rule_that_is_null_is_off() -> None:
    assert drop_of(QUALITY, POOR["too_few_words"]).reason == "too_few_words"
    assert drop_of(GopherQuality(use="gopher_quality", min_words=None), POOR["too_few_words"]) is None


def test_an_early_drop_leaves_later_values_out_unless_all_are_asked_for() -> None:
    text = REPETITIVE["dup_line_fraction"]
    assert "top_2_gram" not in REPETITION.measure(text, Shared(text, "en"))
    values = REPETITION.measure(text, Shared(text, "en", full=True))
    assert {"top_2_gram", "duplicated_10_gram"} <= values.keys()
    assert REPETITION.decide(values).reason == "dup_line_fraction"


def test_c4_counts_the_sentences_behind_a_drop_when_all_values_are_asked_for() -> None:
    text = "a b {\n" + PROSE
    assert C4_STEP.rewrite(text, Shared(text, "en"))[1]["sentences"] == 0
    counts = C4_STEP.rewrite(text, Shared(text, "en", full=True))[1]
    assert counts["sentences"] == 5
    assert C4_STEP.decide(counts).reason == "curly_bracket"


def test_each_language_has_its_own_stop_words() -> None:
    assert drop_of(QUALITY, PROSE, "pt").reason == "too_few_stop_words"
    assert drop_of(GopherQuality(use="gopher_quality", language_limits=False), PROSA, "pt").reason == "too_few_stop_words"


def test_a_language_without_a_file_is_not_judged_by_english_stop_words() -> None:
    assert drop_of(QUALITY, PROSA, "xx") is None


def test_chinese_is_not_dropped_for_its_short_words() -> None:
    text = "".join(f"第{n}年的河水在城里，人们说这是一个好消息。" for n in "一二三四五六七八九十")
    assert drop_of(QUALITY, text, "zh") is None
    assert drop_of(GopherQuality(use="gopher_quality", language_limits=False), text, "zh").reason == "words_too_short"


def test_limits_stand_in_the_order_default_then_published_then_said_for_the_language() -> None:
    step = GopherQuality.model_validate(
        {"use": "gopher_quality", "min_words": 60, "max_mean_word_length": 11, "per_language": {"pt": {"min_words": 70}}}
    )
    pt = step.for_language("pt")
    assert (pt.min_words, pt.max_mean_word_length, pt.max_words) == (70, 13, 100_000)
    assert (step.for_language("en").min_words, step.for_language("de").max_mean_word_length) == (60, 15)


def test_a_rule_that_is_turned_off_is_off_in_every_language_but_those_that_set_it() -> None:
    step = GopherQuality.model_validate(
        {"use": "gopher_quality", "min_alphabetic_words": None, "per_language": {"de": {"min_alphabetic_words": 0.7}}}
    )
    assert GopherQuality(use="gopher_quality").for_language("pt").min_alphabetic_words is not None
    assert (step.for_language("pt").min_alphabetic_words, step.for_language("de").min_alphabetic_words) == (None, 0.7)


def test_a_step_read_back_from_its_own_record_has_the_same_limits() -> None:
    step = GopherQuality.model_validate({"use": "gopher_quality", "per_language": {"pt": {"min_words": 70}}})
    again = GopherQuality.model_validate(json.loads(step.model_dump_json()))
    assert again.for_language("pt") == step.for_language("pt")


@pytest.mark.parametrize(
    "wrong",
    [{"min_word": 3}, {"min_words": -1}, {"per_language": {"portuguese": {}}}, {"per_language": {"pt": {"min_word": 3}}}],
)
def test_a_wrong_limit_is_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        GopherQuality.model_validate({"use": "gopher_quality", **wrong})


def test_published_limits_are_there_for_many_languages_with_their_source() -> None:
    assert len(known()) >= 12 and "pt" in known()
    for code in known():
        for step in (REPETITION, QUALITY, FINEWEB):
            assert step.for_language(code) != step.for_language("en")
    assert limits_of("pt", "gopher_repetition")["top_2_gram"] == 0.371


def test_english_has_the_papers_limits() -> None:
    assert REPETITION.for_language("en").model_dump(exclude={"language_limits"}) == REPETITION.model_dump(
        exclude={"language_limits"}
    )
    assert limits_of("en", "gopher_quality") == {}


def real_texts() -> Iterator[str]:
    """About two hundred: pages of two collections through one extractor, and ready texts."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    for name, step in (("shared_docs", 8), ("extraction_dev", 10)):
        with (SHARED / "web" / f"{name}.warc.gz").open("rb") as stream:
            for number, record in enumerate(ArchiveIterator(stream, record_types=WarcRecordType.response)):
                if number % step == 0:
                    body = record.reader.read()
                    yield extract_plain_text(bytes_to_str(body, detect_encoding(body)), main_content=True)
    for name, step in (("c4_demo", 6), ("wiki_demo", 3)):
        with gzip.open(SHARED / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
            yield from (json.loads(line)["text"] for number, line in enumerate(stream) if number % step == 0)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_decisions_reasons_and_kept_texts_on_real_pages_are_datatroves() -> None:
    texts = [text[:20_000] for text in real_texts() if text]
    assert len(texts) > 180
    pairs = SIDE_BY_SIDE["pairs"]("en")
    different = [
        (step.name, theirs, ours)
        for text in texts
        for step, block in pairs
        if (theirs := SIDE_BY_SIDE["theirs"](block, text)) != (ours := SIDE_BY_SIDE["ours"](step, text, "en"))
    ]
    assert len(different) <= 0.002 * 4 * len(texts), different


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_portuguese_decisions_are_datatroves_with_the_limits_of_fineweb_2() -> None:
    with gzip.open(SHARED / "langid" / "udhr2.jsonl.gz", "rt", encoding="utf-8") as stream:
        lines = next(row["text"] for row in map(json.loads, stream) if row["code"] == "por_BR").split("\n")
    texts = [PROSA, PROSE, *("\n".join(lines[start : start + 12]) for start in range(0, len(lines), 12))]
    repetition, quality, fineweb = (limits_of("pt", step.name) for step in (REPETITION, QUALITY, FINEWEB))
    blocks = {
        "gopher_repetition": GopherRepetitionFilter(
            dup_line_frac=repetition["dup_line_fraction"],
            dup_para_frac=0,
            dup_line_char_frac=0,
            dup_para_char_frac=0,
            top_n_grams=[(n, repetition[f"top_{n}_gram"]) for n in (2, 3, 4)],
            dup_n_grams=[(n, repetition[f"duplicated_{n}_gram"]) for n in range(5, 11)],
            language="pt",
        ),
        "gopher_quality": GopherQualityFilter(
            min_avg_word_length=quality["min_mean_word_length"],
            max_avg_word_length=quality["max_mean_word_length"],
            max_non_alpha_words_ratio=quality["min_alphabetic_words"],
            stop_words=quality["stop_words"],
            language="pt",
        ),
        "fineweb": FineWebQualityFilter(
            line_punct_thr=fineweb["min_punctuated_lines"],
            short_line_thr=999,
            char_duplicates_ratio=0.1,
            new_line_ratio=fineweb["max_newlines_per_word"],
            language="pt",
        ),
    }
    for step in (REPETITION, QUALITY, FINEWEB):
        expected = [SIDE_BY_SIDE["theirs"](blocks[step.name], text) for text in texts]
        assert [SIDE_BY_SIDE["ours"](step, text, "pt") for text in texts] == expected
        assert {outcome.reason for outcome in expected} != {None} or step is REPETITION


def test_the_measured_values_stay_as_they_are() -> None:
    """Raise a step's `version` when this has to change."""
    page = unit(PROSE)
    for step in (REPETITION, QUALITY, FINEWEB):
        assert step.apply(page) is None
    assert {name: round(value, 6) for name, value in page.values.items() if value} == GOLDEN


GOLDEN = {
    "gopher_repetition.characters": 515.0,
    "gopher_repetition.top_2_gram": 0.052427,
    "gopher_repetition.top_3_gram": 0.027184,
    "gopher_repetition.top_4_gram": 0.034951,
    "gopher_quality.words": 100.0,
    "gopher_quality.mean_word_length": 4.06,
    "gopher_quality.alphabetic_words": 0.917431,
    "gopher_quality.stop_words": 6.0,
    "fineweb.lines": 5.0,
    "fineweb.punctuated_lines": 1.0,
    "fineweb.newlines_per_word": 0.045872,
}
