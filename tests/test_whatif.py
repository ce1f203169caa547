"""What-if: the funnel after moving a setting, held to what a rerun with that setting gives."""

import json
import tempfile
import time
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from conftest import cut_sample
from hypothesis import given, settings

from curate.artifact import Artifact, Counts, Receipt, write_receipt
from curate.errors import UsageError
from curate.runner import run
from curate.steps import (
    C4,
    FineWeb,
    GopherQuality,
    GopherRepetition,
    Language,
    Quality,
    Toxicity,
)
from curate.steps.dedup import Decisions, MinHashDedup
from curate.steps.dedup.fellows import MOST_FELLOWS
from curate.steps.filters.heuristic import ByLanguage
from curate.steps.step import Filter, Rewrite, Unit
from curate.whatif import WhatIf, whatif
from curate.whatif.decide import DROPS, PASSES, UNCLEAR, compared
from curate.whatif.rules import Limit, limits

RECIPE = """\
params: {measure: first, words: 50, alphabetic: 0.8, english: 0.65, sentences: 5, short: 0.67}
stages:
  - web:
      source: archives/*.warc.gz
      measure: ${measure}
      steps:
        - use: url
        - use: extract
        - use: language
          languages: {en: "${english}", pt: 0.65, es: 0.65, de: 0.65, fr: 0.65}
        - use: gopher_quality
          min_words: ${words}
          min_alphabetic_words: ${alphabetic}
        - use: exact_dedup
        - use: minhash_dedup
        - use: c4
          min_sentences: ${sentences}
        - use: fineweb
          max_short_lines: ${short}
"""
MOVES = {
    "words": "gopher_quality.min_words",
    "alphabetic": "gopher_quality.min_alphabetic_words",
    "english": "language.languages.en",
    "sentences": "c4.min_sentences",
    "short": "fineweb.max_short_lines",
}


