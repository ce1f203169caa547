"""Rows made by hand to the columns and types of public sets of conversations and texts, by the set's name."""

import datetime
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from curate.formats import Row


class Public(NamedTuple):
    """Rows of a dataset, the dialect that they are written in, and what is to become of them."""

    use: str
    rows: list[Row]
    dropped: Mapping[str, int] = MappingProxyType({})


def chat(*texts: str, first: str = "user", **more: object) -> list[Row]:
    """Turns of `{role, content}` that alternate."""
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    return [{"content": text, "role": roles[place % 2], **more} for place, text in enumerate(texts)]


def share(*texts: str, **more: object) -> list[Row]:
    """Turns of `{from, value}` that alternate."""
    return [{"from": ("human", "gpt")[place % 2], "value": text, **more} for place, text in enumerate(texts)]


def system(text: str, role: str = "from", content: str = "value", **more: object) -> Row:
    return {role: "system", content: text, **more}


THOUGHT = "<think>\nDois mais dois.\n</think>\n\nQuatro."
WEATHER = [{"type": "function", "function": {"name": "rain", "description": "Rain", "parameters": {"type": "object", "properties": {}}}}]
CALL = '<tool_call>\n{\'arguments\': {"city": "Porto"}, \'name\': \'rain\'}\n</tool_call>\n'
HEADER = {"accept-language": "pt-BR", "user-agent": "Mozilla/5.0"}
WHEN = datetime.datetime(2023, 4, 9, 0, 2, 53, tzinfo=datetime.UTC)
WILD = {"country": "Brazil", "hashed_ip": "2a", "header": HEADER, "language": "Portuguese", "redacted": False, "toxic": False, "timestamp": None}
MODERATION = [{"categories": {"hate": False}, "category_scores": {"hate": 1e-5}, "flagged": False}]
GLAIVE = 'SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n{\n "name": "rain"\n}\n'
TOOLACE = "Here is a list of functions in JSON format:\n[{}]. Put it in the format of [func1(params_name=params_value), func2(params)]\n"

