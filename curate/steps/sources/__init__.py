"""Where units come from: a `source:` block of a recipe in, units of input out.

`inputs` names the files, `ranks` cuts and reads them, one room for each sort of file below.
"""

import codecs
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from curate.config import InputPath, Model
from curate.steps.sources.account import Limits

Format = Literal["auto", "warc", "arc", "wet", "html", "jsonl", "parquet", "csv", "arrow", "hf", "cc"]


class Network(Model):
    """How patiently remote files are read; changes no row, so it is no part of an identity."""

    retries: int = Field(6, ge=0, le=100, description="Failures in a row, without progress, that are borne.")
    timeout: float = Field(30.0, gt=0, le=3600, description="Seconds to connect, and seconds without a byte, at most.")
    longest_wait: float = Field(
        60.0, ge=0, le=3600, description="Seconds between two tries at most, whatever Retry-After says."
    )


class Source(Model):
    """What a stage reads; a path alone, or a list of paths, stands for `{paths: [...]}`."""

    raw: ClassVar[bool] = False
    """Rows of tables are taken as they are, and become a unit's metadata; whose columns mean what is not known yet."""

    paths: list[InputPath] = Field(
        ..., min_length=1, description="Files, globs, folders or URLs (https://, s3://, hf://, file://)."
    )
    format: Format = Field("auto", description="What the files hold; `auto` goes by name, then by the first bytes.")
    encoding: str | None = Field(
        None, description="Encoding of files of JSON and CSV that are not UTF-8 and have no byte order mark: `cp1252` for most of Excel's in Portuguese."
    )
    text_field: str = Field("text", min_length=1, description="Column of the text, in tables.")
    html_field: str | None = Field(None, description="Column of a page's HTML; where set, text is extracted from it.")
    url_field: str = Field("url", min_length=1, description="Column of the address, in tables.")
    id_field: str = Field("id", min_length=1, description="Column of the row's own id, kept as `metadata.source_id`.")
    name: str | None = Field(None, description="Configuration of a Hugging Face dataset.")
    split: str = Field("train", min_length=1, description="Split of a Hugging Face dataset or a saved one.")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hugging Face dataset.")
    cc_base: InputPath = Field(
        "https://data.commoncrawl.org/", description="What the lines of a `warc.paths.gz` list are relative to."
    )
    licence: str | None = Field(None, description="Licence of every unit that names none itself.")
    opt_out: tuple[str, ...] = Field((), description="Ids, URLs and domains that are left out, beside those of the root's opt_out.txt.")
    limits: Limits = Field(Limits(), description="What a record and a page may cost.")
    max_damage: float | None = Field(
        None, ge=0, le=1, description="Share of a file's units that may be damaged before the run stops."
    )
    rank_bytes: int = Field(256 * 2**20, ge=1, description="Bytes of a gzip archive, or of many small files, in a rank.")
    rank_files: int = Field(500, ge=1, description="Pages of a folder in a rank, at most.")
    network: Network = Field(Network(), description="How patiently remote files are read.")

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, given: str | None) -> str | None:
        """Python's name of the encoding, so that an identity does not hang on its spelling."""
        if given is None:
            return None
        try:
            "".encode(given)  # which refuses codecs that are none of texts
            return codecs.lookup(given).name
        except LookupError:
            raise ValueError("no encoding of texts; write `cp1252`, `latin-1`, `utf-16` or another that Python knows") from None

    @model_validator(mode="before")
    @classmethod
    def shorthand(cls, given: object) -> object:
        if isinstance(given, str):
            return {"paths": [given]}
        if isinstance(given, list):
            return {"paths": given}
        if isinstance(given, dict) and isinstance(given.get("paths"), str):
            return {**given, "paths": [given["paths"]]}
        return given


class RowSource(Source):
    """A source of rows whose columns a dialect names; JSON files may also be arrays, or values over several lines."""

    raw: ClassVar[bool] = True

    @model_validator(mode="after")
    def _columns_are_the_dialects(self) -> "RowSource":
        fields = type(self).model_fields
        named = [name for name in ("text_field", "html_field", "url_field", "id_field") if getattr(self, name) != fields[name].default]
        if named:
            raise ValueError(f"'{named[0]}' is for pages and texts; name columns in the stage's `format`, by `columns:`")
        return self


def or_paths(schema: dict) -> None:
    """In the JSON Schema a path, or a list of paths, may stand for the block."""
    block = {"$ref": schema.pop("$ref")}
    schema["anyOf"] = [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, block]
