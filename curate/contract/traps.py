"""The traps between a data set and TRL 1.16, each a sentence, what to do instead, and whether it is refused."""

from typing import NamedTuple

from curate.formats.templates import NAMES


class Trap(NamedTuple):
    """What a trainer does with such rows, the way out, and whether `curate check` refuses them."""

    says: str
    instead: str
    refused: bool = True


_MARKED = ", ".join(NAMES)

COLUMNS: dict[str, Trap] = {
    "no_rows": Trap("There are no rows, at which every trainer stops.", "look into the receipt of the artifact for what dropped them"),
    "wrong_columns": Trap(
        "The rows lack the columns that this trainer reads.",
        "choose another trainer, or write the rows by the output of that trainer",
    ),
    "no_turns": Trap("A list of turns is empty, so there is nothing to render.", "drop these rows: ingest does so under `no_turns`"),
    "mixed_shapes": Trap(
        "Texts stand beside lists of turns, and which of them TRL looks at depends on PYTHONHASHSEED.",
        "write all columns as lists of turns",
    ),
    "unknown_role": Trap(
        "A turn has no role, or another than system, user, assistant and tool (ShareGPT's human and gpt stay as they are), "
        "and the template prints it as it is.",
        "read the data by `format: sharegpt` and write it by `messages`, which maps the roles",
    ),
    "content_not_text": Trap(
        "A turn's content is no text but a list of parts or an object, which most templates print as Python shows it.",
        "read the data by `format: messages`, which joins parts of text and drops the rest",
    ),
    "lone_surrogates": Trap(
        "A text holds half of a surrogate pair, as JSON can spell and UTF-8 cannot, and the tokenizer stops at it.",
        "drop these rows: ingest does so under `lone_surrogates`",
    ),
    "plain_strings": Trap(
        "The columns are plain texts and the tokenizer has a chat template, which TRL does not apply to texts.",
        "write lists of turns, or train with a tokenizer without a chat template",
    ),
    "implicit_prompt": Trap(
        "There is no prompt: TRL takes what chosen and rejected begin with, character by character in texts, "
        "so that 'Yes ' and 'No ' lose letters.",
        "write the prompt in a column of its own, as the output `chosen_rejected` does",
    ),
    "pairs_for_kto": Trap(
        "KTO is given pairs, which it unpairs into all chosen, then all rejected of every thousand, so batches hold one label.",
        "write them by the output `kto`, which interleaves the labels",
    ),
    "label_not_bool": Trap(
        "A KTO label is no truth value; TRL takes -1 for desirable, since it is not zero.", "write labels as true and false"
    ),
    "broken_tools": Trap("Tools or tool calls are not a JSON list of objects.", "drop these rows: ingest does so under `broken_tools`"),
    "tool_calls_as_text": Trap(
        "Tool calls are JSON text, which TRL hands to the template as a text, although it expects a list.",
        "write the rows by the output `messages`, or tokenised",
    ),
    "margin_missing": Trap(
        "A margin is null, at which the collator of the reward trainer stops.", "fill every margin, or leave the column out"
    ),
    "unread_columns": Trap(
        "TRL drops margin, probability and weight in silence; only the reward trainer reads margin.",
        "train by the scripts in training/, which read them, or do without",
        refused=False,
    ),
    "texts_without_template": Trap(
        "The column `text` is not rendered by the tokenizer's chat template; that is right for pretraining only.",
        "write conversations as `messages`",
        refused=False,
    ),
}
TEMPLATE: dict[str, Trap] = {
    "no_chat_template": Trap(
        "The tokenizer has no chat template, so lists of turns cannot be rendered.",
        f"give one as `template`: a file, or {_MARKED}; or write the rows tokenised",
    ),
    "no_generation_marks": Trap(
        "The chat template has no {% generation %} marks, so TRL cannot train on the assistant's turns alone "
        "(it has its own for a few published templates, and stops at any other).",
        f"use a marked `template` ({_MARKED}), or write the rows tokenised, with labels",
    ),
    "template_refuses": Trap(
        "The chat template stops at these turns.", "choose a template whose format knows them, or drop the rows"
    ),
    "tools_unsaid": Trap(
        "The chat template prints such rows as if there were no tools: it leaves out definitions, calls, words beside a call, or "
        "what tools answered, without a word.",
        "use a template that can say them (chatml; llama3_1 where a turn makes one call), or drop these rows by the step `turns`",
    ),
    "headers_in_loss": Trap(
        "The template's {% generation %} marks hold the header of the turn, which the prompt already ends with, "
        "or the template gives no header when asked to.",
        f"move the mark behind the header, or use one of {_MARKED}",
    ),
    "tokens_missing": Trap(
        "Markers of the template are not tokens of this tokenizer: they are read as several pieces of text.",
        "choose the template that the model was trained with, or add the tokens before training",
        refused=False,
    ),
    "class_rebuilt": Trap(
        "transformers 5 builds this tokenizer's class from the vocabulary and the class's own rules; where tokenizer.json, which "
        "the prediction follows, has other rules for normalising and cutting, ids differ.",
        "set tokenizer_class to TokenizersBackend, or compare a few rows",
        refused=False,
    ),
    "reads_the_clock": Trap(
        "The template prints today's date, so tomorrow's ids are others.", "fix the date in a template of your own", refused=False
    ),
}
LOSS: dict[str, Trap] = {
    "user_turns_in_loss": Trap(
        "Tokens that are not the assistant's are trained: headers, user turns, system text, answers of tools.",
        "train `messages` with assistant_only_loss, and prompt and completion with one assistant turn as the completion",
    ),
    "diverges_before_last_turn": Trap(
        "Chosen and rejected are not one assistant turn each, and DPO trains on all turns in them, the user's as well.",
        "put every shared turn into the prompt; drop pairs that part earlier",
    ),
    "mask_misses": Trap(
        "An answer begins or ends with white space that belongs to no token of this tokenizer, where transformers ends the "
        "mask for all later turns, or runs it on to the end.",
        "strip the answers, or write the rows tokenised, with labels",
    ),
    "no_assistant_token": Trap(
        "The template marks nothing of the row as the assistant's, and TRL stops at the first such row.",
        "drop these rows, strip white space at the start of answers, or write the rows tokenised",
    ),
    "no_stop_token": Trap(
        "An answer's trained tokens do not end with a token that ends the turn, so the model never learns to stop.",
        "use a template that puts the end-of-turn token between the marks and a tokenizer that has it as one token",
    ),
    "no_eos_token": Trap("The tokenizer has no EOS, which TRL appends to every text.", "set eos_token in tokenizer_config.json"),
    "double_bos": Trap(
        "A sequence begins with BOS twice: once from the text, once from the tokenizer.", "take BOS out of the texts"
    ),
    "completion_mask_ignored": Trap(
        "Without completion_only_loss TRL ignores a completion_mask and trains on every token.", "write `labels` instead"
    ),
    "labels_differ": Trap(
        "A label is another token than the one at its place; TRL shifts labels itself.", "copy input_ids, with -100 outside of the loss"
    ),
    "prompt_not_prefix": Trap(
        "The prompt alone is tokenised in another way than before its answer, and TRL trains from where they part.",
        "end prompts where a token ends: without white space at the end, and by a template that renders both alike",
        refused=False,
    ),
}
LENGTH: dict[str, Trap] = {
    "prompt_too_long": Trap(
        "The prompt alone fills max_length, and TRL drops the row without a word.", "raise max_length, or drop these rows yourself"
    ),
    "row_too_long": Trap(
        "An answer with its prompt is longer than max_length, and the reward trainer drops the pair without a word.",
        "raise max_length, or drop these rows yourself",
    ),
    "no_trained_token": Trap(
        "After truncation no trained token is left; SFT drops such a row without a word.",
        "raise max_length, or drop these rows yourself",
    ),
    "pair_identical": Trap(
        "Chosen and rejected are the same tokens, or become so by truncation: no gradient, without a word.",
        "raise max_length, or drop these pairs",
    ),
    "answer_cut": Trap(
        "Truncation takes the end of an answer, with the token that ends it.", "raise max_length, or drop these rows", refused=False
    ),
    "packing_cuts": Trap(
        "Packing by `bfd` throws away what a row has beyond max_length.", "pack by `bfd_split`, or raise max_length"
    ),
    "packing_mixes": Trap(
        "Packing by `wrapped` cuts rows anywhere and lets the pieces read each other.", "pack by `bfd_split`"
    ),
}
BATCHES: dict[str, Trap] = {
    "one_label_batches": Trap(
        "KTO takes rows in the order of the file, and too many batches hold one label, so their reference point says nothing.",
        "interleave the labels, as the output `kto` does; balance them; or raise the batch size",
    ),
}

TRAPS: dict[str, Trap] = {**COLUMNS, **TEMPLATE, **LOSS, **LENGTH, **BATCHES}
"""Every trap by its name, in the order in which a report names them."""
