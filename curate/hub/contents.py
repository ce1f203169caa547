"""What of an artifact is published: its directory in, the list of files to upload out.

The list is made of what may go, never of what may not: the data files that the receipt states,
how trainers are told of them, and the texts made for readers. Dropped text, verdicts, pairs,
ledgers and caches hold text from before scrubbing, or of people who asked to be left out; they
stay where they are.
"""

import json
from pathlib import Path
from typing import NamedTuple

from curate.artifact import Artifact, FileAccount, sha256_of
from curate.card.facts import stored_files
from curate.card.lineage import PROVENANCE, is_simulated, lineage, provenance
from curate.card.redact import refuse_secrets
from curate.card.render import CROISSANT, README, card
from curate.config import UsageError

_SETTINGS = ("extra/axolotl.json", "extra/dataset_info.json")
"""What a mix writes for axolotl and LLaMA-Factory: names of data files and columns, and no text."""


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
    data = [_stated(artifact, file) for file in stored_files(artifact)]
    if not data:
        raise UsageError(f"{artifact.path}: has no data files; publish an artifact that has rows")
    data += [_stated(artifact, file) for file in artifact.receipt.files if file.path in _SETTINGS]
    made = card(artifact, repository)
    origin = json.dumps(provenance(found), indent=1, ensure_ascii=False) + "\n"
    refuse_secrets({PROVENANCE: origin, **{file.path: file.content.read_text(encoding="utf-8") for file in data if file.path in _SETTINGS}})
    texts = {README: made.readme, CROISSANT: made.croissant, PROVENANCE: origin}
    return sorted(data + [Upload(name, text.encode(), len(text.encode())) for name, text in texts.items()])


def _stated(artifact: Artifact, account: FileAccount) -> Upload:
    file = artifact.path / account.path
    if file.is_symlink() or not file.is_file() or sha256_of(file) != account.sha256:
        raise UsageError(f"{file}: is not the file that the receipt beside it states; make that artifact again")
    return Upload(account.path, file, account.bytes)
