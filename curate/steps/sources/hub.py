"""Data on the Hugging Face Hub: an `hf://` path or a dataset's id in, the addresses of its files at one commit out.

Which files make a split is for `datasets` to say (it knows the dataset's card); the files
are then read like any others, so a dataset is never converted into a cache first.
"""

import fnmatch
import re
from typing import NamedTuple

from curate.config import UsageError
from curate.steps.sources import Source
from curate.steps.sources.patience import RemoteError


class HubPath(NamedTuple):
    """`hf://datasets/owner/name@revision/path/in/it`."""

    kind: str
    repository: str
    revision: str | None
    file: str

    @property
    def url(self) -> str:
        prefix = "" if self.kind == "model" else f"{self.kind}s/"
        at = f"@{self.revision.replace('/', '%2F')}" if self.revision else ""
        return f"hf://{prefix}{self.repository}{at}/{self.file}".rstrip("/")


def hub_path(path: str) -> HubPath:
    """The parts of an `hf://` path; UsageError where it names no repository."""
    parts = re.fullmatch(r"hf://(datasets/|spaces/)?([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.*))?", path)
    if parts is None:
        raise UsageError(f"{path}: names no repository; write hf://datasets/owner/name, and a file below it if you like")
    kind = (parts[1] or "models/").removesuffix("s/")
    return HubPath(kind, parts[2], (parts[3] or "").replace("%2F", "/") or None, parts[4] or "")


def resolve_address(path: str) -> tuple[str, dict[str, str]]:
    """The https address of a file on the Hub, and the headers that show who asks."""
    import huggingface_hub
    from huggingface_hub.utils import build_hf_headers

    at = hub_path(path)
    url = huggingface_hub.hf_hub_url(at.repository, at.file, repo_type=at.kind, revision=at.revision)
    return url, build_hf_headers()


def hub_files(path: str, source: Source) -> list[tuple[str, str]]:
    """Address and label of each file that `path` names, all at the commit that the revision means now.

    Raises UsageError for what is not there, RemoteError where the Hub does not answer.
    """
    import huggingface_hub.errors as hub

    try:
        if not path.startswith("hf://"):
            return _split_files(path, source)
        at = hub_path(path)
        return _repository_files(at, source) if at.file else _split_files(at.repository, source, at.revision)
    except (hub.RepositoryNotFoundError, hub.RevisionNotFoundError, hub.HFValidationError) as error:
        raise UsageError(f"{path}: {str(error).splitlines()[0]}; check the name, `revision:` and your access") from None
    except (hub.HfHubHTTPError, hub.HTTPError, ConnectionError) as error:
        told = " ".join(str(error).split())
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403, 404):
            raise UsageError(f"{path}: {told}; check the name, `revision:` and your access") from None
        raise RemoteError(f"{path}: the Hub does not answer: {told}") from error


def _repository_files(at: HubPath, source: Source) -> list[tuple[str, str]]:
    """The file itself, the files below a folder, or those that a glob matches."""
    import huggingface_hub

    api = huggingface_hub.HfApi()
    wanted = at.revision or source.revision
    commit = api.repo_info(at.repository, repo_type=at.kind, revision=wanted).sha
    names = api.list_repo_files(at.repository, repo_type=at.kind, revision=commit)
    glob = re.search(r"[*?\[]", at.file)
    root = at.file[: at.file.rfind("/", 0, glob.start()) + 1] if glob else at.file.rpartition("/")[0]
    found = [name for name in names if name == at.file or name.startswith(f"{at.file}/")]
    if glob:
        found = [name for name in names if fnmatch.fnmatchcase(name, at.file)]
    elif at.file not in names:
        root = at.file
    pinned = at._replace(revision=commit)
    return [(pinned._replace(file=name).url, name.removeprefix(root).lstrip("/")) for name in found]


def _split_files(dataset: str, source: Source, revision: str | None = None) -> list[tuple[str, str]]:
    """The files of a split as the dataset's card or its layout defines it."""
    import datasets

    try:
        builder = datasets.load_dataset_builder(dataset, name=source.name, revision=revision or source.revision)
    except (ValueError, FileNotFoundError, datasets.exceptions.DatasetNotFoundError) as error:
        raise UsageError(f"{dataset}: {' '.join(str(error).split())}; check `name:` and `revision:`") from None
    splits = {str(split): files for split, files in (builder.config.data_files or {}).items()}
    if source.split not in splits:
        raise UsageError(f"{dataset}: has no split '{source.split}'; set `split:` to one of {', '.join(splits)}")
    return [(path, _below(path, dataset)) for path in map(str, splits[source.split])]


def _below(path: str, dataset: str) -> str:
    return hub_path(path).file if path.startswith("hf://") else path.removeprefix(dataset).lstrip("/")
