"""Sizes in, which of them sum to a wanted number out: exactly, wherever any choice of them does."""

import numpy as np

_TAIL = 16
"""The last part of the way, in multiples of the largest size, is solved; up to there the order decides."""

_MOST_SOLVED = 1 << 22
"""Largest sum that is solved as a whole; beyond it the sizes are so many that the tail says all."""


def filled(sizes: np.ndarray, wanted: int) -> np.ndarray:
    """bool: a choice of the sizes (int64, given in the order of preference; 0 is never chosen).

    It sums to `wanted` where that can be, else to the greatest sum below it.
    """
    sums = np.cumsum(sizes)
    chosen = (sums <= wanted - _TAIL * int(sizes.max(initial=0))) & (sizes > 0)
    left = wanted - int(sizes[chosen].sum())
    tail = np.where(chosen, 0, sizes)
    picked = _solved(tail, left)
    if int(tail[picked].sum()) == left:
        return chosen | picked
    if wanted > _MOST_SOLVED:
        return chosen | picked
    whole = _solved(sizes, wanted)
    return whole if int(sizes[whole].sum()) > wanted - left + int(tail[picked].sum()) else chosen | picked


def _solved(sizes: np.ndarray, wanted: int) -> np.ndarray:
    """The subset-sum problem by dynamic programming over distinct sizes; sets of sums are the bits of an integer."""
    distinct, counts = np.unique(sizes[(sizes > 0) & (sizes <= wanted)], return_counts=True)
    below = (1 << (wanted + 1)) - 1
    reached = [1]
    for size, count in zip(distinct.tolist(), counts.tolist(), strict=True):
        reached.append(_sums(reached[-1], size, min(count, wanted // size)) & below)
    chosen = np.zeros(len(sizes), bool)
    target = reached[-1].bit_length() - 1
    for place in range(len(distinct) - 1, -1, -1):
        size = int(distinct[place])
        taken = next(n for n in range(int(counts[place]) + 1) if n * size <= target and reached[place] >> (target - n * size) & 1)
        chosen[np.flatnonzero(sizes == size)[:taken]] = True
        target -= taken * size
    return chosen


def _sums(reached: int, size: int, count: int) -> int:
    """Every reached sum with 0 to `count` times `size` added; the step doubles, so that few are needed."""
    step = 1
    while count > 0:
        step = min(step, count)
        reached |= reached << (step * size)
        count -= step
        step *= 2
    return reached


def times(sizes: np.ndarray, amount: int, exact: bool) -> np.ndarray:
    """int64: how often each is taken (sizes in the order of preference), so that they sum to `amount` or just below.

    `exact` looks for a choice that meets it, which is worth the while for rows but not for tokens.
    """
    whole = int(sizes.sum())
    if not whole:
        return np.zeros(len(sizes), np.int64)
    epochs, rest = divmod(amount, whole)
    chosen = filled(sizes, rest) if exact else np.cumsum(sizes) <= rest
    return np.where(sizes > 0, epochs + chosen, 0)
