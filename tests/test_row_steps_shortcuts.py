"""Shortcuts: what tells the chosen answer without reading it, and pairs dropped until it no longer does."""

import gzip
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays
from row_units import decided, pair

from curate.steps.rows import Shortcuts
from curate.steps.rows.pair_features import counts_of
from curate.steps.rows.shortcut_accuracy import accuracy, by_model, rebalanced, together, weights, wilson
from curate.steps.rows.unit import RowUnit
from curate.steps.step import Drop

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def pairs(count: int, longer: float = 0.8) -> list[RowUnit]:
    """Pairs of which the longer answer is the chosen one in a share; lists stand on either side at random."""
    draw = random.Random(3)
    made = []
    for number in range(count):
        answers = ["palavra " * draw.randint(20, 30), "palavra " * draw.randint(5, 15)]
        if draw.random() > longer:
            answers.reverse()
        answers[draw.randint(0, 1)] += "\n- um\n- dois"
        made.append(pair(f"Pergunta {number}?", *answers, id=str(number)))
    return made


def test_a_length_that_tells_the_chosen_one_is_measured_and_warned_of(tmp_path: Path) -> None:
    found = decided(Shortcuts(use="shortcuts"), pairs(400), tmp_path)
    length = found.report["before"]["length"]
    assert length["pairs"] == 400
    assert 0.75 < length["accuracy"] < 0.85
    assert length["low"] < length["accuracy"] < length["high"]
    assert 0.4 < found.report["before"]["lists"]["accuracy"] < 0.6
    assert [sentence.split(" is the chosen")[0] for sentence in found.report["warnings"]][0] == "the side with more length"
    assert not any("lists" in sentence for sentence in found.report["warnings"])
    assert not found.leaving.any()
    json.dumps(found.report)


def test_a_shortcut_that_is_nearly_always_wrong_is_warned_of_too(tmp_path: Path) -> None:
    warnings = decided(Shortcuts(use="shortcuts"), pairs(400, longer=0.1), tmp_path).report["warnings"]
    assert any(sentence.startswith("the side with less length") for sentence in warnings)


def test_pairs_without_a_shortcut_are_not_warned_of(tmp_path: Path) -> None:
    assert decided(Shortcuts(use="shortcuts"), pairs(400, longer=0.5), tmp_path).report["warnings"] == []


def test_rebalancing_by_length_brings_its_accuracy_near_a_half_and_drops_no_row_too_many(tmp_path: Path) -> None:
    step = Shortcuts(use="shortcuts", rebalance="length")
    found = decided(step, pairs(400), tmp_path)
    before, after = found.report["before"]["length"], found.report["after"]["length"]
    assert abs(after["accuracy"] - 0.5) <= 0.02
    right, wrong = round(before["accuracy"] * 400), 400 - round(before["accuracy"] * 400)
    assert int(found.leaving.sum()) == math.ceil((right - wrong - 0.04 * 400) / 0.96)
    assert step.drop(float("nan")) == Drop("rebalanced")


def test_which_pairs_leave_depends_neither_on_order_nor_on_ranks(tmp_path: Path) -> None:
    step, units = Shortcuts(use="shortcuts", rebalance=["length", "lists"]), pairs(300)
    whole = decided(step, units, tmp_path / "whole")
    turned = decided(step, units[::-1], tmp_path / "turned", cuts=(10, 200))
    assert whole.leaving.tolist() == turned.leaving[::-1].tolist()


def test_the_model_that_wrote_an_answer_is_a_shortcut_judged_on_other_groups(tmp_path: Path) -> None:
    def rated(number: int) -> RowUnit:
        """One model wins all but every tenth pair; models of a single pair tell nothing."""
        models = ["strong", "weak"] if number % 10 else ["weak", "strong"]
        return pair(f"{number}", "a", "b", id=str(number), chosen_model=models[0], rejected_model=models[1])

    units = [rated(number) for number in range(200)] + [
        pair(f"x{number}", "a", "b", id=f"x{number}", chosen_model=f"m{number}", rejected_model=f"n{number}") for number in range(200)
    ]
    found = decided(Shortcuts(use="shortcuts"), units, tmp_path).report
    assert found["before"]["model"]["pairs"] == 200
    assert found["before"]["model"]["accuracy"] == 0.9
    assert any("model" in sentence for sentence in found["warnings"])


def test_position_is_read_from_the_metadata_and_refusals_from_the_answers(tmp_path: Path) -> None:
    units = [pair(str(n), "Não posso ajudar com isso.", "Claro!", id=str(n), chosen_position=1, rejected_position=2) for n in range(50)]
    found = decided(Shortcuts(use="shortcuts"), units, tmp_path).report["before"]
    assert found["position"] == {"pairs": 50, "share": 1.0, "accuracy": 1.0, "low": found["position"]["low"], "high": 1.0}
    assert found["refusal"]["accuracy"] == 1.0


