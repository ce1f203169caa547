"""A whole completion in, the event stream that an endpoint would send it as out."""

import json


def events(body: dict) -> bytes:
    """Chunks of a few characters, a comment between them, the tokens' odds with the first, the usage in the last."""
    choice = body["choices"][0]
    said, told = choice["message"]["content"] or "", {**choice["message"], "content": ""}
    deltas = [told, *({"content": said[start : start + 7]} for start in range(0, len(said), 7)), {}]
    pieces = [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None} for delta in deltas]
    pieces[min(1, len(pieces) - 2)]["logprobs"] = choice["logprobs"]
    pieces[-1]["finish_reason"] = choice["finish_reason"]
    head = {**body, "object": "chat.completion.chunk", "usage": None}
    chunks = [*({**head, "choices": [piece]} for piece in pieces), {**head, "choices": [], "usage": body["usage"]}]
    return b": ping\n\n" + b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
