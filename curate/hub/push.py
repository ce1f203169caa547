"""One command to publish: an artifact and a place in, one commit there out.

Files go up before the commit and are kept by the Hub under their hashes, so that a push that
was cut off sends only what is missing. A second push of the same artifact makes no commit. How
they go is the client's choice: by Xet where `hf-xet` is installed, else by LFS.
"""

import logging
import re
import time
from typing import NamedTuple

import orjson

from curate.artifact import Artifact, write_json
from curate.card.words import told_of
from curate.config import StoppedError, UsageError, is_url
from curate.hub.contents import Upload, contents

logger = logging.getLogger(__name__)

PUBLISHED = "published.json"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SHARD = re.compile(r"data/[A-Za-z0-9_]+-\d{5}\.[a-z.]+")
_XET_STATUS = re.compile(r"HTTP status \w+ error \((\d{3}) ")
_TRIES, _LONGEST_WAIT = 6, 60.0
_AGAIN = (408, 409, 412, 425, 429, 500, 502, 503, 504)
"""409 and 412: somebody else committed meanwhile, and the next try starts from there."""


class Pushed(NamedTuple):
    """What went where."""

    url: str
    commit: str | None
    """The Hub's commit; None for an object store, and for a dry run."""
    files: list[Upload]
    missing: list[str]
    """Words of the card that the recipe does not say."""


def push(
    artifact: Artifact, to: str, *, private: bool = False, revision: str | None = None, simulated: bool = False, dry_run: bool = False
) -> Pushed:
    """Publish to a Hub dataset `owner/name`, or below a URL that fsspec writes; `dry_run` only lists.

    Raises UsageError for what cannot be published or is refused, StoppedError where the same call can go on later.
    """
    remote = is_url(to)
    if not remote and not _NAME.fullmatch(to):
        raise UsageError(f"{to}: names no place; write OWNER/NAME for the Hub, or a URL such as s3://bucket/folder")
    if remote and (private or revision):
        raise UsageError(f"{to}: `private` and `revision` are the Hub's; leave them out for an object store")
    uploads = contents(artifact, None if remote else to, simulated)
    missing = told_of(artifact).words.missing()
    if dry_run:
        return Pushed(to, None, uploads, missing)
    done = Pushed(_to_store(uploads, to), None, uploads, missing) if remote else _to_hub(artifact, uploads, to, private, revision, missing)
    _note(artifact, done, to, revision)
    return done


def _note(artifact: Artifact, done: Pushed, to: str, revision: str | None) -> None:
    """Remember beside the receipt where the artifact lies, so that a later removal can name it."""
    path = artifact.path / PUBLISHED
    known = orjson.loads(path.read_bytes()) if path.exists() else []
    entry = {"to": to, "revision": revision, "commit": done.commit, "url": done.url}
    write_json(path, [*(one for one in known if one != entry), entry])


def _to_store(uploads: list[Upload], url: str) -> str:
    """Copy the files below the URL, the card last: a folder with a card is complete."""
    from curate.executors.travel import Travel

    there = Travel(url)
    for upload in sorted(uploads, key=lambda upload: upload.path == "README.md"):
        path = f"{there.path}/{upload.path}"
        if "file" in there.system.protocol:
            there.system.makedirs(path.rpartition("/")[0], exist_ok=True)
        if isinstance(upload.content, bytes):
            there.system.pipe_file(path, upload.content)
        else:
            there.system.put_file(str(upload.content), path)
    for path in there.system.find(f"{there.path}/data"):
        name = path[path.rindex("data/") :]
        if _SHARD.fullmatch(name) and name not in {upload.path for upload in uploads}:
            there.system.rm_file(path)
    return url.rstrip("/")


def _to_hub(artifact: Artifact, uploads: list[Upload], repository: str, private: bool, revision: str | None, missing: list[str]) -> Pushed:
    from huggingface_hub import HfApi, errors

    message = f"{artifact.receipt.recipe}/{artifact.receipt.stage}-{artifact.receipt.fingerprint[:8]}"
    for attempt in range(_TRIES):
        try:
            commit = _commit(HfApi(), uploads, repository, private, revision, message)
            return Pushed(commit.commit_url, commit.oid, uploads, missing)
        except (errors.HfHubHTTPError, errors.HTTPError, RuntimeError, ConnectionError, TimeoutError, PermissionError) as error:  # the last three are Xet's
            wait = _wait(_cause(error), repository, attempt)
            logger.warning("%s: the Hub could not take it; next try in %.0f s", repository, wait)
            time.sleep(wait)
    raise AssertionError("the last try raises")


def _commit(api: "HfApi", uploads: list[Upload], repository: str, private: bool, revision: str | None, message: str) -> "CommitInfo":  # noqa: F821
    """One commit that adds the files and takes away shards of an earlier push; none where nothing has changed."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api.create_repo(repository, repo_type="dataset", private=private or None, exist_ok=True)
    if revision:
        api.create_branch(repository, branch=revision, repo_type="dataset", exist_ok=True)
    head = api.repo_info(repository, repo_type="dataset", revision=revision)
    if private and not head.private:
        raise UsageError(f"{repository}: is there already, and public; make it private at the Hub first, or name another")
    new = {upload.path for upload in uploads}
    stale = [name for name in api.list_repo_files(repository, repo_type="dataset", revision=head.sha) if _SHARD.fullmatch(name) and name not in new]
    added = [CommitOperationAdd(upload.path, upload.content) for upload in uploads]
    taken = [CommitOperationDelete(name) for name in stale]
    return api.create_commit(repository, [*added, *taken], commit_message=message, repo_type="dataset", revision=revision, parent_commit=head.sha)


def _cause(error: BaseException) -> BaseException:
    """The Hub's own answer, where an upload in a thread of the client has wrapped it."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _status(told: str) -> int | None:
    """The HTTP status in the words of Xet, which has no response to look at."""
    found = _XET_STATUS.search(told)
    return int(found[1]) if found else None


def _wait(error: BaseException, repository: str, attempt: int) -> float:
    """Seconds until the next try; raises where there is to be none."""
    response = getattr(error, "response", None)
    told = " ".join(str(error).split())[:300]
    status = response.status_code if response is not None else _status(told)
    if status in (401, 403) or isinstance(error, PermissionError):
        how = "log in by `hf auth login`, or set HF_TOKEN to one that may write"
        raise UsageError(f"{repository}: the Hub refuses the token ({status or 401}): {told}; {how}") from error
    if status is not None and status not in _AGAIN:
        raise UsageError(f"{repository}: the Hub refuses: {told}; check the name and `--revision`; a Hub without Xet needs HF_HUB_DISABLE_XET=1") from error
    if attempt + 1 == _TRIES:
        raise StoppedError(f"{repository}: the Hub did not take it in {_TRIES} tries: {told}") from error
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(asked) if asked.isdigit() else 0.5 * 2**attempt, _LONGEST_WAIT)
