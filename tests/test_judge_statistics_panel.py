"""Several judges put together, and the checks of each: against simulated judges and independent optimisers."""

from itertools import combinations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from scipy.optimize import minimize

from curate.judges.statistics import bradley_terry, checks
from curate.judges.statistics.bradley_terry import Comparisons
from curate.judges.statistics.cycles import CHANCE, cyclic_preferences, triads
from curate.judges.statistics.dawid_skene import dawid_skene
from curate.judges.statistics.panel import pair_labels
from curate.judges.statistics.profile import profiles
from curate.judges.statistics.soft_labels import class_probabilities, sigmoid
from curate.judges.verdicts import SCHEMA


def comparisons(ties: float = 0.1, prompts: int = 12, answers: int = 4, n: int = 600) -> Comparisons:
    """Two judges of biases 1 and -0.5 and length terms 0.4 and 0; so many of their votes are ties."""
    chance = np.random.default_rng(0)
    worth = chance.normal(size=prompts * answers)
    length = chance.normal(size=prompts * answers)
    prompt, judge = chance.integers(prompts, size=n), chance.integers(2, size=n)
    i = chance.integers(answers, size=n)
    j = (i + chance.integers(1, answers, size=n)) % answers
    first, second = prompt * answers + i, prompt * answers + j
    longer = length[first] - length[second]
    logit = worth[first] - worth[second] + np.array([1, -0.5])[judge] + np.array([0.4, 0.0])[judge] * longer
    won = (chance.random(n) < sigmoid(logit)).astype(float)
    won[chance.random(n) < ties] = 0.5
    return Comparisons(prompt, first, second, judge, won, longer)


