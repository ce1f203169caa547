"""Phase two of a mix: what is known of every unit in; the split of each and how often it is written out.

A group of prompts goes to one split as a whole. Groups are chosen in an order drawn by the seed;
the last of them so that the sizes are met exactly. First come the splits with a size, those
of the fewest sources before the others, then the split that takes the rest.
"""

from typing import NamedTuple

import numpy as np

from curate.config import UsageError
from curate.pairs import PAIR_REASONS
from curate.stages.mix import Format, Mix
from curate.stages.mix_draw import Drawn, drawn, shares
from curate.stages.mix_fill import filled, times
from curate.stages.mix_units import Units, lots


class Plan(NamedTuple):
    """One element a unit."""

    split: np.ndarray
    """int16: number of its split, -1 where it is in none."""
    times: np.ndarray
    """int32: how often it is written."""
    reason: np.ndarray
    """int16: number, in the plan's `reasons`, of why it is not; 0 where it is."""
    reasons: list[str]
    """`step.reason`, by number."""
    asked: dict[tuple[int, int], int]
    """What a split was to hold of a source, in the mix's unit, where that was reckoned: numbers of split and source."""


def group_lots(mix: Mix, units: Units) -> np.ndarray:
    """uint64: a draw for each group, of the ids in it alone; drawn again, so that large groups come no sooner."""
    least = np.full(int(units.group.max(initial=-1)) + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, units.group, units.lot)
    return lots(mix.seed, least, 1)


class Demand(NamedTuple):
    """What a split wants of some of its sources."""

    split: int
    sources: frozenset[int]
    amount: int
    exact: bool
    unit: str = "rows"
    """rows, or prompts: whole groups are counted, and never repeated."""


class Table:
    """The units as the splits see them."""

    def __init__(self, mix: Mix, units: Units) -> None:
        self.mix, self.units = mix, units
        self.names = list(mix.sources)
        self.forms = mix.formats
        self.groups = int(units.group.max(initial=-1)) + 1
        self.order = np.argsort(group_lots(mix, units), kind="stable")
        """Groups, by lot."""
        self.by_lot = np.lexsort((units.id, units.lot))
        """Units, by lot."""
        self.split_of = np.full(self.groups, -1, np.int16)
        self.reasons = ["", *(f"laws.{name}" if name not in PAIR_REASONS else f"mix.{name}" for name in units.laws[1:].tolist())]
        self.reason = self._early()
        self.parts = np.where(self.reason == 0, units.parts, 0)
        for number, form in enumerate(self.forms):
            if form.size.per_prompt:
                self.parts[number] *= self._first_of_group(number) < form.size.per_prompt

    def number(self, reason: str) -> int:
        if reason not in self.reasons:
            self.reasons.append(reason)
        return self.reasons.index(reason)

    def _early(self) -> np.ndarray:
        """Reasons of units that no split may have: known twice, under a wrong licence, over the cap."""
        units = self.units
        reason = np.zeros(len(units), np.int16)
        _, first = np.unique(units.id, return_index=True)
        twice = np.ones(len(units), bool)
        twice[first] = False
        reason[twice] = self.number("mix.duplicate_id")
        if self.mix.licence is not None:
            permitted = np.array([self.mix.licence.permits(name) for name in units.licences.tolist()])
            reason[(reason == 0) & ~permitted[units.licence]] = self.number("mix.licence_forbidden")
        nowhere = (reason == 0) & (units.parts.sum(axis=0) == 0)
        reason[nowhere] = units.law[:, nowhere].max(axis=0, initial=0)
        for number, name in enumerate(self.names):
            cap = self.mix.sources[name].cap
            if cap is not None:
                alive = self.by_lot[(reason[self.by_lot] == 0) & (units.source[self.by_lot] == number)]
                reason[alive[cap:]] = self.number("mix.over_cap")
        return reason

    def _first_of_group(self, split: int) -> np.ndarray:
        """The place, from 0, of each unit among those of its group that the split could take, by lot."""
        units = self.by_lot[self.parts[split][self.by_lot] > 0]
        ranked = units[np.argsort(self.units.group[units], kind="stable")]
        groups = self.units.group[ranked]
        starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]])) if len(groups) else np.empty(0, np.int64)
        place = np.zeros(len(self.units), np.int64)
        place[ranked] = np.arange(len(ranked)) - np.repeat(starts, np.diff(np.append(starts, len(ranked))))
        return place

    def sizes(self, demand: Demand) -> np.ndarray:
        """int64: what each group would add to the demand, where it is free or in the split already."""
        mine = np.where(np.isin(self.units.source, list(demand.sources)), self.parts[demand.split], 0)
        rows = np.bincount(self.units.group, mine, self.groups).astype(np.int64)
        rows[(self.split_of >= 0) & (self.split_of != demand.split)] = 0
        return np.sign(rows) if demand.unit == "prompts" else rows

    def rows(self, split: int, source: int) -> int:
        """Rows that the source could give the split."""
        return int(self.parts[split][self.units.source == source].sum())


