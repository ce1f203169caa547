"""Fitting limits to a language: what a sample gives, how far two samples agree, and what a recipe does with the file."""

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest

import curate
from curate.artifact import Artifact
from curate.config import UsageError
from curate.fit.language import FEWEST, LanguageFit, fit_language
from curate.fit.limits import ENGLISH, FITTED, VALUES, Moments, settled
from curate.recipe import load
from curate.planning import plan
from curate.steps.dedup.estimate import wilson
from curate.steps.filters import C4, FineWeb, GopherQuality, GopherRepetition
from curate.steps.step import Unit

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not (SHARED / "web").exists(), reason="../shared/data is not here")
FILTERS = ((GopherRepetition, "gopher_repetition"), (GopherQuality, "gopher_quality"), (FineWeb, "fineweb"))
COMMON = "o a de que e do da em um para com não uma os no se na por mais as".split()
RARE = [f"{start}{middle}{end}" for start in ("ca", "lo", "mi", "pe") for middle in ("rta", "ndi", "so") for end in ("m", "va", "r")]


def prose(seed: int) -> str:
    """Lines of drawn Portuguese words; some end as a heading does."""
    draw = random.Random(seed)
    lines = []
    for _ in range(draw.randint(10, 40)):
        words = [draw.choice(COMMON if draw.random() < 0.6 else RARE) for _ in range(draw.randint(4, 14))]
        lines.append(" ".join(words).capitalize() + ("" if draw.random() < 0.3 else "."))
    return "\n".join(lines)


def write_rows(path: Path, rows: list[dict]) -> Path:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"text": prose(seed)} for seed in range(300)]
    return write_rows(tmp_path_factory.mktemp("sample") / "pt.jsonl.gz", rows)


@pytest.fixture(scope="module")
def fitted(sample: Path) -> LanguageFit:
    return fit_language(sample, language="pt")


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The main text of real German pages, each site once."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text

    from curate.steps.language import identify

    texts = []
    with (SHARED / "web" / "extraction_dev.warc.gz").open("rb") as archive:
        for record in ArchiveIterator(archive, record_types=WarcRecordType.response, parse_http=True):
            page = record.reader.read().decode("utf-8", "replace")
            text = extract_plain_text(page, main_content=True, comments=False)
            if identify(text[:3000]).language == "de":
                texts.append(text)
    random.Random(1).shuffle(texts)
    return texts


def verdicts(limits: Path | None, texts: list[str], code: str) -> np.ndarray:
    """True where the filters keep a text by a file of limits, or by the published ones."""
    files = {"language_files": {code: str(limits)}} if limits else {}
    steps = [step.model_validate({"use": use, **files}) for step, use in FILTERS]
    units = [Unit(text=text, id=str(number), language=code) for number, text in enumerate(texts)]
    return np.array([all(step.apply(unit) is None for step in steps) for unit in units])


def test_fewer_than_200_documents_are_refused_and_the_remedies_named(tmp_path: Path) -> None:
    few = write_rows(tmp_path / "few.jsonl", [{"text": prose(seed)} for seed in range(FEWEST - 1)])
    with pytest.raises(UsageError, match=r"199 distinct documents.*200 are the fewest.*--force"):
        fit_language(few, language="pt")
    forced = fit_language(few, language="pt", force=True)
    assert forced.documents == 199 and "do not lean on these limits" in forced.as_text()


def test_copies_short_texts_and_other_languages_do_not_make_a_sample_larger(tmp_path: Path) -> None:
    rows = [{"text": prose(seed)} for seed in range(FEWEST - 1)]
    useless = [{"text": prose(0)}, {"text": "Pouco texto."}, {"text": prose(900), "language": "gl"}, {"text": " "}]
    mixed = write_rows(tmp_path / "mixed.jsonl", rows + useless)
    reasons = "1 left out as empty, 1 left out as other_language, 1 left out as same_text, 1 left out as too_few_words"
    with pytest.raises(UsageError, match=f"199 distinct documents, {reasons}"):
        fit_language(mixed, language="pt")


def test_a_label_in_another_spelling_is_no_other_language(tmp_path: Path) -> None:
    rows = [{"text": prose(seed), "language": ("pt", "por_Latn")[seed % 2]} for seed in range(FEWEST)]
    assert fit_language(write_rows(tmp_path / "pt.jsonl", rows), language="pt").documents == FEWEST