def test_a_pair_that_was_dropped_before_is_not_counted(tmp_path: Path) -> None:
    alive = np.arange(400) < 100
    found = decided(Shortcuts(use="shortcuts", rebalance="length"), pairs(400), tmp_path, alive=alive)
    assert found.report["before"]["length"]["pairs"] == 100
    assert not found.leaving[~alive].any()


def test_no_pairs_at_all_give_an_account_of_nothing(tmp_path: Path) -> None:
    found = decided(Shortcuts(use="shortcuts", rebalance="length"), [], tmp_path)
    assert found.report["before"]["together"]["pairs"] == 0
    assert found.report["warnings"] == []


def test_marks_of_markdown_are_counted_and_look_alikes_are_not() -> None:
    text = "# Título\n\n- um\n* dois\n3. três\n\n**forte** e `x = 1`\n```\ny\n```\n2 * 3 ** 4, #tag, snake__case, 1.5"
    assert counts_of(text)[1:] == (8, 1, 3, 1, 3)


@given(arrays.arrays(np.int8, some.integers(0, 60), elements=some.integers(-1, 1)), some.sampled_from([0.01, 0.02, 0.1]))
@settings(max_examples=100, deadline=None)
def test_one_shortcut_is_balanced_with_the_fewest_drops(signs: np.ndarray, tolerance: float) -> None:
    dropped = rebalanced(signs[:, None], np.arange(len(signs)), tolerance)

    def holds(right: int, wrong: int) -> bool:
        return abs(right - wrong) <= 2 * tolerance * (right + wrong) + 1e-9

    right, wrong = int((signs == 1).sum()), int((signs == -1).sum())
    more, less = max(right, wrong), min(right, wrong)
    fewest = next(count for count in range(more + 1) if holds(more - count, less))
    assert dropped.sum() == fewest
    assert holds(int((signs[~dropped] == 1).sum()), int((signs[~dropped] == -1).sum()))


@given(arrays.arrays(np.int8, some.tuples(some.integers(0, 80), some.integers(1, 4)), elements=some.integers(-1, 1)))
@settings(max_examples=100, deadline=None)
def test_several_shortcuts_are_all_balanced(signs: np.ndarray) -> None:
    kept = signs[~rebalanced(signs, np.arange(len(signs)), 0.02)].astype(int)
    assert (np.abs(kept.sum(axis=0)) <= 0.04 * np.abs(kept).sum(axis=0) + 1e-9).all()


def test_wilsons_interval_is_that_of_the_textbook() -> None:
    low, high = wilson(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert wilson(0, 0) == (0.0, 1.0)
    assert accuracy(np.array([1.0, 2.0, -1.0, 0.0]))[:3] == (3, 0.75, 2 / 3)


def test_the_regression_finds_the_weights_that_made_the_choices() -> None:
    draw = np.random.default_rng(5)
    given_ = draw.normal(size=(20_000, 2))
    first = draw.random(20_000) < 1 / (1 + np.exp(-given_ @ [1.5, -0.5]))
    more = np.where(first[:, None], given_, -given_)
    assert np.allclose(weights(more), [1.5, -0.5], atol=0.06)


def test_all_shortcuts_together_are_judged_on_groups_that_they_were_not_fitted_on() -> None:
    """Noise in many columns tells nothing of groups that were not seen."""
    noise = np.random.default_rng(5).normal(size=(120, 30))
    fold = np.arange(120) % 5
    assert together(noise, fold, 5).low < 0.5 < together(noise + 0, fold, 5).high
    models = np.array([[1, 2]] * 20, np.uint64)
    assert (by_model(models, np.zeros(20, np.int64), 5) == 0).all()


@pytest.mark.skipif(not (SHARED / "pref").exists(), reason="the shared data are not on this machine")
def test_real_pairs_of_hh_rlhf_prefer_refusals_and_are_balanced_on_demand(tmp_path: Path) -> None:
    units = []
    with gzip.open(SHARED / "pref" / "hh_harmless_test_A.jsonl.gz", "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            sides = [text.rsplit("\n\nAssistant:", 1)[1].strip() for text in map(json.loads(line).get, ("chosen", "rejected"))]
            units.append(pair("?", *sides, id=str(number)))
    found = decided(Shortcuts(use="shortcuts", rebalance=["length", "refusal"]), units, tmp_path).report
    assert found["before"]["refusal"]["accuracy"] > 0.6
    assert all(abs(found["after"][name]["accuracy"] - 0.5) <= 0.02 for name in ("length", "refusal"))
