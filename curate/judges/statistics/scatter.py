"""Whether single calls scatter more than the model of a judge explains: readings or votes of the same pairs in, checks out.

Neither check needs a call of its own: both orders of a pair are two draws of one lean, and a vote that was
asked again is a repeat.
"""

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from curate.judges.statistics import hard_votes
from curate.judges.statistics.checks import CONFIDENCE, Check
from curate.judges.statistics.estimates import Estimate, Floats, mean
from curate.judges.statistics.panel import PAIR, calls, readings, votes_of
from curate.judges.statistics.soft_labels import gap, sigmoid

LABEL_ERROR = 0.01
"""Mean error of soft labels that is no warning."""
SIGN_ERROR = 0.01
"""Share of labels with the wrong sign that is no warning."""
FREE = 30
"""Fewest gaps beyond those that worths need, for a bound of the scatter."""
REPEATS = 0.05
"""Surplus of repeated votes that say the same, as a share of all, that is no warning."""


def call_noise(order_0: ArrayLike, order_1: ArrayLike, by: list[ArrayLike], most: float = np.inf) -> Check:
    """How much labels err on average, and how many have the wrong sign, should what is left of the lean after `by` be noise of single calls.

    The readings of a pair are g + b + e and b - g + e', so half their sum scatters around b as half their
    difference, which makes the label, does around g. A lean that differs from pair to pair scatters the sum
    too and cancels in the label; what `by` (one number a pair each) and the size of the gap explain of it is
    taken off, neither of which noise follows. The rest cannot be told from noise by two calls, so both numbers
    are bounds, from above; `most` is another bound of the scatter, which no lean enters (`worth_scatter`).
    Warns where the error is certainly over its limit, or the share of wrong signs, as estimated, is: its interval says how sure that is.
    """
    found = gap(order_0, order_1)
    lean = (np.asarray(order_0, float) + np.asarray(order_1, float)) / 2
    if len(found) < 10:
        return Check("call_noise", Estimate(np.nan, np.nan, np.nan, len(found)), True, "fewer than 10 pairs: not measured")
    clear = np.vander(np.abs(found) / max(found.std(), 1e-12), 4)
    columns = np.column_stack([clear, *[np.asarray(one, float) for one in by]])
    left = lean - columns @ np.linalg.lstsq(columns, lean, rcond=None)[0]
    noise = left * np.sqrt(len(left) / max(1, len(left) - columns.shape[1]))
    scatter = min(float(noise.std()), most)
    estimate = mean(np.abs(sigmoid(found + noise * scatter / max(noise.std(), 1e-12)) - sigmoid(found)), CONFIDENCE)
    wrong = _wrong_signs(found, scatter)
    said = (
        f"the calls of a pair scatter by at most {scatter:.3f} log-odds around gap and lean: "
        f"were it all noise, labels would err by {estimate}, and a share of {wrong} would have the wrong sign"
    )
    holds = estimate.low <= LABEL_ERROR and wrong.value <= SIGN_ERROR
    advice = "hold the labels against gold, leave out those near a half, or add a judge"
    return Check("call_noise", estimate, holds, said if holds else f"{said}; {advice}")


def _wrong_signs(found: Floats, scatter: float) -> Estimate:
    """The share of gaps that normal noise carries over zero: their density there, times the scatter and sqrt(2 / pi).

    The density is that of a normal kernel twice as wide as the scatter (Rosenblatt 1956), which takes enough
    pairs for a usable interval; where most gaps are no larger than the scatter, the share is more than it tells.
    """
    return mean(np.exp(-((found / max(2 * scatter, 1e-12)) ** 2) / 2) / (2 * np.pi), CONFIDENCE)


def worth_scatter(pairs: pl.DataFrame) -> float:
    """How far gaps of answers to one prompt are from differences of worths, as the deviation of one of them; infinite where hardly any tell.

    `pairs`: row_id, a, b, gap. Gaps in a ring of answers sum to zero but for noise, whatever the judge gives for a place.
    """
    squares, free = 0.0, 0
    for _, rows in pairs.filter(pl.len().over("row_id") > 2).group_by("row_id", maintain_order=True):
        place = {answer: number for number, answer in enumerate(dict.fromkeys([*rows["a"], *rows["b"]]))}
        if len(rows) < len(place):
            continue
        signs = np.zeros((len(rows), len(place)))
        signs[np.arange(len(rows)), [place[answer] for answer in rows["a"]]] = 1
        signs[np.arange(len(rows)), [place[answer] for answer in rows["b"]]] = -1
        gaps = rows["gap"].to_numpy()
        worths, _, rank, _ = np.linalg.lstsq(signs, gaps, rcond=None)
        squares, free = squares + float(((gaps - signs @ worths) ** 2).sum()), free + len(rows) - int(rank)
    return np.sqrt(squares / free) if free >= FREE else np.inf


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
