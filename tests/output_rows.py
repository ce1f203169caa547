"""Rows of every shape as Parquet gives them, for the tests of outputs and of what reads them."""

import json

from pydantic import TypeAdapter

from curate.outputs import OUTPUTS, AnyOutput, Output

NAMES = [kind.model_fields["use"].default for kind in OUTPUTS if not any(field.is_required() for field in kind.model_fields.values())]
"""Outputs that need no tokenizer."""


def output(use: str, **options: object) -> Output:
    return TypeAdapter(AnyOutput).validate_python({"use": use, **options})


def turn(role: str, content: str, calls: str | None = None, name: str | None = None) -> dict:
    return {"role": role, "content": content, "tool_calls": calls, "name": name}


def said(turns: list[dict]) -> list[tuple[str, str]]:
    return [(one["role"], one["content"]) for one in turns]


OF = {"id": "a1", "content_id": "c1", "origins": ["a1"], "source": "a.jsonl", "licence": "MIT", "group": "g1"}
CALL = json.dumps([{"type": "function", "function": {"name": "weather", "arguments": {"city": "Porto", "days": 2}}}])
TOOLS = json.dumps([{"type": "function", "function": {"name": "weather", "parameters": {}}}])
CONVERSATION = {
    **OF, "tools": None, "metadata": "{}",
    "messages": [turn("system", "Sê breve."), turn("user", "Olá"), turn("assistant", "Olá!"), turn("user", "Adeus"), turn("assistant", "Até já.")],
}  # fmt: skip
CALLING = {
    **OF, "tools": TOOLS, "metadata": "{}",
    "messages": [turn("user", "Chove?"), turn("assistant", "", CALL), turn("tool", "não", None, "weather"), turn("assistant", "Não.")],
}  # fmt: skip
PREFERENCE = {
    **OF, "prompt": [turn("user", "Hi")], "chosen": [turn("assistant", "Hello")], "rejected": [turn("assistant", "Bye")],
    "probability": 0.9, "margin": 1.5, "weight": 0.5, "metadata": '{"topic": "greeting"}',
}  # fmt: skip
FEEDBACK = {**OF, "prompt": [turn("user", "Hi")], "completion": [turn("assistant", "Go")], "label": False, "weight": 1.0, "metadata": "{}"}
CANDIDATES = {
    **OF, "prompt": [turn("user", "Hi")], "metadata": "{}",
    "candidates": [
        {"id": f"a1-{rank}", "text": text, "model": None, "parent": None, "kind": "answer", "ratings": [], "rank": rank}
        for rank, text in ((2, "Bye"), (1, "Hello"))
    ],
}  # fmt: skip
DOCUMENT = {
    **OF, "url": None, "date": None, "title": None, "text": "Uma página.", "language": "pt", "language_score": 0.9, "words": 2, "bytes": 12,
    "tokens": None, "cluster": None, "cluster_size": 1, "pii": [{"type": "email", "count": 1}], "metadata": "{}",
}  # fmt: skip
