"""The walk back beyond the Hub: files of a dataset in; its commit, and the receipts published with it, beside the receipt of what reads them out."""

from pathlib import Path

from curate.artifact import write_json
from curate.card.lineage import PROVENANCE, receipts_of
from curate.config import StoppedError
from curate.steps.sources.files import InputFile
from curate.steps.sources.hub import HubPath, hub_path


def inherit(files: list[InputFile], directory: Path) -> Path | None:
    """Write the commits of the sources and the receipts that came with them into `directory`; None where none lies on the Hub.

    Raises StoppedError where the Hub does not answer, UsageError where what it holds is no provenance.
    """
    found = list(dict.fromkeys(_repository(file.path) for file in files if file.path.startswith("hf://datasets/")))
    if not found:
        return None
    receipts: dict[str, dict] = {}
    for at in found:
        for receipt in receipts_of(_provenance(at), at.url):
            receipts.setdefault(receipt.fingerprint, receipt.model_dump(mode="json", by_alias=True))
    write_json(directory / PROVENANCE, {"repositories": [at._replace(file="").url for at in found], "receipts": list(receipts.values())})
    return directory / PROVENANCE


def _repository(path: str) -> HubPath:
    return hub_path(path)._replace(file=PROVENANCE)


def _provenance(at: HubPath) -> bytes:
    """The file at that commit; one without receipts where there is none."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        return Path(huggingface_hub.hf_hub_download(at.repository, at.file, repo_type=at.kind, revision=at.revision)).read_bytes()
    except errors.EntryNotFoundError:
        return b'{"receipts": []}'
    except (errors.HfHubHTTPError, errors.HTTPError, OSError) as error:
        raise StoppedError(f"{at.url}: the Hub does not answer: {' '.join(str(error).split())}") from error
