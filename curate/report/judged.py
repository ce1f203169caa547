"""What the receipt and `agreement.json` say of judges, in the form in which a page shows it."""

from typing import NamedTuple

import orjson

from curate.artifact import Artifact

_AGREEMENT = "agreement.json"
"""What `curate agree` leaves beside a receipt."""


class Judge(NamedTuple):
    """One judge; estimates are texts with their intervals, `-` where there is none."""

    name: str
    verdicts: int
    unreadable: str
    consistency: str
    bias: str
    tokens: int
    cost: float | None
    warnings: list[str]


def judges(artifact: Artifact) -> list[Judge]:
    """Every judge of the receipt."""
    found = artifact.receipt.report.get("judges", {})
    return [_judge(name, said) for name, said in found.items()]


def _judge(name: str, said: dict) -> Judge:
    broken = [check["sentence"] for check in said.get("checks", []) if not check["holds"]]
    tokens = (said.get("tokens_in") or 0) + (said.get("tokens_out") or 0)
    estimates = estimated(said.get("consistency")), estimated(said.get("position_bias"))
    return Judge(name, said["verdicts"], f"{said['unreadable_share']:.1%}", *estimates, tokens, said.get("cost"), broken)


def estimated(estimate: dict | None) -> str:
    """`0.71 [0.62, 0.79], n = 120`."""
    if not estimate or estimate.get("value") is None:
        return "-"
    low, high = (estimate.get(name) for name in ("low", "high"))
    interval = f" [{low:.3g}, {high:.3g}]" if low is not None and high is not None else ""
    return f"{estimate['value']:.3g}{interval}, n = {estimate['n']:,}"


class Comparison(NamedTuple):
    """What `curate agree` found between the artifact's labels and others."""

    b: str
    coefficients: list[tuple[str, str]]
    """Each with what it is."""
    reliability: list[dict]
    """What was said against what was seen, by bins that hold pairs; empty where the labels have no probability."""


def comparisons(artifact: Artifact) -> list[Comparison]:
    """One for each set of labels that the artifact's were compared with."""
    path = artifact.path / _AGREEMENT
    told = orjson.loads(path.read_bytes()) if path.exists() else {}
    return [_comparison(one) for one in told.get("comparisons", [])]


def _comparison(told: dict) -> Comparison:
    rows = [(name.replace("_", " "), estimated(estimate)) for name, estimate in told.get("coefficients", {}).items()]
    calibration = told.get("calibration") or {}
    if calibration:
        rows += [(name, estimated(calibration[key])) for name, key in (("expected calibration error", "ece"), ("Brier score", "brier"))]
    return Comparison(str(told["b"]), rows, [bin_ for bin_ in calibration.get("table", []) if _is_seen(bin_)])


def _is_seen(bin_: dict) -> bool:
    return bool(bin_["n"]) and bin_["said"] is not None and all(bin_["seen"][name] is not None for name in ("value", "low", "high"))