class Lab:
    """One place with archives, in which recipes run once for each set of parameters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        cut_sample(folder / "archives")
        (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")

    def run(self, **params: object) -> Artifact:
        return run(self.folder / "recipe.yaml", root=self.folder / "runs", workers=1, **params)

    def both(self, measure: str, **moved: float) -> tuple[WhatIf, Artifact]:
        """The what-if of some moves, and the rerun with them."""
        told = whatif(self.run(measure=measure), [f"{MOVES[name]}={value}" for name, value in moved.items()])
        return told, self.run(measure=measure, **moved)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("whatif"))


def funnel(artifact: Artifact) -> list[tuple[str, int, int]]:
    return [(step.name, step.into, step.out) for step in artifact.receipt.steps if step.name != "read"]


def test_where_the_ledger_knows_it_all_the_funnel_is_that_of_a_rerun(lab: Lab) -> None:
    """Three steps tightened, one of which rewrites, and the last one loosened."""
    told, rerun = lab.both("all", alphabetic=0.85, sentences=12, english=0.9, short=0.9)
    assert told.exact
    assert [(step.name, *step.into[:1], *step.out[:1]) for step in told.steps] == funnel(rerun)
    assert told.dropped == rerun.receipt.counts.dropped
    assert told.kept == (rerun.receipt.counts.kept, rerun.receipt.counts.kept)


@pytest.mark.parametrize(
    ("measure", "moved"),
    [("first", {"alphabetic": 0.5, "words": 5}), ("all", {"sentences": 1, "alphabetic": 0.5})],
    ids=str,
)
def test_where_it_does_not_a_rerun_lies_between_the_least_and_the_most(lab: Lab, measure: str, moved: dict[str, float]) -> None:
    told, rerun = lab.both(measure, **moved)
    assert told.kept.least <= rerun.receipt.counts.kept <= told.kept.most
    assert told.exact == (told.kept.least == told.kept.most and not told.again)


def test_moving_nothing_gives_the_funnel_that_is_there(lab: Lab) -> None:
    artifact = lab.run()
    told = whatif(artifact, [])
    assert told.exact
    assert told.dropped == artifact.receipt.counts.dropped


def test_a_tightened_step_takes_its_reasons_from_later_ones_also_without_measure_all(lab: Lab) -> None:
    told, rerun = lab.both("first", words=90)
    assert told.exact
    assert told.dropped == rerun.receipt.counts.dropped


def test_a_loosened_rule_names_the_steps_that_would_have_to_run_again(lab: Lab) -> None:
    told = whatif(lab.run(), ["c4.min_sentences=1"])
    assert list(told.again) == ["fineweb"]
    assert told.kept.most > told.kept_before == told.kept.least


def test_a_setting_for_all_languages_names_those_with_a_limit_of_their_own(lab: Lab) -> None:
    artifact = lab.run()
    told = whatif(artifact, ["gopher_quality.min_alphabetic_words=0.5", "gopher_quality.min_words=10"])
    assert set(told.unmoved) == {"gopher_quality.min_alphabetic_words"}
    assert "pt" in told.unmoved["gopher_quality.min_alphabetic_words"] and "en" not in told.unmoved["gopher_quality.min_alphabetic_words"]
    assert told.unmoved == told.as_json()["unmoved"]
    assert ".per_language." in told.as_text()
    assert whatif(artifact, ["gopher_quality.per_language.pt.min_alphabetic_words=0.5"]).unmoved == {}


def test_a_setting_that_changes_what_is_measured_makes_the_step_run_again(lab: Lab) -> None:
    told = whatif(lab.run(), ["fineweb.short_line_characters=10"])
    assert list(told.again) == ["fineweb"]
    assert told.kept.least == 0


def synthetic(folder: Path, rows: pl.DataFrame, steps: list[dict], pairs: pl.DataFrame | None = None, report: dict | None = None) -> Artifact:
    """An artifact with this ledger; what a run of these steps would have left."""
    for name in ("ledger", "pairs"):
        (folder / name).mkdir(parents=True)
    rows.write_parquet(folder / "ledger" / "00000.parquet", row_group_size=100_000)
    if pairs is not None:
        pairs.write_parquet(folder / "pairs" / "00000.parquet")
    kept = int((rows["outcome"] == "kept").sum())
    counts = Counts(read=len(rows), kept=kept, dropped={"x.y": len(rows) - kept}, ignored={}, written=kept)
    fields = {"recipe": "r", "stage": "web", "fingerprint": "f", "config": {"steps": steps, "measure": "first"}, "inputs": []}
    write_receipt(folder, Receipt(**fields, counts=counts, steps=[], files=[], damage=[], report=report or {}))
    return Artifact(folder)


def ledger(steps: list[str | None], reasons: list[str | None], **values: list[float | None]) -> pl.DataFrame:
    count = len(steps)
    columns = {"id": [f"id{n}" for n in range(count)], "step": steps, "reason": reasons, "value": [None] * count, "language": ["en"] * count}
    table = pl.DataFrame(columns, schema_overrides={"step": pl.String, "reason": pl.String, "value": pl.Float64})
    outcome = pl.when(pl.col("step").is_null()).then(pl.lit("kept")).otherwise(pl.lit("dropped")).alias("outcome")
    return table.with_columns(outcome, *(pl.Series(name.replace("__", "."), value, pl.Float32) for name, value in values.items()))


QUALITY = {"use": "gopher_quality", "min_words": 50}
EXACT = {"use": "exact_dedup"}
MINHASH = {"use": "minhash_dedup"}


def test_the_next_of_equal_documents_takes_the_place_of_one_that_falls(tmp_path: Path) -> None:
    rows = ledger([None, "exact_dedup", "exact_dedup"], [None, *["exact_duplicate"] * 2], gopher_quality__words=[60, 80, 80])
    pairs = pl.DataFrame({"step": ["exact_dedup"] * 2, "kept": ["id0"] * 2, "dropped": ["id1", "id2"], "jaccard": [1.0, 1.0]})
    told = whatif(synthetic(tmp_path / "a", rows, [QUALITY, EXACT], pairs), ["gopher_quality.min_words=70"])
    assert told.exact
    assert told.kept == (1, 1)
    assert told.dropped == {"gopher_quality.too_few_words": 1, "exact_dedup.exact_duplicate": 1}


def test_a_cluster_only_shrinks_when_a_copy_falls(tmp_path: Path) -> None:
    rows = ledger([None, "minhash_dedup", None], [None, "near_duplicate", None], gopher_quality__words=[80, 60, 80])
    pairs = pl.DataFrame({"step": ["minhash_dedup"], "kept": ["id0"], "dropped": ["id1"], "jaccard": [0.9]})
    told = whatif(synthetic(tmp_path / "a", rows, [QUALITY, MINHASH], pairs), ["gopher_quality.min_words=70"])
    assert told.exact
    assert told.dropped == {"gopher_quality.too_few_words": 1}


def test_a_copy_that_another_kept_document_resembles_falls_to_that_one(tmp_path: Path) -> None:
    rows = ledger([None, None, "minhash_dedup"], [None, None, "near_duplicate"], gopher_quality__words=[60, 80, 80])
    pairs = pl.DataFrame({"step": ["minhash_dedup"] * 2, "kept": ["id0", "id1"], "dropped": ["id2", "id2"], "jaccard": [0.9, 0.8]})
    told = whatif(synthetic(tmp_path / "a", rows, [QUALITY, MINHASH], pairs), ["gopher_quality.min_words=70"])
    assert told.exact
    assert told.kept == (1, 1)


def test_the_far_end_of_a_chain_may_fall_when_its_middle_moves_up(tmp_path: Path) -> None:
    rows = ledger([None, "minhash_dedup", None], [None, "near_duplicate", None], gopher_quality__words=[60, 80, 80])
    pairs = pl.DataFrame({"step": ["minhash_dedup"], "kept": ["id0"], "dropped": ["id1"], "jaccard": [0.8]})
    told = whatif(synthetic(tmp_path / "a", rows, [QUALITY, MINHASH], pairs), ["gopher_quality.min_words=70"])
    assert not told.exact
    assert told.kept.least <= 1
    assert told.kept.most == 2


COPIES = """\
params: {punctuated: 0.1}
stages:
  - web:
      source: copies.jsonl
      measure: all
      steps:
        - {use: fineweb, min_punctuated_lines: "${punctuated}"}
        - {use: minhash_dedup}
        - {use: gopher_quality, min_words: 20, min_stop_words: 0}
