"""Where rows go, by drawn sources, groups and sizes: what must hold in every plan, and that a plan is found where there is one."""

import numpy as np
import pytest

from curate.config import UsageError
from curate.stages.mix import Mix
from curate.stages.mix_plan import Plan, plan
from curate.stages.mix_units import Units, lots


def units(draw: np.random.RandomState, sources: list[int], groups: int, parts: np.ndarray) -> Units:
    """So many units of each source, in drawn groups, which give `parts` rows to each split."""
    count = sum(sources)
    ids = np.arange(1, count + 1, dtype=np.uint64)
    drawn = draw.permutation(count) if groups == 0 else draw.randint(0, groups, count)
    group = np.unique(drawn, return_inverse=True)[1].astype(np.int64)
    zeros = np.zeros(count, np.int16)
    source = np.repeat(np.arange(len(sources), dtype=np.int16), sources)
    return Units(
        source=source, id=ids, lot=lots(1, ids), group=group, size=np.ones(count, np.int64), licence=zeros.astype(np.int32),
        parts=parts.astype(np.int32), law=np.zeros(parts.shape, np.int16), positive=np.zeros(parts.shape, np.int32),
        laws=np.array(["", "not_in_dialect"]), licences=np.array([""]), joined=np.array(0),
    )  # fmt: skip


def problems(mix: Mix, given: Units, made: Plan) -> list[str]:
    """What a plan may not do and does."""
    found = []
    kept = made.times > 0
    if (kept == (made.reason > 0)).any() or (kept != (made.split >= 0)).any():
        found.append("a row without an account, or with two")
    if len(np.unique(np.stack([given.group[kept], made.split[kept]]), axis=1).T) != len(np.unique(given.group[kept])):
        found.append("a group in two splits")
    for number, form in enumerate(mix.formats):
        here = made.split == number
        rows = int((given.parts[number] * made.times)[here].sum())
        if form.size.rows is not None and rows != form.size.rows:
            found.append(f"{form.split} has {rows} rows, not {form.size.rows}")
        allowed = [list(mix.sources).index(name) for name in form.sources]
        if not np.isin(given.source[here], allowed).all():
            found.append(f"{form.split} holds foreign rows")
    if made.times.max(initial=0) > np.ceil(mix.max_epochs):
        found.append("more epochs than allowed")
    return found


@pytest.mark.parametrize("seed", range(80))
def test_every_plan_keeps_sizes_groups_and_the_account(seed: int) -> None:
    draw = np.random.RandomState(seed)
    sources = draw.randint(20, 120, size=draw.randint(1, 4)).tolist()
    names = [f"s{number}" for number in range(len(sources))]
    splits = {f"x{number}": {"rows": int(draw.randint(1, 40)), "sources": names[: draw.randint(1, len(names) + 1)]} for number in range(draw.randint(1, 4))}
    epochs = float(draw.choice([1, 1, 3]))
    mix = Mix.model_validate({"sources": names, "splits": {**splits, "rest": "rest"}, "as": "text", "max_epochs": epochs})
    given = units(draw, sources, int(draw.choice([0, 30, 200])), draw.randint(0, 4, size=(len(mix.formats), sum(sources))))
    given.law[given.parts == 0] = 1
    try:
        made = plan(mix, given)
    except UsageError as refused:
        assert "missing" in str(refused) or "nearest below" in str(refused)
    else:
        assert problems(mix, given, made) == []


@pytest.mark.parametrize("seed", range(40))
def test_nested_demands_are_met_wherever_they_can_be(seed: int) -> None:
    draw = np.random.RandomState(seed)
    sources = draw.randint(5, 60, size=3).tolist()
    wanted = [int(draw.randint(1, sum(sources[: number + 1]) + 1)) for number in draw.permutation(3)]
    names = ["a", "b", "c"]
    sets = draw.randint(1, 4, size=3).tolist()
    splits = {f"x{number}": {"rows": rows, "sources": names[:count]} for number, (rows, count) in enumerate(zip(wanted, sets, strict=True))}
    mix = Mix.model_validate({"sources": names, "splits": {**splits, "rest": "rest"}, "as": "text"})
    given = units(draw, sources, 0, np.ones((4, sum(sources))))
    possible = all(sum(rows for rows, size in zip(wanted, sets, strict=True) if size <= count) <= sum(sources[:count]) for count in (1, 2, 3))
    if possible:
        assert problems(mix, given, plan(mix, given)) == []
    else:
        with pytest.raises(UsageError, match="missing"):
            plan(mix, given)


@pytest.mark.parametrize("seed", range(20))
def test_shares_of_rows_are_exact_in_every_sized_split(seed: int) -> None:
    draw = np.random.RandomState(seed)
    mix = Mix.model_validate(
        {"sources": {"a": {"share": 0.6}, "b": {"share": 0.3}, "c": {}}, "splits": {"x": 50, "y": 100, "rest": "rest"}, "as": "text", "max_epochs": 2}
    )
    sources = [int(draw.randint(least, 400)) for least in (150, 100, 60)]
    given = units(draw, sources, int(draw.choice([0, 400])), np.ones((3, sum(sources))))
    made = plan(mix, given)
    assert problems(mix, given, made) == []
    for split, rows in ((0, 50), (1, 100)):
        held = np.bincount(given.source, np.where(made.split == split, made.times, 0), 3)
        assert held.tolist() == [0.6 * rows, 0.3 * rows, 0.1 * rows]
