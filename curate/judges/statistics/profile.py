"""What a judge is like: its verdicts in; its bias, preference of places, consistency and the checks of its model out."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from curate.judges.statistics import checks, hard_votes
from curate.judges.statistics.checks import Check
from curate.judges.statistics.cycles import cyclic_preferences, triads
from curate.judges.statistics.estimates import Estimate, Floats, mean
from curate.judges.statistics.panel import PAIR, calls, judge_probability, readings, votes_of
from curate.judges.statistics.position import Preference, consistency, place_preference, position_bias
from curate.judges.statistics.scatter import call_noise, repeated_votes, worth_scatter


class Profile(NamedTuple):
    """One judge."""

    judge: str
    calls: int
    places: Preference
    consistency: Estimate
    """Share of pairs for which both orders name the same answer."""
    bias: Estimate
    """Log-odds that the first place gains."""
    from_votes: bool
    """The bias was fitted to votes, since no log-odds were given in both orders."""
    checks: list[Check]

    def warnings(self) -> list[str]:
        """A sentence for each assumption that does not hold."""
        return [f"judge {self.judge}: {check.sentence}" for check in self.checks if not check.holds]


def profiles(verdicts: pl.DataFrame, lengths: Mapping[str, float] | None = None, models: Mapping[str, str] | None = None) -> list[Profile]:
    """One for each judge of a table of verdicts, by name. `lengths` and `models` are those of the answers, by id."""
    pairwise = verdicts.filter(pl.col("a").is_not_null() & pl.col("b").is_not_null())
    both = readings(pairwise).drop_nulls(["logit_0", "logit_1"]).with_columns(((pl.col("logit_0") - pl.col("logit_1")) / 2).alias("gap"))
    parts = pairwise.sort("judge", maintain_order=True).partition_by("judge", maintain_order=True)
    return [_profile(part, both, lengths, models) for part in parts]


def _profile(
    verdicts: pl.DataFrame, everyone: pl.DataFrame, lengths: Mapping[str, float] | None, models: Mapping[str, str] | None
) -> Profile:
    name, found = str(verdicts["judge"][0]), readings(verdicts)
    mine = pl.col("judge") == name
    others = everyone.filter(~mine).group_by(PAIR).agg(pl.col("gap").mean().alias("reference"))
    both = everyone.filter(mine).join(others, on=PAIR, how="left", maintain_order="left")
    first = [verdicts.filter((pl.col("order") == order) & (pl.col("draw") == pl.col("draw").min())) for order in (0, 1)]
    joined = first[0].select(*PAIR, "label").join(first[1].select(*PAIR, "label"), on=PAIR, maintain_order="left")
    return Profile(
        name,
        len(verdicts),
        place_preference(verdicts["label"].to_list()),
        consistency(joined["label"].to_list(), joined["label_right"].to_list()),
        _bias(found, both),
        not len(both),
        [*_reading_checks(verdicts, both, lengths, models), *_label_checks(verdicts, found, not len(both))],
    )


def _bias(found: pl.DataFrame, both: pl.DataFrame) -> Estimate:
    if len(both):
        return position_bias(both["logit_0"].to_numpy(), both["logit_1"].to_numpy())
    return hard_votes.fit(votes_of(found)).bias if len(found) else mean([])


def _reading_checks(
    verdicts: pl.DataFrame, both: pl.DataFrame, lengths: Mapping[str, float] | None, models: Mapping[str, str] | None
) -> list[Check]:
    """What pairs with log-odds in both orders can tell."""
    if both.is_empty():
        return []
    zero, one, when = (both[name].to_numpy() for name in ("logit_0", "logit_1", "call"))
    made = [checks.bias_drift(zero, one, when), checks.slope_drift(zero, one, when), checks.rounded(calls(verdicts)["logit"].drop_nulls())]
    leaning = [when]
    if lengths is not None:
        longer = np.array([lengths[a] - lengths[b] for a, b in zip(both["a"], both["b"], strict=True)], float)
        made += [checks.length_linked_bias(zero, one, longer), checks.length_preference(zero, one, longer)]
        leaning.append(np.abs(longer))
    made.append(call_noise(zero, one, leaning, worth_scatter(both)))
    if models is not None and (own := _own(both, models, verdicts["model"][0])).any():
        reference = None if both["reference"].null_count() else both["reference"].to_numpy()
        made.append(checks.self_preference(both["gap"].to_numpy(), own, reference))
    return made


def _label_checks(verdicts: pl.DataFrame, found: pl.DataFrame, from_votes: bool) -> list[Check]:
    """What any labels can tell; votes are noisy, so that some triads of theirs are cyclic by chance."""
    read = verdicts.drop_nulls(["logit", "missing_mass"])
    made = [checks.missing_mass(read["missing_mass"]), checks.bounded_readings(read["logit"], read["missing_mass"])] if len(read) else []
    if found.is_empty():
        return made
    pairs = list(zip(found["row_id"], found["a"], found["b"], judge_probability(found), strict=True))
    noise = triads(pairs).expected
    if from_votes:
        made.append(repeated_votes(verdicts, hard_votes.fit(votes_of(found))))
    return [*made, cyclic_preferences(pairs, float(noise.mean()) if from_votes and len(noise) else 0.0)]


def _own(both: pl.DataFrame, models: Mapping[str, str], judge: str | None) -> Floats:
    """1 where `a` alone is by the judge's own model, -1 where `b` alone is, else 0."""
    return np.array([(models.get(a) == judge) - (models.get(b) == judge) for a, b in zip(both["a"], both["b"], strict=True)], float)