CONVERSATIONS: dict[str, Public] = {
    "OpenOrca": Public("prompt_completion", [
        {"id": "niv.1", "system_prompt": "", "question": "Olá?", "response": "Olá."},
        {"id": "flan.2", "system_prompt": "You are an AI assistant.", "question": "Hi?", "response": "Hello."},
        {"id": "flan.3", "system_prompt": "Think.", "question": "Hi?", "response": ""},
    ], {"empty_turn": 1}),
    "SlimOrca": Public("sharegpt", [
        {"conversations": [system("Be true.", weight=None), {"from": "human", "value": "Hi", "weight": 0.0}, {"from": "gpt", "value": "Hello", "weight": 1.0}]},
    ]),
    "WizardLM_evol_instruct_V2": Public("sharegpt", [{"idx": "x1", "conversations": share("Hi", "Hello")}]),
    "Capybara": Public("exchanges", [
        {"source": "Airoboros", "conversation": [{"input": "Hi", "output": "Hello"}, {"input": "Why?", "output": "So."}]},
        {"source": "Know-Logic", "conversation": [{"input": "Hi", "output": ""}]},
    ], {"empty_turn": 1}),
    "UltraChat": Public("exchanges", [{"id": "0", "data": ["Hi", "Hello", "Why?", "So."]}, {"id": "1", "data": ["Hi", "Hello", "Bye"]}], {"not_ending_with_assistant": 1}),
    "UltraChat-200k": Public("messages", [{"prompt": "Hi", "prompt_id": "f0", "messages": chat("Hi", "Hello")}]),
    "UltrachatBR": Public("exchanges", [{"conversa": "[{'humano': 'Olá, tudo bem?', 'assistente': \"D'ouro.\\nSim.\"}]"}]),
    "LIMA": Public("exchanges", [
        {"conversations": ["Hi", "Hello"], "source": "stackexchange"},
        {"conversations": ["Hi"], "source": "multi_turn"},
    ], {"not_ending_with_assistant": 1}),
    "Aya": Public("prompt_completion", [
        {"inputs": "Qual é a capital?", "targets": "Lisboa.", "language": "Portuguese", "language_code": "por", "annotation_type": "original-annotations", "user_id": "u"},
    ]),
    "OpenHermes-2.5": Public("sharegpt", [
        {"custom_instruction": None, "topic": None, "model_name": None, "model": None, "skip_prompt_formatting": False, "category": "orca", "conversations": share("Hi", "Hello"),
         "views": None, "language": None, "id": None, "title": None, "idx": None, "hash": None, "avatarUrl": None, "system_prompt": None, "source": "airoboros2.2"},
        {"conversations": [system("Be kind."), *share("Hi", "Hello")], "system_prompt": "Be kind.", "source": "metamath", "idx": 7.0, "language": "pt"},
    ]),
    "Open-Platypus": Public("alpaca", [{"input": "", "output": "4", "instruction": "2+2?", "data_source": "MATH/PRM-800K"}]),
    "MetaMathQA": Public("prompt_completion", [{"type": "GSM_Rephrased", "query": "2+2?", "original_question": "2 plus 2?", "response": "4"}]),
    "CodeAlpaca_20K": Public("prompt_completion", [{"prompt": "Sort.", "completion": "sorted(x)"}]),
    "code_alpaca": Public("alpaca", [{"instruction": "Sort.", "input": "x", "output": "sorted(x)"}]),
    "Evol-CodeAlpaca": Public("alpaca", [{"instruction": "Sort.", "output": "sorted(x)"}]),
    "CodeFeedback": Public("prompt_completion", [{"query": "Sort.", "answer": "sorted(x)", "resource": "evol", "lang": "python"}]),
    "Code-Feedback": Public("messages", [{"id": 0, "messages": chat("Sort.", "sorted(x)")}]),
    "GPTeacher": Public("prompt_completion", [{"instruction": "Sort.", "input": "3 1", "response": "1 3"}]),
    "Magpie": Public("sharegpt", [
        {"uuid": "u", "model": "m", "gen_input_configs": {"temperature": 1.0, "seed": None}, "instruction": "Hi", "response": "Hello", "conversations": share("Hi", "Hello"),
         "task_category": "Advice", "other_task_category": ["Math"], "input_quality": "good", "llama_guard_2": "safe", "instruct_reward": 1.5, "language": "PT"},
    ]),
    "LMSYS-chat-1M": Public("messages", [
        {"conversation_id": "c", "model": "vicuna-33b", "conversation": chat("Oi", "Olá"), "turn": 1, "language": "Portuguese", "openai_moderation": MODERATION * 2, "redacted": False},
        {"conversation_id": "d", "model": "alpaca-13b", "conversation": chat("Oi"), "turn": 1, "language": "unknown", "openai_moderation": MODERATION, "redacted": True},
    ], {"not_ending_with_assistant": 1}),
    "WildChat-1M": Public("messages", [
        {"conversation_hash": "h", "model": "gpt-4-0314", "timestamp": WHEN, "conversation": chat("Oi", "Olá", **WILD, turn_identifier=1), "turn": 1, "language": "Portuguese",
         "openai_moderation": MODERATION, "detoxify_moderation": [{"toxicity": 0.01}], "toxic": False, "redacted": False, "state": None, "country": "Brazil", "hashed_ip": "2a", "header": HEADER},
    ]),
    "ShareGPT_Vicuna_unfiltered": Public("sharegpt", [
        {"id": "QWJhYvA_0", "conversations": share("Hi", "Hello", markdown=None, text=None)},
        {"id": "QWJhYvA_1", "conversations": share("Hi", "Hello")[1:] + share("Why?", "So.")},
        {"id": "QWJhYvA_2", "conversations": [{"from": "user", "value": "Hi"}, {"from": "bing", "value": "Hello"}]},
    ], {"roles_out_of_order": 1}),
    "Daring-Anteater": Public("sharegpt", [
        {"system": "", "mask": "User", "dataset": "sft", "conversations": [{"from": "User", "value": "Hi", "label": None}, {"from": "Assistant", "value": "Hello", "label": "x"}]},
    ]),
    "Llama-Nemotron": Public("prompt_completion", [
        {"input": chat("2+2?"), "output": THOUGHT, "category": "math", "license": "cc-by-4.0", "reasoning": "on", "generator": "R1", "used_in_training": "no", "version": "v1", "system_prompt": "detailed thinking on"},
    ]),
    "Tulu 3 SFT": Public("tulu3", [{"id": "personahub_1", "messages": chat("Hi", "Hello"), "source": "ai2-adapt-dev/personahub"}]),
    "no_robots": Public("no_robots", [{"prompt": "Hi", "prompt_id": "p", "messages": [system("Be brief.", "role", "content"), *chat("Hi", "Hello")], "category": "Chat"}]),
    "portuguesechat": Public("no_robots", [{"prompt": "Oi", "prompt_id": "p", "messages": chat("Oi", "Olá"), "category": "Chat", "text": "<|user|>\nOi</s>\n<|assistant|>\nOlá</s>"}]),
    "Dolly": Public("dolly", [{"instruction": "Who?", "context": "", "response": "Ada", "category": "open_qa"}]),
    "alpaca-pt": Public("alpaca", [{"instruction": "Some.", "input": "2 e 3", "output": "5", "text": "Abaixo está uma instrução"}]),
    "Canarim-Instruct": Public("alpaca", [{"instruction": "Sugira um nome.", "input": None, "output": "Canário."}]),
    "perguntas": Public("prompt_completion", [{"pergunta": "Qual é a capital?", "resposta": "Lisboa."}]),
    "OpenThoughts-114k": Public("sharegpt", [{"system": "Your role as an assistant", "conversations": [{"from": "user", "value": "2+2?"}, {"from": "assistant", "value": THOUGHT}]}]),
    "OpenThoughts2-1M": Public("sharegpt", [{"conversations": [{"from": "user", "value": "2+2?"}, {"from": "assistant", "value": THOUGHT}], "question": "2+2?", "source": "x", "id": 3}]),
    "OpenR1-Math-220k": Public("messages", [
        {"problem": "2+2?", "solution": "4.", "answer": "4", "problem_type": "Algebra", "question_type": "math-word-problem", "source": "olympiads", "uuid": "u", "is_reasoning_complete": [True, False],
         "generations": [THOUGHT, "<think>"], "correctness_math_verify": [True, False], "correctness_llama": None, "finish_reasons": None, "correctness_count": 1, "messages": chat("2+2?", THOUGHT)},
    ]),
    "OpenMathInstruct-2": Public("prompt_completion", [{"problem": "2+2?", "generated_solution": "It is 4.", "expected_answer": "4", "problem_source": "augmented_math"}]),
    "DeepScaleR": Public("prompt_completion", [{"problem": "2+2?", "answer": "4", "solution": "It is $4$."}]),
    "orca-agentinstruct": Public("messages", [{"messages": json.dumps(chat("Hi", "Hello"))}]),
    "smoltalk": Public("messages", [{"messages": chat("Hi", "Hello"), "source": "smol-magpie-ultra"}]),
    "smoltalk2": Public("messages", [
        {"messages": chat("Hi", "Hello"), "source": "s", "chat_template_kwargs": {"custom_instructions": "Be brief.", "enable_thinking": False, "python_tools": [], "xml_tools": []}},
    ]),
    "LLaVA": Public("sharegpt", [
        {"id": "1", "image": "coco/1.jpg", "conversations": share("<image>\nWhat is it?", "A dog.")},
        {"id": "2", "conversations": share("Hi", "Hello")},
    ], {"not_text": 1}),
}  # fmt: skip