def plan(mix: Mix, units: Units) -> Plan:
    """Where every unit goes. UsageError where a split cannot have what it was promised."""
    table = Table(mix, units)
    _refuse_licences(table)
    count = np.zeros(len(units), np.int32)
    lacking: list[str] = []
    demands, rest = _demands(table)
    asked = {(one.split, min(one.sources)): one.amount for one in demands if mix.by_share and len(one.sources) == 1 and one.unit == "rows"}
    crowding = {demand: _crowding(table, demand, demands) for demand in demands}
    for demand in sorted(demands, key=lambda one: (len(one.sources), -crowding[one], one.split, min(one.sources))):
        lacking += _meet(table, demand, max(1.0, crowding[demand]), count)
    if rest is not None:
        made = _take_rest(table, rest, count)
        lacking += made.lacking
        asked |= {(rest, source): amount for source, amount in made.asked.items()}
    if lacking:
        raise UsageError("\n".join(f"mix: {line}" for line in lacking))
    return _settled(table, count, asked)


def _refuse_licences(table: Table) -> None:
    rule, units = table.mix.licence, table.units
    if rule is None or rule.otherwise == "drop" or "mix.licence_forbidden" not in table.reasons:
        return
    forbidden = table.reason == table.number("mix.licence_forbidden")
    if not forbidden.any():
        return
    kinds, counts = np.unique(np.stack([units.source[forbidden], units.licence[forbidden]]), axis=1, return_counts=True)
    found = [
        f"{table.names[source]} ({units.licences[licence]}, {rows:,} rows)"
        for (source, licence), rows in zip(kinds.T.tolist(), counts.tolist(), strict=True)
    ]
    target = rule.target or f"only {', '.join(rule.allow)}"
    raise UsageError(
        f"mix: licence {target} cannot cover {'; '.join(found[:5])}{' ...' if found[5:] else ''}; "
        "leave these sources out, choose another target, or set `licence.otherwise: drop`"
    )


def _demands(table: Table) -> tuple[list[Demand], int | None]:
    """What the sized splits want, and the number of the split that takes the rest."""
    rest = next((number for number, form in enumerate(table.forms) if not form.size.sized), None)
    if rest is None and sum(form.size.share or 0 for form in table.forms) > 1 - 1e-9:
        rest = max(range(len(table.forms)), key=lambda number: table.forms[number].size.share or 0)
    demands = [one for number, form in enumerate(table.forms) if number != rest for one in _wanted(table, number, form)]
    return demands, rest


def _wanted(table: Table, number: int, form: Format) -> list[Demand]:
    """A demand a source where the mix is by share of rows, else one for all sources of the split."""
    sources = [table.names.index(name) for name in form.sources]
    if form.size.prompts is not None:
        return [Demand(number, frozenset(sources), form.size.prompts, True, "prompts")]
    exact = form.size.rows is not None
    rows = form.size.rows if exact else round(form.size.share * int(table.parts[number].sum()))
    if not (table.mix.by_share and table.mix.unit == "rows"):
        return [Demand(number, frozenset(sources), rows, exact)]
    parts = shares(table.mix, {source: table.rows(number, source) for source in sources}, table.names)
    ends = np.round(np.cumsum([0.0, *parts.values()]) * rows).astype(int)
    return [Demand(number, frozenset([source]), int(want), exact) for source, want in zip(parts, np.diff(ends), strict=True) if want]


