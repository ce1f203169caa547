"""The card's sections: an artifact with its lineage and the recipe's words in, Markdown out; an empty text where there is nothing to say."""

from collections import Counter
from typing import NamedTuple

from curate.artifact import Artifact, Receipt
from curate.card.examples import Example, examples, withheld
from curate.card.facts import by_domain, by_language, configurations, date_range, licences, packed
from curate.card.lineage import Ancestor, absent, repositories
from curate.card.markdown import cell, code, escaped, interval, share, table
from curate.card.words import QUESTIONS, Told
from curate.funnel import reasons_by_step, size

_MOST_ROWS = 30
"""Rows of a table of sources or domains; all of them are in provenance.json."""
_SIMULATED = "> **Simulated.** An endpoint of a test answered in place of a model or judge: these rows are no data to train on.\n\n"
_EXAMPLES = "\n\n<details><summary>Examples of what was dropped, personal data replaced</summary>\n\n{lines}\n\n</details>"
_CAPPED = "{more:,} more are in `provenance.json`."


class Page(NamedTuple):
    """All that a card is made of."""

    artifact: Artifact
    found: list[Ancestor]
    told: Told
    simulated: bool

    @property
    def receipt(self) -> Receipt:
        return self.artifact.receipt


def summary(page: Page) -> str:
    """What comes out, in a sentence and a table of files."""
    counts = page.receipt.counts
    size_of = size(sum(file.bytes for file in page.receipt.files if file.path.startswith("data/")))
    tokens = f", {page.receipt.tokens:,} tokens" if page.receipt.tokens else ""
    said = f"{counts.written:,} rows, {size_of}{tokens}."
    warning = _SIMULATED if page.simulated else ""
    splits = [(one, split, files) for one in configurations(page.artifact) for split, files in one.splits.items()]
    rows = [(one.name, split, sum(file.rows for file in files), ", ".join(one.schema.names)) for one, split, files in splits]
    rows += [("", split, documents, "packed tokens, .ds files for datatrove's datasets and nanotron") for split, documents in packed(page.artifact).items()]
    return warning + f"{escaped(page.told.description)} {said}".strip() + "\n\n" + table(("configuration", "split", "rows", "columns"), rows)


def words(page: Page) -> str:
    """The user's own words; what is missing is asked for by name."""
    titles = {"motivation": "Motivation", "intended_use": "Intended use", "contact": "Opt-out contact"}
    return "\n\n".join(f"**{title}.** {_word(page, name)}" for name, title in titles.items())


def _word(page: Page, name: str) -> str:
    given = getattr(page.told.words, name)
    return str(given).strip() if given else f"*Not stated: {QUESTIONS[name]} Set `card.{name}` in the recipe.*"


def sources(page: Page) -> str:
    """Files at the start of the walk, with revision, licence, dates and hash."""
    rows = [row for one in page.found if not one.receipt.parents for row in _source_rows(one)]
    more = len(rows) - _MOST_ROWS
    text = table(("source", "stage", "units", "bytes", "licence", "fetched", "content"), rows[:_MOST_ROWS])
    gone = absent(page.found)
    lost = f"\n\nNot found on the walk back: {', '.join(map(code, gone))}." if gone else ""
    return text + (f"\n\n{_CAPPED.format(more=more)}" if more > 0 else "") + lost


def _source_rows(one: Ancestor) -> list[tuple[object, ...]]:
    config = one.receipt.config.get("source") or {}
    config = config if isinstance(config, dict) else {}
    artifact = Artifact(one.path) if one.path else None
    stated = config.get("licence") or (", ".join(list(licences(artifact))[:5]) if artifact else "")
    days = date_range(artifact) if artifact else None
    fetched = "" if days is None else days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}"
    revision = f" at {config['revision']}" if config.get("revision") else ""
    places = "".join(f", {place}" for place in repositories(one.path)) if one.path else ""
    return [(f"{file.id}{revision}{places}", one.label, file.rows, file.bytes, stated or "unknown", fetched, file.fingerprint[:16]) for file in one.receipt.inputs]


def licence_table(page: Page) -> str:
    counts = licences(page.artifact)
    whole = sum(counts.values())
    return table(("licence", "rows", "share"), [(name, rows, share(rows, whole)) for name, rows in counts.items()])


def funnels(page: Page) -> str:
    """In, out, and each reason with its share and examples, for every stage on the way."""
    return "\n\n".join(_funnel(one) for one in page.found)


