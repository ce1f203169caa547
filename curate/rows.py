"""The five shapes of a row, each a pydantic model and the Arrow schema made from it.

What is written to Parquet, what `curate schema` documents and what a reader gets are one
definition. All shapes carry where they came from: `id`, `origins`, `source`, `licence`.
"""

import types
from collections.abc import Iterable
from typing import Annotated, Literal, Union, get_args, get_origin

import pyarrow as pa
import xxhash
from pydantic import Field

from curate.config import Model


class Row(Model):
    """What every row carries."""

    id: str = Field(description="Hash of the source's content and the record's offset: unique, the same everywhere.")
    content_id: str = Field(description="Hash of the text: equal for equal texts.")
    origins: list[str] = Field(description="Ids of the documents that this row came from.")
    source: str = Field(description="File of the record, relative to the given input.")
    licence: str | None = Field(description="SPDX id or URL of the licence, where known.")
    group: str | None = Field(description="Rows of one group never part in a split: a duplicate cluster, a prompt.")


class PiiCount(Model):
    """How many items of one type were replaced."""

    type: str
    count: int


class Document(Row):
    """A text with its provenance: what the web stage writes and pretraining reads."""

    url: str | None
    date: str | None = Field(description="When it was fetched, ISO 8601.")
    title: str | None
    text: str
    language: str | None = Field(description="ISO 639-1 code.")
    language_score: float | None = Field(description="Confidence of the language, 0 to 1.")
    words: int = Field(description="Whitespace-separated words of `text`.")
    bytes: int = Field(description="UTF-8 bytes of `text`.")
    tokens: int | None = Field(description="Tokens of `text`, where a `tokens` step counted them.")
    cluster: str | None = Field(description="Id of the near-duplicate cluster's kept document; null where it is alone.")
    cluster_size: int = Field(description="Documents in the cluster, this one included.")
    pii: list[PiiCount] = Field(description="Replaced personal data by type.")
    metadata: str = Field(description="Further fields of the source, a JSON object.")


class Message(Model):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: str | None = Field(None, description="Calls of an assistant turn, a JSON list.")
    name: str | None = Field(None, description="Name of the tool that answers.")


class Conversation(Row):
    """Turns that a model learns to continue."""

    messages: list[Message]
    tools: str | None = Field(description="Tool definitions, a JSON list.")
    metadata: str = Field(description="Further fields of the source, a JSON object.")


class Rating(Model):
    """One judged aspect of an answer."""

    aspect: str
    value: float | None


class Candidate(Model):
    """One answer of several to the same prompt."""

    id: str
    text: str
    model: str | None
    parent: str | None = Field(description="Id of the answer that this one revises.")
    kind: str = Field(description="answer, critique or revision.")
    ratings: list[Rating]
    rank: int | None = Field(description="Place among the answers, 1 is best; equal ranks are ties.")


class Candidates(Row):
    """A prompt with K answers, before pairs are made."""

    prompt: list[Message]
    candidates: list[Candidate]
    metadata: str = Field(description="Further fields of the source, a JSON object.")


class Preference(Row):
    """Two answers to one prompt, the better one named."""

    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    probability: float | None = Field(description="How likely `chosen` is the better one, in [0.5, 1]; null: a hard label.")
    margin: float | None
    weight: float
    metadata: str = Field(description="Further fields of the source, a JSON object.")


class Feedback(Row):
    """An answer called good or bad on its own."""

    prompt: list[Message]
    completion: list[Message]
    label: bool
    weight: float
    metadata: str = Field(description="Further fields of the source, a JSON object.")


SHAPES: dict[str, type[Row]] = {
    "document": Document,
    "conversation": Conversation,
    "candidates": Candidates,
    "preference": Preference,
    "feedback": Feedback,
}

_KNOWN_BY = {"document": "text", "conversation": "messages", "candidates": "candidates", "preference": "chosen", "feedback": "completion"}


def shape_of(columns: Iterable[str]) -> str | None:
    """The name of the shape whose rows have these columns; None where it is none of ours."""
    there = set(columns)
    whole = (name for name, shape in SHAPES.items() if set(shape.model_fields) <= there)
    return next((name for name in whole if _KNOWN_BY[name] in there), None)


_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def arrow_type(annotation: object) -> pa.DataType:
    """The Arrow type of a field's annotation; an optional is its inner type, nullable."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return arrow_type(arguments[0])
    if origin in (Union, types.UnionType):
        return arrow_type(next(a for a in arguments if a is not type(None)))
    if origin is Literal:
        return pa.string()
    if origin is list:
        return pa.list_(arrow_type(arguments[0]))
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return pa.struct(list(arrow_schema(annotation)))
    return _SCALARS[annotation]


def arrow_schema(shape: type[Model]) -> pa.Schema:
    """The Arrow schema of a row shape, columns in the order of its fields."""
    return pa.schema([pa.field(name, arrow_type(field.annotation)) for name, field in shape.model_fields.items()])


def content_id(text: str) -> str:
    """32 hex digits of the text's xxh3_128."""
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))
