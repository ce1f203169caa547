"""Outputs of pretraining: documents in, their text alone or the whole of our rows out."""

from typing import ClassVar, Literal

import pyarrow as pa

from curate.formats import Fields, Row
from curate.outputs.entries import axolotl_dataset, llama_factory
from curate.outputs.output import Output
from curate.rows import SHAPES, arrow_schema


class Text(Output):
    """`text`: what TRL, Unsloth, LLaMA-Factory (stage `pt`) and axolotl (`completion`) continue pretraining on."""

    use: Literal["text"] = "text"
    takes: ClassVar[tuple[str, ...]] = ("document",)

    def columns(self) -> list[pa.Field]:
        return [pa.field("text", pa.string())]

    def said(self, shape: str, row: Fields) -> list[Row]:
        return [{"text": row["text"]}]

    def info(self, name: str, files: list[str]) -> dict[str, dict]:
        return llama_factory(name, files, {"prompt": "text"})

    def axolotl(self, files: list[str]) -> dict[str, object]:
        return {"datasets": [axolotl_dataset(files, type="completion", field="text")]}


class Document(Text):
    """Our own row as it is: the text with its address, language, counts and metadata."""

    use: Literal["document"] = "document"

    def schema(self) -> pa.Schema:
        return arrow_schema(SHAPES["document"])

    def said(self, shape: str, row: Fields) -> list[Row]:
        return [row]
