"""Packed pretraining tokens: documents in; `.ds` files of tokens with their indexes and metadata out.

The layout of datatrove 0.10.1's DocumentTokenizer, which its DatatroveFolderDataset and nanotron read:
`<split>-00000.ds` holds the ids of all documents one after the other, each ended by `eos`, as
little-endian uint16 (uint32 where an id is beyond 65,535); `.ds.index` holds the end of each
document, in tokens, as little-endian uint64; `.ds.metadata` names the tokenizer, the bytes of a
token and the number of tokens. The order is that of the rows: a mix has shuffled them.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.config import FilePath, UsageError
from curate.formats import Fields, Row
from curate.outputs.output import Output

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHARD_TOKENS = 2**30
_BATCH = 256


class Packed(Output):
    """Tokens of documents, packed; written by `write_packed`, since there are no rows to put into Parquet."""

    use: Literal["packed"] = "packed"
    takes: ClassVar[tuple[str, ...]] = ("document",)

    tokenizer: FilePath = Field(..., description="A `tokenizer.json` of the tokenizers library.")
    eos: str = Field(..., min_length=1, description="The token that ends a document, such as `</s>`.")
    shard_tokens: int = Field(SHARD_TOKENS, ge=1, description="Tokens after which a new file begins.")

    def schema(self) -> pa.Schema:
        raise NotImplementedError("packed tokens are no Parquet: see write_packed")

    def rows(self, shape: str, row: Fields) -> list[Row]:
        raise NotImplementedError("packed tokens are no rows: see write_packed")


class PackedCounts(NamedTuple):
    """What was written."""

    documents: int
    tokens: int
    """Tokens, the `eos` of each document included."""
    token_bytes: int
    files: list[str]
    """Names of the `.ds` files, in order."""


def load_tokenizer(path: Path, eos: str) -> tuple["Tokenizer", int]:
    """The tokenizer and the id of `eos`. Raises UsageError where there is no such file or no such token."""
    from tokenizers import Tokenizer

    if not path.is_file():
        raise UsageError(f"{path}: no such file; name a `tokenizer.json`")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise UsageError(f"{path}: is no tokenizer: {error}; name a `tokenizer.json`") from None
    id_ = tokenizer.token_to_id(eos)
    if id_ is None:
        raise UsageError(f"{path}: has no token {eos!r}; set `eos` to the one that ends a text")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, id_


def write_packed(
    rows: Iterator[Row], tokenizer_file: Path, eos: str, directory: Path, split: str = "train", shard_tokens: int = SHARD_TOKENS
) -> PackedCounts:
    """Write the documents' `text` as `<split>-00000.ds` and so on; each file appears by rename, whole or not at all."""
    tokenizer, end = load_tokenizer(tokenizer_file, eos)
    token_bytes = 2 if max(tokenizer.get_vocab().values()) <= 0xFFFF else 4
    named = f"{tokenizer_file.name}@sha256:{hashlib.sha256(tokenizer_file.read_bytes()).hexdigest()[:16]}|{token_bytes}"
    directory.mkdir(parents=True, exist_ok=True)
    documents = tokens = 0
    files: list[str] = []
    encoded = _encoded(rows, tokenizer, end, f"<u{token_bytes}")
    held = next(encoded, None)
    while held is not None or not files:
        path = directory / f"{split}-{len(files):05d}.ds"
        with _Shard(path, token_bytes) as shard:
            while held is not None and shard.tokens < shard_tokens:
                shard.add(held)
                held = next(encoded, None)
        shard.finish(named)
        documents, tokens = documents + shard.documents, tokens + shard.tokens
        files.append(path.name)
    return PackedCounts(documents, tokens, token_bytes, files)


def _encoded(rows: Iterator[Row], tokenizer: "Tokenizer", end: int, dtype: str) -> Iterator[np.ndarray]:
    """The ids of each document and its end."""
    while batch := list(islice(rows, _BATCH)):
        for encoding in tokenizer.encode_batch_fast([row["text"] for row in batch], add_special_tokens=False):
            yield np.array([*encoding.ids, end], dtype=dtype)


class _Shard:
    """One `.ds` file with its index, both under temporary names until they are whole."""

    def __init__(self, path: Path, token_bytes: int) -> None:
        self.path, self.token_bytes = path, token_bytes
        self.tokens = self.documents = 0
        self.open = ExitStack()

    def __enter__(self) -> "_Shard":
        self.data: BinaryIO = self.open.enter_context(self._temporary("").open("wb"))
        self.index: BinaryIO = self.open.enter_context(self._temporary(".index").open("wb"))
        return self

    def __exit__(self, *error: object) -> None:
        self.open.close()

    def _temporary(self, suffix: str) -> Path:
        return self.path.with_name(f".{self.path.name}{suffix}.{os.getpid()}.tmp")

    def add(self, ids: np.ndarray) -> None:
        self.data.write(ids.tobytes())
        self.tokens += len(ids)
        self.index.write(self.tokens.to_bytes(8, "little"))
        self.documents += 1

    def finish(self, named: str) -> None:
        """Give the files their names, the tokens' last: a reader looks for `.ds`."""
        about = f"{named}\n{self.tokens}\n{self.tokens:,} tokens"
        self._temporary(".metadata").write_text(about, encoding="utf-8")
        for suffix in (".metadata", ".index", ""):
            self._temporary(suffix).rename(self.path.with_name(self.path.name + suffix))
