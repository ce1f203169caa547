"""A simulated model endpoint on loopback: chat completions, files and batches, with programmed truth and faults.

    python tests/judge_server.py --config server.json

The first line of stdout is the base URL. The configuration is JSON: what judge_truth.Truth takes, and
`journal` (file), `port`, `api_key`, `models` (else any), `context` (characters), `latency_s`, `ceiling`
(requests a second; more is a 429), `retry_after_s`, `batch_polls` (before one is done), and `faults`: a
rate for each of http_429, http_500, hang, cut, garbage, empty, refusal, and `batch_lost`. A fault is drawn from the
request and the number of times it came, so a repeated request may succeed. The journal's lines are the
oracle of what was asked and billed.
"""

import argparse
import asyncio
import hashlib
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from judge_streaming import events
from judge_truth import Truth, uniform

BROKEN = ("garbage", "cut", "empty", "refusal")
"""Faults of replies for which a provider bills all the same."""
WORDS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


class Refused(Exception):
    """An error status with its body."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error": {"message": message, "type": code, "code": code, "param": None}}


class Server:
    """The state: how often each request came, what was uploaded, which batches run."""

    def __init__(self, config: dict) -> None:
        self.config = config
        self.truth = Truth(config)
        self.faults = config.get("faults", {})
        self.seen: Counter[str] = Counter()
        self.served = 0
        self.allowance, self.refilled = float(config.get("ceiling") or 0), time.monotonic()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict] = {}
        self.journal = Path(config["journal"]).open("a", encoding="utf-8") if config.get("journal") else None

    def note(self, **entry: object) -> None:
        if self.journal:
            self.journal.write(json.dumps({"t": time.time(), **entry}) + "\n")
            self.journal.flush()

    def over_ceiling(self) -> bool:
        ceiling = self.config.get("ceiling")
        if not ceiling:
            return False
        now = time.monotonic()
        self.allowance = min(float(ceiling), self.allowance + (now - self.refilled) * ceiling)
        self.refilled = now
        self.allowance -= self.allowance >= 1
        return self.allowance < 1

    def fault(self, key: str, again: int) -> str | None:
        """Which fault this request meets, by a draw from what it is and how often it came."""
        draw = uniform(self.truth.seed, key, again, "fault")
        for name, rate in self.faults.items():
            if name != "batch_lost" and draw < rate:
                return name
            draw -= rate if name != "batch_lost" else 0
        return None

    def refuse_bad(self, request: dict) -> None:
        models = self.config.get("models")
        if models and request.get("model") not in models:
            raise Refused(404, "model_not_found", f"The model `{request.get('model')}` does not exist.")
        length = sum(len(message["content"]) for message in request["messages"])
        if length > self.config.get("context", 10**9):
            raise Refused(400, "context_length_exceeded", f"This model's maximum context length is exceeded: {length}.")

    def choice(self, request: dict, fault: str | None, index: int) -> tuple[dict, int]:
        """One choice of a completion and its tokens; a refusal, or one without words, where that is the fault."""
        said = self.truth.say({**request, "seed": request.get("seed", 0) + index} if index else request, self.served)
        room = 4 * (request.get("max_tokens") or request.get("max_completion_tokens") or 10**6)
        text = "" if fault == "empty" else said.text[:room]
        message = {"role": "assistant", "content": text, "refusal": None}
        if fault == "refusal":
            message.update(content=None, refusal="I cannot help with that.")
        finish = "length" if text and len(said.text) > room else "stop"
        choice = {"index": index, "message": message, "finish_reason": finish, "logprobs": None}
        if said.top and request.get("logprobs") and not fault:
            top = [{"token": token, "logprob": value, "bytes": None} for token, value in said.top[: request.get("top_logprobs") or 1]]
            choice["logprobs"] = {"content": [{**top[0], "token": text, "top_logprobs": top}], "refusal": None}
        return choice, -(-min(len(said.text), room) // 4)

    def completion(self, request: dict, fault: str | None) -> dict:
        """The body of a chat completion of `n` choices."""
        told = [self.choice(request, fault, index) for index in range(request.get("n") or 1)]
        prompt = sum(len(message["content"]) for message in request["messages"]) // 4
        usage = {"prompt_tokens": prompt, "completion_tokens": sum(tokens for _, tokens in told)}
        usage["total_tokens"] = sum(usage.values())
        name = "chatcmpl-" + hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
        head = {"id": name, "object": "chat.completion", "created": 0, "model": request["model"], "system_fingerprint": "simulated"}
        return {**head, "choices": [choice for choice, _ in told], "usage": usage}

    def answer(self, request: dict, where: str) -> tuple[int, dict | None, str | None]:
        """Status, body and fault of one chat request, journalled; no body: it hangs."""
        key = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]
        fault = "http_429" if where == "chat" and self.over_ceiling() else self.fault(key, self.seen[key])
        self.seen[key] += 1
        self.served += 1
        status = int(fault.removeprefix("http_")) if fault and fault.startswith("http_") else 200
        try:
            self.refuse_bad(request)
        except Refused as refused:
            self.note(key=key, status=refused.status, billed=False, where=where, fault=None)
            return refused.status, refused.body, None
        body = self.completion(request, fault) if status == 200 else Refused(status, fault or "", "Try again later.").body
        billed = status == 200 and fault in (None, *BROKEN)
        self.note(key=key, status=status, billed=billed, where=where, fault=fault, usage=body.get("usage") if billed else None)
        return status, None if fault == "hang" else body, fault

    def upload(self, body: bytes, kind: str) -> dict:
        """A file of a multipart form, kept under its content's hash."""
        boundary = re.search(r"boundary=([^;]+)", kind)[1].strip('"').encode()
        parts = [part.partition(b"\r\n\r\n") for part in body.split(b"--" + boundary)]
        data = next(content[:-2] for head, _, content in parts if b"filename=" in head)
        name = f"file-{hashlib.sha256(data).hexdigest()[:16]}"
        self.files[name] = data
        self.note(where="upload", bytes=len(data))
        return self.file_object(name)

    def file_object(self, name: str) -> dict:
        size = len(self.files[name])
        return {"id": name, "object": "file", "bytes": size, "created_at": 0, "filename": "x", "purpose": "batch", "status": "processed"}

    def create_batch(self, request: dict) -> dict:
        name = f"batch_{len(self.batches)}"
        batch = {"id": name, "object": "batch", "status": "in_progress", "created_at": 0, "completion_window": "24h"}
        batch |= {"endpoint": request["endpoint"], "input_file_id": request["input_file_id"], "metadata": request.get("metadata")}
        batch |= {"output_file_id": None, "error_file_id": None}
        self.batches[name] = {**batch, "polls": 0}
        self.note(where="create", batch=name, metadata=request.get("metadata"))
        return batch

    def poll(self, name: str) -> dict:
        batch = self.batches[name]
        batch["polls"] += 1
        if batch["status"] == "in_progress" and batch["polls"] > self.config.get("batch_polls", 1):
            self.finish(batch)
        return {key: value for key, value in batch.items() if key != "polls"}

    def finish(self, batch: dict) -> None:
        """Answer each line into the output file, or the error file; a lost line is in neither."""
        out: dict[str, list[str]] = {"output": [], "error": []}
        for line in self.files[batch["input_file_id"]].splitlines():
            entry = json.loads(line)
            if uniform(self.truth.seed, batch["id"], entry["custom_id"]) < self.faults.get("batch_lost", 0):
                continue
            status, body, fault = self.answer(entry["body"], "batch")
            good = status == 200 and fault not in ("hang", "cut", "garbage")
            reply = {"status_code": status, "request_id": "r", "body": body} if body else None
            told = {"id": "l", "custom_id": entry["custom_id"], "response": reply, "error": None}
            out["output" if good else "error"].append(json.dumps(told))
        for kind, lines in out.items():
            if lines:
                name = f"file-{batch['id']}-{kind}"
                self.files[name] = "\n".join(lines).encode()
                batch[f"{kind}_file_id"] = name
        batch["status"] = "completed"

    def route(self, method: str, path: str, body: bytes, kind: str) -> dict | bytes:
        """Every request but chat completions."""
        place = path.removeprefix("/v1").strip("/").split("/")
        if place == ["files"] and method == "POST":
            return self.upload(body, kind)
        if place[0] == "files" and place[1] in self.files:
            return self.files[place[1]] if place[-1] == "content" else self.file_object(place[1])
        if place == ["batches"]:
            known = [{key: value for key, value in batch.items() if key != "polls"} for batch in self.batches.values()]
            return self.create_batch(json.loads(body)) if method == "POST" else {"object": "list", "data": known[::-1], "has_more": False}
        if place[0] == "batches" and place[1] in self.batches:
            return self.poll(place[1])
        raise Refused(404, "not_found", f"no such place: {path}")