"""


def copied(number: int, changed: int = 0, end: str = ".", title: bool = False) -> str:
    """Ten lines of ten words, the first `changed` of them others; `end` closes each line but the first three."""
    lines = []
    for line in range(10):
        said = [f"w{number}x{line}y{place}{'z' if line * 10 + place < changed else ''}" for place in range(10)]
        lines.append(" ".join(word.capitalize() if title else word for word in said) + ("." if line < 3 else end))
    return "\n".join(lines)


def test_copies_take_the_place_of_a_leader_that_falls_as_in_a_rerun(tmp_path: Path) -> None:
    texts = []
    for number in range(6):
        texts += [copied(number, end=""), copied(number, title=True), copied(number, changed=3), copied(number + 50)]
    texts += [copied(9, end=""), copied(9, changed=40), copied(9, changed=4, end=""), copied(9, end="!")]
    for number in (20, 21, 22):  # of these no copy is equal: the second takes the third along, and the fourth stays
        texts += [copied(number, end=""), copied(number, changed=6), copied(number, changed=10), copied(number, changed=30)]
    (tmp_path / "copies.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "copies.yaml").write_text(COPIES)
    told = whatif(run(tmp_path / "copies.yaml", root=tmp_path / "runs", workers=1), ["fineweb.min_punctuated_lines=0.5"])
    rerun = run(tmp_path / "copies.yaml", root=tmp_path / "runs", workers=1, punctuated=0.5).receipt.counts
    assert told.exact and told.kept_before == 20
    assert told.kept == (rerun.kept, rerun.kept) and told.dropped == rerun.dropped


def test_the_first_copy_that_is_not_equal_may_take_others_along(tmp_path: Path) -> None:
    rows = ledger([None, "minhash_dedup", "minhash_dedup", None], [None, *["near_duplicate"] * 2, None], gopher_quality__words=[60, 80, 80, 80])
    pairs = pl.DataFrame({"step": ["minhash_dedup"] * 2, "kept": ["id0"] * 2, "dropped": ["id1", "id2"], "jaccard": [0.8, 1.0]})
    told = whatif(synthetic(tmp_path / "a", rows, [QUALITY, MINHASH], pairs), ["gopher_quality.min_words=70"])
    assert not told.exact and told.kept.least <= 1 and told.kept.most == 3


def near_copy(number: int, changed: int, loud: bool) -> str:
    """A hundred words of which the first `changed` are others; loud ones count the same to a deduplication."""
    words = [f"w{number}x{place}{'z' * (place < changed)}" for place in range(100)]
    return " ".join(words).upper() + "!" if loud else " ".join(words)


def deduplicated_texts(folder: Path, texts: list[str], alive: np.ndarray, threshold: float = 0.75) -> Decisions:
    step = MinHashDedup(use="minhash_dedup", sample=0, threshold=threshold)
    folder.mkdir()
    writer = step.writer(folder)
    for number, text in enumerate(texts):
        writer.add(Unit(text=text, id=f"id{number}"))
    writer.close()
    return step.resolve([folder], alive)


DOCUMENTS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 0, 0, 4, 9, 14, 60]), st.booleans(), st.booleans()), min_size=2, max_size=16)


@given(documents=DOCUMENTS, threshold=st.sampled_from([0.75, 0.75, 0.8, 0.999]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_whoever_falls_a_deduplication_without_them_keeps_what_was_told(documents: list[tuple[int, int, bool, bool]], threshold: float) -> None:
    texts = [near_copy(number, changed, loud) for number, changed, loud, _ in documents]
    stays = np.array([stays for *_, stays in documents])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        first = deduplicated_texts(folder / "first", texts, np.ones(len(texts), bool))
        again = deduplicated_texts(folder / "again", texts, stays, threshold)
        fell, moved = first.twin >= 0, ["gopher_quality.min_words=70", f"minhash_dedup.threshold={threshold}"]
        rows = ledger([["minhash_dedup", None][not one] for one in fell], [["near_duplicate", None][not one] for one in fell], gopher_quality__words=np.where(stays, 80, 60).tolist())
        kept, dropped, jaccard = first.pairs
        named = {"step": ["minhash_dedup"] * len(kept), "kept": [f"id{n}" for n in kept], "dropped": [f"id{n}" for n in dropped], "jaccard": jaccard}
        pairs = pl.DataFrame(named, schema={"step": pl.String, "kept": pl.String, "dropped": pl.String, "jaccard": pl.Float32})
        told = whatif(synthetic(folder / "a", rows, [QUALITY, MINHASH], pairs, {"minhash_dedup": first.report}), moved)
    assert told.kept.least <= int((stays & (again.twin < 0)).sum()) <= told.kept.most
    assert told.exact == (told.kept.least == told.kept.most and not told.again)
    assert told.exact or len(documents) > MOST_FELLOWS, "all pairs are known"
    if len({one[:2] for one in documents}) == len({one[0] for one in documents}):
        assert told.exact, "all copies are equal"


FRACTIONS = st.integers(0, 64).map(lambda number: number / 64)
STEPS = st.one_of(
    st.builds(GopherQuality, use=st.just("gopher_quality"), min_words=st.integers(0, 9) | st.none(), max_bullet_lines=FRACTIONS | st.none()),
    st.builds(GopherRepetition, use=st.just("gopher_repetition"), top_2_gram=FRACTIONS, dup_line_fraction=FRACTIONS | st.none()),
    st.builds(FineWeb, use=st.just("fineweb"), min_punctuated_lines=FRACTIONS, max_newlines_per_word=FRACTIONS | st.none()),
    st.builds(C4, use=st.just("c4"), min_sentences=st.integers(0, 9) | st.none()),
    st.builds(Quality, use=st.just("quality"), model=st.just("m.bin"), threshold=FRACTIONS | st.none()),
    st.builds(Toxicity, use=st.just("toxicity"), threshold=st.just(0.25) | st.none()),
    st.builds(Language, use=st.just("language"), languages=st.sampled_from(["en", "pt", ("pt", "en")]), threshold=FRACTIONS),
)


@given(step=STEPS, language=st.sampled_from(["en", "pt", "de"]), data=st.data())
@settings(max_examples=200, deadline=None)
def test_limits_over_columns_decide_as_the_step_does(step: Filter | Rewrite, language: str, data: st.DataObject) -> None:
    found = limits(step, language)
    names = sorted({limit.value for limit in found}) or ["score"]
    values = {name: data.draw(st.integers(0, 9).map(float) | FRACTIONS) for name in names}
    kept = {"kept": list(step.keep).index(language) + 1 if language in step.keep else 0} if isinstance(step, Language) else {}
    settled = step.for_language(language) if isinstance(step, ByLanguage) else step
    drop = settled.decide({**values, **kept})
    broken = next((limit for limit in found if compared(np.array([values[limit.value]]), _exact(limit), None)[0] == DROPS), None)
    assert (broken and broken.reason) == (drop and drop.reason)


def _exact(limit: Limit) -> Limit:
    """Values here did not go through float32."""
    return limit._replace(kind="count")


def test_a_value_on_the_limit_is_told_by_the_size_of_its_text() -> None:
    quarter = Limit("v", "above", 0.3, "r", "ratio")
    value = np.float64(np.float32([0.3, 0.3, 0.31]))
    assert compared(value, quarter, np.array([1000.0, 1e9, 1e9])).tolist() == [PASSES, UNCLEAR, DROPS]


@pytest.mark.parametrize(
    "text",
    ["gopher_qualty.min_words=4", "gopher_quality.min_word=4", "gopher_quality.min_words=-4", "gopher_quality.min_words", "c4.min_sentences.x=4"],
)
def test_a_setting_that_does_not_exist_is_refused(lab: Lab, text: str) -> None:
    with pytest.raises(UsageError, match="gopher_qual|c4|min_sentences"):
        whatif(lab.run(), [text])


def test_a_million_documents_are_answered_in_seconds(tmp_path: Path) -> None:
    count, random = 1_000_000, np.random.default_rng(0)
    words = random.integers(10, 400, count).astype(np.float32)
    few = words < 50
    rows = pl.DataFrame(
        {
            "id": pl.Series(np.arange(count)).cast(pl.String),
            "step": pl.Series(np.where(few, "gopher_quality", "")).replace("", None),
            "reason": pl.Series(np.where(few, "too_few_words", "")).replace("", None),
            "value": pl.Series(np.where(few, words, np.nan)).fill_nan(None),
            "language": random.choice(["en", "pt", "es"], count),
            "outcome": np.where(few, "dropped", "kept"),
            "gopher_quality.words": words,
            "gopher_quality.mean_word_length": pl.Series(np.where(few, np.nan, random.random(count) * 8 + 3)).cast(pl.Float32).fill_nan(None),
        }
    )
    nothing = pl.DataFrame({"step": ["minhash_dedup"], "kept": ["1"], "dropped": ["2"], "jaccard": [0.9]})
    artifact = synthetic(tmp_path / "a", rows, [{**QUALITY, "language_limits": False}, {"use": "fineweb"}, MINHASH], nothing)
    started = time.process_time()
    told = whatif(artifact, ["gopher_quality.min_words=100", "gopher_quality.max_mean_word_length=9"])
    assert time.process_time() - started < 10
    assert told.read == count
    assert told.kept.most == int(((words >= 100) & (rows["gopher_quality.mean_word_length"].fill_null(0) <= 9).to_numpy()).sum())


REFINE = """\
params: {words: 3, characters: 400}
stages:
  - ingest: {source: {paths: [rows.jsonl]}}
  - refine:
      steps:
        - use: length
          unit: characters
          row: {max: "${characters}"}
        - use: gopher_quality
          on: answer
          min_words: ${words}
          min_stop_words: 0
          min_mean_word_length: 0
          language_limits: false
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe over three conversations, one of which is kept."""
    folder = tmp_path_factory.mktemp("rows")
    answers = [["Yes."], ["A long answer of many good words.", "No."], ["And so is this one, as you can see.", "This one is long enough."]]
    turns = [[part for answer in said for part in (("user", "Why is that so?"), ("assistant", answer))] for said in answers]
    lines = [json.dumps({"messages": [{"role": role, "content": text} for role, text in row]}) for row in turns]
    (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "refine.yaml").write_text(REFINE, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("moved", "setting"), [({"words": 6}, "gopher_quality.answer.min_words=6"), ({"characters": 50}, "length.row.max=50")])
def test_of_rows_with_several_texts_the_ledger_has_the_values_of_one(rows: Path, moved: dict[str, int], setting: str) -> None:
    told = whatif(run(rows / "refine.yaml", root=rows / "runs", workers=1), [setting])
    rerun = run(rows / "refine.yaml", root=rows / "runs", workers=1, **moved).receipt.counts
    assert told.exact == ("characters" in moved)
    assert told.kept.least <= rerun.kept <= told.kept.most
    assert told.kept_before == 1
