"""Packed tokens without some documents: `.ds` files and the texts that go in; the same files with the other documents out.

Packed tokens name no documents, but they are what the tokenizer makes of each text: a document is
known by its tokens, and the ledger says how often it is there. So one of the same tokens that nobody
asked to remove stays, as it does elsewhere. The tokenizer is found by its hash, among the files that
runs of the root have read.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curate.artifact import Artifact
from curate.hashes import HashCache
from curate.outputs.pack import load_tokenizer

INDEX_BYTES = 8
"""Of a document in a `.ds.index`."""


class Packing(NamedTuple):
    """How the documents of a `.ds` file were made tokens."""

    tokenizer: Path
    eos: str
    token_bytes: int


def packings(artifact: Artifact, known: HashCache) -> dict[Path, Packing] | None:
    """The packing of each `.ds` file; None where one does not say it, or a tokenizer is not to be found any more."""
    found: dict[Path, Packing] = {}
    for file in sorted(artifact.path.glob("data/*.ds")):
        told = _beside(file, "metadata")
        named, _, token_bytes = _first_line(told).rpartition("|") if told.is_file() else ("", "", "")
        name, _, digest = named.rpartition("@sha256:")
        tokenizer = with_hash(known, name, digest) if digest else None
        if tokenizer is None:
            return None
        found[file] = Packing(tokenizer, _eos(artifact.receipt.config, file), int(token_bytes))
    return found


def with_hash(known: HashCache, name: str, digest: str) -> Path | None:
    """A file of that name whose content still has a hash that begins so."""
    paths = [Path(path) for path in known.known if Path(path).name == name]
    return next((path for path in paths if path.is_file() and known.sha256(path).startswith(digest)), None)


def _eos(config: dict, file: Path) -> str:
    split = config["splits"][file.name.rpartition("-")[0]]
    return (split["as"] or config["as"])["eos"]


def cut(packs: dict[Path, Packing], texts: Counter[str], new: Path) -> int:
    """Write the `.ds` files below the directory `new` without so many documents of each text; how many went."""
    left, gone = {}, 0
    for file, packing in packs.items():
        if packing not in left:
            left[packing] = _ids(texts, packing)
        gone += _cut(file, new / file.parent.name, left[packing], f"<u{packing.token_bytes}")
    return gone


def _ids(texts: Counter[str], packing: Packing) -> Counter[bytes]:
    """The tokens of each text, as a file holds them; a text without any holds nothing that could go."""
    tokenizer, end = load_tokenizer(packing.tokenizer, packing.eos)
    found: Counter[bytes] = Counter()
    for encoding, count in zip(tokenizer.encode_batch_fast(list(texts), add_special_tokens=False), texts.values(), strict=True):
        if encoding.ids:
            found[np.array([*encoding.ids, end], f"<u{packing.token_bytes}").tobytes()] += count
    return found


def _cut(file: Path, folder: Path, gone: Counter[bytes], dtype: str) -> int:
    """Write the documents that stay and their index, counting down what is `gone`; how many documents went."""
    folder.mkdir(exist_ok=True)
    place = folder / file.name
    ends = np.fromfile(_beside(file, "index"), "<u8").astype(np.int64)
    tokens = np.memmap(file, dtype, "r") if len(ends) else np.empty(0, dtype)
    lengths = []
    with place.open("wb") as out:
        for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=False):
            document = tokens[start:end].tobytes()
            if gone.get(document, 0) > 0:
                gone[document] -= 1
            else:
                out.write(document)
                lengths.append(end - start)
    np.cumsum(lengths, dtype="<u8").tofile(_beside(place, "index"))
    _beside(place, "metadata").write_text(f"{_first_line(_beside(file, 'metadata'))}\n{sum(lengths)}\n{sum(lengths):,} tokens", encoding="utf-8")
    return len(ends) - len(lengths)


def _beside(file: Path, what: str) -> Path:
    return file.with_name(f"{file.name}.{what}")


def _first_line(metadata: Path) -> str:
    """The tokenizer's name and hash, and the bytes of a token."""
    return metadata.read_text(encoding="utf-8").partition("\n")[0]
