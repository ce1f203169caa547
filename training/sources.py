"""A name as people give it to data, and a split, in; the folder where it stands and the files of that split out.

An artifact says which files are which. Elsewhere (a data set of the Hub, a folder of one's own) only names do, and a file
that is taken for the wrong split trains a model on its test: what is not certain is refused.
"""

import json
import re
from pathlib import Path

from curate.config import UsageError

_DATA = (".parquet", ".jsonl")
_SHARD = re.compile(r"(.+?)-\d{5}(?:-of-\d{5})?")
_SPLIT = re.compile(r"(?:train|test|validation|valid|val|dev|eval)(?![a-z])[^-.]*", re.IGNORECASE)
"""What a file of a split is mostly named after: `train-00000-of-00002`, `test.jsonl`, `train_prefs-00000`."""


def latest(place: Path) -> Path:
    """The last artifact of a recipe's latest run, where the place is that recipe's folder; else the place itself."""
    noted = place / "latest.json"
    return place / json.loads(noted.read_text(encoding="utf-8"))[-1] if noted.is_file() else place


def cached(name: str) -> Path:
    """The folder of a data set of the Hub in the local cache. Raises UsageError where it is not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    name = name.removeprefix("hf://datasets/")
    try:
        return Path(snapshot_download(name, repo_type="dataset", local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        fetch = f"hf download --repo-type dataset {name}"
        raise UsageError(f"{name}: neither a file or folder here nor a data set in the Hub's local cache; fetch it with `{fetch}`") from None


def files_of(place: Path, split: str, named_alone: bool = False) -> list[Path]:
    """The files named after a split, in one folder; all of them for `train` where they are named after none. Raises UsageError where that is unclear.

    `named_alone`: as in an artifact, every file is named after its split.
    """
    found = [path for path in sorted(place.rglob("*")) if path.suffix in _DATA and path.is_file() and not _hidden(path, place)]
    named = [path for path in found if re.fullmatch(rf"{re.escape(split)}(?:[-.].*)?", path.stem)]
    if not found:
        raise UsageError(f"{place}: no artifact, .parquet or .jsonl file; other formats are read by an `ingest` stage of a recipe")
    splits = {_split_of(path) for path in found}
    if not named and (split != "train" or named_alone or len(splits) > 1 or any(_SPLIT.match(one) for one in splits if one)):
        here = ", ".join(sorted({_split_of(path) or path.name for path in found})[:8])
        raise UsageError(f"{place}: no data of split '{split}'; here are {here}: name one by `split`, or one of the files as `data`")
    return _of_one_folder(named or found, place, split)


def _split_of(path: Path) -> str | None:
    """What a file's name says of its split; None where it says nothing."""
    match = _SHARD.fullmatch(path.stem) or _SPLIT.match(path.stem)
    return match and match[match.lastindex or 0]


def _hidden(path: Path, place: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(place).parts)


def _of_one_folder(files: list[Path], place: Path, split: str) -> list[Path]:
    folders = sorted({path.parent for path in files})
    if len(folders) > 1:
        here = ", ".join(str(folder.relative_to(place)) for folder in folders[:8])
        raise UsageError(f"{place}: split '{split}' stands in several folders ({here}); name one of them as `data`")
    return files
