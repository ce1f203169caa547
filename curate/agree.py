"""How far two sets of labels agree: two artifacts or files of labelled pairs in, coefficients with intervals out.

What is written stands beside the receipt of the first, where the card finds it; no data are changed.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from curate.artifact import RECEIPT, write_json
from curate.config import UsageError
from curate.judges.labelled import Label, Labelled, labelled
from curate.judges.statistics import agreement as coefficients
from curate.judges.statistics.calibration import Calibration, calibration
from curate.judges.statistics.estimates import Estimate, Floats, Ints, bootstrap, share
from curate.judges.statistics.profile import Profile, profiles

AGREEMENT = "agreement.json"
_LABELS = ("first", "tie", "second")
_DRAWS = 400
"""Of each bootstrap: 10,000 pairs take 5 s."""


class Common(NamedTuple):
    """The pairs that both have, each answer in the same place for both."""

    a: Floats
    """Probability of A that the first answer is better."""
    b: Floats
    groups: list[str]
    """The prompt of each pair."""
    longer: Floats
    """Length of the first answer less that of the second; NaN where it is not known."""


class Agreement(NamedTuple):
    """What `curate agree` prints and writes."""

    a: str
    b: str
    a_sha256: str
    b_sha256: str
    pairs: dict[str, int]
    table: list[list[int]]
    """A's first, tie, second by B's."""
    coefficients: dict[str, Estimate]
    calibration: Calibration | None
    """Of A's probabilities, with B's labels as the truth; None where A's labels are hard."""
    judges: list[Profile]
    """Of A's verdicts, then of B's."""

    def as_json(self) -> dict:
        """The whole of it in JSON's types; what is not defined is null."""
        return _plain(self)  # type: ignore[return-value]

    def as_text(self) -> str:
        """For people, one fact a line."""
        return "\n".join([*_heading(self), *_coefficient_lines(self), *_judge_lines(self), *_calibration_lines(self)])


def agree(a: Path | str, b: Path | str, seed: int = 0) -> Agreement:
    """Join the labels of A and B and compare them; B is the truth where one is needed (calibration).

    Raises UsageError where either has no labelled pairs, or they have none in common.
    """
    sides = labelled(Path(a)), labelled(Path(b))
    common, counts = _joined(*sides)
    if not len(common.a):
        told = f"{a} and {b}: no pair in common, of {counts['a']:,} and {counts['b']:,}"
        raise UsageError(f"{told}; both must hold the same prompts and answers")
    soft = any(label.soft for label in sides[0].labels)
    truth = common.b != 0.5
    groups = np.array(common.groups)[truth]
    judged = calibration(common.a[truth], (common.b > 0.5)[truth], groups, seed=seed, draws=_DRAWS) if soft and truth.any() else None
    judges = [profile for side in sides for profile in _profiles(side)]
    names = [side.name for side in sides] + [side.sha256 for side in sides]
    return Agreement(*names, counts, _table(common), _coefficients(common, _raters(sides), seed), judged, judges)


def write(agreement: Agreement, a: Path | str) -> Path | None:
    """Write the comparison into `agreement.json` beside A's receipt; None, and nothing written, where A is no artifact.

    The file keeps `comparisons`, one for each content that A was compared with, by its name; the same two again replace theirs.
    """
    if not (Path(a) / RECEIPT).exists():
        return None
    path = Path(a) / AGREEMENT
    found = [one for one in _written(path) if _sides(one) != (agreement.a_sha256, agreement.b_sha256)]
    found.append(agreement.as_json())
    write_json(path, {"comparisons": sorted(found, key=lambda one: (one["b"], _sides(one)))})
    return path


def _written(path: Path) -> list[dict]:
    """The comparisons that stand in the file."""
    if not path.exists():
        return []
    try:
        return json.loads(path.read_bytes()).get("comparisons", [])
    except (ValueError, AttributeError):
        raise UsageError(f"{path}: not written by `curate agree`; move it away") from None