def _crowding(table: Table, demand: Demand, demands: list[Demand]) -> float:
    """What is wanted of the demand's sources over what they have; above 1 rows must be repeated.

    By every set of sources that some demand names and this one draws from, since whoever wants a
    part of a set alone is in no one else's way.
    """

    def share(other: Demand) -> float:
        mine = np.isin(table.units.source, list(other.sources)) & (table.reason == 0)
        there = int(table.sizes(other).sum())
        return other.amount / there * int(mine.sum()) if there else float("inf")

    found = []
    for whole in {other.sources for other in demands if demand.sources <= other.sources}:
        units = int((np.isin(table.units.source, list(whole)) & (table.reason == 0)).sum())
        found.append(sum(share(other) for other in demands if other.sources <= whole) / max(units, 1))
    return max(found)


def _meet(table: Table, demand: Demand, crowding: float, count: np.ndarray) -> list[str]:
    """Give the split groups, repeated where it must be; what it lacks, in words."""
    split, mix = demand.split, table.mix
    repeated = demand.exact and demand.unit == "rows" and 1 < crowding <= mix.max_epochs
    wanted = round(demand.amount / crowding) if repeated else demand.amount
    order = table.order[np.argsort(table.split_of[table.order] < 0, kind="stable")]  # groups that are in it already come first
    sizes = table.sizes(demand)
    chosen = np.zeros(table.groups, bool)
    chosen[order] = filled(sizes[order], wanted)
    table.split_of[chosen] = split
    mine = table.by_lot[chosen[table.units.group[table.by_lot]]]
    mine = mine[np.isin(table.units.source[mine], list(demand.sources))]
    parts = table.parts[split][mine].astype(np.int64)
    found = int(sizes[chosen].sum())
    count[mine] = parts > 0
    if not demand.exact or found == demand.amount:
        return []
    if demand.unit == "prompts":
        return [_shortage(table, demand, int(sizes.sum()), found)]
    count[mine] = times(parts, demand.amount, exact=True)
    reached = int((parts * count[mine]).sum())
    if found and demand.amount / found <= mix.max_epochs and reached == demand.amount:
        return []
    return [_shortage(table, demand, int(sizes.sum()), found)]


def _shortage(table: Table, demand: Demand, there: int, found: int) -> str:
    form = table.forms[demand.split]
    names = ", ".join(table.names[source] for source in sorted(demand.sources))
    wants = f"split '{form.split}' wants {demand.amount:,} {form.output.name} {demand.unit} of {names}"
    if there >= demand.amount:
        return f"{wants}, but groups of prompts stay whole and {found:,} is the nearest below; ask for that, or set a `share`"
    lack = demand.amount - there
    epochs = demand.amount / there if there else 0
    repeat = f", or set `max_epochs: {np.ceil(epochs * 10) / 10:g}`" if there and demand.unit == "rows" else ""
    return f"{wants} and has {there:,} left: {lack:,} are missing; add sources, ask for fewer{repeat}"


def _take_rest(table: Table, split: int, count: np.ndarray) -> Drawn:
    """Every group that is left, its units as often as the weights say."""
    free = np.unique(table.units.group[(table.parts[split] > 0) & (table.split_of[table.units.group] < 0)])
    table.split_of[free] = split
    mine = table.by_lot[((table.split_of[table.units.group] == split) & (table.parts[split] > 0))[table.by_lot]]
    exact = table.mix.unit == "rows"
    sizes = table.parts[split] if exact else table.units.size * (table.parts[split] > 0)
    made = drawn(table.mix, table.forms[split], table.names, table.units.source[mine], sizes[mine].astype(np.int64))
    count[mine] = made.times
    return made


def _settled(table: Table, count: np.ndarray, asked: dict[tuple[int, int], int]) -> Plan:
    """The reasons of all units that are in no split."""
    units, reason = table.units, table.reason.copy()
    split = np.where(reason == 0, table.split_of[units.group], -1).astype(np.int16)
    open_ = (reason == 0) & (count == 0)
    mine = np.clip(split, 0, None), np.arange(len(units))
    given = units.parts[mine] > 0
    over = table.number("mix.over_share" if table.mix.by_share else "mix.not_drawn")
    reason[open_] = over
    reason[open_ & given & (table.parts[mine] == 0)] = table.number("mix.over_prompt")
    reason[open_ & ~given] = table.number("mix.other_split")
    refused = open_ & (units.law[mine] > 0)
    reason[refused] = units.law[mine][refused]
    reason[open_ & (split < 0)] = table.number("mix.split_full")
    return Plan(np.where(count > 0, split, -1).astype(np.int16), count, reason, table.reasons, asked)
