"""Exact sizes: which groups sum to a number, against every subset there is."""

from itertools import chain, combinations

import numpy as np
import pytest

from curate.stages.mix_fill import filled, times


def best_below(sizes: list[int], wanted: int) -> int:
    subsets = chain.from_iterable(combinations(sizes, count) for count in range(len(sizes) + 1))
    return max(total for subset in subsets if (total := sum(subset)) <= wanted)


@pytest.mark.parametrize("seed", range(60))
def test_a_choice_is_as_near_as_any_subset_comes(seed: int) -> None:
    draw = np.random.RandomState(seed)
    sizes = draw.randint(0, 9, size=draw.randint(0, 11)) * draw.choice([1, 2, 7])
    wanted = int(draw.randint(0, sizes.sum() + 4))
    assert int(sizes[filled(sizes, wanted)].sum()) == best_below(sizes.tolist(), wanted)


def test_the_order_decides_until_the_last_of_the_way() -> None:
    sizes = np.array([1, 2] * 5_000)
    chosen = filled(sizes, 6_001)
    assert sizes[chosen].sum() == 6_001 and chosen[:3_970].all() and chosen[3_970:].sum() < 60


def test_large_groups_are_passed_over_where_they_do_not_fit() -> None:
    sizes = np.array([50, 50, 3, 4])
    assert sizes[filled(sizes, 57)].tolist() == [50, 3, 4]


def test_repeats_are_whole_epochs_and_a_part_of_one() -> None:
    assert times(np.array([1, 1, 1, 1]), 10, exact=True).tolist() == [3, 3, 2, 2]
    assert times(np.array([5, 0, 3]), 11, exact=True).tolist() == [1, 0, 2]
    assert times(np.array([5, 0, 3]), 7, exact=False).tolist() == [1, 0, 0]
    assert times(np.zeros(3, int), 7, exact=True).tolist() == [0, 0, 0]
