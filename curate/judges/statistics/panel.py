"""One probability for each pair, from all that was said of it: a table of verdicts in, a table of labels out.

Several judges are put together by averaging their log-odds, by Bradley-Terry with a place and a
length term for each judge, by Dawid and Skene's model, or by counting votes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import numpy as np
import polars as pl

from curate.judges.statistics import bradley_terry, hard_votes
from curate.judges.statistics.dawid_skene import dawid_skene
from curate.judges.statistics.estimates import Floats, Ints
from curate.judges.statistics.methods import Method
from curate.judges.statistics.soft_labels import gap, log_odds, sigmoid, soft_label

PAIR = ["row_id", "a", "b"]
_WON = {"first": 1.0, "tie": 0.5, "second": 0.0}


def calls(verdicts: pl.DataFrame) -> pl.DataFrame:
    """The readable pairwise verdicts, `won` (1 where the first shown won, 0.5 for a tie) and `call`, their number, added.

    A log-odds that is no finite number is none.
    """
    read = pl.col("label").is_in(list(_WON)) & pl.col("a").is_not_null() & pl.col("b").is_not_null()
    won = pl.col("label").replace_strict(_WON, default=None, return_dtype=pl.Float64).alias("won")
    logit = pl.when(pl.col("logit").is_finite()).then(pl.col("logit")).alias("logit")
    return verdicts.with_row_index("call").filter(read).with_columns(won, logit)


def readings(verdicts: pl.DataFrame) -> pl.DataFrame:
    """One row for each judge and pair: the mean log-odds of each order (null: none), votes and draws, the first call."""
    of = [pl.col("order") == order for order in (0, 1)]
    columns = [pl.col("logit").filter(mine).mean().alias(f"logit_{order}") for order, mine in enumerate(of)]
    columns += [pl.col("won").filter(mine).sum().alias(f"first_{order}") for order, mine in enumerate(of)]
    columns += [pl.col("won").filter(mine).len().cast(pl.Float64).alias(f"draws_{order}") for order, mine in enumerate(of)]
    return calls(verdicts).group_by(["judge", *PAIR], maintain_order=True).agg(*columns, pl.col("call").min())


def votes_of(found: pl.DataFrame) -> hard_votes.Votes:
    """The votes of readings, for the model of hard votes."""
    return hard_votes.Votes(*(found[name].to_numpy().astype(float) for name in ("first_0", "draws_0", "first_1", "draws_1")))


def judge_probability(found: pl.DataFrame, average: Literal["logits", "probabilities"] = "logits") -> Floats:
    """How likely `a` is better, by the readings of one judge.

    Both orders' log-odds are averaged; of one order alone the judge's bias is taken off, as far as
    other pairs tell it; without log-odds the votes go through their model.
    """
    zero, one = (found[f"logit_{order}"].cast(pl.Float64).fill_null(np.nan).to_numpy() for order in (0, 1))
    both = ~np.isnan(zero) & ~np.isnan(one)
    bias = float((zero + one)[both].mean() / 2) if both.any() else 0.0
    gaps = np.where(both, gap(zero, one), np.where(np.isnan(zero), bias - one, zero - bias))
    silent = np.isnan(gaps)
    p = sigmoid(np.where(silent, 0, gaps))
    if average == "probabilities":
        p[both] = soft_label(zero[both], one[both], "probabilities")
    if silent.any():
        votes = hard_votes.Votes(*(part[silent] for part in votes_of(found)))
        p[silent] = hard_votes.fit(votes).probability(votes)
    return p


def pair_labels(verdicts: pl.DataFrame, method: Method = "logits", lengths: Mapping[str, float] | None = None) -> pl.DataFrame:
    """`row_id, a, b, probability, judges`: how likely `a` is better; pairs that no judge could read are absent.

    `lengths`, by id of the answer, adds the length term of `bradley_terry`: what a judge gives for
    length alone is then taken off.
    """
    made = _METHODS[method](verdicts, lengths)
    judges = readings(verdicts).group_by(PAIR, maintain_order=True).agg(pl.col("judge").n_unique().alias("judges"))
    return judges.join(made, on=PAIR, how="left", maintain_order="left").select(*PAIR, "probability", "judges")


def _averaged(average: Literal["logits", "probabilities"], verdicts: pl.DataFrame, _: Mapping[str, float] | None) -> pl.DataFrame:
    """The mean over the judges: of log-odds, or of probabilities."""
    found = readings(verdicts)
    by_judge = found.partition_by("judge", maintain_order=True)
    parts = [part.with_columns(pl.Series("p", judge_probability(part, average))) for part in by_judge]
    said = pl.concat(parts) if parts else found.with_columns(pl.lit(0.0).alias("p"))
    values = log_odds(said["p"].to_numpy()) if average == "logits" else said["p"].to_numpy()
    mean = said.with_columns(pl.Series("p", values)).group_by(PAIR, maintain_order=True).agg(pl.col("p").mean())
    return _labels(mean, sigmoid(mean["p"].to_numpy()) if average == "logits" else mean["p"].to_numpy())


def _bradley_terry(verdicts: pl.DataFrame, lengths: Mapping[str, float] | None) -> pl.DataFrame:
    said = calls(verdicts)
    pairs = said.select(PAIR).unique(maintain_order=True)
    if said.is_empty():
        return _labels(pairs, [])
    answers = _codes([*zip(said["row_id"], said["a"], strict=True), *zip(said["row_id"], said["b"], strict=True)])
    a, b = np.split(answers, 2)
    prompts, judges = _codes(said["row_id"].to_list()), _codes(said["judge"].to_list())
    swapped = said["order"].to_numpy() == 1
    logit = said["logit"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    won = np.where(np.isnan(logit), said["won"].to_numpy(), sigmoid(np.nan_to_num(logit)))
    longer = _longer(said, lengths) * np.where(swapped, -1, 1)
    first, second = np.where(swapped, b, a), np.where(swapped, a, b)
    fitted = bradley_terry.fit(bradley_terry.Comparisons(prompts, first, second, judges, won, longer))
    return _labels(said, fitted.probability(a, b)).unique(PAIR, keep="first", maintain_order=True)


def _longer(said: pl.DataFrame, lengths: Mapping[str, float] | None) -> Floats:
    """Length of `a` less that of `b`, in standard deviations of the differences; zeros without lengths."""
    if lengths is None:
        return np.zeros(len(said))
    difference = np.array([lengths[a] - lengths[b] for a, b in zip(said["a"], said["b"], strict=True)], float)
    return difference / (difference.std() or 1.0)


def _dawid_skene(verdicts: pl.DataFrame, _: Mapping[str, float] | None) -> pl.DataFrame:
    """A judge is a rater for each order, since it may lean to a place; a tie is something to say, no class."""
    said = calls(verdicts)
    pairs = said.select(PAIR).unique(maintain_order=True)
    raters = _codes(list(zip(said["judge"], said["order"], strict=True)))
    units = _codes(list(said.select(PAIR).iter_rows()))
    counts = np.zeros((len(pairs), int(raters.max(initial=-1)) + 1, 3))
    vote = np.array([1, 2, 0])[(_for_a(said) * 2).astype(int)]
    np.add.at(counts, (units, raters, vote), 1.0)
    return _labels(pairs, dawid_skene(counts, classes=2).probability[:, 0])


def _for_a(said: pl.DataFrame) -> Floats:
    """1 where a call says that `a` is better, 0 where `b`, 0.5 for a tie."""
    return np.where(said["order"].to_numpy() == 1, 1 - said["won"].to_numpy(), said["won"].to_numpy())


def _majority(verdicts: pl.DataFrame, _: Mapping[str, float] | None) -> pl.DataFrame:
    """The share of votes; a tie is half a vote for either."""
    said = calls(verdicts)
    mean = said.with_columns(pl.Series("p", _for_a(said))).group_by(PAIR, maintain_order=True).agg(pl.col("p").mean())
    return _labels(mean, mean["p"].to_numpy())


def _labels(pairs: pl.DataFrame, probability: Floats | list[float]) -> pl.DataFrame:
    """Rounded far below any meaning, so that two votes that cancel out are a tie to the last bit."""
    return pairs.select(PAIR).with_columns(pl.Series("probability", np.round(probability, 12), dtype=pl.Float64))


def _codes(names: list) -> Ints:
    """Numbers from 0, in the order of first appearance."""
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], int)


_METHODS: dict[str, Callable[[pl.DataFrame, Mapping[str, float] | None], pl.DataFrame]] = {
    "logits": partial(_averaged, "logits"),
    "probabilities": partial(_averaged, "probabilities"),
    "bradley_terry": _bradley_terry,
    "dawid_skene": _dawid_skene,
    "majority": _majority,
}
