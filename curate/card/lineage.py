"""The walk back: an artifact in; the receipts of all that it was made of out, sources first, fit to be shown.

Where a source was published by `curate push`, its `provenance.json` lies beside the receipt of
the stage that read it, and the walk goes on there.
"""

from pathlib import Path
from typing import NamedTuple

import orjson
from pydantic import ValidationError

from curate.artifact import Artifact, Receipt
from curate.card.redact import redacted
from curate.config import UsageError

PROVENANCE = "provenance.json"
_VERSION = 1


class Ancestor(NamedTuple):
    """One stage on the way."""

    receipt: Receipt
    path: Path | None
    """Where its ledger and its rows lie; None where only its receipt is known."""

    @property
    def label(self) -> str:
        return label(self.receipt.recipe, self.receipt.stage, self.receipt.fingerprint)


def label(recipe: str, stage: str, fingerprint: str) -> str:
    """What people call a stage's artifact: `recipe/stage-1a2b3c4d`."""
    return f"{recipe}/{stage}-{fingerprint[:8]}"


def lineage(artifact: Artifact) -> list[Ancestor]:
    """Every stage from the sources to the artifact itself, which is last, each once."""
    found: dict[str, Ancestor] = {}
    for one in (*artifact.ancestors(), artifact):
        for receipt in inherited(one.path):
            found.setdefault(receipt.fingerprint, Ancestor(receipt, None))
        found[one.receipt.fingerprint] = Ancestor(one.receipt, one.path)
    return list(found.values())


def inherited(directory: Path) -> list[Receipt]:
    """Receipts that came with the sources of a stage, from where they were published."""
    path = directory / PROVENANCE
    return receipts_of(path.read_bytes(), str(path)) if path.is_file() else []


def repositories(directory: Path) -> list[str]:
    """Where on the Hub the sources of a stage lay, each at its commit."""
    path = directory / PROVENANCE
    return list(orjson.loads(path.read_bytes()).get("repositories", [])) if path.is_file() else []


def receipts_of(text: bytes, where: str) -> list[Receipt]:
    """The receipts of a `provenance.json`. Raises UsageError for anything else."""
    try:
        return [Receipt.model_validate(receipt) for receipt in orjson.loads(text)["receipts"]]
    except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError) as error:
        raise UsageError(f"{where}: is no provenance that `curate push` wrote ({type(error).__name__}); take it away to go on without it") from None


def absent(found: list[Ancestor]) -> list[str]:
    """Labels of artifacts that a receipt names and the walk did not find."""
    known = {one.receipt.fingerprint for one in found}
    parents = [parent for one in found for parent in one.receipt.parents if parent.fingerprint not in known]
    return list(dict.fromkeys(label(parent.recipe, parent.stage, parent.fingerprint) for parent in parents))


def is_simulated(found: list[Ancestor]) -> bool:
    """True where any stage on the way was answered by a simulated endpoint."""
    return any(_says_simulated(one.receipt.report) for one in found)


def _says_simulated(value: object) -> bool:
    if isinstance(value, dict):
        return bool(value.get("simulated")) or any(_says_simulated(inner) for inner in value.values())
    return isinstance(value, list) and any(_says_simulated(inner) for inner in value)


def provenance(found: list[Ancestor]) -> dict[str, object]:
    """All receipts, redacted; an artifact is named by its label instead of its directory."""
    return {"provenance": _VERSION, "artifact": found[-1].receipt.fingerprint, "absent": absent(found), "receipts": [_published(one) for one in found]}


def _published(one: Ancestor) -> dict[str, object]:
    shown = redacted(one.receipt.model_dump(mode="json", by_alias=True))
    for parent, real in zip(shown["parents"], one.receipt.parents, strict=True):
        parent["path"] = label(real.recipe, real.stage, real.fingerprint)
    return shown