def _funnel(one: Ancestor) -> str:
    counts = one.receipt.counts
    line = f"{counts.read:,} read, {counts.kept:,} kept ({share(counts.kept, counts.read) or 'none'}), {counts.written:,} rows written."
    if counts.ignored:
        line += " Not documents: " + ", ".join(f"{name} {count:,}" for name, count in counts.ignored.items()) + "."
    if counts.expanded:
        line += " Rows beyond one a unit: " + ", ".join(f"{name} {count:,}" for name, count in counts.expanded.items()) + "."
    by_step = reasons_by_step(counts.dropped, [step.name for step in one.receipt.steps])
    named = {step.name: (step.into, step.out) for step in one.receipt.steps}
    rows: list[tuple[object, ...]] = []
    for step in dict.fromkeys([*named, *by_step]):
        into, out = named.get(step, ("", ""))
        reasons = by_step.get(step) or {"": ""}
        rows += [(step, into, out, reason, count, share(count, counts.read) if count else "") for reason, count in reasons.items()]
    told = f"### {one.label}\n\n{line}\n\n{table(('step', 'in', 'out', 'dropped for', 'units', 'of all read'), rows)}"
    return told + _shown_examples(one)


def _shown_examples(one: Ancestor) -> str:
    found = examples(Artifact(one.path)) if one.path else {}
    hidden = [name for name in one.receipt.counts.dropped if withheld(name)]
    texts = {name: shown for name, items in found.items() if (shown := [item for item in items if item.text])}
    lines = [line for name, items in texts.items() for line in (f"- {code(name)}", *map(_example, items))]
    if bare := [name for name in found if name not in texts]:
        lines.append(f"- No text was kept of what was dropped for {', '.join(map(code, bare))}.")
    if hidden:
        lines.append(f"- No text is shown of what was dropped for {', '.join(map(code, hidden))}.")
    return _EXAMPLES.format(lines="\n".join(lines)) if lines else ""


def _example(item: Example) -> str:
    return f"  - {code(item.id[:12])} {code(item.text)}"


def languages(page: Page) -> str:
    rows = [(one.name, one.read, one.kept, share(one.kept, one.read)) for one in by_language(page.artifact)]
    return table(("language", "units", "kept", "share kept"), rows)


def domains(page: Page) -> str:
    every = by_domain(page.artifact)
    more = f"\n\n{len(every) - _MOST_ROWS:,} more domains." if len(every) > _MOST_ROWS else ""
    return table(("domain", "units", "kept"), [(one.name, one.read, one.kept) for one in every[:_MOST_ROWS]]) + more


def duplicates(page: Page) -> str:
    """What each deduplication found, and how well by its own estimate."""
    rows: list[tuple[object, ...]] = []
    for one in page.found:
        for step, told in one.receipt.report.items():
            if isinstance(told, dict) and "cluster_sizes" in told:
                clusters = sum(count for members, count in told["cluster_sizes"].items() if int(members) > 1)
                rows.append((one.label, step, told["documents"], told["dropped"], clusters, *_estimates(told.get("estimate") or {})))
    return table(("stage", "step", "units", "dropped", "clusters", "precision", "recall"), rows)


def _estimates(estimate: dict) -> tuple[str, str]:
    """Precision and recall with their 95 % intervals, as estimated on a sample."""
    both = [estimate.get(name) or {} for name in ("precision", "recall")]
    first, second = [interval(one.get("share"), *(one.get("interval") or (None, None))) if one else "exact" for one in both]
    return first, second


def personal_data(page: Page) -> str:
    found: Counter[str] = Counter()
    for one in page.found:
        found.update(one.receipt.report.get("pii") or {})
    return table(("personal data", "replaced"), sorted(found.items(), key=lambda item: (-item[1], item[0])))


def decontamination(page: Page) -> str:
    """Benchmarks that were looked for, and the units in which they stood."""
    parts = []
    for one in page.found:
        for step, told in one.receipt.report.items():
            if step.startswith("decontaminate") and isinstance(told, list):
                hits = {name: count for name, count in one.receipt.counts.dropped.items() if name.startswith(f"{step}.")}
                said = ", ".join(f"{code(name)} {count:,}" for name, count in hits.items()) or "no unit dropped"
                rows = [(entry["name"], entry.get("rows"), entry.get("texts")) for entry in told]
                parts.append(f"{one.label}: {said}.\n\n{table(('benchmark', 'rows', 'texts looked for'), rows)}")
    return "\n\n".join(parts)


def mixture(page: Page) -> str:
    """What was asked of each source against what each split holds of it."""
    rows: list[tuple[object, ...]] = []
    for one in page.found:
        for name, told in one.receipt.report.get("sources", {}).items() if one.receipt.stage == "mix" else ():
            asked = ", ".join(f"{key} {cell(value)}" for key, value in told["asked"].items()) or "all"
            rows += [(one.label, name, asked, split, got["rows"], f"{got['share']:.1%}", got["epochs"]) for split, got in told["achieved"].items()]
    return table(("stage", "source", "asked", "split", "rows", "share achieved", "epochs"), rows)
