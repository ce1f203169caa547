"""A receipt as a table for people: what each step let through, and why it dropped the rest."""

from collections import defaultdict

from curate.artifact import Counts, Receipt


def size(count: float) -> str:
    """Bytes with a unit: `41.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def reasons_by_step(dropped: dict[str, int], steps: list[str]) -> dict[str, dict[str, int]]:
    """`{"url.domain": 3}` as `{"url": {"domain": 3}}`, the most frequent reason first.

    Of several steps that a name may begin with (`pii`, `pii.answer`) the longest is meant.
    """
    by_step: dict[str, dict[str, int]] = defaultdict(dict)
    for name, count in sorted(dropped.items(), key=lambda item: -item[1]):
        step = max((step for step in steps if name.startswith(f"{step}.")), key=len, default=name.partition(".")[0])
        by_step[step][name[len(step) + 1 :]] = count
    return by_step


def table(receipt: Receipt) -> str:
    """The funnel in plain text, one line a step, aligned for a terminal of 100 columns."""
    names = [step.name for step in receipt.steps]
    reasons = reasons_by_step(receipt.counts.dropped, names)
    width = max(18, *(len(name) + 2 for name in names))
    lines = [f"{'step':<{width}}{'in':>10}{'dropped':>10}{'out':>10}{'cpu':>9}  reasons"]
    for step in receipt.steps:
        why = ", ".join(f"{reason} {count:,}" for reason, count in reasons.get(step.name, {}).items())
        lines.append(f"{step.name:<{width}}{step.into:>10,}{step.into - step.out:>10,}{step.out:>10,}{step.cpu_s:>7.1f} s  {_short(why)}")
    if "evidence" in receipt.report.get("format", {}):
        lines.append(f"format: {receipt.report['format']['evidence']}")
    lines.append(summary(receipt))
    return "\n".join(lines)


def _short(text: str, width: int = 60) -> str:
    return text if len(text) <= width else text[: text.rfind(",", 0, width)] + ", ..."


def summary(receipt: Receipt) -> str:
    """One line: read, kept, dropped, written, damage."""
    counts = receipt.counts
    share = f" ({counts.kept / counts.read:.1%})" if counts.read else ""
    data = sum(file.bytes for file in receipt.files if file.path.startswith("data/"))
    line = f"{counts.read:,} read, {counts.kept:,} kept{share}, {sum(counts.dropped.values()):,} dropped; "
    line += f"{counts.written:,} rows written, {size(data)}"
    replaced = receipt.report.get("pii")
    if replaced:
        line += "; replaced: " + ", ".join(f"{name} {count:,}" for name, count in replaced.items())
    bills = receipt.report.get("bill", {}).values()
    if bills:
        calls, cost = (sum(bill[name] for bill in bills) for name in ("calls", "cost"))
        tokens = sum(bill["tokens_in"] + bill["tokens_out"] for bill in bills)
        line += f"; paid: {calls:,} calls, {tokens:,} tokens" + (f", cost {cost:,.2f}" if cost else "")
    if counts.ignored:
        line += "; not documents: " + ", ".join(f"{name} {count:,}" for name, count in counts.ignored.items())
    return line


_INSTEAD = {"read.no_text": "; where the text has another column, name it by `text_field:` in the `source:`"}
"""What mostly is the matter where a rule drops everything."""


def warnings(receipt: Receipt) -> list[str]:
    """What a user should know though the run is done: that nothing is left, alarms, what steps warn of, and places of damage."""
    empty = _emptied(receipt.counts)
    shown = [f"damage: {damage.file} at {damage.offset}: {damage.what}" for damage in receipt.damage[:10]]
    more = len(receipt.damage) - len(shown)
    alarms = [
        f"over-deletion? {row['step']} dropped {row['dropped']:,} of {row['in']:,} documents of {row['by']} {row['group']}"
        for row in receipt.report.get("alarms", [])
    ]
    told = [f"{step}: {warning}" for step, part in receipt.report.items() if isinstance(part, dict) for warning in part.get("warnings", [])]
    return empty + alarms[:10] + told[:10] + shown + ([f"damage: {more:,} more places, in the receipt"] if more > 0 else [])


def _emptied(counts: Counts) -> list[str]:
    """A sentence where nothing is kept: by which rule most fell, and what may be wrong with the recipe."""
    if counts.kept or not counts.dropped:
        return []
    most = max(counts.dropped, key=counts.dropped.__getitem__)
    instead = _INSTEAD.get(most, "")
    return [f"nothing is kept: {counts.dropped[most]:,} of {counts.read:,} were dropped by {most}{instead}"]
