"""Tokenised training sets: conversations or documents in; `input_ids` and `labels`, ready for the trainer, out.

TRL, Unsloth and axolotl take these columns as they are: no template, mask or setting can change what is learnt.
axolotl knows them by an `attention_mask` beside them, which is 1 everywhere, since nothing is padded.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.config import FilePath, UsageError
from curate.formats import Fields, Refused, Row
from curate.outputs.entries import axolotl_dataset
from curate.outputs.output import Output

if TYPE_CHECKING:
    from curate.contract import Tokenizer


class Tokenised(Output):
    """`input_ids` and `labels`, -100 where nothing is learnt; a document is learnt whole, ended by EOS."""

    version: ClassVar[int] = 2
    use: Literal["tokenised"] = "tokenised"
    takes: ClassVar[tuple[str, ...]] = ("conversation", "document")

    tokenizer: FilePath = Field(description="The model's tokenizer.json; its tokenizer_config.json is read from beside it.")
    template: FilePath | None = Field(None, description="A chat template file in place of the tokenizer's own.")

    def reads(self) -> list[Path]:
        """Files beside the tokenizer that change what is written."""
        names = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
        return [path for name in names if (path := Path(self.tokenizer).with_name(name)).is_file()]

    @cached_property
    def loaded(self) -> "Tokenizer":
        """The tokenizer; UsageError where its template would train on more than answers, or prints the date."""
        from curate.contract import load_tokenizer, template_problem

        made = load_tokenizer(self.tokenizer, Path(self.template) if self.template else None)
        problem = template_problem(made)
        if problem:
            raise UsageError(f"tokenised: {problem}")
        return made

    def columns(self) -> list[pa.Field]:
        return [*(pa.field(name, pa.list_(pa.int32())) for name in ("input_ids", "labels")), pa.field("attention_mask", pa.list_(pa.int8()))]

    def said(self, shape: str, row: Fields) -> list[Row]:
        from curate.contract import tokenised
        from curate.contract.columns import Stops

        names = ("text",) if shape == "document" else ("messages", "tools")
        try:
            made = tokenised({name: row.get(name) for name in names}, self.loaded)
            return [{**made, "attention_mask": [1] * len(made["input_ids"])}]
        except Stops as stopped:
            if stopped.trap in ("no_chat_template", "no_eos_token"):
                raise UsageError(f"tokenised: {self.tokenizer}: {stopped.trap}: give `template:`, or set eos_token") from None
            raise Refused("not_in_dialect") from None

    def axolotl(self, files: list[str]) -> dict[str, object]:
        return {"datasets": [axolotl_dataset(files)]}
