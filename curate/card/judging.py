"""What judges and generators say of themselves: the receipts of their stages in, a section of the card out."""

import orjson

from curate.artifact import Receipt
from curate.card.lineage import Ancestor
from curate.card.markdown import escaped, interval, share, table
from curate.card.redact import redacted

_STAGES = ("generate", "judge")
_AGREEMENT = "agreement.json"
_TABLED = ("judges", "verdicts", "bill", "warnings", "simulated")

Told = dict[str, object]


def judging(found: list[Ancestor]) -> str:
    """Models, prompt hashes, bias, agreement, unreadable verdicts and cost, one part for each stage."""
    return "\n\n".join([part for one in found for part in (_stage(one), _agreement(one)) if part])


def _stage(one: Ancestor) -> str:
    receipt = one.receipt
    if receipt.stage not in _STAGES:
        return ""
    told = redacted(receipt.report)
    rest = {name: value for name, value in told.items() if name not in _TABLED}
    warnings = "\n".join(f"- {escaped(str(warning))}" for warning in told.get("warnings", []))
    parts = [_models(receipt), _judges(told), _verdicts(told), _checks(told), warnings, _bill(told), table(("fact", "value"), facts(rest))]
    return "\n\n".join([f"### {one.label}", *(part for part in parts if part)])


def _models(receipt: Receipt) -> str:
    """Who was asked, and the hashes of the prompts and lists that were read; an endpoint stands by its name."""
    asked = [*receipt.config.get("judges", []), *receipt.config.get("models", [])]
    rows = [(one.get("endpoint"), one.get("model"), one.get("temperature")) for one in asked if isinstance(one, dict)]
    read = "\n".join(f"- {escaped(name)}: `{value[:16]}`" for name, value in receipt.models.items())
    return "\n\n".join(part for part in (table(("endpoint", "model", "temperature"), rows), read) if part)


def _entries(told: Told, name: str) -> dict[str, Told]:
    """The named entries of a report; a list's are named by their number."""
    found = told.get(name) or {}
    found = dict(enumerate(found, 1)) if isinstance(found, list) else found
    return {str(key): value for key, value in found.items() if isinstance(value, dict)}


def _judges(told: Told) -> str:
    """Each judge's lean to the first place in log-odds, how often both orders agree, and what it could not read."""
    rows = [
        (name, one.get("verdicts"), f"{one.get('unreadable_share') or 0:.1%}", *(_estimate(one, key) for key in ("position_bias", "first", "consistency")))
        for name, one in _entries(told, "judges").items()
    ]
    return table(("judge", "verdicts", "unreadable", "bias to the first place (log-odds)", "first place chosen", "same answer in both orders"), rows)


def _estimate(told: Told, name: str) -> str:
    found = told.get(name)
    return interval(found.get("value"), found.get("low"), found.get("high")) if isinstance(found, dict) else ""


def _verdicts(told: Told) -> str:
    kinds = _entries(told, "verdicts")
    rows = [(kind, label, count, share(count, sum(labels.values()))) for kind, labels in kinds.items() for label, count in labels.items()]
    return table(("asked for", "verdict", "count", "share"), rows)


def _checks(told: Told) -> str:
    """Assumptions about a judge that were tested, each as a sentence."""
    found = [(name, check) for name, one in _entries(told, "judges").items() for check in one.get("checks", [])]
    return "\n".join(f"- {escaped(name)}: {'holds' if check['holds'] else '**does not hold**'}: {escaped(check['sentence'])}" for name, check in found)


def _bill(told: Told) -> str:
    rows = [(name, one.get("calls"), one.get("tokens_in"), one.get("tokens_out"), one.get("cost")) for name, one in _entries(told, "bill").items()]
    return table(("endpoint", "calls paid", "tokens in", "tokens out", "cost"), rows)


def facts(value: object, name: str = "") -> list[tuple[str, object]]:
    """A report as rows `what: value`; an estimate and its interval are one row."""
    if isinstance(value, dict):
        if {"value", "low", "high"} <= set(value):
            return [(name, interval(value["value"], value["low"], value["high"]))]
        return [fact for key, inner in value.items() for fact in facts(inner, f"{name} {key}".strip())]
    shown = ", ".join(map(str, value)) if isinstance(value, list) else value
    return [] if shown is None or shown == "" else [(name, shown)]


def _agreement(one: Ancestor) -> str:
    """What `curate agree` has written beside the receipt, one part for each set of labels that it was compared with."""
    path = one.path / _AGREEMENT if one.path else None
    if path is None or not path.is_file():
        return ""
    told = orjson.loads(path.read_bytes())
    return "\n\n".join(_comparison(one.label, comparison) for comparison in told["comparisons"])


def _comparison(label: str, told: Told) -> str:
    known = ", ".join(f"{name} {count:,}" for name, count in told["pairs"].items())
    other = f"{escaped(str(redacted(told['b'])))} (`{told['b_sha256'][:8]}`)"
    return f"### Agreement of {label} with {other}\n\nPairs: {known}.\n\n" + table(("measure", "value"), facts(told["coefficients"]))
