"""Deduplication: what falls, to which twin, at what similarity, and what the run says about itself."""

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from curate.steps.dedup import Decisions, Dedup, ExactDedup, MinHashDedup, store
from curate.steps.dedup.estimate import wilson
from curate.steps.dedup.permutations import signatures
from curate.steps.dedup.shingles import shingle_sets, shingles
from curate.steps.dedup.similarity import jaccard
from curate.steps.dedup.tokens import token_hashes
from curate.steps.step import Unit

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
STEPS = [
    MinHashDedup(use="minhash_dedup"),
    ExactDedup(use="exact_dedup"),
    MinHashDedup(use="minhash_dedup", keep="longest", verify=False),
]
CHINESE = (
    "人工智能是计算机科学的一个分支它企图了解智能的实质并生产出一种新的能以人类智能相似的方式做出反应的智能机器"
    "该领域的研究包括机器人语言识别图像识别自然语言处理和专家系统等从诞生以来理论和技术日益成熟应用领域也不断扩大"
)
JAPANESE = (
    "日本の首都は東京であり、世界でも有数の大都市として知られている。江戸時代から続く文化と最新の技術が"
    "同居し、毎年多くの観光客が訪れる。春には桜が咲き、秋には紅葉が街を彩る。"
)
THAI = (
    "ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอนหรือวรรณยุกต์เช่นเดียวกับภาษาจีนและออกเสียงแยกคำต่อคำ"
    "กรุงเทพมหานครเป็นเมืองหลวงและนครที่มีประชากรมากที่สุดของประเทศไทย"
)