TOOLS: dict[str, Public] = {
    "glaive-function-calling-v2": Public("glaive", [
        {"system": GLAIVE, "chat": 'USER: Chove?\n\n\nASSISTANT: <functioncall> {"name": "rain", "arguments": \'{"city": "D\\\'ouro"}\'} <|endoftext|>\n\n\nFUNCTION RESPONSE: {"rain": true}\n\n\n'
         "ASSISTANT: Sim. <|endoftext|>\n\n\nUSER: Obrigado.\n\n\nASSISTANT: De nada. <|endoftext|>\n\n\n"},
        {"system": "SYSTEM: You are a helpful assistant, with no access to external functions.\n\n\n", "chat": "USER: Hi\n\n\nASSISTANT: Hello <|endoftext|>\n\n\n"},
        {"system": GLAIVE, "chat": 'USER: Rain?\n\n\nASSISTANT: <functioncall> {"name": "rain", "arguments": \'{"city": }\'} <|endoftext|>\n\n\n'},
    ], {"broken_tool_call": 1}),
    "xlam-function-calling-60k": Public("xlam", [
        {"id": 0, "query": "Rain?", "answers": '[{"name": "rain", "arguments": {"city": "Porto"}}]', "tools": '[{"name": "rain", "description": "d", "parameters": {"city": {"type": "str"}}}]'},
    ]),
    "hermes-function-calling-v1": Public("sharegpt", [
        {"id": "a", "conversations": [system("<tools>[]</tools>"), *share("Rain?", CALL), {"from": "tool", "value": "<tool_response>{}</tool_response>"}, {"from": "gpt", "value": "Yes."}],
         "tools": json.dumps(WEATHER), "category": "IoT", "subcategory": "Home", "task": "Weather"},
        {"id": "b", "conversations": [system("<tools>[]</tools>"), *share("Rain?", CALL)], "tools": json.dumps(WEATHER), "category": "IoT", "subcategory": "Home", "task": "Weather"},
    ]),
    "ToolACE": Public("sharegpt", [
        {"system": TOOLACE, "conversations": [{"from": "user", "value": "Trends?"}, {"from": "assistant", "value": '[Market Trends API(trend_type="MARKET", country="us")]'},
                                              {"from": "tool", "value": '[{"name": "Market Trends API", "results": {}}]'}, {"from": "assistant", "value": "Up."}]},
        {"system": TOOLACE, "conversations": [{"from": "user", "value": "Rain?"}, {"from": "assistant", "value": "It is."}, {"from": "tool", "value": "[]"}, {"from": "assistant", "value": "So."}]},
    ], {"tool_result_without_call": 1}),
    "APIGen-MT": Public("sharegpt", [
        {"conversations": [*share("Rain?"), {"from": "function_call", "value": '{"name": "rain", "arguments": {"city": "Porto"}}'}, {"from": "observation", "value": "{}"}, {"from": "gpt", "value": "Yes."}],
         "tools": json.dumps(WEATHER), "system": "Follow the policy."},
    ]),
}  # fmt: skip

