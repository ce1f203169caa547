"""The split without a size: its units by lot and the mix's weights in, how often each is written out."""

import math
from typing import NamedTuple

import numpy as np

from curate.stages.mix import Format, Mix
from curate.stages.mix_fill import times


class Drawn(NamedTuple):
    """How often each unit is written, and what sources lack for what was asked, in words."""

    times: np.ndarray
    asked: dict[int, int]
    """What each source was to give, by its number, where that is stated or follows from shares."""
    lacking: list[str]


def shares(mix: Mix, sizes: dict[int, int], names: list[str]) -> dict[int, float]:
    """Part of a split that each of its sources makes up, summing to 1.

    Stated shares stand; the others divide what is left by size^(1/temperature) (Raffel et al. 2020,
    3.5.2). In a split that leaves sources out, the shares of the rest keep their ratios.
    """
    stated = {source: mix.sources[names[source]].share for source in sizes}
    left = 1 - sum(source.share or 0 for source in mix.sources.values())
    weights = {source: sizes[source] ** (1 / (mix.temperature or 1)) for source, share in stated.items() if share is None}
    whole = sum(weights.values()) or 1
    found = {source: share if share is not None else left * weights[source] / whole for source, share in stated.items()}
    total = sum(found.values()) or 1
    return {source: part / total for source, part in found.items()}


def drawn(mix: Mix, form: Format, names: list[str], source: np.ndarray, sizes: np.ndarray) -> Drawn:
    """Times of the split's units, given by lot: their source's number and their size in the mix's unit (int64)."""
    have = {names.index(name): int(sizes[source == names.index(name)].sum()) for name in form.sources}
    amounts = _amounts(mix, have, names)
    count = np.zeros(len(source), np.int32)
    lacking = []
    for number, there in have.items():
        mine, given = source == number, mix.sources[names[number]]
        wanted = amounts.get(number)
        if given.share is not None and not there:
            lacking.append(f"split '{form.split}' finds no row left of source '{names[number]}', which has a share; lower the other splits' sizes")
        elif wanted is not None and wanted > there * mix.max_epochs + 1e-6:
            lacking.append(_shortage(mix, form.split, names[number], wanted, there))
        elif wanted is not None:
            count[mine] = times(sizes[mine], wanted, exact=mix.unit == "rows")
        else:
            count[mine] = _epochs(int(mine.sum()), given.epochs or 1)
    return Drawn(count, amounts, lacking)


def _amounts(mix: Mix, have: dict[int, int], names: list[str]) -> dict[int, int]:
    """What each source is to give, in the mix's unit; a source that gives all or by epochs is not among them."""
    if not mix.by_share:
        return {number: amount for number in have if (amount := mix.sources[names[number]].amount) is not None}
    parts = shares(mix, have, names)
    most = min((there * mix.max_epochs / parts[number] for number, there in have.items() if parts[number]), default=0)
    total = mix.total if mix.total is not None else int(most)
    ends = [min(round(end * total), total) for end in np.cumsum([0.0, *parts.values()]).tolist()]
    amounts = {number: end - start for number, start, end in zip(parts, ends[:-1], ends[1:], strict=True)}
    if mix.total is None:  # rounding must not ask for more than there is
        amounts = {number: min(amount, int(have[number] * mix.max_epochs)) for number, amount in amounts.items()}
    return amounts


def _epochs(units: int, epochs: float) -> np.ndarray:
    """Whole epochs, and one more of the first by lot (The Pile's way: Gao et al. 2020, table 1)."""
    whole = math.floor(epochs)
    return whole + (np.arange(units) < round((epochs - whole) * units))


def _shortage(mix: Mix, split: str, name: str, wanted: int, there: int) -> str:
    asked = f"split '{split}' wants {wanted:,} {mix.unit} of source '{name}', which has {there:,}"
    epochs = f"; set `max_epochs: {math.ceil(wanted / there * 10) / 10:g}`" if there else ""
    return f"{asked}: {wanted - there:,} are missing{epochs}, lower the share or the amount, or add data"
