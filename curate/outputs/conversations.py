"""Outputs of supervised fine-tuning: conversations in; messages, ShareGPT, Alpaca or prompt and completion out.

- TRL, Unsloth: `messages` and `prompt_completion` as they are. TRL trains on every token of `messages`
  unless `assistant_only_loss` is set and the chat template marks the assistant's; of
  `prompt_completion` it trains on the completion. Both leave ShareGPT's role names as they are, so
  `sharegpt` is not for TRL (Unsloth maps it by `standardize_sharegpt`).
- LLaMA-Factory: `messages`, `sharegpt` (also with tools) and `alpaca`, by `info`.
- axolotl: `messages` and `sharegpt`, by `axolotl`. Calls in the template's own words come by `messages` with `tools: true`
  alone: of `sharegpt` it learns them as an assistant's turn of bare JSON. Its `alpaca` reads neither system nor history.
"""

from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.formats import Alpaca as AlpacaDialect
from curate.formats import Fields, Refused, Row
from curate.formats import ShareGpt as ShareGptDialect
from curate.outputs.entries import OPENAI_TAGS, SHAREGPT_ROLES, SHAREGPT_TAGS, axolotl_dataset, llama_factory
from curate.outputs.output import Output, Said, decided, said_id

_VALUE = pa.struct([("from", pa.string()), ("value", pa.string()), ("name", pa.string())])


class Learned(Output):
    """An output whose last turn is what a model learns to say."""

    takes: ClassVar[tuple[str, ...]] = ("conversation", "preference")

    chosen: bool = Field(False, description="Also take pairs: the chosen answer is what is learned.")

    @property
    def accepts(self) -> tuple[str, ...]:
        return self.takes if self.chosen else self.takes[:1]

    def conversation(self, shape: str, row: Fields) -> Fields:
        """The row as a conversation; of a pair, the prompt and the chosen answer."""
        if shape == "conversation":
            return row
        turns = [*decided(row)["prompt"], *row["chosen"]]
        return {"messages": turns, "tools": None, "content_id": said_id(turns)}

    def said(self, shape: str, row: Fields) -> list[Row]:
        whole = self.conversation(shape, row)
        return [{**self.written(whole), "content_id": whole["content_id"]}]

    def written(self, conversation: Fields) -> Row:
        """The format's own columns."""
        raise NotImplementedError


class Messages(Learned, Said):
    """`messages`: `{role, content}` of system, user, assistant and tool; with `tools: true` also calls, names and `tools`."""

    use: Literal["messages"] = "messages"

    def columns(self) -> list[pa.Field]:
        return [self.turns("messages"), *self.tools_column()]

    def written(self, conversation: Fields) -> Row:
        return {"messages": self.messages(conversation["messages"]), **self.definitions(conversation)}

    def info(self, name: str, files: list[str]) -> dict[str, dict]:
        return {} if self.tools else llama_factory(name, files, {"messages": "messages"}, OPENAI_TAGS)

    def axolotl(self, files: list[str]) -> dict[str, object]:
        tools = {"field_tools": "tools"} if self.tools else {}
        return {"datasets": [axolotl_dataset(files, type="chat_template", field_messages="messages", **tools)]}


class ShareGpt(Learned):
    """`conversations` of human, gpt, system, function_call and observation, and `tools` as JSON text.

    What LLaMA-Factory would skip is refused by name: two turns of one side in a row, that is text
    beside a call, or two answers of tools one after the other.
    """

    use: Literal["sharegpt"] = "sharegpt"

    def columns(self) -> list[pa.Field]:
        return [pa.field("conversations", pa.list_(_VALUE)), pa.field("tools", pa.string())]

    def written(self, conversation: Fields) -> Row:
        row = ShareGptDialect().from_row(conversation)
        tags = [turn["from"] for turn in row["conversations"]]
        if ("observation", "observation") in zip(tags, tags[1:], strict=False):
            raise Refused("not_in_dialect")
        return {"tools": None, **row}

    def info(self, name: str, files: list[str]) -> dict[str, dict]:
        return llama_factory(name, files, {"messages": "conversations", "tools": "tools"}, SHAREGPT_TAGS)

    def axolotl(self, files: list[str]) -> dict[str, object]:
        keys = {"message_property_mappings": {"role": "from", "content": "value"}, "roles": SHAREGPT_ROLES}
        return {"datasets": [axolotl_dataset(files, type="chat_template", field_messages="conversations", field_tools="tools", **keys)]}


class Alpaca(Learned):
    """`instruction`, an empty `input`, `output`, `system` and `history`, a list of pairs of question and answer."""

    use: Literal["alpaca"] = "alpaca"

    def columns(self) -> list[pa.Field]:
        texts = [pa.field(name, pa.string()) for name in ("instruction", "input", "output", "system")]
        return [*texts, pa.field("history", pa.list_(pa.list_(pa.string())))]

    def written(self, conversation: Fields) -> Row:
        return AlpacaDialect().from_row(conversation)

    def info(self, name: str, files: list[str]) -> dict[str, dict]:
        columns = {"prompt": "instruction", "query": "input", "response": "output", "system": "system", "history": "history"}
        return llama_factory(name, files, columns)


class PromptCompletion(Learned, Said):
    """`prompt`, all turns up to the last of the assistant, and `completion`, that turn: both lists of messages."""

    use: Literal["prompt_completion"] = "prompt_completion"

    def columns(self) -> list[pa.Field]:
        return [self.turns("prompt"), self.turns("completion"), *self.tools_column()]

    def written(self, conversation: Fields) -> Row:
        turns = self.messages(conversation["messages"])
        return {"prompt": turns[:-1], "completion": turns[-1:], **self.definitions(conversation)}