DOCUMENTS: dict[str, Public] = {
    "FineWeb": Public("document", [
        {"text": "A page.", "id": "<urn:uuid:1>", "dump": "CC-MAIN-2024-10", "url": "https://example.org/", "date": "2024-02-21T01:02:03Z", "file_path": "s3://x", "language": "en", "language_score": 0.98, "token_count": 3},
    ]),
    "C4": Public("document", [{"text": "A page.", "timestamp": WHEN, "url": "https://example.org/"}]),
    "CulturaX": Public("document", [{"text": "Uma página.", "timestamp": "2019/01/23", "url": "https://example.pt/", "source": "mC4"}]),
    "Wikipedia": Public("document", [{"id": "12", "url": "https://pt.wikipedia.org/wiki/Sal", "title": "Sal", "text": "O sal."}, {"id": "13", "url": "u", "title": "t", "text": ""}], {"empty": 1}),
    "Pt-Corpus-Instruct": Public("document", [{"text": "Uma página.", "metadata": "source: https://huggingface.co/datasets/graelo/wikipedia"}]),
    "Common Corpus": Public("document", [{"identifier": "1", "collection": "c", "open_type": "Open Culture", "license": "Public Domain", "date": 1884.0, "title": "T", "creator": "C", "language": "Portuguese", "text": "Livro."}]),
    "datatrove": Public("document", [{"text": "A page.", "id": "1", "media": [], "metadata": {"url": "https://example.org/", "date": "2024", "license": "MIT"}}]),
}  # fmt: skip
