"""Calls that scatter more than the model of a judge explains: simulated judges whose noise is known."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from curate.judges.statistics.checks import Check
from curate.judges.statistics.profile import profiles
from curate.judges.statistics.scatter import call_noise, worth_scatter
from curate.judges.statistics.soft_labels import log_odds, sigmoid, soft_label
from curate.judges.verdicts import SCHEMA

PAIRS = 400


def orders(noise: float, lean: np.ndarray | float = 1.0, seed: int = 0, pairs: int = PAIRS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both orders' log-odds and the true gaps."""
    chance = np.random.default_rng(seed)
    gaps = 1.5 * chance.normal(size=pairs)
    zero, one = (sign * gaps + lean + noise * chance.normal(size=pairs) for sign in (1, -1))
    return zero, one, gaps


@pytest.mark.parametrize("noise", [0.1, 0.3, 1.0])
def test_the_error_of_the_labels_is_estimated_without_a_repeated_call_or_gold(noise: float) -> None:
    zero, one, gaps = orders(noise)
    error = np.abs(soft_label(zero, one) - sigmoid(gaps)).mean()
    assert call_noise(zero, one, []).estimate.value == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize(("noise", "holds"), [(0.0, True), (0.03, True), (0.1, False), (0.5, False)])
def test_calls_that_turn_more_than_a_label_in_a_hundred_are_warned_of(noise: float, holds: bool) -> None:
    for seed in range(10):
        zero, one, _ = orders(noise, seed=seed, pairs=1000)
        assert call_noise(zero, one, []).holds == holds


def test_the_share_of_wrong_signs_is_told_beforehand() -> None:
    """Bivariate normal: a gap of deviation 1.5 and noise of 0.2 / sqrt(2) differ in sign by arctan(ratio) / pi."""
    zero, one, _ = orders(0.2, pairs=20_000)
    said = float(call_noise(zero, one, []).sentence.split(" a share of ")[1].split()[0])
    assert said == pytest.approx(np.arctan(0.2 / np.sqrt(2) / 1.5) / np.pi, rel=0.1)


@pytest.mark.parametrize("lean", [lambda g: np.exp(-np.abs(g)), lambda g: 1 / (1 + g**2), lambda g: 1 - abs(g) / 4])
def test_a_lean_that_clear_pairs_have_less_of_is_no_noise(lean: Callable[[np.ndarray], np.ndarray]) -> None:
    gaps = 1.5 * np.random.default_rng(0).normal(size=2000)
    assert call_noise(gaps + lean(gaps), lean(gaps) - gaps, []).holds


def test_a_judge_that_takes_the_first_place_blindly_now_and_then_is_no_noise() -> None:
    gaps = 1.5 * np.random.default_rng(0).normal(size=2000)
    zero, one = (log_odds(0.9 * sigmoid(sign * gaps) + 0.1) for sign in (1, -1))
    assert call_noise(zero, one, []).holds


def compared(noise: float, lean: float, prompts: int = 100, answers: int = 4) -> tuple[np.ndarray, np.ndarray, pl.DataFrame]:
    """All pairs of some answers in both orders, with a lean of its own to each pair; the gaps by pair."""
    chance, readings, rows = np.random.default_rng(0), [], []
    for prompt in range(prompts):
        worth = chance.normal(size=answers)
        for a, b in combinations(range(answers), 2):
            drawn = lean * chance.normal()
            zero, one = (sign * (worth[a] - worth[b]) + drawn + noise * chance.normal() for sign in (1, -1))
            readings.append((zero, one))
            rows.append((f"p{prompt}", f"{a}", f"{b}", (zero - one) / 2))
    zero, one = np.array(readings).T
    return zero, one, pl.DataFrame(rows, schema=["row_id", "a", "b", "gap"], orient="row")


def test_of_answers_that_were_all_compared_a_lean_to_each_pair_is_no_noise() -> None:
    zero, one, pairs = compared(0.0, lean=0.3)
    assert not call_noise(zero, one, []).holds
    assert call_noise(zero, one, [], worth_scatter(pairs)).holds


def test_noise_among_answers_that_were_all_compared_is_still_warned_of() -> None:
    zero, one, pairs = compared(0.3, lean=0.3)
    assert worth_scatter(pairs) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)
    assert not call_noise(zero, one, [], worth_scatter(pairs)).holds


def test_pairs_without_a_ring_bound_no_noise() -> None:
    _, _, pairs = compared(0.3, lean=0.3)
    assert worth_scatter(pairs.filter(pl.col("a") == "0")) == worth_scatter(pairs.head(12)) == np.inf


def test_a_lean_that_length_explains_is_no_noise() -> None:
    longer = np.linspace(0, 2, PAIRS)
    zero, one, _ = orders(0.02, 1 + longer)
    assert not call_noise(zero, one, []).holds
    assert call_noise(zero, one, [longer]).holds


def test_too_few_pairs_say_nothing() -> None:
    assert call_noise([1.0] * 9, range(9), []).holds


def voted(same: float, draws: int = 3, n: int = PAIRS) -> Check:
    """The check of a judge without log-odds whose every vote repeats the first one with this chance."""
    chance = np.random.default_rng(0)
    gaps, first = 1.5 * chance.normal(size=n), chance.random((2, n))
    rows = []
    for draw in range(draws):
        for order in (0, 1):
            drawn = np.where(chance.random(n) < same, first[order], chance.random(n))
            won = drawn < sigmoid((1 - 2 * order) * gaps + 1)
            shared = {"judge": "one", "kind": "pairwise", "order": order, "draw": draw, "a": "a", "b": "b"}
            rows += [{**shared, "row_id": f"p{pair}", "label": "first" if yes else "second"} for pair, yes in enumerate(won)]
    table = pl.from_arrow(pa.Table.from_pylist(rows, schema=SCHEMA))
    return next(check for check in profiles(table)[0].checks if check.name == "repeated_votes")


def test_votes_of_their_own_repeat_each_other_as_often_as_the_model_says() -> None:
    found = voted(0.0)
    assert found.holds and found.estimate.low < 0 < found.estimate.high


def test_votes_that_copy_the_first_one_are_warned_of() -> None:
    found = voted(1.0)
    assert not found.holds and found.estimate.low > 0.05


def test_votes_that_were_asked_once_say_nothing_of_repeats() -> None:
    found = voted(0.0, draws=1)
    assert found.holds and found.estimate.n == 0
