"""A row in; `input_ids` and `labels` out, which a trainer takes as they are, whatever its template and settings.

The way out for templates without `{% generation %}` marks: an answer is then what the template
writes beyond the prompt that it gives a model, up to the token that ends the turn.
"""

import os

from curate.contract.columns import Stops, is_chat, opened
from curate.contract.predict import overlapping, plain_ids, rendered_text
from curate.contract.template import Rendered
from curate.contract.tokenizer import Tokenizer

IGNORED = -100
"""The label of a token that is not trained, as PyTorch's cross entropy has it."""


def tokenised(row: dict, tokenizer: Tokenizer) -> dict[str, list[int]]:
    """`input_ids` and `labels` of equal length: conversations, prompt and completion, or a text, which is trained as a whole.

    Nothing is cut. Raises Stops with the trap that the row walks into.
    """
    row = opened(row)
    if isinstance(row.get("text"), str):
        ids = plain_ids(row["text"], tokenizer)
        return {"input_ids": ids, "labels": list(ids)}
    columns = ("prompt", "completion") if "prompt" in row else ("messages",)
    if not is_chat(row, *columns):
        raise Stops("plain_strings")
    turns = [turn for name in columns for turn in row[name]]
    learnt = range(len(turns)) if columns == ("messages",) else range(len(row["prompt"]), len(turns))
    made = rendered_text(row, turns, tokenizer)
    if unsaid := tokenizer.unsaid(row):
        raise Stops("tools_unsaid", ", ".join(sorted(unsaid)))
    encoding = tokenizer.encode(made.text)
    loss = overlapping(tokenizer.places(made.text, encoding), _answers(row, turns, learnt, made, tokenizer))
    if not any(loss):
        raise Stops("no_assistant_token")
    labels = [number if trained else IGNORED for number, trained in zip(encoding.ids, loss, strict=True)]
    return {"input_ids": encoding.ids, "labels": labels}


def _answers(row: dict, turns: list[dict], learnt: range, whole: Rendered, tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """The spans of the assistant's turns among `learnt`."""
    if tokenizer.marked:
        before = len(rendered_text(row, turns[: learnt.start], tokenizer).text) if learnt.start else 0
        return [span for span in whole.spans if span[0] >= before]
    return [_answer(row, turns, place, whole.text, tokenizer) for place in learnt if turns[place]["role"] == "assistant"]


def _answer(row: dict, turns: list[dict], place: int, whole: str, tokenizer: Tokenizer) -> tuple[int, int]:
    """Where a turn's words and the token that ends it stand; Stops where the template writes the turn anew later."""
    asked = rendered_text(row, turns[:place], tokenizer, generate=True).text
    upto = rendered_text(row, turns[: place + 1], tokenizer).text
    if not whole.startswith(upto):
        raise Stops("template_refuses", "earlier turns are written in another way once others follow")
    start = len(os.path.commonprefix([asked, upto]))
    bare = upto.rstrip()
    return start, len(bare) if bare.endswith(tuple(tokenizer.added.values())) else len(upto)