def test_an_empty_sample_is_refused_even_when_forced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 distinct documents"):
        fit_language(write_rows(tmp_path / "none.jsonl", [{"text": "a"}]), language="pt", force=True)


def test_what_is_no_language_code_is_refused(sample: Path) -> None:
    with pytest.raises(UsageError, match="no language code"):
        fit_language(sample, language="Portuguese")


def test_stop_words_are_those_above_the_floor_with_their_counted_shares(fitted: LanguageFit) -> None:
    words = {stop.word: stop for stop in fitted.stop_words}
    assert fitted.floor == 0.008 and set(COMMON) <= set(words)
    texts = " ".join(prose(seed) for seed in range(300)).lower().replace(".", " ").split()
    assert words["para"].share == pytest.approx(texts.count("para") / len(texts), abs=1e-4)
    assert all(stop.low <= stop.share <= stop.high and stop.share > 0.008 for stop in fitted.stop_words)


def test_a_language_of_few_common_words_gets_the_next_floor(tmp_path: Path) -> None:
    def text(seed: int) -> str:
        draw = random.Random(seed)
        return " ".join(draw.choice(["talo", "ja"]) if draw.random() < 0.2 else f"sana{draw.randint(0, 255)}x" for _ in range(80))

    fit = fit_language(write_rows(tmp_path / "fi.jsonl", [{"text": text(seed)} for seed in range(250)]), language="fi")
    assert fit.floor == 0.003 and {"talo", "ja"} <= {stop.word for stop in fit.stop_words}


def test_a_tail_limit_drops_a_tenth_of_its_sample_and_lies_in_its_interval(fitted: LanguageFit) -> None:
    tails = [limit for limit in fitted.limits if limit.field in ("min_punctuated_lines", "max_newlines_per_word")]
    assert len(tails) == 2
    for limit in tails:
        assert 0.08 < limit.dropped <= 0.1 and limit.low <= limit.value <= limit.high and limit.low < limit.high


def test_a_repetition_limit_stands_where_the_english_one_does_in_english() -> None:
    place = next(number for number, limit in enumerate(FITTED) if limit.field == "top_2_gram")
    values = np.zeros((4, len(VALUES)))
    values[:, VALUES.index("top_2_gram")] = [0.1, 0.1, 0.3, 0.3]
    english = {**ENGLISH, "top_2_gram": Moments(0.05, 0.05)}
    assert settled(values, english)[place] == pytest.approx(0.2 + 3 * 0.1)


def test_a_value_that_never_differs_turns_its_rule_off(tmp_path: Path) -> None:
    one_line = [{"text": prose(seed).replace("\n", " ")} for seed in range(FEWEST)]
    limits = fit_language(write_rows(tmp_path / "lines.jsonl", one_line), language="pt").as_limits()
    assert limits["fineweb"]["max_newlines_per_word"] is None
    assert limits["gopher_repetition"]["dup_line_fraction"] is None


