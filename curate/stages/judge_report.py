"""All verdicts of a stage in, what the receipt says of them out: each judge's lean, consistency and cost, and what to be wary of."""

import math
from collections.abc import Mapping

import polars as pl

from curate.judges.statistics.estimates import Estimate
from curate.judges.statistics.profile import Profile, profiles
from curate.judges.verdicts import UNREADABLE

UNREADABLE_SHARE = 0.05
"""Above it a run warns: the judge does not answer as it is asked to."""


def report(verdicts: pl.DataFrame, lengths: Mapping[str, float], models: Mapping[str, str]) -> dict:
    """`judges` by name, `labels` counted by kind, and `warnings` as sentences."""
    judges = {str(part["judge"][0]): _judge(part) for part in verdicts.partition_by("judge", maintain_order=True)}
    found = profiles(verdicts, lengths, models or None) if len(verdicts) else []
    for profile in found:
        judges[profile.judge] |= _profile(profile)
    warnings = [warning for profile in found for warning in profile.warnings()]
    warnings += [f"judge {name}: {_unreadable(said)}" for name, said in judges.items() if said["unreadable_share"] > UNREADABLE_SHARE]
    return {"judges": judges, "verdicts": _counted(verdicts), "simulated": bool(verdicts["simulated"].fill_null(False).any()), "warnings": warnings}


def _judge(said: pl.DataFrame) -> dict:
    """What any sort of verdict tells of its judge."""
    spread = [pl.col("value").mean().alias("mean"), pl.col("value").std().alias("deviation")]
    values = said.drop_nulls("value").group_by("kind", maintain_order=True).agg(*spread)
    return {
        "verdicts": len(said),
        "unreadable_share": round((said["label"] == UNREADABLE).sum() / len(said), 6),
        "failed": {name: count for name, count in said["failed"].drop_nulls().value_counts().sort("failed").iter_rows()},
        "tokens_in": said["tokens_in"].sum(),
        "tokens_out": said["tokens_out"].sum(),
        "cost": said["cost"].sum(),
        "values": {kind: {"mean": _finite(mean), "deviation": _finite(deviation)} for kind, mean, deviation in values.iter_rows()},
    }


def _profile(profile: Profile) -> dict:
    return {
        "first": _estimate(profile.places.first),
        "consistency": _estimate(profile.consistency),
        "position_bias": {**_estimate(profile.bias), "from_votes": profile.from_votes},
        "checks": [
            {"name": check.name, "holds": check.holds, "estimate": _estimate(check.estimate), "sentence": check.sentence} for check in profile.checks
        ],
    }


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in estimate._asdict().items()}


def _finite(value: float | None) -> float | None:
    """JSON knows no NaN; what is not measured is null."""
    return None if value is None or not math.isfinite(value) else value


def _unreadable(said: dict) -> str:
    return f"{said['unreadable_share']:.1%} of its {said['verdicts']:,} verdicts cannot be read; look at `reply` in verdicts/, at the prompt and at `max_tokens`"


def _counted(verdicts: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Verdicts by kind and label; a number is `value`."""
    counts = verdicts.group_by("kind", pl.col("label").fill_null("value")).len().sort("kind", "label")
    found: dict[str, dict[str, int]] = {}
    for kind, label, count in counts.iter_rows():
        found.setdefault(kind, {})[label] = count
    return found
