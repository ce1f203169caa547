"""Formats of training sets: our rows in; rows of the files that TRL, LLaMA-Factory, axolotl and Unsloth read out.

A format is the block of a recipe that names it. `AnyOutput` is all of them; one file a kind of training.
"""

from typing import Annotated

from pydantic import Field

from curate.outputs.conversations import Alpaca, Messages, PromptCompletion, ShareGpt
from curate.outputs.labels import WeightRanges, interleaved, pattern, weight_ranges
from curate.outputs.output import Output, holds_tools, needs_tools, table
from curate.outputs.pack import Packed, PackedCounts, write_packed
from curate.outputs.pairs import ChosenRejected, Kto, Preference, Reward
from curate.outputs.prompts import Grpo
from curate.outputs.texts import Document, Text
from curate.outputs.tokenised import Tokenised

AnyOutput = Annotated[
    Messages | ShareGpt | Alpaca | PromptCompletion
    | ChosenRejected | Preference | Kto | Reward | Grpo | Text | Document | Packed | Tokenised,
    Field(discriminator="use"),
]
"""Every output, by its name under `use`."""

OUTPUTS: tuple[type[Output], ...] = (
    Messages, ShareGpt, Alpaca, PromptCompletion,
    ChosenRejected, Preference, Kto, Reward, Grpo, Text, Document, Packed, Tokenised,
)  # fmt: skip

__all__ = [
    "OUTPUTS", "AnyOutput", "Output", "Packed", "PackedCounts", "Tokenised", "WeightRanges",
    "holds_tools", "interleaved", "needs_tools", "pattern", "table", "weight_ranges", "write_packed",
]  # fmt: skip
