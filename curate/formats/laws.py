"""The laws of rows: the columns of a row in, the name of the first law that it breaks out, or None.

A row that breaks a law is dropped under that name; nothing is repaired. Each law is a
complete sentence below, and every reason that a dialect or a check can give is among them.
"""

from collections.abc import Callable

import orjson

from curate.formats.turns import Turn, writes_call

Fields = dict[str, object]
"""The columns of a row that its shape adds: `messages` and `tools`, or `prompt`, `chosen`, `rejected` ..."""

READING: dict[str, str] = {
    "not_a_row": "A row is an object with named columns.",
    "missing_column": "A row has the columns that its dialect is known by.",
    "duplicate_key": "No object names a key twice with two values, of which one would be lost.",
    "too_deep": "Values are nested less than some hundred levels deep.",
    "not_text": "What a model reads is text: no number, image, sound or bytes.",
    "lone_surrogates": "Every text can be written as UTF-8: it holds no half of a surrogate pair and no undecodable byte.",
}
TURNS: dict[str, str] = {
    "no_turns": "A conversation has at least one turn.",
    "broken_turns": "Turns are a list of messages, or the JSON text of one.",
    "broken_turn": "A turn is an object with a role and a content.",
    "unknown_role": "Every turn's role is system, user, assistant or tool, or a tag that the dialect maps to one of them.",
    "empty_turn": "Every turn says something; only an assistant turn that calls a tool may be without text.",
    "masked_turn": "No answer of a conversation is marked as not to be learnt (`weight: 0`, `train: false`), since every one will be.",
    "thought_beside_text": "No thought stands in a key beside an answer's text (`thinking`), unless `thoughts` says where it goes.",
    "system_not_first": "A system turn is the first turn, and there is at most one.",
    "roles_out_of_order": "After the system turn a user begins, user and assistant take turns, and tools answer in between.",
    "broken_tool_call": "A tool call names a tool, and its arguments are a JSON object.",
    "broken_tools": "Tool definitions are a JSON list in which every tool has a name.",
    "tool_result_without_call": "A tool answers a call of the assistant turn before it, be it one of `tool_calls` or written into its text.",
    "unanswered_tool_call": "A tool's answer stands between a call and the next turn of user or assistant.",
}
CONVERSATION: dict[str, str] = {
    "not_ending_with_assistant": "The last turn is the assistant's, since that is what a model learns to say.",
}
PROMPT: dict[str, str] = {
    "no_prompt": "An answer has a prompt, and a user speaks in it.",
    "prompt_not_ending_with_user": "The last turn of a prompt is a user's or a tool's, so that the assistant is next.",
}
ANSWERS: dict[str, str] = {
    "missing_answer": "Every answer that the dialect promises is there.",
    "answer_not_one_turn": "An answer is exactly one turn, and the assistant's.",
}
PREFERENCE: dict[str, str] = {
    "identical_answers": "The chosen and the rejected answer differ in more than surrounding space.",
    "no_common_prompt": "The chosen and the rejected answer belong to the same prompt.",
    "diverges_before_last_turn": "The two conversations of a pair are the same up to their last turn.",
    "undecided": "A pair says which answer is the better one; a tie is no pair.",
    "probability_out_of_range": "The probability that the chosen answer is better lies between 0.5 and 1.",
}
LABELS: dict[str, str] = {
    "missing_label": "A judged row carries its judgement.",
    "unreadable_label": "A label is true or false (or 1 or 0); a vote is one of the values that its dialect knows.",
}
CANDIDATES: dict[str, str] = {
    "no_candidates": "A prompt has at least one answer.",
    "broken_rank": "A rank is a whole number from 1; an answer without one is not ranked.",
    "broken_rating": "A rating is a finite number on the scale of its dialect, or says that it is missing.",
}
TREES: dict[str, str] = {
    "broken_tree": "Every message of a tree has an id, a text, a role and its replies, in at most 1,000 levels.",
    "parent_missing": "Every message of a tree but its root answers a message of the same tree.",
    "duplicate_message": "Every message of a tree stands in it once.",
    "deleted_turn": "No message of a thread has been deleted.",
    "no_threads": "A tree has at least one thread in which the assistant speaks.",
}
WRITING: dict[str, str] = {
    "not_in_dialect": "The dialect that is written can say all that the row holds.",
}
DOCUMENT: dict[str, str] = {"no_text": "A document has a text.", "empty": "A document's text is not blank."}

