"""Soft labels, position bias and hard votes, against simulated judges whose truth is known."""

from math import log

import numpy as np
import pytest
from scipy import stats

from curate.judges.statistics import estimates, hard_votes
from curate.judges.statistics.position import consistency, place_preference, position_bias
from curate.judges.statistics.soft_labels import class_probabilities, gap, log_odds, sigmoid, soft_label

CLASSES = {"first": ["1"], "second": ["2"]}


def readings(n: int, bias: float, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gaps of slope 1.5 and N(0, 1), and the log-odds of the first place in both orders."""
    chance = np.random.default_rng(seed)
    gaps = 1.5 * chance.normal(size=n)
    return gaps, gaps + bias + noise * chance.normal(size=n), bias - gaps + noise * chance.normal(size=n)


def test_averaged_logits_are_exact_under_an_additive_bias_and_averaged_probabilities_are_not() -> None:
    gaps, zero, one = readings(20_000, bias=1)
    np.testing.assert_allclose(soft_label(zero, one), sigmoid(gaps), atol=1e-12)
    error = np.abs(soft_label(zero, one, "probabilities") - sigmoid(gaps)).mean()
    assert 0.02 < error < 0.04


def test_a_certain_judge_overflows_nothing() -> None:
    with np.errstate(over="raise"):
        assert sigmoid([-1e4, 0, 1e4]).tolist() == [0, 0.5, 1]
    assert np.isfinite(log_odds([0.0, 1.0])).all()


def test_every_spelling_of_a_class_is_summed_and_the_rest_is_recorded_as_missing() -> None:
    tokens = [("1", log(0.4)), (" 1", log(0.2)), ("1.", log(0.1)), ("2", log(0.1)), ("The", log(0.15))]
    found = class_probabilities(tokens, CLASSES)
    assert found.probabilities["first"] == pytest.approx(0.875)
    assert found.missing_mass == pytest.approx(0.2)
    assert found.floored == ()
    assert found.logit("first", "second") == pytest.approx(log(7))


@pytest.mark.parametrize("token", ["▁1", "Ġ1", "**1", "[[1]]", '"1"', "1\n", "(1)"])
def test_a_label_is_known_in_the_dress_that_tokenizers_and_replies_give_it(token: str) -> None:
    assert class_probabilities([(token, -0.1)], CLASSES) is not None


def test_a_class_that_a_truncated_list_lacks_is_bounded_by_what_is_left_and_flagged() -> None:
    found = class_probabilities([("1", log(0.97)), (" 1", log(0.02))], CLASSES)
    assert found.floored == ("second",)
    assert found.probabilities["second"] == pytest.approx(0.01, rel=0.01)


def test_a_list_that_is_certain_to_the_last_digit_gives_a_finite_logit() -> None:
    assert 10 < class_probabilities([("1", 0.0)], CLASSES).logit("first", "second") < 14


def test_tokens_that_name_no_class_are_no_reading() -> None:
    assert class_probabilities([("I", -0.1), ("11", -2.0)], CLASSES) is None
    assert class_probabilities([], CLASSES) is None


def test_the_bias_of_a_noisy_judge_is_found_within_a_twentieth_from_a_thousand_pairs() -> None:
    found = [position_bias(*readings(1000, 1.0, noise=0.5, seed=seed)[1:]) for seed in range(200)]
    assert max(abs(one.value - 1) for one in found) < 0.05
    assert 0.9 <= np.mean([one.low < 1 < one.high for one in found]) <= 0.99


def test_a_mean_has_students_interval_also_of_few_values() -> None:
    values = np.random.default_rng(0).normal(size=8)
    low, high = stats.t.interval(0.95, 7, values.mean(), stats.sem(values))
    found = estimates.mean(values)
    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


@pytest.mark.parametrize(("hits", "n"), [(0, 59), (3, 100), (40, 40), (120, 3000)])
def test_the_upper_bound_of_a_rate_is_clopper_and_pearsons(hits: int, n: int) -> None:
    expected = stats.beta.ppf(0.95, hits + 1, n - hits) if hits < n else 1.0
    assert estimates.upper_bound(hits, n) == pytest.approx(expected, abs=1e-9)


def test_a_binomial_tail_equals_scipys() -> None:
    for hits, n, rate in ((0, 10, 0.3), (7, 100, 0.05), (400, 10_000, 0.05), (5, 5, 0.2), (3, 9, 0.0)):
        assert estimates.binomial_tail(hits, n, rate) == pytest.approx(stats.binom.cdf(hits, n, rate), abs=1e-9)


def test_a_share_has_wilsons_interval() -> None:
    low, high = stats.binomtest(7, 30).proportion_ci(0.95, "wilson")
    assert estimates.share(7, 30)[1:3] == (pytest.approx(low), pytest.approx(high))


def test_the_errors_of_a_regression_are_those_of_leaving_out_one_row_at_a_time() -> None:
    """HC3 is the jackknife's variance about the whole fit (MacKinnon and White 1985, 3)."""
    chance = np.random.default_rng(0)
    x = chance.normal(size=15)
    y = 2 + x + chance.normal(size=15) * np.abs(x)
    whole = np.polynomial.polynomial.polyfit(x, y, 1)
    left = [np.polynomial.polynomial.polyfit(np.delete(x, i), np.delete(y, i), 1) for i in range(15)]
    expected = np.sqrt(((np.array(left) - whole) ** 2).sum(0))
    found = estimates.regression([x], y)
    assert [one.value for one in found] == pytest.approx(whole.tolist())
    assert [(one.high - one.low) / (2 * estimates.two_sided(0.95)) for one in found] == pytest.approx(expected.tolist())


def test_a_bootstrap_draws_whole_groups_and_the_same_ones_for_the_same_seed() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=50), 20)
    one = estimates.bootstrap(lambda rows: float(values[rows].mean()), np.repeat(np.arange(50), 20), seed=1)
    alone = estimates.bootstrap(lambda rows: float(values[rows].mean()), np.arange(1000), seed=1)
    assert one.high - one.low > 3 * (alone.high - alone.low)
    assert one == estimates.bootstrap(lambda rows: float(values[rows].mean()), np.repeat(np.arange(50), 20), seed=1)


