"""Outputs of reinforcement learning: any row with a prompt in, the prompt and what a reward may be reckoned from out.

TRL's GRPOTrainer and RLOOTrainer, and through TRL Unsloth and axolotl (`rl: grpo`, no `type`), give
every further column to the reward functions by its name. LLaMA-Factory has no such trainer.
"""

from typing import ClassVar, Literal

import pyarrow as pa

from curate.formats import Fields, Row
from curate.outputs.entries import axolotl_dataset
from curate.outputs.output import Said, said_id


class Grpo(Said):
    """`prompt`, a list of messages that ends before the answer, the best known `answer`, and `metadata` as JSON text."""

    use: Literal["grpo"] = "grpo"
    takes: ClassVar[tuple[str, ...]] = ("conversation", "preference", "feedback", "candidates")

    def columns(self) -> list[pa.Field]:
        return [self.turns("prompt"), pa.field("answer", pa.string()), pa.field("metadata", pa.string()), *self.tools_column()]

    def said(self, shape: str, row: Fields) -> list[Row]:
        prompt = row["messages"][:-1] if shape == "conversation" else row["prompt"]
        about = {"answer": _answer(shape, row), "metadata": row["metadata"], "content_id": said_id(prompt)}
        return [{"prompt": self.messages(prompt), **about, **self.definitions(row)}]

    def told(self, shape: str, row: Fields, plain: bool = False) -> tuple[int, int]:
        return (1, 0) if plain else super().told(shape, row)

    def axolotl(self, files: list[str]) -> dict[str, object]:
        return {"rl": "grpo", "datasets": [axolotl_dataset(files)]}


def _answer(shape: str, row: Fields) -> str | None:
    """The text that is known to be a good answer; None where none is, or two are equally good."""
    if shape == "candidates":
        best = [answer["text"] for answer in row["candidates"] if answer["rank"] == 1]
        return best[0] if len(best) == 1 else None
    if shape == "preference":
        return None if row["probability"] == 0.5 else row["chosen"][0]["content"] or None
    if shape == "feedback":
        return row["completion"][0]["content"] or None if row["label"] else None
    return row["messages"][-1]["content"] or None