LAWS: dict[str, str] = {
    **READING, **TURNS, **CONVERSATION, **PROMPT, **ANSWERS, **PREFERENCE, **LABELS, **CANDIDATES, **TREES, **DOCUMENT,
    **WRITING,
}  # fmt: skip
"""Every law by its reason."""

_FOLLOWS = {
    "": ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}
"""Which roles may come after which; calls and their answers have laws of their own."""


def broken_law(shape: str, fields: Fields) -> str | None:
    """The reason why the row may not be kept, None where it may."""
    return _CHECKS[shape](fields) or (None if _writable(fields) else "lone_surrogates")


def _writable(fields: Fields) -> bool:
    """True where every text is Unicode; the metadata are looked at when they are written."""
    try:
        orjson.dumps([value for name, value in fields.items() if name != "metadata"])
    except orjson.JSONEncodeError:
        return False
    return True


def broken_turns(turns: list[Turn]) -> str | None:
    """The first law that turns break, wherever they end."""
    if not turns:
        return "no_turns"
    before, calls, said = "", False, ""
    for place, one in enumerate(turns):
        role = one["role"]
        if not one["tool_calls"] and not one["content"].strip():
            return "empty_turn"
        if role == "system" and place:
            return "system_not_first"
        if role == "tool" and not calls and not writes_call(said):
            return "tool_result_without_call"
        if before == "assistant" and calls and role != "tool":
            return "unanswered_tool_call"
        if role not in _FOLLOWS[before]:
            return "roles_out_of_order"
        if role == "assistant":
            calls, said = one["tool_calls"] is not None, one["content"]
        before = role
    return None


def _conversation(fields: Fields) -> str | None:
    turns = fields["messages"]
    return broken_turns(turns) or (None if turns[-1]["role"] == "assistant" else "not_ending_with_assistant")


def _prompt(turns: list[Turn]) -> str | None:
    if not any(one["role"] == "user" for one in turns):
        return "no_prompt"
    return broken_turns(turns) or (None if turns[-1]["role"] in ("user", "tool") else "prompt_not_ending_with_user")


def _answer(turns: list[Turn]) -> str | None:
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        return "answer_not_one_turn"
    return None if turns[0]["tool_calls"] or turns[0]["content"].strip() else "empty_turn"


def _preference(fields: Fields) -> str | None:
    broken = _prompt(fields["prompt"]) or _answer(fields["chosen"]) or _answer(fields["rejected"])
    if broken:
        return broken
    chosen, rejected = fields["chosen"][0], fields["rejected"][0]
    if chosen["content"].strip() == rejected["content"].strip() and chosen["tool_calls"] == rejected["tool_calls"]:
        return "identical_answers"
    probability = fields["probability"]
    return None if probability is None or 0.5 <= probability <= 1 else "probability_out_of_range"


def _feedback(fields: Fields) -> str | None:
    broken = _prompt(fields["prompt"]) or _answer(fields["completion"])
    return broken or (None if isinstance(fields["label"], bool) else "missing_label")


def _candidates(fields: Fields) -> str | None:
    broken = _prompt(fields["prompt"])
    answers = fields["candidates"]
    if broken or not answers:
        return broken or "no_candidates"
    if not all(answer["text"].strip() for answer in answers):
        return "empty_turn"
    return "broken_rank" if any(answer["rank"] is not None and answer["rank"] < 1 for answer in answers) else None


def _document(fields: Fields) -> str | None:
    return None if fields["text"].strip() else "empty"


_CHECKS: dict[str, Callable[[Fields], str | None]] = {
    "conversation": _conversation,
    "preference": _preference,
    "feedback": _feedback,
    "candidates": _candidates,
    "document": _document,
}