def _sides(told: dict) -> tuple[str, str]:
    return told["a_sha256"], told["b_sha256"]


def _by_pair(labels: list[Label]) -> dict[tuple[str, str, str], list[Label]]:
    found: dict[tuple[str, str, str], list[Label]] = {}
    for label in labels:
        found.setdefault(label.key, []).append(label)
    return found


def _joined(a: Labelled, b: Labelled) -> tuple[Common, dict[str, int]]:
    """Pairs of both, sorted by content; a pair that one has labelled several times counts once, with the mean."""
    left, right = _by_pair(a.labels), _by_pair(b.labels)
    keys = sorted(left.keys() & right.keys())
    rows = [(*_oriented(left[key], right[key]), key[0]) for key in keys]
    p, q, longer, groups = zip(*rows, strict=True) if rows else ((), (), (), ())
    counts = {"a": len(left), "b": len(right), "both": len(keys), "a_unread": a.unread, "b_unread": b.unread}
    counts |= {"a_repeated": len(a.labels) - len(left), "b_repeated": len(b.labels) - len(right)}
    return Common(np.array(p, float), np.array(q, float), list(groups), np.array(longer, float)), counts


def _oriented(a: list[Label], b: list[Label]) -> tuple[float, float, float]:
    """Both probabilities of the answer that stands first, and how much longer it is.

    First is what A was given first, or else what B was; where neither was given an order, the
    lesser hash, since "the chosen one is first" would make every coefficient one of a constant.
    """
    given = next((label for label in (*a, *b) if label.given), None)
    first = given.one.key if given else min(a[0].one.key, a[0].other.key)
    p, q = (float(np.mean([one.probability if one.one.key == first else 1 - one.probability for one in side])) for side in (a, b))
    lengths = {text.key: text.length for label in (*b, *a) for text in (label.one, label.other) if text.length is not None}
    second = next(key for key in a[0].key[1:] if key != first)
    return p, q, float(lengths[first] - lengths[second]) if {first, second} <= lengths.keys() else math.nan


def _codes(probability: Floats) -> Ints:
    """0 first, 1 tie, 2 second."""
    return np.where(probability > 0.5, 0, np.where(probability < 0.5, 2, 1))


def _table(common: Common) -> list[list[int]]:
    return np.bincount(_codes(common.a) * 3 + _codes(common.b), minlength=9).reshape(3, 3).tolist()


def _raters(sides: tuple[Labelled, Labelled]) -> list[dict[tuple[str, str, str], float]]:
    """Each judge where a side has several, else the side: probability of the lesser hash, by pair."""
    sets = [labels for side in sides for labels in (side.by_judge.values() if len(side.by_judge) > 1 else [side.labels])]
    return [{key: _lesser(found) for key, found in _by_pair(labels).items()} for labels in sets]


def _lesser(labels: list[Label]) -> float:
    return float(np.mean([one.probability if one.one.key == one.key[1] else 1 - one.probability for one in labels]))


def _coefficients(common: Common, raters: list[dict], seed: int) -> dict[str, Estimate]:
    """Every coefficient with a bootstrap interval by prompt."""
    x, y = _codes(common.a), _codes(common.b)
    both = np.column_stack([x, y])
    made: dict[str, Callable[[Ints], float]] = {
        "percent": lambda rows: coefficients.percent(x[rows], y[rows]),
        "cohen_kappa": lambda rows: coefficients.cohen_kappa(x[rows], y[rows]),
        "cohen_kappa_linear": lambda rows: coefficients.cohen_kappa(x[rows], y[rows], "linear"),
        "cohen_kappa_quadratic": lambda rows: coefficients.cohen_kappa(x[rows], y[rows], "quadratic"),
        **{f"krippendorff_{metric}": _alpha(both, metric) for metric in ("nominal", "ordinal", "interval")},
        "kendall_tau_b": lambda rows: coefficients.kendall_tau_b(common.a[rows], common.b[rows]),
    }
    found = {name: bootstrap(statistic, common.groups, seed, _DRAWS) for name, statistic in made.items()}
    return {**found, "fleiss_kappa": _fleiss(raters, seed), **_length_only(common)}


