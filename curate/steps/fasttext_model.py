"""A supervised fastText model: its path (or `hf://` address) and a text in, a probability for each label out."""

import functools
import mmap
import struct
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, SerializationInfo, ValidationInfo

from curate.config import UsageError, anchor, is_url
from curate.steps.sources.patience import RemoteError

LABEL = "__label__"
HUB = "hf://"
_HEAD = struct.Struct("<14id3i2q")
"""Magic number, version, twelve settings, a threshold; entries, words, labels, tokens, pruned n-grams."""
_MAGIC, _VERSION = 793712314, 12
_CENTROIDS = 256


def prepared(text: str) -> str:
    """The one line that a model reads, in training and in use: white space joined, case and marks as they are.

    This is how published filters read text too (Li et al. 2024, DCLM). A word that begins like a label
    would be one, so it is spelled apart; NUL and lone surrogates are no text to fastText.
    """
    line = " ".join(text.replace("\0", " ").split()).replace(LABEL, "__ label__")
    return line.encode("utf-8", "replace").decode("utf-8")


def _resolve(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str | Path):
        return value
    path = anchor(value if isinstance(value, str) else str(value), (info.context or {}).get("base", Path.cwd()))
    if is_url(path) and not path.startswith(HUB):
        raise ValueError(f"{path!r} is no place for a model; give a local file or hf://owner/name/file")
    return path


def _identity(path: str, info: SerializationInfo) -> str:
    content_hash = (info.context or {}).get("content_hash")
    return content_hash(local_copy(path)) if content_hash else path


ModelPath = Annotated[str, BeforeValidator(_resolve), PlainSerializer(_identity)]
"""A fastText `.bin` or `.ftz`, local (relative to the recipe) or `hf://owner/name[@revision]/file`.
In an identity it stands for its content, so a model of the Hub is fetched, or taken from the Hub's cache, to plan."""


@functools.cache
def local_copy(path: str) -> str:
    """Where the model lies on this machine; one of the Hub is fetched into the Hub's own cache.

    A revision that is a full commit needs no network once it is there. UsageError where there is no such
    file, RemoteError where the Hub does not answer.
    """
    if not path.startswith(HUB):
        return path
    import huggingface_hub
    import huggingface_hub.errors as hub

    from curate.steps.sources.hub import hub_path

    at = hub_path(path)
    if not at.file:
        raise UsageError(f"{path}: names no file; write hf://{at.repository}/model.bin")
    try:
        return huggingface_hub.hf_hub_download(at.repository, at.file, repo_type=at.kind, revision=at.revision)
    except hub.LocalEntryNotFoundError as error:
        raise RemoteError(f"{path}: the Hub does not answer and its cache has no copy: {_line(error)}") from error
    except (hub.RepositoryNotFoundError, hub.RevisionNotFoundError, hub.EntryNotFoundError, hub.HFValidationError) as error:
        raise UsageError(f"{path}: {_line(error)}; check owner, name, revision and file") from None
    except (hub.HfHubHTTPError, hub.HTTPError, ConnectionError) as error:
        raise RemoteError(f"{path}: the Hub does not answer: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def is_whole(path: str) -> bool:
    """True where a file is a fastText model to its last byte; fastText itself dies of one that was cut short.

    Follows the sizes that the file states (fastText 0.9.2, `FastText::saveModel`): settings, dictionary, two matrices.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        magic, version, *_, entries, _, _, _, pruned = _HEAD.unpack_from(data)
        if magic != _MAGIC or version > _VERSION or entries < 0:
            return False
        place = _HEAD.size
        for _ in range(entries):
            name_end = data.find(b"\0", place)
            if name_end < 0:
                return False
            place = name_end + 10
        place += 8 * max(pruned, 0)
        return _matrix_end(data, _matrix_end(data, place)) == len(data)


def _matrix_end(data: mmap.mmap, place: int) -> int:
    """Where the matrix that begins at `place` ends, plain or quantised."""
    (quantised,) = struct.unpack_from("<?", data, place)
    if not quantised:
        rows, columns = struct.unpack_from("<2q", data, place + 1)
        return place + 17 + 4 * rows * columns
    has_norms, rows, _, codes = struct.unpack_from("<?2qi", data, place + 1)
    end = _quantiser_end(data, place + 22 + codes)
    return _quantiser_end(data, end + rows) if has_norms else end


def _quantiser_end(data: mmap.mmap, place: int) -> int:
    (dimensions,) = struct.unpack_from("<i", data, place)
    return place + 16 + 4 * dimensions * _CENTROIDS


class LabelModel:
    """A loaded model; what it says of a text depends on that text alone."""

    def __init__(self, path: str) -> None:
        import fasttext

        file = local_copy(path)
        try:
            if not is_whole(file):
                raise ValueError("its head or its length is another's")
            self._model = fasttext.load_model(file)
        except (ValueError, OSError, struct.error, RuntimeError, MemoryError) as error:
            raise UsageError(f"{path}: not a whole fastText model: {error}; give a .bin or .ftz that fastText wrote") from None
        arguments = self._model.f.getArgs()
        if arguments.model.name != "supervised":
            raise UsageError(f"{path}: a model of word vectors, without labels; give one that `supervised` made")
        self.path = path
        self.labels: tuple[str, ...] = tuple(name.removeprefix(LABEL) for name in self._model.get_labels())
        self.independent: bool = arguments.loss.name == "ova"
        """True where the labels' probabilities need not sum to one (one against all)."""

    def probabilities(self, text: str) -> dict[str, float]:
        """A probability for each label, without `__label__`; none where the model can say nothing."""
        found = self._model.f.predict(prepared(text) + "\n", len(self.labels), 0.0, "strict")
        return {label.removeprefix(LABEL): min(max(chance, 0.0), 1.0) for chance, label in found}

    def probability(self, text: str, labels: tuple[str, ...]) -> float:
        """How likely the text has one of the labels: their sum, or the greatest where they are independent."""
        found = self.probabilities(text)
        chances = [found.get(label, 0.0) for label in labels]
        return max(chances) if self.independent else min(sum(chances), 1.0)

    def known(self, names: tuple[str, ...], key: str) -> tuple[str, ...]:
        """The labels by their bare names; UsageError for one that the model has not."""
        bare = tuple(name.removeprefix(LABEL) for name in names)
        for name in bare:
            if name not in self.labels:
                shown = ", ".join(sorted(self.labels)[:20])
                raise UsageError(f"{self.path}: has no label '{name}'; set `{key}:` to one of {shown}")
        return bare


@functools.lru_cache(maxsize=8)
def label_model(path: str) -> LabelModel:
    """The model at `path`, loaded once a process; UsageError where it is none."""
    return LabelModel(path)
