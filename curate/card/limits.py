"""Known limits of a dataset, as its receipts show them, and how it is made again."""

from curate.card.facts import UNKNOWN, licences
from curate.card.lineage import Ancestor, absent
from curate.card.markdown import code, escaped
from curate.card.redact import redacted
from curate.card.sections import Page

_MOST = 10


def limits(page: Page) -> str:
    """The user's words first, then a sentence for each thing that the receipts show."""
    said = [page.told.words.limits.strip()] if page.told.words.limits else []
    found = [*_unknown_licences(page), *_lost(page), *(line for one in page.found for line in _stage_limits(one))]
    return "\n\n".join([*said, "\n".join(f"- {line}" for line in found)] if found else said)


def _unknown_licences(page: Page) -> list[str]:
    counts = licences(page.artifact)
    unknown = counts.get(UNKNOWN, 0)
    return [f"The licence of {unknown:,} of {sum(counts.values()):,} rows is not known."] if unknown else []


def _lost(page: Page) -> list[str]:
    gone = absent(page.found)
    return [f"The receipts of {len(gone):,} artifacts that it was made of were not found, and are not accounted for here."] if gone else []


def _stage_limits(one: Ancestor) -> list[str]:
    """Damage, alarms and warnings of one stage."""
    receipt, lines = one.receipt, []
    if receipt.damage:
        files = len({damage.file for damage in receipt.damage})
        lines.append(f"{one.label}: {len(receipt.damage):,} places in {files:,} files of the input could not be read.")
    if removed := receipt.report.get("removed"):
        told = "; its mixture is told as it was before" if receipt.stage == "mix" else ""
        lines.append(f"{one.label}: {removed['units']:,} units were taken out at their owners' request after it was made{told}.")
    alarms = receipt.report.get("alarms", [])
    lines += [
        f"{one.label}: {code(str(alarm['step']))} dropped {alarm['dropped']:,} of {alarm['in']:,} units of {alarm['by']} {escaped(str(alarm['group']))}."
        for alarm in alarms[:_MOST]
    ]
    if len(alarms) > _MOST:
        lines.append(f"{one.label}: {len(alarms) - _MOST:,} more alarms of over-deletion are in its receipt.")
    said = [told for step in receipt.report.values() if isinstance(step, dict) for told in step.get("warnings", [])]
    return lines + [f"{one.label}: {escaped(str(redacted(str(told))))}" for told in said[:_MOST]]


def rebuild(page: Page) -> str:
    """The commands that make the artifact again, and what it is then known by."""
    made = f"Made by curate {page.receipt.versions.get('curate', '')}; its identity is {code(page.receipt.fingerprint)}."
    rest = "The commit of curate, the versions of all libraries and the settings of every stage are in `provenance.json`."
    return f"{made} {rest}\n\n```bash\n{redacted(page.told.command)}\n```"