def test_bradley_terry_is_the_optimum_that_a_general_optimiser_finds_and_its_errors_are_those_of_the_hessian() -> None:
    data = comparisons()
    found = bradley_terry.fit(data, penalty=0.1)
    columns = np.zeros((len(data.won), 48 + 4))
    rows = np.arange(len(data.won))
    columns[rows, data.first] += 1
    columns[rows, data.second] -= 1
    columns[rows, 48 + data.judge] = 1
    columns[rows, 50 + data.judge] = data.longer

    def loss(at: np.ndarray) -> float:
        logits = columns @ at
        return float((np.logaddexp(0, logits) - data.won * logits).sum() + 0.05 * at @ at)

    def slope(at: np.ndarray) -> np.ndarray:
        return columns.T @ (sigmoid(columns @ at) - data.won) + 0.1 * at

    best = minimize(loss, np.zeros(52), jac=slope, method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(np.concatenate([found.worth, found.position, found.length]), best, atol=1e-6)
    p = sigmoid(columns @ best)
    covariance = np.linalg.inv(columns.T @ (columns * (p * (1 - p))[:, None]) + 0.1 * np.eye(52))
    np.testing.assert_allclose(np.concatenate([found.position_error, found.length_error]), np.sqrt(np.diag(covariance)[48:]), atol=1e-6)
    contrast = np.zeros(52)
    contrast[[4, 6]] = 1, -1
    assert found.error([4], [6])[0] == pytest.approx(np.sqrt(contrast @ covariance @ contrast), abs=1e-6)


def test_bradley_terry_finds_bias_and_length_terms_within_their_errors() -> None:
    found = bradley_terry.fit(comparisons(ties=0, prompts=80, n=6000), penalty=1.0)
    values, errors = [*found.position, *found.length], [*found.position_error, *found.length_error]
    for value, error, truth in zip(values, errors, [1, -0.5, 0.4, 0], strict=True):
        assert abs(value - truth) < 3.5 * error < 0.4


def test_an_answer_that_won_every_time_has_a_finite_worth() -> None:
    zeros = np.zeros(5, int)
    found = bradley_terry.fit(Comparisons(zeros, zeros, zeros + 1, zeros, np.ones(5), np.zeros(5)))
    assert 0.9 < found.probability([0], [1])[0] < 1


def slowly(counts: np.ndarray, classes: int, smoothing: float, steps: int) -> np.ndarray:
    """Dawid and Skene's equations 2.3 to 2.5, a loop for each index."""
    units, raters, votes = counts.shape
    named = [counts[i, :, :classes].sum() for i in range(units)]
    t = np.array([[counts[i, :, c].sum() / named[i] if named[i] else 1 / classes for c in range(classes)] for i in range(units)])
    for _ in range(steps):
        prior = np.array([sum(t[i, c] for i in range(units)) + smoothing for c in range(classes)])
        prior /= prior.sum()
        pi = np.full((raters, classes, votes), smoothing)
        for k in range(raters):
            for c in range(classes):
                for v in range(votes):
                    pi[k, c, v] += sum(t[i, c] * counts[i, k, v] for i in range(units))
                pi[k, c] /= pi[k, c].sum()
        for i in range(units):
            said = [(k, v) for k in range(raters) for v in range(votes)]
            mass = [prior[c] * np.prod([pi[k, c, v] ** counts[i, k, v] for k, v in said]) for c in range(classes)]
            t[i] = np.array(mass) / sum(mass)
    return t


def votes(units: int, seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Raters right at 0.9, 0.7 and 0.6, each a tie (one more vote than classes) at a tenth; a fifth of votes absent."""
    chance = np.random.default_rng(seed)
    truth = chance.integers(classes, size=units)
    counts = np.zeros((units, 3, classes + 1))
    for rater, right in enumerate((0.9, 0.7, 0.6)):
        said = np.where(chance.random(units) < right, truth, chance.integers(classes, size=units))
        said = np.where(chance.random(units) < 0.1, classes, said)
        cast = np.flatnonzero(chance.random(units) < 0.8)
        counts[cast, rater, said[cast]] = 1
    return counts, truth


@pytest.mark.parametrize("classes", [2, 3])
def test_dawid_and_skene_equals_their_equations_written_out(classes: int) -> None:
    counts, _ = votes(40, seed=1, classes=classes)
    found = dawid_skene(counts, classes, most_steps=8)
    np.testing.assert_allclose(found.probability, slowly(counts, classes, 0.01, 8), atol=1e-9)


@pytest.mark.parametrize("classes", [2, 4])
def test_dawid_and_skene_knows_the_good_rater_and_beats_the_majority(classes: int) -> None:
    counts, truth = votes(3000, seed=2, classes=classes)
    found = dawid_skene(counts, classes)
    majority = (counts[:, :, :classes].sum(1) + 1e-6 * np.random.default_rng(0).random((3000, classes))).argmax(1)
    assert (found.probability.argmax(1) == truth).mean() > (majority == truth).mean()
    trust = [np.diag(found.confusion[rater, :, :classes]).mean() for rater in range(3)]
    assert trust[0] > trust[1] > trust[2]


def verdicts(
    n: int = 300, bias: float = 1.0, judge: str = "one", logprobs: bool = True, answers: int = 2, seed: int = 0, **breaks: float
) -> pl.DataFrame:
    """A judge's calls in both orders on all pairs of each prompt's answers, which it may break the model on."""
    chance = np.random.default_rng(seed)
    truth = np.random.default_rng(99)
    rows = []
    for prompt in range(n):
        worth = 1.5 * truth.normal(size=answers)
        for a in range(answers):
            for b in range(a + 1, answers):
                gap, done = worth[a] - worth[b], prompt / n
                if breaks.get("cyclic") and (b - a) % 2 == 0:
                    gap = -abs(gap) if worth[a] > worth[b] else abs(gap)
                for order in (0, 1):
                    lean = bias + breaks.get("drift", 0) * done + breaks.get("length", 0) * abs(a - b + prompt % 7)
                    logit = (gap if order == 0 else -gap) + lean + 0.03 * chance.normal()
                    won = logit > 0 if logprobs else chance.random() < sigmoid(logit)
                    shown = round(logit * breaks["lattice"]) / breaks["lattice"] if "lattice" in breaks else logit
                    rows.append(
                        {
                            "row_id": f"p{prompt}", "judge": judge, "kind": "pairwise", "order": order, "draw": 0, "a": f"p{prompt}-{a}",
                            "b": f"p{prompt}-{b}", "label": "first" if won else "second", "logit": float(shown) if logprobs else None,
                            "missing_mass": breaks.get("missing", 0.001) if logprobs else None, "model": "m", "simulated": True,
                        }
                    )  # fmt: skip
    return pl.from_arrow(pa.Table.from_pylist(rows, schema=SCHEMA))


def gaps(n: int) -> np.ndarray:
    """What the pairs of `verdicts` truly are, for two answers."""
    worth = 1.5 * np.random.default_rng(99).normal(size=(n, 2))
    return worth[:, 0] - worth[:, 1]


def test_both_orders_of_one_judge_give_the_soft_label_of_each_pair() -> None:
    found = pair_labels(verdicts(bias=2.0))
    assert found["row_id"].to_list() == [f"p{prompt}" for prompt in range(300)]
    assert np.abs(found["probability"].to_numpy() - sigmoid(gaps(300))).mean() < 0.02
    worse = pair_labels(verdicts(bias=2.0), "probabilities")["probability"].to_numpy()
    assert np.abs(worse - sigmoid(gaps(300))).mean() > 0.04


def test_a_pair_with_one_readable_order_has_the_judges_bias_taken_off() -> None:
    table = verdicts(bias=2.0).with_row_index().filter((pl.col("index") % 10 != 0)).drop("index")
    found = pair_labels(table)
    assert len(found) == 300
    assert np.abs(found["probability"].to_numpy() - sigmoid(gaps(300))).max() < 0.1


def test_unreadable_verdicts_make_no_label() -> None:
    label = pl.when(pl.col("row_id") == "p3").then(pl.lit("unreadable")).otherwise(pl.col("label"))
    table = verdicts(n=20).with_columns(label.alias("label"))
    assert len(pair_labels(table)) == 19
    assert pair_labels(table.head(0)).is_empty()


@pytest.mark.parametrize("method", ["logits", "probabilities", "bradley_terry", "dawid_skene", "majority"])
def test_every_way_of_putting_three_judges_together_beats_the_worst_of_them(method: str) -> None:
    judges = [verdicts(judge=str(k), bias=bias, seed=k, logprobs=False) for k, bias in enumerate((0.0, 1.0, -1.0))]
    truth = gaps(300) > 0
    right = [(pair_labels(one, "majority")["probability"].to_numpy() > 0.5) == truth for one in judges]
    together = pair_labels(pl.concat(judges), method)
    assert together["judges"].unique().to_list() == [3]
    assert ((together["probability"].to_numpy() > 0.5) == truth).mean() > min(one.mean() for one in right)


@pytest.mark.parametrize("method", ["logits", "bradley_terry", "dawid_skene", "majority"])
def test_votes_of_both_orders_name_the_same_answer(method: str) -> None:
    """`a` shown first wins and `a` shown second wins; on the next pair `b` does; the third is torn."""
    said = {"p0": ("first", "second"), "p1": ("second", "first"), "p2": ("first", "first")}
    table = verdicts(n=3, logprobs=False)
    label = [said[row][order] for row, order in zip(table["row_id"], table["order"], strict=True)]
    found = pair_labels(table.with_columns(pl.Series("label", label)), method)["probability"].to_list()
    assert found[0] > 0.5 > found[1]
    assert method == "dawid_skene" or found[2] == pytest.approx(0.5, abs=1e-9)
    assert method != "majority" or found == [1.0, 0.0, 0.5]


def test_ways_that_hold_no_verdict_say_nothing() -> None:
    for method in ("logits", "bradley_terry", "dawid_skene", "majority"):
        assert pair_labels(verdicts(n=1).head(0), method).is_empty()


def test_a_length_term_takes_off_what_a_judge_gives_for_length() -> None:
    chance = np.random.default_rng(5)
    lengths = {f"p{prompt}-{k}": float(chance.normal()) for prompt in range(300) for k in range(2)}
    table = verdicts(bias=0.5)
    surplus = [lengths[a] - lengths[b] for a, b in zip(table["a"], table["b"], strict=True)]
    shown = pl.when(pl.col("order") == 0).then(1).otherwise(-1)
    table = table.with_columns((pl.col("logit") + 2 * pl.Series(surplus) * shown).alias("logit"))
    plain, term = (pair_labels(table, "bradley_terry", given)["probability"].to_numpy() for given in (None, lengths))
    assert np.abs(term - sigmoid(gaps(300))).mean() < np.abs(plain - sigmoid(gaps(300))).mean()


def check(name: str, table: pl.DataFrame, lengths: dict[str, float] | None = None) -> checks.Check:
    return next(one for one in profiles(table, lengths)[0].checks if one.name == name)


def test_a_judge_that_keeps_the_model_is_warned_of_by_no_check() -> None:
    lengths = {f"p{prompt}-{k}": float((prompt * 7 + k * 3) % 50) for prompt in range(300) for k in range(2)}
    found = profiles(verdicts(), lengths)[0]
    assert found.warnings() == []
    assert found.bias.value == pytest.approx(1, abs=0.05)
    assert not found.from_votes


def test_an_effect_that_is_certain_but_too_small_to_move_a_label_is_no_warning() -> None:
    chance = np.random.default_rng(0)
    truth = chance.normal(size=5000)
    lean = 1 + 0.05 * np.linspace(0, 1, 5000) + 0.01 * chance.normal(size=5000)
    found = checks.bias_drift(truth + lean, lean - truth, np.arange(5000))
    assert found.estimate.low > 0.04
    assert found.holds


def test_false_alarms_are_rare() -> None:
    alarms = sum(len(profiles(verdicts(n=100, seed=seed))[0].warnings()) for seed in range(20))
    assert alarms <= 2


def test_a_bias_that_grows_with_the_length_difference_is_warned_of() -> None:
    lengths = {f"p{prompt}-{k}": float(k * (1 - prompt % 7)) for prompt in range(300) for k in range(2)}
    found = check("length_linked_bias", verdicts(length=0.5), lengths)
    assert not found.holds
    assert found.estimate.low > 0


@pytest.mark.parametrize(
    ("breaks", "name"), [({"drift": 1.0}, "bias_drift"), ({"lattice": 2}, "rounded_logprobs"), ({"missing": 0.3}, "missing_mass")]
)
def test_a_drifting_a_rounding_and_a_truncated_judge_are_warned_of(breaks: dict[str, float], name: str) -> None:
    found = check(name, verdicts(**breaks))
    assert not found.holds
    assert ";" in found.sentence


def test_values_rounded_to_two_digits_are_named_but_harmless() -> None:
    found = check("rounded_logprobs", verdicts(lattice=100))
    assert found.holds
    assert "0.01" in found.sentence


def test_a_judge_that_grows_sharper_is_warned_of() -> None:
    chance = np.random.default_rng(0)
    truth = 1.5 * chance.normal(size=1000) * np.linspace(1, 2, 1000)
    assert not checks.slope_drift(truth + 1, 1 - truth, np.arange(1000)).holds


def test_a_judge_that_prefers_its_own_model_is_warned_of_and_quality_is_taken_off_by_a_reference() -> None:
    chance = np.random.default_rng(0)
    truth, own = chance.normal(size=800), chance.integers(-1, 2, size=800)
    better = truth + 0.8 * own
    assert checks.self_preference(better + 0.6 * own, own, reference=better).estimate.value == pytest.approx(0.6)
    assert not checks.self_preference(better + 0.6 * own, own, reference=better).holds
    assert checks.self_preference(better, own, reference=better).holds


def test_readings_that_lack_a_class_are_counted_and_warned_of() -> None:
    classes = {"first": ["1"], "second": ["2"]}
    short = [class_probabilities([("1", np.log(p)), (" 1", np.log(0.97 - p))], classes) for p in np.linspace(0.5, 0.9, 100)]
    assert not checks.bounded_readings([one.logit("first", "second") for one in short], [one.missing_mass for one in short]).holds
    long = [class_probabilities([("1", np.log(p)), ("2", np.log(0.9 - p))], classes) for p in np.linspace(0.5, 0.8, 100)]
    assert checks.bounded_readings([one.logit("first", "second") for one in long], [one.missing_mass for one in long]).holds


def test_the_other_judges_take_the_true_quality_out_of_self_preference() -> None:
    both = pl.concat([verdicts(judge="one"), verdicts(judge="two", seed=1).with_columns(pl.lit("other").alias("model"))])
    models = {f"p{prompt}-{k}": "m" if k == 0 else "another" for prompt in range(300) for k in range(2)}
    found = [profiles(table, models=models)[0].checks for table in (verdicts(), both)]
    alone, beside = (next(check for check in made if check.name == "self_preference") for made in found)
    assert abs(beside.estimate.value) < 0.02
    assert beside.estimate.high - beside.estimate.low < alone.estimate.high - alone.estimate.low


def test_cyclic_preferences_are_counted_and_warned_of() -> None:
    won = [("p", "a", "b"), ("p", "b", "c"), ("p", "c", "a"), ("q", "a", "b"), ("q", "b", "c"), ("q", "a", "c")]
    found = cyclic_preferences([(*pair, 0.9) for pair in won])
    assert found.estimate.value == 0.5
    assert not check("cyclic_preferences", verdicts(n=40, answers=4, cyclic=1)).holds
    assert check("cyclic_preferences", verdicts(n=40, answers=4)).estimate.value < 0.05


def test_coins_make_a_quarter_of_all_triads_cyclic_and_that_is_what_is_expected_of_them() -> None:
    chance = np.random.default_rng(0)
    pairs = [(str(p), a, b, float(chance.random() < 0.5)) for p in range(300) for a, b in combinations("abcd", 2)]
    assert triads(pairs).cyclic.mean() == pytest.approx(CHANCE, abs=0.03)
    assert triads([(*pair[:3], 0.5001) for pair in pairs]).expected.mean() == pytest.approx(CHANCE, abs=1e-3)


def test_a_judge_without_logprobs_has_its_bias_from_votes() -> None:
    found = profiles(verdicts(n=2000, logprobs=False))[0]
    assert found.from_votes
    assert found.bias.low < 1 < found.bias.high