def words(count: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    return ["".join(generator.choices("abcdefghijklmnop", k=generator.randint(3, 8))) for _ in range(count)]


def edited(source: list[str], share: float, seed: int, start: float = 0.3) -> list[str]:
    """A span of `share` of the words replaced by new ones."""
    count = round(share * len(source))
    first = round(start * len(source))
    return source[:first] + words(count, seed) + source[first + count :]


def text(count: int, seed: int) -> str:
    return " ".join(words(count, seed))


def unit(content: str, number: int, **fields: object) -> Unit:
    return Unit(text=content, id=fields.pop("id", f"{number:08d}"), **fields)


def resolved(
    step: Dedup, units: list[Unit], folder: Path, ranks: tuple[int, ...] = (), alive: list[bool] | None = None
) -> Decisions:
    """The decisions over `units`, cut in ranks before the given positions."""
    cuts = [0, *ranks, len(units)]
    directories = []
    for rank, (start, end) in enumerate(zip(cuts[:-1], cuts[1:], strict=True)):
        directory = folder / f"{len(list(folder.iterdir())):05d}-{rank}"
        directory.mkdir()
        writer = step.writer(directory)
        for one in units[start:end]:
            writer.add(one)
        writer.close()
        directories.append(directory)
    return step.resolve(directories, np.array([True] * len(units) if alive is None else alive, bool))


def near(texts: list[str], folder: Path, **settings: object) -> Decisions:
    step = MinHashDedup(use="minhash_dedup", **settings)
    return resolved(step, [unit(content, number) for number, content in enumerate(texts)], folder)


def same(left: Decisions, right: Decisions) -> bool:
    arrays = ("twin", "value", "cluster", "cluster_size")
    equal = all(np.array_equal(getattr(left, name), getattr(right, name), equal_nan=name == "value") for name in arrays)
    return equal and all(map(np.array_equal, left.pairs, right.pairs)) and left.report == right.report


def test_a_near_duplicate_falls_to_its_twin_with_their_true_similarity(tmp_path):
    original = words(300, 1)
    copy = edited(original, 0.05, 2)
    found = near([" ".join(original), text(300, 3), " ".join(copy)], tmp_path)
    truth = jaccard(shingles(" ".join(original)), shingles(" ".join(copy)))
    assert found.twin.tolist() == [-1, -1, 0]
    assert found.value[2] == pytest.approx(truth) and 0.75 < truth < 1
    assert MinHashDedup(use="minhash_dedup").drop(0.9) == ("near_duplicate", 0.9, 0.75)


def test_similarity_is_that_of_sets_of_five_words_counted_by_hand():
    left = "a b c d e f g h i j"
    right = "a b c d e f g h i k"
    assert jaccard(shingles(left), shingles(right)) == pytest.approx(5 / 7)


def test_unrelated_documents_stay_and_belong_to_no_cluster(tmp_path):
    found = near([text(200, seed) for seed in range(40)], tmp_path)
    assert (found.twin == -1).all() and (found.cluster == -1).all() and (found.cluster_size == 1).all()
    assert np.isnan(found.value).all() and found.report["cluster_sizes"] == {"1": 40}


def test_the_far_end_of_a_chain_stays(tmp_path):
    first = words(400, 1)
    second = edited(first, 0.1, 2, start=0.1)
    third = edited(second, 0.1, 3, start=0.6)
    fourth = edited(third, 0.02, 4, start=0.3)
    chain = [" ".join(link) for link in (first, second, third, fourth)]
    sets = [shingles(link) for link in chain]
    assert jaccard(sets[0], sets[1]) > 0.75 and jaccard(sets[1], sets[2]) > 0.75 > jaccard(sets[0], sets[2])
    settings = {"buckets": 40, "hashes_per_bucket": 3}
    found = near(chain, tmp_path, **settings)
    assert found.twin.tolist() == [-1, 0, -1, 2]
    assert found.cluster.tolist() == [0, 0, 2, 2] and found.cluster_size.tolist() == [2, 2, 2, 2]
    linked = near(chain, tmp_path, verify=False, **settings)
    assert linked.twin.tolist() == [-1, 0, 0, 0]
    assert linked.value[2] == pytest.approx(jaccard(sets[0], sets[2]))


def test_a_shared_band_without_true_similarity_drops_nobody(tmp_path):
    original = words(300, 1)
    half = edited(original, 0.4, 2)
    settings = {"buckets": 64, "hashes_per_bucket": 1}
    found = near([" ".join(original), " ".join(half)], tmp_path, **settings)
    assert found.twin.tolist() == [-1, -1]
    assert found.report["candidate_pairs"] == 1 and found.report["candidate_precision"] == 0
    assert near([" ".join(original), " ".join(half)], tmp_path, verify=False, **settings).twin.tolist() == [-1, 0]


def test_the_most_similar_kept_document_becomes_the_twin(tmp_path):
    first = words(400, 1)
    second = edited(first, 0.2, 2, start=0.1)
    between = second[:88] + first[88:]
    sets = [shingles(" ".join(one)) for one in (first, second, between)]
    assert jaccard(sets[0], sets[1]) < 0.7 < jaccard(sets[0], sets[2]) < jaccard(sets[1], sets[2])
    settings = {"threshold": 0.7, "buckets": 64, "hashes_per_bucket": 2}
    found = near([" ".join(one) for one in (first, second, between)], tmp_path, **settings)
    assert found.twin.tolist() == [-1, -1, 1]
    assert found.pairs.kept.tolist() == [0, 1] and found.pairs.dropped.tolist() == [2, 2]


@pytest.mark.parametrize(("keep", "kept"), [("first", 0), ("longest", 1), ("newest", 2), ("best_score", 3)])
def test_keep_says_which_of_a_cluster_stays(tmp_path, keep, kept):
    original = words(300, 1)
    units = [
        unit(" ".join(original), 0, date="2020-01-01", values={"quality.score": 0.1}),
        unit(" ".join([*original, "and", "some", "more", "words"]), 1, date="not a date", values={}),
        unit(" ".join(original[1:]), 2, date="2024-05-01T10:00:00Z", values={"quality.score": 0.2}),
        unit(" ".join(original[2:]), 3, date="2023-05-01T10:00:00+02:00", values={"quality.score": 0.9}),
    ]
    score = "quality.score" if keep == "best_score" else None
    found = resolved(MinHashDedup(use="minhash_dedup", keep=keep, score=score), units, tmp_path, ranks=(2,))
    assert np.flatnonzero(found.twin < 0).tolist() == [kept]
    assert set(found.cluster.tolist()) == {kept} and (found.cluster_size == 4).all()


@pytest.mark.parametrize("use", ["exact", "minhash"])
def test_equally_preferred_documents_are_decided_by_id(tmp_path, use):
    exact, near_by = ExactDedup(use="exact_dedup", keep="newest"), MinHashDedup(use="minhash_dedup", keep="newest")
    step = exact if use == "exact" else near_by
    units = [unit(text(100, 1), 0, id=name, date="2024-01-01") for name in ("cc", "aa", "bb")]
    assert resolved(step, units, tmp_path).twin.tolist() == [1, -1, 1]


@pytest.mark.parametrize("content", [CHINESE, JAPANESE, THAI], ids=["Chinese", "Japanese", "Thai"])
def test_texts_without_spaces_are_compared_by_characters(tmp_path, content):
    copy = content[:-3] + "新しい"
    other = "".join(random.Random(4).sample(content, len(content)))
    found = near([content, copy, other], tmp_path)
    assert found.twin.tolist() == [-1, 0, -1]
    assert found.value[1] > 0.75


def hashes(content: str, fold_numbers: bool = False) -> list[int]:
    return token_hashes([content], fold_numbers).hashes.tolist()


def test_mixed_text_is_cut_by_its_own_script():
    assert hashes("用Python写code，好!") == hashes("用 python 写 code 好") and len(hashes("用Python写code，好!")) == 5
    assert len(hashes("한국어 문장")) == 2 and len(hashes("ภาษา")) == 4


def test_case_marks_and_punctuation_do_not_count_and_numbers_do():
    assert hashes("Café—NAÏVE, don't") == hashes("cafe naive don t")
    assert hashes("Cafe\u0301 İs soft\u00adware") == hashes("café is software")
    assert hashes("A  b\n(c)_d") == hashes("a b c d") != hashes("a b d c")
    assert hashes("ab ba") != hashes("ba ab") and hashes("ab") != hashes("ba")
    assert hashes("costs 12") != hashes("costs 13")
    assert hashes("costs 12.50 x2y", fold_numbers=True) == hashes("costs 13.1 x77y", fold_numbers=True)
    assert hashes("!!! ... \U0001f600") == []


def test_tokens_of_many_texts_are_those_of_each(monkeypatch):
    texts = ["", "one two", "。", "三 four", text(300, 1), "e\u0301", "\u0301", "12 345", "x"]
    for piece in (1 << 20, 50):
        monkeypatch.setattr("curate.steps.dedup.tokens._PIECE", piece)
        for fold in (False, True):
            together = token_hashes(texts, fold)
            assert together.hashes.tolist() == [one for content in texts for one in hashes(content, fold)]
            assert together.counts.tolist() == [len(hashes(content, fold)) for content in texts]


def test_a_listing_that_differs_in_numbers_only_stays_unless_numbers_are_folded(tmp_path):
    rows = [" ".join(f"part {10 * k + page} price {k}.{page}" for k in range(60)) for page in range(2)]
    assert near(rows, tmp_path).twin.tolist() == [-1, -1]
    assert near(rows, tmp_path, fold_numbers=True).twin.tolist() == [-1, 0]


def test_empty_texts_stay_and_short_ones_are_one_shingle(tmp_path):
    found = near(["", "Hello", "...", "hello!", "", "hello there", "a b c d e", "a b c d e"], tmp_path)
    assert found.twin.tolist() == [-1, -1, -1, 1, -1, -1, -1, 6]


def test_a_document_may_be_longer_than_a_block_and_blocks_do_not_matter(tmp_path):
    long = words(40_000, 1)
    texts = [text(50, 2), " ".join(long), text(50, 3), " ".join(edited(long, 0.02, 4)), text(50, 2)]
    assert near(texts, tmp_path).twin.tolist() == [-1, -1, -1, 1, 0]


def corpus(count: int = 120) -> list[str]:
    """Originals, each with copies at several edits, and boilerplate that some share."""
    boilerplate = words(120, 999)
    texts = []
    for seed in range(count // 4):
        original = words(200, seed)
        texts += [" ".join(edited(original, share, seed + 1000)) for share in (0, 0.03, 0.2)]
        texts.append(" ".join(boilerplate + words(60, seed + 5000)))
    return texts


@pytest.mark.parametrize("step", STEPS, ids=["near", "exact", "linked"])
def test_the_ranks_do_not_change_the_decisions(tmp_path, step):
    units = [unit(content, number) for number, content in enumerate(corpus())]
    alive = [number % 7 != 3 for number in range(len(units))]
    whole = resolved(step, units, tmp_path, alive=alive)
    cut = resolved(step, units, tmp_path, ranks=(1, 40, 40, 77), alive=alive)
    assert same(whole, cut)


@pytest.mark.parametrize("verify", [True, False])
def test_how_little_is_in_memory_at_once_does_not_change_the_decisions(tmp_path, monkeypatch, verify):
    step = MinHashDedup(use="minhash_dedup", verify=verify)
    originals = [words(60, seed) for seed in range(12)]
    units = [unit(" ".join(one), number) for number, one in enumerate(originals)]
    units += [unit(" ".join(edited(one, 0.05, 100 + number)), 20 + number) for number, one in enumerate(originals)]
    (tmp_path / "whole").mkdir()
    (tmp_path / "bit").mkdir()
    whole = resolved(step, units, tmp_path / "whole")
    for name, value in (("_MOST_OPEN", 2), ("_HELD_BYTES", 600), ("_DOCUMENTS_READ", 3), ("_BANDS_READ", 5)):
        monkeypatch.setattr(store, name, value)
    bit_by_bit = resolved(step, units, tmp_path / "bit", ranks=(1, 4, 5, 9, 16, 20))
    assert whole.leaving.sum() == 12 and same(whole, bit_by_bit)


def test_signature_files_are_the_same_bytes_whatever_came_before(tmp_path):
    units = [unit(content, number) for number, content in enumerate(corpus(40))]
    step = MinHashDedup(use="minhash_dedup", keep="newest")
    resolved(step, units, tmp_path)
    token_hashes(["何か他の文章 ข้อความอื่น другой текст"])
    resolved(step, units, tmp_path)
    one, two = sorted(tmp_path.iterdir())
    files = sorted(one.iterdir())
    assert len(files) == 4 and all(file.read_bytes() == (two / file.name).read_bytes() for file in files)


def test_the_hashes_are_what_they_were_or_the_version_was_raised():
    sets = shingle_sets(["The quick brown fox jumps over the lazy dog, 今天天气很好."], 5)
    assert (sets.values[:2].tolist(), len(sets.values)) == ([194219216, 463837885], 11)
    assert signatures(sets, 3, 1).tolist() == [[990274695, 530356581, 266462896]]


def test_equal_hashes_are_as_frequent_as_the_sets_are_similar():
    pairs = []
    for seed in range(300):
        original = words(200, seed)
        pairs += [" ".join(original), " ".join(edited(original, 0.1, seed + 1000))]
    sets = [shingles(one) for one in pairs]
    truth = np.mean([jaccard(left, right) for left, right in zip(sets[::2], sets[1::2], strict=True)])
    least = signatures(shingle_sets(pairs, 5), 112, 1)
    assert (least[::2] == least[1::2]).mean() == pytest.approx(truth, abs=0.01)


def test_documents_dropped_earlier_neither_keep_nor_drop_nor_count(tmp_path):
    units = [unit(text(100, 1), number) for number in range(3)]
    step = MinHashDedup(use="minhash_dedup")
    found = resolved(step, units, tmp_path, alive=[False, True, True])
    assert found.twin.tolist() == [-1, -1, 1]
    assert found.cluster.tolist() == [-1, 1, 1] and found.report["documents"] == 2
    exact = resolved(ExactDedup(use="exact_dedup"), units, tmp_path, alive=[False, True, True])
    assert exact.twin.tolist() == [-1, -1, 1] and exact.report["cluster_sizes"] == {"2": 1}


@pytest.mark.parametrize("step", STEPS, ids=["near", "exact", "linked"])
def test_no_documents_and_no_ranks_give_empty_decisions(tmp_path, step):
    assert step.resolve([], np.zeros(0, bool)).twin.tolist() == []
    assert resolved(step, [], tmp_path).report["documents"] == 0
    assert resolved(step, [unit(text(9, 1), 0)], tmp_path, alive=[False]).twin.tolist() == [-1]
    assert resolved(step, [unit("", 0)], tmp_path, ranks=(0, 1)).cluster_size.tolist() == [1]


def test_a_wrong_number_of_documents_is_refused(tmp_path):
    step = MinHashDedup(use="minhash_dedup")
    with pytest.raises((ValueError, IndexError)):
        resolved(step, [unit(text(9, 1), 0)], tmp_path, alive=[True, True])


def test_exact_copies_fall_and_near_ones_stay(tmp_path):
    texts = ["One text, two lines.\nHere.", "One text,  two lines. Here.", "one text two lines here", "More.", "More."]
    units = [unit(content, number) for number, content in enumerate(texts)]
    found = {
        normalise: resolved(ExactDedup(use="exact_dedup", normalise=normalise), units, tmp_path).twin.tolist()
        for normalise in ("none", "whitespace", "full")
    }
    assert found == {"none": [-1, -1, -1, -1, 3], "whitespace": [-1, 0, -1, -1, 3], "full": [-1, 0, 0, -1, 3]}
    assert ExactDedup(use="exact_dedup").drop(1.0).reason == "exact_duplicate"


def test_texts_of_which_normalising_leaves_nothing_are_compared_as_they_are(tmp_path):
    units = [unit(content, number) for number, content in enumerate(["!!!", "???", "!!!"])]
    assert resolved(ExactDedup(use="exact_dedup", normalise="full"), units, tmp_path).twin.tolist() == [-1, -1, 0]


def test_a_lone_surrogate_breaks_nothing(tmp_path):
    units = [unit("caf\ud800 one two", number) for number in range(2)]
    assert resolved(ExactDedup(use="exact_dedup"), units, tmp_path).twin.tolist() == [-1, 0]
    assert resolved(MinHashDedup(use="minhash_dedup"), units, tmp_path).twin.tolist() == [-1, 0]


def test_the_report_counts_clusters_and_names_the_largest(tmp_path):
    texts = [text(100, 1)] * 3 + [text(100, 2)] * 5 + [text(100, 3)]
    report = near(texts, tmp_path).report
    assert report["cluster_sizes"] == {"1": 1, "3": 1, "5": 1}
    assert report["largest_clusters"] == [{"position": 3, "size": 5}, {"position": 0, "size": 3}]
    assert (report["documents"], report["dropped"], report["verified_pairs"]) == (9, 6, 6)
    assert json.loads(json.dumps(report)) == report


def brute_recall(texts: list[str], twin: np.ndarray, threshold: float) -> tuple[int, int]:
    """Documents like another one, and those of them without such a one kept beside them; all against all."""
    sets = [shingles(content) for content in texts]
    count = range(len(sets))
    alike = [[j for j in count if j != i and jaccard(sets[i], sets[j]) >= threshold] for i in count]
    similar = [i for i, others in enumerate(alike) if others]
    missed = [i for i in similar if twin[i] < 0 and any(twin[j] < 0 for j in alike[i])]
    return len(similar) - len(missed), len(similar)


@pytest.mark.parametrize(("verify", "hashes"), [(True, 8), (False, 3)])
def test_the_estimate_of_a_whole_sample_equals_comparing_all_with_all(tmp_path, verify, hashes):
    texts = corpus()
    settings = {"buckets": 2, "hashes_per_bucket": hashes, "threshold": 0.6, "verify": verify}
    found = near(texts, tmp_path, **settings)
    estimate = found.report["estimate"]
    hits, of = brute_recall(texts, found.twin, 0.6)
    assert (estimate["recall"]["hits"], estimate["recall"]["of"]) == (hits, of) and 0 < hits < of
    low, high = estimate["recall"]["interval"]
    assert 0 <= low < estimate["recall"]["share"] < high <= 1
    twins = [(dropped, twin) for dropped, twin in enumerate(found.twin) if twin >= 0]
    right = sum(jaccard(shingles(texts[dropped]), shingles(texts[twin])) >= 0.6 for dropped, twin in twins)
    assert estimate["precision"]["hits"] == right and (right == estimate["precision"]["of"]) == verify


def test_an_estimate_without_material_says_so(tmp_path):
    estimate = near([text(50, 1), text(50, 2)], tmp_path).report["estimate"]
    assert estimate["recall"] == {"share": None, "hits": 0, "of": 0, "interval": None}
    assert "estimate" not in near([text(50, 1)], tmp_path, sample=0).report


def test_the_interval_is_wilsons():
    assert wilson(8, 10) == [0.4902, 0.9433]
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == 1 and wilson(0, 0) is None


def test_a_crowded_bucket_is_cut_and_a_true_twin_is_still_found(tmp_path, monkeypatch):
    monkeypatch.setattr("curate.steps.dedup.leaders.MOST_COMPARED", 20)
    boilerplate = words(160, 999)
    pages = [boilerplate + words(60, seed) for seed in range(150)]
    copies = [edited(page, 0.03, seed, start=0.9) for seed, page in enumerate(pages)]
    found = near([" ".join(page) for page in pages + copies], tmp_path)
    assert found.report["capped_documents"] > 0
    assert (found.twin[:150] == -1).all()
    assert (found.twin[150:] == np.arange(150)).mean() > 0.9


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValidationError, match="name it"):
        MinHashDedup(use="minhash_dedup", keep="best_score")
    with pytest.raises(ValidationError, match="leave `score` out"):
        ExactDedup(use="exact_dedup", score="quality.score")
    with pytest.raises(ValidationError):
        MinHashDedup(use="minhash_dedup", threshold=0)


def test_real_boilerplate_pages_fall_only_to_pages_that_they_truly_resemble(tmp_path):
    source = SHARED / "text" / "c4_demo.jsonl.gz"
    if not source.exists():
        pytest.skip("the shared real texts are not here")
    with gzip.open(source, "rt") as file:
        texts = [json.loads(line)["text"] for line in file]
    copies = [" ".join(edited(content.split(), 0.05, seed)) for seed, content in enumerate(texts[:100])]
    found = near(texts + copies, tmp_path)
    for dropped in np.flatnonzero(found.twin >= 0).tolist():
        both = [shingles((texts + copies)[place]) for place in (dropped, int(found.twin[dropped]))]
        assert jaccard(*both) >= 0.75
    assert (found.twin[300:] >= 0).mean() > 0.9
