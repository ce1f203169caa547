"""Coefficients of agreement and calibration, each equal to an independent library's to 1e-9."""

import numpy as np
import pytest
from scipy import stats

from curate.judges.statistics import agreement, calibration
from curate.judges.statistics.estimates import bootstrap

krippendorff = pytest.importorskip("krippendorff", reason="the oracle of Krippendorff's alpha: pip install krippendorff")
metrics = pytest.importorskip("sklearn.metrics", reason="the oracle of Cohen's kappa: pip install scikit-learn")

SEEDS = range(5)


def two_raters(seed: int, classes: int = 4, n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    first = chance.integers(classes, size=n)
    return first, np.where(chance.random(n) < 0.6, first, chance.integers(classes, size=n))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_cohens_kappa_equals_scikit_learns(seed: int, weights: str | None) -> None:
    first, second = two_raters(seed)
    expected = metrics.cohen_kappa_score(first, second, weights=weights)
    assert agreement.cohen_kappa(first, second, weights) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("metric", ["nominal", "ordinal", "interval"])
def test_krippendorffs_alpha_equals_krippendorffs_also_with_silent_raters(seed: int, metric: str) -> None:
    chance = np.random.default_rng(seed)
    truth = chance.integers(1, 6, size=60)
    ratings = np.clip(truth[:, None] + chance.integers(-1, 2, size=(60, 4)), 1, 5).astype(float)
    ratings[chance.random(ratings.shape) < 0.3] = np.nan
    expected = krippendorff.alpha(reliability_data=ratings.T, level_of_measurement=metric)
    assert agreement.krippendorff_alpha(ratings, metric) == pytest.approx(expected, abs=1e-9)


def test_fleiss_kappa_is_that_of_his_own_example() -> None:
    """Fleiss 1971's layout with the worked example of 10 subjects and 14 raters: kappa 0.2099."""
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    p_bar = np.mean([(sum(n * n for n in row) - 14) / (14 * 13) for row in table])
    p_chance = sum((sum(row[j] for row in table) / 140) ** 2 for j in range(5))
    assert agreement.fleiss_kappa(table) == pytest.approx((p_bar - p_chance) / (1 - p_chance), abs=1e-9)
    assert agreement.fleiss_kappa(table) == pytest.approx(0.2099, abs=5e-5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("levels", [3, 10, 10_000])
def test_kendalls_tau_b_equals_scipys(seed: int, levels: int) -> None:
    chance = np.random.default_rng(seed)
    x = chance.integers(levels, size=300)
    y = np.where(chance.random(300) < 0.5, x, chance.integers(levels, size=300))
    assert agreement.kendall_tau_b(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-9)


def test_coefficients_of_a_constant_or_of_nothing_are_not_defined() -> None:
    same = np.zeros(10, int)
    assert np.isnan(agreement.krippendorff_alpha(np.zeros((9, 2))))
    assert np.isnan([agreement.cohen_kappa(same, same), agreement.kendall_tau_b(same, same)]).all()
    assert np.isnan([agreement.cohen_kappa([], []), agreement.percent([], []), agreement.fleiss_kappa(np.zeros((0, 3)))]).all()


def test_an_interval_of_kappa_holds_the_truth_about_as_often_as_it_says() -> None:
    """At 60 % copies and four classes the true kappa is 0.6."""
    held = 0
    for seed in range(60):
        x, y = two_raters(seed, n=200)
        found = bootstrap(lambda rows, x=x, y=y: agreement.cohen_kappa(x[rows], y[rows]), np.arange(200), seed, draws=200)
        held += found.low <= 0.6 <= found.high
    assert held >= 52


def said_and_seen(n: int = 4000, sharpened: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(0)
    p = chance.random(n)
    odds = (p / (1 - p)) ** sharpened
    return odds / (1 + odds), (chance.random(n) < p).astype(float)


def test_brier_and_reliability_equal_scikit_learns() -> None:
    from sklearn.calibration import calibration_curve

    p, y = said_and_seen(sharpened=2)
    assert calibration.brier(p, y).score == pytest.approx(metrics.brier_score_loss(y, p), abs=1e-9)
    seen, said = calibration_curve(y, p, n_bins=10)
    table = calibration.reliability_table(p, y)
    np.testing.assert_allclose([row.seen.value for row in table], seen, atol=1e-9)
    np.testing.assert_allclose([row.said for row in table], said, atol=1e-9)
    weights = [row.n / len(p) for row in table]
    assert calibration.expected_calibration_error(p, y) == pytest.approx(np.abs(seen - said) @ weights, abs=1e-9)


def test_the_parts_of_the_brier_score_add_up_and_nothing_is_within_where_a_bin_holds_one_value() -> None:
    p, y = said_and_seen()
    parts = calibration.brier(p, y)
    assert parts.score == pytest.approx(parts.reliability - parts.resolution + parts.uncertainty + parts.within, abs=1e-12)
    assert calibration.brier(np.floor(p * 10) / 10 + 0.05, y).within == pytest.approx(0, abs=1e-12)


def test_a_calibrated_judge_has_a_small_error_and_an_overconfident_one_a_large() -> None:
    good, bad = (calibration.calibration(*said_and_seen(sharpened=sharpened), np.arange(4000)) for sharpened in (1, 3))
    assert good.ece.value < 0.03 < 0.1 < bad.ece.low
    assert bad.parts.reliability > 10 * good.parts.reliability


def test_a_probability_of_one_falls_into_the_last_bin() -> None:
    assert [row.n for row in calibration.reliability_table([0.0, 1.0, 1.0], [0, 1, 1])] == [1, 2]
