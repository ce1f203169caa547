"""One row of every dialect, made by hand to the public schema of the dataset named by it, and what breaks it."""

from curate.formats import Row

TREE = {
    "message_id": "a", "text": "Why is the sea salty?", "role": "prompter", "lang": "en", "rank": None, "deleted": False,
    "replies": [
        {"message_id": "b", "text": "Rivers bring salt.", "role": "assistant", "rank": 0, "replies": [
            {"message_id": "d", "text": "Since when?", "role": "prompter", "rank": None, "replies": [
                {"message_id": "e", "text": "For ages.", "role": "assistant", "rank": None, "replies": []}]}]},
        {"message_id": "c", "text": "Nobody knows.", "role": "assistant", "rank": 1, "replies": []},
    ],
}  # fmt: skip
STEER = {"helpfulness": 3, "correctness": 4, "coherence": 4, "complexity": 2, "verbosity": 1}

GOOD: dict[str, Row] = {
    "alpaca": {"instruction": "Add.", "input": "2 and 3", "output": "5", "system": "Be brief.", "history": [["Hi", "Hello"]]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}], "system": "Be brief."},
    "messages": {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    "tulu3": {"id": "t-1", "source": "ai2/flan", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    "no_robots": {
        "prompt": "Hi", "prompt_id": "p1", "category": "Chat",
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
    },
    "exchanges": {"source": "Airoboros", "conversation": [{"input": "Hi", "output": "Hello"}, {"input": "And?", "output": "Fine."}]},
    "transcript": {"text": "### Human: Hi### Assistant: Hello", "source": "guanaco"},
    "glaive": {
        "system": 'SYSTEM: You have functions -\n{\n "name": "rain", "parameters": {}\n}\n\n{"name": "wind"}\n',
        "chat": 'USER: Rain?\n\n\nASSISTANT: <functioncall> {"name": "rain", "arguments": \'{"city": "Porto"}\'} <|endoftext|>\n\n\n'
        'FUNCTION RESPONSE: {"rain": true}\n\n\nASSISTANT: Yes. <|endoftext|>\n\n\n',
    },
    "xlam": {
        "id": 1, "query": "Rain?", "answers": '[{"name": "rain", "arguments": {"city": "Porto"}}]',
        "tools": '[{"name": "rain", "description": "Rain", "parameters": {"city": {"type": "str"}}}]',
    },
    "dolly": {"instruction": "Who?", "context": "Ada wrote it.", "response": "Ada", "category": "closed_qa"},
    "prompt_completion": {"prompt": "Hi", "completion": "Hello"},
    "oasst_trees": {"message_tree_id": "a", "tree_state": "ready_for_export", "prompt": TREE},
    "oasst_messages": {"message_id": "b", "parent_id": None, "message_tree_id": "b", "text": "Hi", "role": "prompter", "rank": None},
    "hh_rlhf": {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: Go away"},
    "chosen_rejected": {"system": "Be true.", "prompt": "Hi", "chosen": "Hello", "rejected": "Bye", "source": "truthy"},
    "ultrafeedback": {
        "source": "sharegpt", "instruction": "Hi", "models": ["m1", "m2"],
        "completions": [
            {"model": "m1", "response": "Hello", "overall_score": 8.5, "annotations": {"honesty": {"Rating": "5"}, "helpfulness": {"Rating": "N/A"}}},
            {"model": "m2", "response": "Bye", "overall_score": 10, "annotations": {"honesty": {"Rating": "1"}, "helpfulness": {"Rating": "2"}}},
        ],
    },
    "helpsteer2": {"prompt": "Hi", "response": "Hello", **STEER},
    "helpsteer2_preference": {"prompt": "Hi", "response_1": "Hello", "response_2": "Bye", "preference_strength": -2},
    "pku_saferlhf": {
        "prompt": "Hi", "response_0": "Hello", "response_1": "Bye", "better_response_id": 0, "safer_response_id": 1, "is_response_0_safe": True,
    },
    "arena": {
        "model_a": "m1", "model_b": "m2", "winner": "tie (bothbad)",
        "conversation_a": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        "conversation_b": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Bye"}],
    },
    "two_outputs": {"input": "Hi", "output_1": "Hello", "output_2": "Bye", "label": 2},
    "shp": {"post_id": "p", "history": "Hi", "human_ref_A": "Hello", "human_ref_B": "Bye", "labels": 1, "score_A": 9, "score_B": 2},
    "webgpt": {
        "question": {"dataset": "eli5", "id": "q1", "full_text": "Hi"}, "quotes_0": {"title": ["T"], "extract": ["E"]},
        "answer_0": "Hello", "tokens_0": {"prefix": [1], "completion": [2]}, "score_0": -0.5,
        "quotes_1": {"title": [], "extract": []}, "answer_1": "Bye", "tokens_1": {"prefix": [1], "completion": [3]}, "score_1": 0.5,
    },
    "summaries": {
        "info": {"id": "t3_1", "post": "A long story.", "title": "T", "subreddit": "tifu"}, "choice": 1, "worker": "w",
        "summaries": [{"text": " Short.", "policy": "ref", "note": None}, {"text": " Shorter.", "policy": "sup4", "note": None}],
    },
    "rankings": {"prompt": "Hi", "answers": [{"answer": "Bye", "model": "m", "rank": 2.0}, {"answer": "Hello", "model": "n", "rank": 1.0}]},
    "prometheus": {
        f"{name}_instruction": f"###The instruction to evaluate:\nHi\n\n###Response to evaluate:\n{said}\n\n###Score Rubrics:\n[Polite?]"
        for name, said in (("chosen", "Hello"), ("rejected", "Bye"))
    },
    "kto": {"prompt": "Hi", "completion": "Hello", "label": False},
    "document": {"text": "A page.", "url": "https://example.org/", "year": 1999},
}  # fmt: skip
"""One lawful row of each dialect, as the public dataset of that name writes it."""

BAD: dict[str, tuple[Row, str]] = {
    "alpaca": ({"output": " "}, "empty_turn"),
    "sharegpt": ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "narrator", "value": "Hm"}]}, "unknown_role"),
    "messages": ({"messages": [{"role": "user", "content": "Hi"}]}, "not_ending_with_assistant"),
    "tulu3": ({"messages": []}, "no_turns"),
    "no_robots": ({"messages": [{"role": "assistant", "content": "Hi"}]}, "roles_out_of_order"),
    "exchanges": ({"conversation": [{"input": "Hi", "output": " "}]}, "empty_turn"),
    "transcript": ({"text": "### Human: Hi### Assistant:"}, "empty_turn"),
    "glaive": ({"system": 'SYSTEM: You have -\n{"name": rain}'}, "broken_tools"),
    "xlam": ({"answers": '[{"arguments": {}}]'}, "broken_tool_call"),
    "dolly": ({"response": None}, "empty_turn"),
    "prompt_completion": ({"completion": 7}, "not_text"),
    "oasst_trees": ({"prompt": {**TREE, "replies": []}}, "not_ending_with_assistant"),
    "oasst_messages": ({"parent_id": "z"}, "parent_missing"),
    "hh_rlhf": ({"rejected": "\n\nHuman: Ho\n\nAssistant: Bye"}, "no_common_prompt"),
    "chosen_rejected": ({"rejected": "Hello "}, "identical_answers"),
    "ultrafeedback": ({"completions": [{"response": "Hello", "annotations": {"honesty": {"Rating": "9"}}}]}, "broken_rating"),
    "helpsteer2": ({"verbosity": "much"}, "broken_rating"),
    "helpsteer2_preference": ({"preference_strength": -100}, "unreadable_label"),
    "pku_saferlhf": ({"better_response_id": None}, "missing_label"),
    "arena": ({"winner": "model_c"}, "unreadable_label"),
    "two_outputs": ({"label": None}, "missing_label"),
    "shp": ({"labels": 2}, "unreadable_label"),
    "webgpt": ({"score_0": None}, "missing_label"),
    "summaries": ({"summaries": [{"text": "One."}]}, "missing_answer"),
    "rankings": ({"answers": [{"answer": "Hello", "rank": 0.5}]}, "broken_rank"),
    "prometheus": ({"rejected_instruction": "no request"}, "no_prompt"),
    "kto": ({"label": -1}, "unreadable_label"),
    "document": ({"text": "\n"}, "empty"),
}
"""What makes that row break a law, and which."""


def flat(node: Row, parent: str | None = None) -> list[Row]:
    own = {**{key: value for key, value in node.items() if key != "replies"}, "parent_id": parent, "message_tree_id": "a"}
    return [own, *(row for reply in node["replies"] for row in flat(reply, node["message_id"]))]