def test_the_same_texts_in_another_order_write_the_same_bytes(sample: Path, fitted: LanguageFit, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in gzip.open(sample)]
    again = fit_language(write_rows(tmp_path / sample.name, rows[::-1]), language="pt")
    fitted.write(tmp_path / "one.json")
    again.write(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_english_of_the_same_sort_takes_the_place_of_the_moments_here(sample: Path, fitted: LanguageFit) -> None:
    """Measured against itself, a sample's limits are the English ones."""
    itself = fit_language(sample, language="pt", english=sample)
    limits = {limit.field: limit.value for limit in itself.limits}
    english = GopherRepetition(use="gopher_repetition")
    assert limits["top_3_gram"] == english.top_3_gram != fitted.limits[2].value
    assert (limits["min_mean_word_length"], limits["max_mean_word_length"]) == (3, 10)


def test_every_number_of_the_report_has_its_interval(fitted: LanguageFit) -> None:
    lines = fitted.as_text().splitlines()
    for limit in fitted.limits:
        (line,) = [line for line in lines if line.startswith(f"{limit.step}.{limit.field} ")]
        assert limit.value is None or "[" in line
    assert lines[-1].startswith("the sample would lose 0.")


RECIPE = """\
stages:
  - web:
      source: in.jsonl
      steps:
        - use: gopher_quality
          language_files: {pt: pt.json}
"""


def test_a_recipe_keeps_and_drops_by_the_written_file(fitted: LanguageFit, tmp_path: Path) -> None:
    longest = next(limit.value for limit in fitted.limits if limit.field == "max_mean_word_length")
    short, long = prose(3), " ".join(["desenvolvimento de", "responsabilidade a", "internacionalmente"] * 30)
    write_rows(tmp_path / "in.jsonl", [{"text": text, "language": "pt"} for text in (short, long)])
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    fitted.write(tmp_path / "pt.json")
    made: Artifact = curate.run(tmp_path / "recipe.yaml", root=tmp_path / "runs", workers=1)
    kept, dropped = made.ledger().sort("offset").collect().rows(named=True)
    assert kept["outcome"] == "kept" and dropped["reason"] == "words_too_long"
    assert dropped["threshold"] == longest < dropped["value"] < 13, "Portuguese by FineWeb-2 has 13"


def test_an_artifact_is_a_sample_and_one_document_turns_every_rule_off(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", [{"text": prose(3), "language": "pt"}])
    (tmp_path / "recipe.yaml").write_text(RECIPE.partition("          language_files")[0])
    made: Artifact = curate.run(tmp_path / "recipe.yaml", root=tmp_path / "runs", workers=1)
    fit = fit_language(made.path, language="pt", force=True)
    assert fit.documents == 1 and {limit.value for limit in fit.limits} == {None}
    fit.write(tmp_path / "pt.json")
    assert verdicts(tmp_path / "pt.json", [prose(3)], "pt").all()


def test_an_edited_file_is_another_run(fitted: LanguageFit, tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", [{"text": prose(3)}])
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    fitted.write(tmp_path / "pt.json")
    before = plan(load(tmp_path / "recipe.yaml", {}), tmp_path / "runs")[-1].fingerprint
    (tmp_path / "pt.json").write_text((tmp_path / "pt.json").read_text().replace("seed 0", "seed 7"))
    assert plan(load(tmp_path / "recipe.yaml", {}), tmp_path / "runs")[-1].fingerprint != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "holds no limits by step"),
        ('{"gopher_quality": {"min_wrods": 3}}', "gopher_quality.min_wrods"),
    ],
)
def test_a_file_that_holds_no_limits_is_told_with_the_recipes_line(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "pt.json").write_text(content)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with pytest.raises(UsageError, match=rf"recipe.yaml:6: 'language_files': .*pt.json.*{message}"):
        load(tmp_path / "recipe.yaml", {})


def test_a_file_stands_above_the_published_limits_and_below_what_the_recipe_says(fitted: LanguageFit, tmp_path: Path) -> None:
    fitted.write(tmp_path / "pt.json")
    step = GopherQuality.model_validate(
        {
            "use": "gopher_quality",
            "language_limits": False,
            "language_files": {"pt": str(tmp_path / "pt.json")},
            "per_language": {"pt": {"max_mean_word_length": 19}},
        }
    )
    pt = step.for_language("pt")
    assert pt.stop_words == tuple(stop.word for stop in fitted.stop_words) and pt.max_mean_word_length == 19
    assert step.for_language("de").max_mean_word_length == 10
    assert C4.model_validate({"use": "c4", "language_files": {"pt": str(tmp_path / "pt.json")}}).for_language("pt")


@needs_shared
def test_two_samples_of_a_language_decide_alike_about_other_documents(german: list[str], tmp_path: Path) -> None:
    """Of real pages: limits of 200 and of 200 others, on those that neither has seen."""
    held_out, paths, fits = german[2 * 220 :], [], []
    for number, texts in enumerate((german[:220], german[220:440])):
        rows = write_rows(tmp_path / f"{number}.jsonl", [{"text": text} for text in texts])
        fits.append(fit_language(rows, language="de"))
        paths.append(tmp_path / f"{number}.json")
        fits[-1].write(paths[-1])
    one, two, published = (verdicts(path, held_out, "de") for path in (*paths, None))
    alike = int((one == two).sum())
    low, high = wilson(alike, len(held_out))
    print(f"alike {alike} of {len(held_out)} [{low}, {high}]; as published {(one == published).mean():.3f}; kept {one.mean():.3f}")
    assert alike / len(held_out) >= 0.9 and low >= 0.85
    assert 0.5 < one.mean() < 1
    for first, second in zip(fits[0].limits, fits[1].limits, strict=True):
        assert first.low <= second.high and second.low <= first.high, f"{first.field}: the intervals do not meet"
