"""A reply that came in pieces: the text of an event stream in, the body of the chat completion that its chunks add up to out.

Some models answer in no other way (`extra: {stream: true}`), and some gateways stream whatever was asked. What is
journalled and billed is the completion, as if it had come whole.
"""

import re

import orjson

_STREAM = re.compile(r"\ufeff?\s*(?:data|event|id|retry)?:")
_LINE_END = re.compile(r"\r\n|\n|\r")
"""Of a stream (WHATWG, server-sent events); `splitlines` would also part a text at the marks that JSON may hold bare."""


def is_stream(text: str) -> bool:
    """Whether a body begins as an event stream does; JSON and pages do not."""
    return _STREAM.match(text) is not None


def whole(text: str) -> str | None:
    """The body of the completion that a stream makes, or of the error that it ends in; None where it breaks off."""
    chunks, ended = _chunks(text)
    failed = next((chunk for chunk in chunks if chunk.get("error")), None)
    if failed is not None:
        return orjson.dumps({**failed, **_head(chunks)}).decode()
    pieces = [piece for chunk in chunks if (piece := _piece(chunk))]
    finish = _last(pieces, "finish_reason")
    # One of another service has pieces of no choice: no further try would bring them.
    if not (ended or finish or (chunks and not pieces)):
        return None
    choice = {"index": 0, "message": _message(pieces), "finish_reason": finish, "logprobs": _logprobs(pieces)}
    return orjson.dumps({**_head(chunks), "choices": [choice] if pieces else []}).decode()


def _chunks(text: str) -> tuple[list[dict], bool]:
    """The objects of a stream up to one that is broken, and whether its end was told; comments and names of events are passed over."""
    chunks: list[dict] = []
    data: list[str] = []
    for line in [*_LINE_END.split(text.removeprefix("\ufeff")), ""]:
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        if line or not data:
            continue
        said, data = "\n".join(data), []
        if said.strip() == "[DONE]":
            return chunks, True
        try:
            chunk = orjson.loads(said)
        except orjson.JSONDecodeError:
            return chunks, False
        if isinstance(chunk, dict):
            chunks.append(chunk)
    return chunks, False


def _head(chunks: list[dict]) -> dict:
    """What is said of the whole: the first model's name, the last tokens told."""
    first = {name: next((chunk[name] for chunk in chunks if chunk.get(name)), None) for name in ("id", "model", "system_fingerprint")}
    return {**first, "usage": _last([*filter(None, map(_piece, chunks)), *chunks], "usage")}


def _piece(chunk: dict) -> dict | None:
    """What a chunk tells of the first choice; None where it tells nothing of it."""
    choices = chunk.get("choices")
    told = [one for one in choices if isinstance(one, dict) and not one.get("index")] if isinstance(choices, list) else []
    return told[0] if told else None


def _last(pieces: list[dict], name: str) -> object:
    return next((piece[name] for piece in reversed(pieces) if piece.get(name)), None)


def _message(pieces: list[dict]) -> dict:
    """The message whose parts the pieces are: texts joined, a content of typed parts as a list of them."""
    deltas = [delta for piece in pieces if isinstance(delta := piece.get("delta") or piece.get("message"), dict)]
    message: dict[str, object] = {"role": "assistant", "content": _content([delta["content"] for delta in deltas if delta.get("content")])}
    for name in ("refusal", "reasoning_content", "reasoning"):
        message[name] = "".join(delta[name] for delta in deltas if isinstance(delta.get(name), str))
    return {**message, "tool_calls": [call for delta in deltas for call in _listed(delta.get("tool_calls"))]}


def _content(said: list[object]) -> object:
    if all(isinstance(part, str) for part in said):
        return "".join(map(str, said))
    return [part for one in said for part in ([{"type": "text", "text": one}] if isinstance(one, str) else _listed(one))]


def _logprobs(pieces: list[dict]) -> dict | None:
    """The tokens of all pieces, in their order."""
    told = [piece["logprobs"] for piece in pieces if isinstance(piece.get("logprobs"), dict)]
    names = ("content", "tokens", "token_logprobs", "top_logprobs")
    return {name: [token for one in told for token in _listed(one.get(name))] for name in names} if told else None


def _listed(value: object) -> list:
    return value if isinstance(value, list) else []
