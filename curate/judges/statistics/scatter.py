"""Whether single calls scatter more than the model of a judge explains: readings or votes of the same pairs in, checks out.

Neither check needs a call of its own: both orders of a pair are two draws of one lean, and a vote that was
asked again is a repeat.
"""

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from curate.judges.statistics import hard_votes
from curate.judges.statistics.checks import CONFIDENCE, Check
from curate.judges.statistics.estimates import Estimate, Floats, mean, normal_tail
from curate.judges.statistics.panel import PAIR, calls, readings, votes_of
from curate.judges.statistics.soft_labels import gap, sigmoid

LABEL_ERROR = 0.01
"""Mean error of soft labels that is no warning."""
SIGN_ERROR = 0.01
"""Share of labels with the wrong sign that is no warning."""
REPEATS = 0.05
"""Surplus of repeated votes that say the same, as a share of all, that is no warning."""


def call_noise(order_0: ArrayLike, order_1: ArrayLike, by: list[ArrayLike]) -> Check:
    """How much labels err on average, and how many have the wrong sign, should what is left of the lean after `by` be noise of single calls.

    The readings of a pair are g + b + e and b - g + e', so half their sum scatters around b as half their
    difference, which makes the label, does around g. A lean that differs from pair to pair scatters the sum
    too and cancels in the label; what `by` (one number a pair each) explains of it is taken off, and the
    rest cannot be told from noise by two calls: both numbers are bounds, from above. A label's chance of the
    wrong sign is that of a normal gap around the one that was read, with that scatter, beyond zero.
    """
    found = gap(order_0, order_1)
    lean = (np.asarray(order_0, float) + np.asarray(order_1, float)) / 2
    if len(found) < 10:
        return Check("call_noise", Estimate(np.nan, np.nan, np.nan, len(found)), True, "fewer than 10 pairs: not measured")
    columns = np.column_stack([np.ones(len(lean)), *[np.asarray(one, float) for one in by]])
    left = lean - columns @ np.linalg.lstsq(columns, lean, rcond=None)[0]
    noise = left * np.sqrt(len(left) / max(1, len(left) - columns.shape[1]))
    estimate = mean(np.abs(sigmoid(found + noise) - sigmoid(found)), CONFIDENCE)
    scatter = float(noise.std())
    wrong = float(normal_tail(np.abs(found) / max(scatter, 1e-12)).mean())
    said = (
        f"the orders of a pair scatter by {scatter:.3f} log-odds around the lean: "
        f"were it noise of single calls, labels would err by {estimate}, and a share of {wrong:.4f} would have the wrong sign"
    )
    holds = estimate.low <= LABEL_ERROR and wrong <= SIGN_ERROR
    advice = "hold the labels against gold, leave out those near a half, or add a judge"
    return Check("call_noise", estimate, holds, said if holds else f"{said}; {advice}")


def repeated_votes(verdicts: pl.DataFrame, model: hard_votes.VoteModel) -> Check:
    """How much oftener a vote that is asked again says what it said before than the model expects of it.

    Each draw is held against the chance that the draws before it gave it, which is fair however the pairs
    to be asked again were chosen (the prequential view: Dawid 1984). Both votes of a draw count as one unit.
    """
    surplus = _surplus(calls(verdicts), model)
    if len(surplus) < 10:
        return Check("repeated_votes", Estimate(np.nan, np.nan, np.nan, len(surplus)), True, "fewer than 10 repeats: not measured")
    estimate = mean(surplus, CONFIDENCE)
    certain = estimate.low > 0 or estimate.high < 0
    holds = not (certain and abs(estimate.value) > REPEATS)
    said = f"votes that were asked again say the same in a share of {estimate} more than the model of the votes expects"
    advice = "repeats are no votes of their own: set a temperature, or let the endpoint heed the seed"
    if estimate.value < 0:
        advice = "the judge scatters more than any gap of the answers explains: ask another one"
    return Check("repeated_votes", estimate, holds, said if holds else f"{said}; {advice}")


def _surplus(said: pl.DataFrame, model: hard_votes.VoteModel) -> Floats:
    """For each pair and draw but its first: votes like the last one less their chance, the mean of both orders."""
    found = []
    for draw in range(1, (said["draw"].max() or 0) + 1):
        before = readings(said.filter(pl.col("draw") < draw).drop("call"))
        pairs = before.with_columns(*(pl.Series(f"chance_{o}", p) for o, p in enumerate(model.expected(votes_of(before)))))
        last, now = (_won(said.filter(pl.col("draw") == number)) for number in (draw - 1, draw))
        again = now.join(last, on=[*PAIR, "order"], suffix="_last", maintain_order="left").join(pairs, on=PAIR, maintain_order="left")
        chance = pl.when(pl.col("order") == 0).then(pl.col("chance_0")).otherwise(pl.col("chance_1"))
        expected = pl.when(pl.col("won_last") == 1).then(chance).otherwise(1 - chance)
        same = (pl.col("won") == pl.col("won_last")).cast(pl.Float64)
        found.append(again.group_by(PAIR, maintain_order=True).agg((same - expected).mean().alias("surplus"))["surplus"].to_numpy())
    return np.concatenate(found) if found else np.array([])


def _won(said: pl.DataFrame) -> pl.DataFrame:
    """Votes for a place; a tie is none."""
    return said.filter(pl.col("won") != 0.5).select(*PAIR, "order", "won")
