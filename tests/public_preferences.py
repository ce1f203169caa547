"""Rows made by hand to the columns and types of public sets of preferences and judgements, by the set's name."""

import json

from public_conversations import MODERATION, Public, chat

PARTS = {"image": None, "mimeType": None}
A, B = chat("Hi", "Hello"), chat("Hi", "Bye")
ARENA = {"question_id": "q", "model_a": "m1", "model_b": "m2", "judge": "j", "language": "Portuguese", "tstamp": 1682351.5}
STEER = {"helpfulness": 3, "correctness": 4, "coherence": 4, "complexity": 2, "verbosity": 1}
HH = ("\n\nHuman: Hi\n\nAssistant: Hello", "\n\nHuman: Hi\n\nAssistant: Bye")
ASPECT = {"Rating": "4", "Rationale": "Good.", "Type": None}
COMMENT = {"post_id": "p", "domain": "askbaking_train", "upvote_ratio": 0.99, "history": "Oven?", "c_root_id_A": "a", "c_root_id_B": "b", "created_at_utc_A": 1, "created_at_utc_B": 2,
           "score_A": 10, "score_B": 4, "human_ref_A": "Hot.", "human_ref_B": "Cold.", "seconds_difference": 9.0, "score_ratio": 2.5}  # fmt: skip
SAFE = {"is_response_0_safe": True, "is_response_1_safe": False, "response_0_severity_level": 0, "response_0_harm_category": {"Privacy Violation": False}, "response_0_source": "Alpaca-7B",
        "response_0_sha256": "0"}  # fmt: skip


def parts(role: str, text: str, **more: object) -> dict:
    """A turn whose content is a list of parts."""
    return {"role": role, "content": [{"type": "text", "text": text, **PARTS, **more}], "num_tokens": 3}


