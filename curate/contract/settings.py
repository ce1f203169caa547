"""How a trainer is set, as far as it changes what it reads."""

from typing import Literal

from pydantic import Field

from curate.config import Model

Kind = Literal["sft", "dpo", "kto", "reward"]


class Settings(Model):
    """The settings of TRL 1.16's trainers that decide ids and masks, with its defaults; see `assistant_only_loss`."""

    max_length: int | None = Field(1024, ge=1, description="Longest sequence in tokens; null: sequences stay whole.")
    truncation_mode: Literal["keep_start", "keep_end"] = Field(
        "keep_start", description="Which end of a longer sequence stays; KTO knows only the start, rewards drop the row."
    )
    assistant_only_loss: bool | None = Field(
        None, description="Train on the assistant's turns alone; null: for `messages`, where TRL's own default is false."
    )
    completion_only_loss: bool | None = Field(None, description="Train on completions alone; null: where rows have a prompt.")
    packing: Literal["bfd", "bfd_split", "wrapped"] | None = Field(None, description="SFT's packing strategy; null: none.")
    batch_size: int = Field(8, ge=1, description="Rows of a KTO batch on one device, which it takes in the order of the file.")
