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


def _told(artifact: Artifact) -> dict:
    path = artifact.path / _AGREEMENT
    return orjson.loads(path.read_bytes()) if path.exists() else {}


def agreement(artifact: Artifact) -> list[tuple[str, str]]:
    """Coefficients with what they are, of the last `curate agree`; none where there was none."""
    told = _told(artifact)
    rows = [(name.replace("_", " "), estimated(estimate)) for name, estimate in told.get("coefficients", {}).items()]
    if told.get("calibration"):
        rows += [(name, estimated(told["calibration"][key])) for name, key in (("expected calibration error", "ece"), ("Brier score", "brier"))]
    return [("compared with", str(told["b"])), *rows] if rows else []


def calibration(artifact: Artifact) -> list[dict]:
    """The reliability table of the last `curate agree`; bins without pairs are left out."""
    found = _told(artifact).get("calibration") or {}
    rows = [row for row in found.get("table", []) if row["n"] and row["said"] is not None]
    return [row for row in rows if all(row["seen"][name] is not None for name in ("value", "low", "high"))]