PREFERENCES: dict[str, Public] = {
    "orca_dpo_pairs": Public("chosen_rejected", [{"system": "", "question": "Hi", "chosen": "Hello", "rejected": "Bye"}, {"system": "Be kind.", "question": "Hi", "chosen": "Hello", "rejected": "Hello"}], {"identical_answers": 1}),
    "distilabel-intel-orca": Public("chosen_rejected", [
        {"system": "Be kind.", "input": "Hi", "chosen": "Hello", "rejected": "Bye", "generations": ["Hello", "Bye"], "order": ["chosen", "rejected"], "labelling_prompt": chat("Judge"),
         "rating": [9.0, 5.0], "rationale": "r", "status": "unchanged", "original_chosen": "Hello", "original_rejected": "Bye", "chosen_score": 9.0, "in_gsm8k_train": False},
        {"system": None, "input": "Hi", "chosen": "Hello", "rejected": "Bye", "rating": [9.0, 9.0], "status": "tie", "chosen_score": 9.0, "in_gsm8k_train": False},
    ], {"undecided": 1}),
    "ultrafeedback-binarized-preferences-cleaned": Public("chosen_rejected", [
        {"source": "evol_instruct", "prompt": "Hi", "chosen": A, "chosen-rating": 5.0, "chosen-model": "m", "rejected": B, "rejected-rating": 3.0, "rejected-model": "n"},
    ]),
    "ultrafeedback-binarized-preferences": Public("chosen_rejected", [
        {"source": "flan", "instruction": "Hi", "chosen_response": "Hello", "rejected_response": "Bye", "chosen_avg_rating": 5.0, "rejected_avg_rating": 3.0, "chosen_model": "m"},
    ]),
    "Tulu 3 preference mixture": Public("chosen_rejected", [{"id": "x", "source": "s", "prompt": "Hi", "chosen": A, "rejected": B, "chosen_model": "m"}]),
    "smoltalk2 Preference": Public("chosen_rejected", [{"chosen": A, "rejected": B, "prompt": "Hi", "chat_template_kwargs": {"custom_instructions": None, "enable_thinking": True}, "source": "s"}]),
    "UltraFeedback": Public("ultrafeedback", [
        {"source": "truthful_qa", "instruction": "Hi", "models": ["m", "n"], "correct_answers": ["Hello"], "incorrect_answers": [], "completions": [
            {"annotations": {"helpfulness": ASPECT, "honesty": ASPECT, "instruction_following": ASPECT, "truthfulness": ASPECT}, "critique": "c", "custom_system_prompt": "Be honest.",
             "fine-grained_score": 4.0, "model": "m", "overall_score": 8.0, "principle": "honesty", "response": "Hello"},
            {"annotations": {"helpfulness": {"Rating": "N/A"}}, "critique": "c", "custom_system_prompt": "Be brief.", "model": "n", "overall_score": 3.0, "principle": "helpfulness", "response": "Bye"},
        ]},
    ]),
    "Nectar": Public("rankings", [
        {"prompt": "\n\nHuman: Hi\n\nAssistant: ", "answers": [{"answer": "Hello", "model": "m", "rank": 1.0}, {"answer": "Bye", "model": "n", "rank": 2.0}], "turns": 1, "num_responses": 2, "source": ["lmsys-chat-1m"], "good_natured": True},
    ]),
    "HelpSteer": Public("helpsteer2", [{"prompt": "Hi", "response": "Hello", **STEER}, {"prompt": "Why?", "response": "So.", **STEER}]),
    "HelpSteer2 preference": Public("helpsteer2_preference", [
        {"split": "train", "prompt": "Hi", "response_1": "Hello", "response_2": "Bye", "preference_strength": 0, "preference_statement": None, "preference_elaboration": None,
         "three_most_similar_preferences": [{"statement": "s", "strength": 1}], "all_preferences_unprocessed": []},
    ]),
    "HelpSteer3": Public("helpsteer2_preference", [
        {"domain": "multilingual", "language": "portuguese", "context": chat("Oi", "Olá", "E?"), "response1": "Bem.", "response2": "Mal.", "overall_preference": -2,
         "individual_preference": [{"score": -2, "reasoning": "r", "feedback1": "f", "feedback2": "g"}]},
    ]),
    "PKU-SafeRLHF-single-dimension": Public("pku_saferlhf", [{"prompt": "Hi", "response_0": "Hello", "response_1": "Bye", "better_response_id": 1}]),
    "SHP": Public("shp", [{**COMMENT, "labels": 1}, {**COMMENT, "labels": 0, "score_A": 1}]),
    "hh-rlhf": Public("hh_rlhf", [{"chosen": HH[0], "rejected": HH[1]}]),
    "full-hh-rlhf": Public("chosen_rejected", [{"prompt": "\n\nHuman: Hi\n\nAssistant:", "response": " Hello", "chosen": " Hello", "rejected": " Bye"}]),
    "stack-exchange-paired": Public("chosen_rejected", [{"qid": 1, "question": "Hi", "date": "2010/07/08", "metadata": ["https://x"], "response_j": "Hello", "response_k": "Bye"}]),
    "webgpt_comparisons": Public("webgpt", [
        {"question": {"dataset": "eli5", "id": "q", "full_text": "Why?"}, "quotes_0": {"title": ["T"], "extract": ["E"]}, "answer_0": "So [1].", "tokens_0": {"prefix": [1, 2], "completion": [3]}, "score_0": score,
         "quotes_1": {"title": [], "extract": []}, "answer_1": "No.", "tokens_1": {"prefix": [1, 2], "completion": [4]}, "score_1": -score} for score in (0.75, 0.0)
    ]),
    "summarize_from_feedback": Public("summaries", [
        {"info": {"id": "t3", "post": "A long story.", "title": "T", "subreddit": "tifu", "site": None, "article": None}, "summaries": [{"text": " A.", "policy": "sup4", "note": "n"}, {"text": " B.", "policy": "ref", "note": None}],
         "choice": 0, "worker": "w", "batch": "b", "split": "train", "extra": {"confidence": 7}},
        {"info": {"id": "cnn", "post": None, "title": None, "subreddit": None, "site": "cnn", "article": "News."}, "summaries": [{"text": " A.", "policy": "x", "note": None}, {"text": " B.", "policy": "y", "note": None}],
         "choice": 1, "worker": "w", "batch": "b", "split": "valid2", "extra": {"confidence": None}},
    ]),
    "openai_summarize_comparisons": Public("chosen_rejected", [{"prompt": "POST: long", "chosen": "TL;DR: a", "rejected": "TL;DR: b"}]),
    "chatbot_arena_conversations": Public("arena", [
        {**ARENA, "winner": winner, "conversation_a": A, "conversation_b": B, "turn": 1, "anony": True, "openai_moderation": MODERATION[0], "toxic_chat_tag": {"roberta-large": {"flagged": False}}}
        for winner in ("model_b", "tie", "tie (bothbad)")
    ] + [{**ARENA, "winner": "model_a", "conversation_a": chat("Hi", "Hello", "Why?", "So."), "conversation_b": chat("Hi", "Bye", "Why?", "No."), "turn": 2}], {"diverges_before_last_turn": 1}),
    "arena-human-preference-55k": Public("arena", [
        {"id": 30192, "model_a": "m1", "model_b": "m2", "prompt": '["Hi"]', "response_a": '["Hello"]', "response_b": '["Bye"]', "winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0},
        {"id": 53567, "model_a": "m1", "model_b": "m2", "prompt": '["Hi"]', "response_a": "[null]", "response_b": '["Bye"]', "winner_model_a": 0, "winner_model_b": 0, "winner_tie": 1},
    ], {"empty_turn": 1}),
    "arena-human-preference-100k": Public("arena", [{**ARENA, "winner": "tie (bothbad)", "conversation_a": A, "conversation_b": B, "turn": 1, "is_code": False, "conv_metadata": {"turns": 1}, "category_tag": {"if_v0.1": {"if": False, "score": 2}}}]),
    "arena-human-preference-140k": Public("arena", [
        {"id": "x", "model_a": "m1", "model_b": "m2", "winner": "both_bad", "evaluation_session_id": "s", "evaluation_order": 1, "conversation_a": [parts("user", "Oi"), parts("assistant", "Olá")],
         "conversation_b": [parts("user", "Oi"), parts("assistant", "Não")], "full_conversation": [], "language": "pt", "is_code": False, "timestamp": "2025-06-01"},
        {"id": "y", "model_a": "m1", "model_b": "m2", "winner": "model_a", "conversation_a": [parts("user", "", type="image", image="i.png"), parts("assistant", "Olá")], "conversation_b": [parts("user", "Oi"), parts("assistant", "Não")]},
    ], {"not_text": 1}),
    "mt_bench_human_judgments": Public("arena", [
        {"question_id": 81, "model_a": "m1", "model_b": "m2", "winner": "model_a", "judge": "author_2", "conversation_a": chat("Hi", "Hello", "Why?", "So."), "conversation_b": chat("Hi", "Bye", "Why?", "No."), "turn": turn}
        for turn in (1, 2)
    ], {"diverges_before_last_turn": 1}),
    "truthy-dpo": Public("chosen_rejected", [{"id": "1", "source": "truthy_dpo", "system": "Be true.", "prompt": "Hi", "chosen": "Hello", "rejected": "Bye"}]),
    "toxic-dpo": Public("chosen_rejected", [{"prompt": "Hi", "chosen": "Hello", "rejected": "Bye"}]),
    "Skywork-Reward-Preference": Public("chosen_rejected", [{"chosen": A, "rejected": B, "source": "magpie_ultra"}]),
    "preference_700K": Public("chosen_rejected", [{"rejected": B, "rejected_score": 1.5, "chosen_score": 4.0, "chosen": A}]),
    "orpo-dpo-mix": Public("chosen_rejected", [{"source": "s", "chosen": A, "rejected": B, "prompt": "Hi", "question": "Hi"}]),
    "distilabel-capybara-dpo": Public("chosen_rejected", [
        {"source": "Airoboros", "conversation": [{"input": "Hi", "output": None}], "original_response": "Hello", "generation_prompt": ["p"], "raw_generation_responses": ["r"], "new_generations": ["n"], "prompt": "Hi",
         "chosen": A, "rejected": B, "rating_chosen": 5, "rating_rejected": 3, "chosen_model": "m", "rejected_model": "n"},
    ]),
    "OpenAI preferences": Public("chosen_rejected", [{"input": {"messages": A[:1], "tools": [], "parallel_tool_calls": True}, "preferred_output": A[1:], "non_preferred_output": B[1:]}]),
    "UltraInteract_pair": Public("chosen_rejected", [{"id": "1", "parent_id": "0", "task": "Coding", "dataset": "d", "trajectory": [{"from": "user", "value": "Hi"}], "chosen": "Hello", "rejected": "Bye"}]),
    "arena-expert-5k": Public("arena", [{"id": "x", "model_a": "m", "model_b": "n", "winner": "model_a", "conversation_a": json.dumps(A), "conversation_b": json.dumps(B), "evaluation_order": 1, "language": "en"}]),
    "kto-mix-14k": Public("kto", [{"prompt": A[:1], "completion": A[1:], "label": True}, {"prompt": B[:1], "completion": B[1:], "label": False}]),
    "distilabel-intel-orca-kto": Public("kto", [{"system": "Be kind.", "prompt": "Hi", "completion": "Hello", "label": True, "rating": 9.0, "status": "unchanged", "in_gsm8k_train": False}]),
    "oasst1": Public("oasst_messages", [
        {"message_id": "a", "parent_id": None, "user_id": "u", "created_date": "2023-02-05T14:23:50Z", "text": "Oi", "role": "prompter", "lang": "pt-BR", "review_count": 3, "review_result": True, "deleted": False, "rank": None,
         "synthetic": False, "model_name": None, "detoxify": {"toxicity": 1e-4}, "message_tree_id": "a", "tree_state": "ready_for_export", "emojis": {"name": ["+1"], "count": [10]}, "labels": {"name": ["spam"], "value": [0.0], "count": [3]}},
        {"message_id": "b", "parent_id": "a", "text": "Olá", "role": "assistant", "lang": "pt-BR", "deleted": False, "rank": 0.0, "message_tree_id": "a", "labels": None},
    ]),
}  # fmt: skip

REFUSED = {
    "PRM800K": [{"labeler": "l", "timestamp": "t", "question": {"problem": "2+2?", "ground_truth_answer": "4"}, "label": {"steps": [{"completions": [{"text": "4", "rating": 1}]}]}}],
    "Math-Shepherd": [{"input": "2+2? Step 1: 4 ки", "label": "2+2? Step 1: 4 +", "task": "GSM8K"}],
    "math_shepherd of TRL": [{"prompt": "2+2?", "completions": ["Step 1: 4"], "labels": [True]}],
    "BeaverTails": [{"prompt": "Hi", "response": "Hello", "category": {"privacy_violation": False}, "is_safe": True}],
    "WildGuardMix": [{"prompt": "Hi", "adversarial": False, "response": "Hello", "prompt_harm_label": "unharmful", "response_harm_label": None}],
    "summarize_from_feedback axis": [{"info": {"id": "t3", "post": "A story."}, "summary": {"text": "A.", "policy": "p", "axes": {"overall": 5}}, "worker": "w"}],
    "natural-instructions": [{"task_name": "t", "id": "1", "definition": "Translate.", "inputs": "Hi", "targets": "Oi"}],
    "daily_dialog": [{"dialog": ["Hi", "Hello"], "act": [1, 2], "emotion": [0, 0]}],
    "SQuAD": [{"id": "1", "title": "T", "context": "Text.", "question": "Who?", "answers": {"text": ["Ada"], "answer_start": [0]}}],
    "MMLU": [{"question": "2+2?", "subject": "math", "choices": ["3", "4"], "answer": 1}],
    "P3": [{"inputs": [3, 4], "inputs_pretokenized": "Hi", "targets": [5], "targets_pretokenized": "Hello"}],
    "question and two answers": [{"question": "Hi", "answer": "4", "response": "It is 4."}],
    "ultrafeedback_binarized": [{"prompt": "Hi", "prompt_id": "p", "chosen": A, "rejected": B, "messages": A, "score_chosen": 8.0, "score_rejected": 5.0}],
    "PKU-SafeRLHF": [{"prompt": "Hi", "response_0": "Hello", "response_1": "Bye", "better_response_id": 0, "safer_response_id": 0, **SAFE}],
}  # fmt: skip
"""Datasets that are not to be guessed: labels of steps or of single answers, questions about a text, two dialects at once."""
