"""An artifact in, one HTML file out that explains it to people: no network, every text escaped, under 5 MB.

What stands in it comes from the receipt, the ledger and the pairs; of texts only scrubbed starts
(curate.report.texts). The page allows itself the scripts that it came with, by their hashes, and no other.
"""

import base64
import hashlib
import os
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from curate.artifact import Artifact
from curate.card.facts import by_domain, by_language
from curate.config import UsageError
from curate.funnel import size, summary
from curate.report import charts, examples, judged, moves, values

_MOST = 50
"""Rows of a table, or alarms, at most: a page of a crawl of millions of sites stays small."""
_SCRIPT = Path(__file__).parent / "templates" / "report.js"


def report(artifact: Artifact, out: Path | None = None) -> Path:
    """Write the report of an artifact to `out`, by default `report.html` in its directory; the path of it.

    Raises UsageError where `vl-convert-python`, which brings the plotting library, is not installed.
    """
    path = out or artifact.path / "report.html"
    page = render(artifact)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(page, encoding="utf-8", newline="\n")
    temporary.rename(path)
    return path


def render(artifact: Artifact) -> str:
    """The page; the same bytes for the same artifact."""
    environment = Environment(loader=PackageLoader("curate.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "size": size, "percent": "{:.1%}".format}
    library, script = _library(), _SCRIPT.read_text(encoding="utf-8")
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (library, script))
    content = _content(artifact)
    return environment.get_template("report.html").render(
        **content, library=Markup(library), script=Markup(script), hashes=Markup(hashes)
    )


def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    try:
        import vl_convert
    except ImportError:
        raise UsageError("curate report: vl-convert-python is not installed; run `pip install 'curate[report]'`") from None
    bundle = vl_convert.javascript_bundle()
    if "</script" in bundle.lower():
        raise UsageError(f"curate report: vl-convert-python {vl_convert.__version__} cannot be put into a page; install another version")
    return bundle


def _number(value: float | None) -> str:
    """A number as people read it; nothing for none."""
    if value is None:
        return ""
    return values.as_text(value) if isinstance(value, float) else f"{value:,}"


def _content(artifact: Artifact) -> dict[str, object]:
    receipt = artifact.receipt
    histograms = values.histograms(artifact)
    told = receipt.report
    duplicates = {name: part for name, part in told.items() if isinstance(part, dict) and "cluster_sizes" in part}
    mixture = _mixture(told)
    return {
        "receipt": receipt,
        "summary": summary(receipt),
        "funnel": charts.funnel(receipt),
        "dropped": examples.dropped(artifact),
        "moves": moves.moves(artifact),
        "histograms": [(histogram, charts.histogram(histogram)) for histogram in histograms],
        "duplicates": [(name, part, charts.clusters(part["cluster_sizes"])) for name, part in duplicates.items()],
        "copies": examples.copies(artifact),
        "most": _MOST,
        "tables": {name: rows for name, rows in (("language", by_language(artifact)), ("domain", by_domain(artifact))) if rows},
        "alarms": told.get("alarms", []),
        "pii": told.get("pii", {}),
        "mixture": mixture,
        "shares": charts.shares(_shares(mixture)) if mixture else None,
        "judges": judged.judges(artifact),
        "comparisons": [(one, charts.reliability(one.reliability) if one.reliability else None) for one in judged.comparisons(artifact)],
    }


def _mixture(told: dict) -> list[dict]:
    """`{source, split, asked, rows, share, epochs}` of a mix's receipt; `asked` is in words."""
    rows = []
    for name, source in told.get("sources", {}).items():
        asked = ", ".join(f"{key} {value}" for key, value in source["asked"].items())
        for split, achieved in source["achieved"].items():
            exact = achieved.get("asked")
            size = told["splits"].get(split, {}).get("asked", {}) if "splits" in told else {}
            words = asked or ("" if exact is not None else ", ".join(f"{value:,} {key} in all" for key, value in size.items()) or "all")
            row = {"source": name, "split": split, "asked": words, "amount": exact, "part": source["asked"].get("share")}
            rows.append({**row, **{key: achieved[key] for key in ("rows", "share", "epochs")}})
    return rows


def _shares(mixture: list[dict]) -> list[dict]:
    """`{source, what, share}`: what was achieved, and what was asked where the mix says it in shares or in rows of all sources."""
    amounts: dict[str, list[float | None]] = {}
    for row in mixture:
        amounts.setdefault(row["split"], []).append(row["amount"])
    rows = []
    for row in sorted(mixture, key=lambda row: list(amounts).index(row["split"])):
        name, all_asked = f"{row['split']}: {row['source']}", amounts[row["split"]]
        part = row["part"] if None in all_asked or not sum(all_asked) else row["amount"] / sum(all_asked)
        if part is not None:
            rows.append({"source": name, "what": "asked", "share": part})
        rows.append({"source": name, "what": "achieved", "share": row["share"]})
    return rows
