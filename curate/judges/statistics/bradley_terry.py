"""Bradley-Terry with position and length terms: comparisons in, one worth for each answer out, with standard errors.

The log-odds that the answer shown first wins are worth(first) - worth(second) + position[judge] +
length[judge] * (length of first - length of second): Bradley and Terry 1952, the order effect of
Davidson and Beaver 1977, the length term of Dubois et al. 2024 (AlpacaEval-LC, 3). What all judges
give for length cannot be told from worth but by the penalty: all that length explains is taken off.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from curate.judges.statistics.estimates import Floats, Ints
from curate.judges.statistics.soft_labels import sigmoid


class Comparisons(NamedTuple):
    """n comparisons; answers and judges are numbered from 0."""

    prompt: Ints
    """Answers are compared within a prompt only."""
    first: Ints
    second: Ints
    judge: Ints
    won: Floats
    """1 where the first shown won, 0 where the second did, 0.5 for a tie; a soft label lies between."""
    longer: Floats
    """Length of the first less that of the second, in units of about one standard deviation; zeros: no length term."""


class Fit(NamedTuple):
    """What the comparisons say."""

    worth: Floats
    """By answer, in log-odds; those of one prompt sum to about 0."""
    position: Floats
    """By judge: log-odds that the first place gains."""
    position_error: Floats
    length: Floats
    """By judge: log-odds for one unit of length."""
    length_error: Floats
    blocks: Floats
    """Covariance of the worths of each prompt's answers, (prompts, most answers, most answers)."""
    prompt: Ints
    """Of each answer."""
    place: Ints
    """Where an answer stands in its prompt's block."""

    def probability(self, a: ArrayLike, b: ArrayLike) -> Floats:
        """How likely `a` is better than `b`, place and length taken away."""
        return sigmoid(self.worth[np.asarray(a)] - self.worth[np.asarray(b)])

    def error(self, a: ArrayLike, b: ArrayLike) -> Floats:
        """Standard error of the log-odds that `a` is better than `b`."""
        block, i, j = self.blocks[self.prompt[np.asarray(a)]], self.place[np.asarray(a)], self.place[np.asarray(b)]
        n = np.arange(len(block))
        return np.sqrt(np.maximum(block[n, i, i] + block[n, j, j] - 2 * block[n, i, j], 0))


def fit(comparisons: Comparisons, penalty: float = 0.01, most_steps: int = 100) -> Fit:
    """Penalised maximum likelihood by Newton's method: worths and terms are as if drawn from N(0, 1 / penalty).

    The penalty keeps an answer that won or lost every time finite. Worths touch only those of
    their own prompt, so the Hessian is an arrow: a small block a prompt, and the judges' terms.
    """
    data = Comparisons(*(np.asarray(column) for column in comparisons))
    place, shape = _places(data)
    judges = int(data.judge.max()) + 1
    worth, terms = np.zeros(shape), np.zeros(2 * judges)
    value = -np.inf
    for _ in range(most_steps):
        slope_w, slope_t, hessian = _derivatives(data, place, worth, terms, penalty)
        move_w, move_t, covariance, covariance_t = _solved(slope_w, slope_t, *hessian)
        scale = 1.0
        while (new := _value(data, place, worth + scale * move_w, terms + scale * move_t, penalty)) < value and scale > 1e-6:
            scale /= 2
        worth, terms, value = worth + scale * move_w, terms + scale * move_t, new
        if max(np.abs(move_w).max(), np.abs(move_t).max()) < 1e-9:
            break
    error = np.sqrt(np.diag(covariance_t))
    prompt_of = np.zeros(len(place), int)
    prompt_of[data.first], prompt_of[data.second] = data.prompt, data.prompt
    return Fit(worth[prompt_of, place], terms[:judges], error[:judges], terms[judges:], error[judges:], covariance, prompt_of, place)


def _places(data: Comparisons) -> tuple[Ints, tuple[int, int]]:
    """The place of each answer in its prompt, and (prompts, most answers of one)."""
    pairs = np.unique(np.column_stack([np.tile(data.prompt, 2), np.concatenate([data.first, data.second])]), axis=0)
    starts = np.searchsorted(pairs[:, 0], pairs[:, 0])
    place = np.zeros(int(pairs[:, 1].max()) + 1, int)
    place[pairs[:, 1]] = np.arange(len(pairs)) - starts
    return place, (int(data.prompt.max()) + 1, int(place.max()) + 1)


def _logits(data: Comparisons, place: Ints, worth: Floats, terms: Floats) -> Floats:
    position, length = np.split(terms, 2)
    difference = worth[data.prompt, place[data.first]] - worth[data.prompt, place[data.second]]
    return difference + position[data.judge] + length[data.judge] * data.longer


def _value(data: Comparisons, place: Ints, worth: Floats, terms: Floats, penalty: float) -> float:
    logits = _logits(data, place, worth, terms)
    return float((data.won * logits - np.logaddexp(0, logits)).sum() - penalty / 2 * ((worth**2).sum() + (terms**2).sum()))


def _derivatives(
    data: Comparisons, place: Ints, worth: Floats, terms: Floats, penalty: float
) -> tuple[Floats, Floats, tuple[Floats, Floats, Floats]]:
    """Gradient by worth and by term, and the negative Hessian: blocks, border and corner of the arrow."""
    p = sigmoid(_logits(data, place, worth, terms))
    residual, weight = data.won - p, p * (1 - p)
    prompt, i, j, judges = data.prompt, place[data.first], place[data.second], len(terms) // 2
    slope_w, slope_t = -penalty * worth, -penalty * terms
    blocks = np.tile(penalty * np.eye(worth.shape[1]), (len(worth), 1, 1))
    border, corner = np.zeros((*worth.shape, len(terms))), penalty * np.eye(len(terms))
    columns = ((data.judge, np.ones(len(p))), (judges + data.judge, data.longer))
    for mine, sign in ((i, 1), (j, -1)):
        np.add.at(slope_w, (prompt, mine), sign * residual)
        np.add.at(blocks, (prompt, mine, mine), weight)
        for term, x in columns:
            np.add.at(border, (prompt, mine, term), sign * weight * x)
    np.add.at(blocks, (prompt, i, j), -weight)
    np.add.at(blocks, (prompt, j, i), -weight)
    for term, x in columns:
        np.add.at(slope_t, term, residual * x)
        for other, y in columns:
            np.add.at(corner, (term, other), weight * x * y)
    return slope_w, slope_t, (blocks, border, corner)


def _solved(slope_w: Floats, slope_t: Floats, blocks: Floats, border: Floats, corner: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Newton's moves and the covariances, by Schur's complement of the blocks."""
    inverse = np.linalg.inv(blocks)
    across = inverse @ border
    covariance_t = np.linalg.inv(corner - np.einsum("pkt,pku->tu", border, across))
    move_t = covariance_t @ (slope_t - np.einsum("pkt,pk->t", across, slope_w))
    move_w = np.einsum("pkl,pl->pk", inverse, slope_w) - across @ move_t
    return move_w, move_t, inverse + across @ covariance_t @ np.swapaxes(across, 1, 2), covariance_t