def packed(status: int, body: bytes, extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status} {WORDS.get(status, 'Status')}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


async def chat(server: Server, body: bytes, writer: asyncio.StreamWriter) -> bool:
    """Answer a chat request; False where the connection is to be cut."""
    request = json.loads(body)
    status, reply, fault = server.answer(request, "chat")
    await asyncio.sleep(server.config.get("latency_s", 0))
    if reply is None:
        await asyncio.sleep(3600)
        return False
    said = events(reply) if request.get("stream") and status == 200 else json.dumps(reply).encode()
    whole = packed(status, said, f"Retry-After: {server.config.get('retry_after_s', 0)}\r\n" if status == 429 else "")
    if fault == "garbage":
        whole = packed(200, b'{"id": "chatcmpl-x", "choices": [{"mess')
    writer.write(whole[: len(whole) - 20] if fault == "cut" else whole)
    await writer.drain()
    return fault != "cut"


async def serve(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: HTTP/1.1, kept alive."""
    wanted = server.config.get("api_key")
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ", 2)
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            given = headers.get("authorization", "").removeprefix("Bearer ")
            try:
                if wanted and given != wanted:
                    raise Refused(401, "invalid_api_key", f"Incorrect API key provided: {given}.")
                if path.endswith("/chat/completions"):
                    if not await chat(server, body, writer):
                        return
                    continue
                reply = server.route(method, path.partition("?")[0], body, headers.get("content-type", ""))
                writer.write(packed(200, reply if isinstance(reply, bytes) else json.dumps(reply).encode()))
            except Refused as refused:
                server.note(where="refused", status=refused.status)
                writer.write(packed(refused.status, json.dumps(refused.body).encode()))
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


class Running(NamedTuple):
    """A server that runs as a process of its own."""

    url: str
    process: subprocess.Popen[str]
    journal: Path

    def count(self) -> int:
        """Requests so far, of any sort."""
        return self.journal.read_bytes().count(b"\n")

    def entries(self, where: str = "chat") -> list[dict]:
        """The journal's lines of one sort of request."""
        lines = [json.loads(line) for line in self.journal.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if line["where"] == where]


@contextmanager
def running(folder: Path, **config: object) -> Iterator[Running]:
    """Start a server with this configuration; stopped at the end. Its journal stands in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    journal, file = folder / "server.jsonl", folder / "server.json"
    journal.touch()
    file.write_text(json.dumps({"journal": str(journal), **config}), encoding="utf-8")
    process = subprocess.Popen([sys.executable, __file__, "--config", str(file)], stdout=subprocess.PIPE, text=True)
    try:
        yield Running(process.stdout.readline().strip(), process, journal)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    config = json.loads(parser.parse_args().config.read_text(encoding="utf-8"))
    server = Server(config)
    listener = await asyncio.start_server(lambda r, w: serve(server, r, w), "127.0.0.1", config.get("port", 0), limit=2**20)
    print(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1", flush=True)
    async with listener:
        await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
