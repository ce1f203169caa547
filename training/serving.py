"""A model's folder in; an OpenAI-compatible server of it, a process on loopback that is gone afterwards, out.

The server is told a name that is made of the model's content: what is asked of it is then asked of that
checkpoint and no other, wherever it lies, and no reply of one is ever taken for a reply of another.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import httpx

from curate.config import StoppedError, UsageError
from curate.contract import load_tokenizer
from training.models import folder_of, turn_end, weights_hash
from training.processes import guarded

Serve = Literal["transformers", "vllm"] | list[str]
_WHERE = ["--host", "127.0.0.1", "--port", "{port}"]
COMMANDS = {
    "transformers": [sys.executable, "-m", "transformers.cli.transformers", "serve", "{model}", *_WHERE],
    "vllm": ["vllm", "serve", "{model}", *_WHERE],
}
_PORTS = range(20_000, 32_000)
"""Below those that Linux gives away by itself: nobody else is given one before the server takes it."""
_STARTING = (429, 503)
"""Answers of a server that still loads its model."""
_LAST_LINES = 8
_PAUSE_S = 0.2


@contextmanager
def served(model: str, serve: Serve, home: Path, wait_s: float) -> Iterator[str]:
    """The base URL of a server of the model under `name_of(model)`; its log is `home/serve.log`.

    Raises UsageError where its program is missing, StoppedError where it does not answer in time.
    """
    port, folder, log = _free_port(), home / "served", home / "serve.log"
    lay_out(model, folder / name_of(model))
    words = [word.replace("{model}", name_of(model)).replace("{port}", str(port)) for word in program(serve)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as file, guarded(words, cwd=folder, env=environment, stdout=file, stderr=file) as process:
        url = f"http://127.0.0.1:{port}/v1"
        _await_answer(process, url, name_of(model), time.monotonic() + wait_s, log)
        yield url
    shutil.rmtree(folder)


def program(serve: Serve) -> list[str]:
    """The words of the command, its program by its whole path. Raises UsageError where it is not there."""
    if serve == "transformers" and importlib.util.find_spec("fastapi") is None:
        raise UsageError("serve: `transformers serve` needs fastapi; `pip install 'curate[serve]'`")
    first, *rest = COMMANDS[serve] if isinstance(serve, str) else serve
    found = shutil.which(first)
    if found is None:
        raise UsageError(f"serve: no program '{first}' here; install it, or name another by `serve: transformers`")
    return [os.path.abspath(found), *rest]


def name_of(model: str) -> str:
    """`checkpoint-` and 12 hex digits of what the model's files hold."""
    return "checkpoint-" + hashlib.sha256(str(sorted(weights_hash(model).items())).encode()).hexdigest()[:12]


def lay_out(model: str, folder: Path) -> None:
    """Links to the model's files, and a generation config of its own beside them.

    `transformers serve` draws nothing where `do_sample` is not in that file, whatever temperature a request
    names; and a model that learnt to end its turns by a token other than its first tokenizer's would never end.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place = folder_of(model).resolve()
    for file in (path for path in place.iterdir() if path.is_file() and path.name != "generation_config.json"):
        (folder / file.name).symlink_to(file)
    end = turn_end(load_tokenizer(str(place)))
    stops = [*_own_stops(place), *([] if end is None else [end])]
    text = {"do_sample": True, **({"eos_token_id": list(dict.fromkeys(stops))} if stops else {})}
    (folder / "generation_config.json").write_text(json.dumps({**_read(place / "generation_config.json"), **text}), encoding="utf-8")


def _read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _own_stops(place: Path) -> list[int]:
    """The tokens at which the model stops by its own files."""
    stated = _read(place / "generation_config.json").get("eos_token_id", _read(place / "config.json").get("eos_token_id"))
    return stated if isinstance(stated, list) else [] if stated is None else [stated]


def _free_port() -> int:
    """A port that nobody listens at; where it is looked for differs between processes that start together."""
    start = os.getpid() % len(_PORTS)
    for port in (*_PORTS[start:], *_PORTS[:start]):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise StoppedError(f"no port between {_PORTS.start} and {_PORTS.stop} is free; stop what listens there")


def _await_answer(process: subprocess.Popen, url: str, name: str, end: float, log: Path) -> None:
    """Return as soon as the server has answered a question. Raises StoppedError where it dies, refuses, or is late."""
    asked = {"model": name, "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
    with httpx.Client(trust_env=False) as client:  # no proxy stands between us and loopback
        while process.poll() is None and (left := end - time.monotonic()) > 0:
            with suppress(httpx.TransportError):
                reply = client.post(f"{url}/chat/completions", json=asked, timeout=left)
                if reply.status_code == 200:
                    return
                if reply.status_code not in _STARTING:
                    raise StoppedError(f"{log}: the server refuses a question with status {reply.status_code}: {reply.text[:300]}")
            time.sleep(_PAUSE_S)
    why = "did not answer in time; raise serve_wait_s" if process.poll() is None else f"ended with exit code {process.returncode}"
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
    raise StoppedError("\n".join([f"{log}: the server {why}; its last lines:", *last]))
