"""Which labels to keep and which pairs to ask about, in simulated panels whose truth is known."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from curate.judges.statistics.active import ActiveChoice
from curate.judges.statistics.selection import Selection, select
from curate.judges.statistics.soft_labels import sigmoid


def panel(seed: int, n: int = 1000, gold: int = 400, slope: float = 4.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidences, flips, and flips as far as gold tells them, of a calibrated judge."""
    chance = np.random.default_rng(seed)
    p = sigmoid(slope * chance.normal(size=n))
    flips = (p > 0.5) != (chance.random(n) < p)
    seen = np.full(n, np.nan)
    known = chance.choice(n, gold, replace=False)
    seen[known] = flips[known]
    return np.maximum(p, 1 - p), flips, seen


def test_the_flip_rate_is_kept_in_at_least_95_of_100_panels_and_most_panels_keep_labels() -> None:
    held, kept = 0, []
    for seed in range(100):
        confidence, flips, seen = panel(seed)
        found = select(confidence, seen)
        held += not found.keep.any() or flips[found.keep].mean() <= 0.05
        kept.append(found.keep.mean())
    assert held >= 95
    assert np.mean(kept) > 0.4


def test_it_holds_also_where_the_rate_is_just_above_the_limit_everywhere() -> None:
    """The hardest case: confidence says nothing, and 5.5 % of every set are flips."""
    false = 0
    for seed in range(200):
        chance = np.random.default_rng(seed)
        flips = chance.random(20_000) < 0.055
        seen = np.where(np.arange(20_000) < 500, flips, np.nan).astype(float)
        false += bool(select(chance.random(20_000), seen).keep.any())
    assert false <= 20


def test_what_is_kept_is_everything_above_one_threshold() -> None:
    confidence, _, seen = panel(1)
    found = select(confidence, seen)
    assert found.threshold is not None
    assert (found.keep == (confidence >= found.threshold)).all()
    assert found.bound <= 0.05
    assert "nothing is promised" in found.sentence


def test_flawless_gold_keeps_everything() -> None:
    found = select(np.linspace(0.5, 1, 500), np.where(np.arange(500) % 2, 0.0, np.nan))
    assert found.keep.all()


def test_with_too_little_gold_nothing_is_kept_and_the_sentence_says_how_much_it_takes() -> None:
    found = select(np.linspace(0.5, 1, 500), np.where(np.arange(500) < 50, 0.0, np.nan))
    assert not found.keep.any()
    assert found.threshold is None
    assert "59 gold labels" in found.sentence


def test_a_judge_that_is_wrong_keeps_nothing() -> None:
    assert not select(np.linspace(0.5, 1, 500), np.ones(500)).keep.any()


def test_labels_without_confidence_and_empty_sets_are_never_kept() -> None:
    confidence = np.where(np.arange(500) < 400, 0.9, np.nan)
    found = select(confidence, np.zeros(500))
    assert found.keep[:400].all() and not found.keep[400:].any()
    empty: Selection = select([], [])
    assert len(empty.keep) == 0 and empty.threshold is None


def test_no_wider_set_is_tried_after_the_first_that_fails() -> None:
    """Flips stand in the middle of the confidences: all labels together have 4.8 % of them, and are not kept."""
    flips = np.zeros(5000)
    flips[300:540] = 1
    found = select(np.linspace(1, 0.5, 5000), flips, max_flip_rate=0.06)
    assert 100 <= found.keep.sum() <= 400


def test_a_gold_tie_counts_as_a_flip() -> None:
    assert not select(np.linspace(0.5, 1, 500), np.full(500, 0.5)).keep.any()


def asked(slope: float, noise: float, calls: int, seed: int, k: int = 8) -> tuple[np.ndarray, ActiveChoice]:
    """Worths, and the choice after so many calls to a judge of this slope, noise a call, and a bias of 1."""
    chance = np.random.default_rng(seed)
    worth = chance.normal(size=k)
    choice = ActiveChoice(k, seed=seed)
    for _ in range(calls // 2):
        for i, j in choice.next():
            zero, one = (sign * slope * (worth[i] - worth[j]) + 1 + noise * chance.normal() for sign in (1, -1))
            choice.observe((i, j), (zero - one) / 2)
    return worth, choice


@pytest.mark.parametrize(("slope", "noise"), [(1.5, 0.0), (1.5, 0.25), (1.5, 0.5), (3.0, 1.0)])
def test_half_the_calls_rank_eight_answers_at_a_tau_of_nine_tenths(slope: float, noise: float) -> None:
    taus = []
    for seed in range(60):
        worth, choice = asked(slope, noise, calls=28, seed=seed)
        assert len(choice.seen) == 14
        taus.append(kendalltau(choice.posterior().mean, worth).statistic)
    assert np.mean(taus) >= 0.9


def test_choosing_beats_the_same_number_of_pairs_at_random() -> None:
    chosen, drawn = [], []
    for seed in range(120):
        worth, choice = asked(1.5, 0.5, calls=24, seed=seed)
        chosen.append(kendalltau(choice.posterior().mean, worth).statistic)
        chance = np.random.default_rng(seed + 1000)
        other = ActiveChoice(8)
        pairs = [(i, j) for i in range(8) for j in range(i + 1, 8)]
        for place in chance.permutation(28)[:12]:
            i, j = pairs[place]
            other.observe((i, j), 1.5 * (worth[i] - worth[j]) + 0.5 * chance.normal() / np.sqrt(2))
        drawn.append(kendalltau(other.posterior().mean, worth).statistic)
    assert np.mean(chosen) > np.mean(drawn) + 0.01


def test_the_same_seed_and_answers_ask_for_the_same_pairs() -> None:
    assert list(asked(1.5, 0.5, 28, seed=3)[1].asked) == list(asked(1.5, 0.5, 28, seed=3)[1].asked)
    assert ActiveChoice(8, seed=1).next(7) != ActiveChoice(8, seed=2).next(7)


def test_no_pair_is_asked_twice_and_a_batch_ends_with_the_pairs() -> None:
    choice = ActiveChoice(5)
    pairs = choice.next(100)
    assert len({tuple(sorted(pair)) for pair in pairs}) == len(pairs) == 10
    assert choice.next() == []


def test_the_first_pairs_link_every_answer() -> None:
    linked = {0}
    for pair in ActiveChoice(8, seed=4).next(7) * 7:
        linked |= set(pair) if linked & set(pair) else set()
    assert linked == set(range(8))


def test_the_ranking_puts_the_best_first() -> None:
    choice = ActiveChoice(3)
    choice.observe((0, 1), -2.0)
    choice.observe((1, 2), 1.0)
    assert choice.ranking().tolist() == [1, 2, 0]