def _alpha(both: Ints, metric: Literal["nominal", "ordinal", "interval"]) -> Callable[[Ints], float]:
    return lambda rows: coefficients.krippendorff_alpha(both[rows], metric)


def _fleiss(raters: list[dict], seed: int) -> Estimate:
    """Over every judge of both sides, on the pairs that all of them labelled."""
    keys = sorted(set.intersection(*(set(rater) for rater in raters)))
    said = np.column_stack([_codes(np.array([rater[key] for key in keys], float)) for rater in raters])
    counts = (said[:, :, None] == np.arange(3)).sum(1)
    return bootstrap(lambda rows: coefficients.fleiss_kappa(counts[rows]), [key[0] for key in keys], seed, _DRAWS)


def _length_only(common: Common) -> dict[str, Estimate]:
    """How often the longer answer is the one preferred; far from a half is an alarm. Ties of either sort are left out."""
    found = {}
    for name, p in (("a", common.a), ("b", common.b)):
        told = (common.longer != 0) & ~np.isnan(common.longer) & (p != 0.5)
        found[f"length_only_{name}"] = share(int(((common.longer > 0) == (p > 0.5))[told].sum()), int(told.sum()))
    return found


def _profiles(side: Labelled) -> list[Profile]:
    if side.verdicts is None:
        return []
    ids = {*side.verdicts["a"].drop_nulls(), *side.verdicts["b"].drop_nulls()}
    known = all(id_ in side.texts for id_ in ids)
    models = {id_: text.model for id_, text in side.texts.items() if text.model}
    return profiles(side.verdicts, {id_: float(side.texts[id_].length or 0) for id_ in ids} if known else None, models)


def _heading(found: Agreement) -> list[str]:
    counts = found.pairs
    lines = [f"{counts['both']:,} pairs in both: {found.a} has {counts['a']:,}, {found.b} has {counts['b']:,}"]
    unread = ((found.a, counts["a_unread"]), (found.b, counts["b_unread"]))
    lines += [f"  {n:,} rows of {name} without a readable label" for name, n in unread if n]
    lines.append(f"  {'':<8}" + "".join(f"{name:>9}" for name in _LABELS))
    return lines + [f"  {name:<8}" + "".join(f"{n:>9,}" for n in row) for name, row in zip(_LABELS, found.table, strict=True)]


def _coefficient_lines(found: Agreement) -> list[str]:
    return [f"{name:<24}{estimate}" for name, estimate in found.coefficients.items()]


def _judge_lines(found: Agreement) -> list[str]:
    lines = []
    for judge in found.judges:
        lines.append(f"judge {judge.judge}: {judge.calls:,} calls, consistency {judge.consistency}, first place {judge.places.first}")
        source = ", from votes" if judge.from_votes else ""
        lines.append(f"  position bias {judge.bias} log-odds{source}; unreadable {judge.places.unreadable.value:.1%}")
        lines += [f"  warning: {check.sentence}" for check in judge.checks if not check.holds]
    return lines


def _calibration_lines(found: Agreement) -> list[str]:
    if found.calibration is None:
        return []
    _, reliability, resolution, uncertainty, within = found.calibration.parts
    lines = [f"{'ece':<24}{found.calibration.ece}", f"{'brier':<24}{found.calibration.brier}"]
    lines.append(f"  reliability {reliability:.4f} - resolution {resolution:.4f} + uncertainty {uncertainty:.4f} + within {within:.4f}")
    table = found.calibration.table
    return lines + [f"  said {row.low:.1f} to {row.high:.1f}: {row.n:>7,} pairs, mean {row.said:.3f}, seen {row.seen}" for row in table]


def _plain(value: object) -> object:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in value._asdict().items()}
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