def test_places_and_consistency_are_counted_without_unreadable_replies() -> None:
    zero = ["first", "first", "tie", "second", "unreadable"]
    one = ["second", "first", "tie", "unreadable", "first"]
    assert consistency(zero, one).value == pytest.approx(2 / 3)
    places = place_preference(zero + one)
    assert (places.first.value, places.tie.value, places.unreadable.value) == (4 / 6, 2 / 8, 2 / 10)


def drawn(gaps: np.ndarray, bias: float, draws: int, seed: int) -> hard_votes.Votes:
    """So many votes in each order."""
    chance = np.random.default_rng(seed)
    n = np.full(len(gaps), float(draws))
    return hard_votes.Votes(
        chance.binomial(draws, sigmoid(gaps + bias)).astype(float), n, chance.binomial(draws, sigmoid(bias - gaps)).astype(float), n
    )


def test_bias_and_spread_are_found_from_votes_alone() -> None:
    model = hard_votes.fit(drawn(readings(5000, 1)[0], 1.0, 1, seed=1))
    assert model.bias.low < 1 < model.bias.high
    assert model.spread == pytest.approx(1.5, abs=0.2)


def test_the_posterior_of_a_pair_is_calibrated() -> None:
    gaps = readings(5000, 1)[0]
    votes = drawn(gaps, 1.0, 2, seed=2)
    p = hard_votes.fit(votes).probability(votes)
    said, counts = np.unique(p.round(6), return_counts=True)
    for value in said[counts > 200]:
        assert (gaps > 0)[p.round(6) == value].mean() == pytest.approx(value, abs=0.07)


def test_votes_that_all_say_first_leave_every_pair_at_a_half_and_the_bias_finite() -> None:
    votes = hard_votes.Votes(*np.ones((4, 30)))
    model = hard_votes.fit(votes)
    assert 1 < model.bias.value < 20
    np.testing.assert_allclose(model.probability(votes), 0.5, atol=1e-6)


def test_six_calls_a_pair_keep_nine_tenths_at_more_than_the_accuracy_of_swap_and_discard() -> None:
    gaps = readings(3000, 1)[0]
    chance = np.random.default_rng(3)

    def asked(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return tuple((chance.random(len(pairs)) < sigmoid(sign * gaps[pairs] + 1)).astype(float) for sign in (1, -1))

    ones = np.ones(len(gaps))
    first_0, first_1 = asked(np.arange(len(gaps)))
    agree = first_0 != first_1
    discarded = ((first_0 == 1) == (gaps > 0))[agree].mean()
    votes, calls = hard_votes.Votes(first_0, ones.copy(), first_1, ones.copy()), 2 * len(gaps)
    model = hard_votes.fit(votes)
    while calls < 6 * len(gaps):
        again = hard_votes.ask_again(model, votes, min(400, (6 * len(gaps) - calls) // 2))
        zero, one = asked(again)
        for column, new in zip(votes, (zero, 1.0, one, 1.0), strict=True):
            column[again] += new
        calls += 2 * len(again)
    p = hard_votes.fit(votes).probability(votes)
    kept = hard_votes.kept(p, 0.9)
    assert agree.mean() < 0.6
    assert len(kept) == 2700
    assert ((p > 0.5) == (gaps > 0))[kept].mean() > discarded


def test_a_gap_is_half_the_difference_of_both_orders() -> None:
    assert gap([2.0], [-1.0]).tolist() == [1.5]

