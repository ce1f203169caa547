"""What of an artifact is published: its directory in, the list of files to upload out.

The list is made of what may go, never of what may not: the data files that the receipt states,
and the texts made for readers. Dropped text, verdicts, pairs, ledgers and caches hold text from
before scrubbing, or of people who asked to be left out; they stay where they are.
"""

import json
from pathlib import Path
from typing import NamedTuple

from curate.artifact import Artifact, sha256_of
from curate.card.facts import data_files
from curate.card.lineage import PROVENANCE, is_simulated, lineage, provenance
from curate.card.redact import refuse_secrets
from curate.card.render import CROISSANT, README, card
from curate.config import UsageError


class Upload(NamedTuple):
    """A file as it will lie in the repository."""

    path: str
    content: Path | bytes
    bytes: int


def contents(artifact: Artifact, repository: str | None, simulated: bool) -> list[Upload]:
    """Everything that goes up, by name.

    Raises UsageError for an artifact that a test's endpoint has answered, unless `simulated` allows it;
    where a data file is not the one that the receipt states; and where a text holds a secret.
    """
    found = lineage(artifact)
    if is_simulated(found) and not simulated:
        raise UsageError(f"{artifact.path}: a simulated endpoint answered for it, so it is no data to train on; add --simulated to publish it as such")
    data = [_data(artifact, file.path, file.sha256) for files in data_files(artifact).values() for file in files]
    data += [_data(artifact, path, None) for path in _further(artifact)]
    if not data:
        raise UsageError(f"{artifact.path}: has no data files; publish an artifact that has rows")
    made = card(artifact, repository)
    origin = json.dumps(provenance(found), indent=1, ensure_ascii=False) + "\n"
    refuse_secrets({PROVENANCE: origin})
    texts = {README: made.readme, CROISSANT: made.croissant, PROVENANCE: origin}
    return sorted(data + [Upload(name, text.encode(), len(text.encode())) for name, text in texts.items()])


def _further(artifact: Artifact) -> list[str]:
    """Data files that are no Parquet: packed tokens, as the report of a mix names them."""
    named = [f"data/{name}" for split in artifact.receipt.report.get("splits", {}).values() for name in split.get("files", [])]
    return sorted({path for path in named if not path.endswith(".parquet") and Path(path).parent == Path("data")})


def _data(artifact: Artifact, path: str, sha256: str | None) -> Upload:
    file = artifact.path / path
    if file.is_symlink() or not file.is_file() or (sha256 and sha256_of(file) != sha256):
        raise UsageError(f"{file}: is not the file that the receipt beside it states; make that artifact again")
    return Upload(path, file, file.stat().st_size)
