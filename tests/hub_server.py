"""A server on loopback that speaks the Hub's protocol for datasets as its client does, and refuses anything else.

All that it receives is kept for tests to search; faults are queued by a part of the path.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import yaml
from loopback import Server, running

LICENCES = frozenset("apache-2.0 mit cc0-1.0 cc-by-4.0 cc-by-sa-4.0 cc-by-nc-4.0 odc-by gfdl gpl gpl-2.0 gpl-3.0 other unknown".split())
SIZES = frozenset("n<1K 1K<n<10K 10K<n<100K 100K<n<1M 1M<n<10M".split())
LARGE = ".parquet"
_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"


class Fault(NamedTuple):
    """What one request meets instead of a plain answer."""

    status: int | None = None
    headers: dict[str, str] = {}
    cut_after: int | None = None  # read so many bytes of the body, then close the connection
    lost: bool = False  # do what is asked, and close the connection instead of answering


@dataclass
class Repo:
    """A dataset: a commit is its files, a branch the name of one."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        name = hashlib.sha1(json.dumps([len(self.commits), message, sorted(files)]).encode()).hexdigest()
        self.commits[name], self.branches[branch] = files, name
        self.log.append(message)
        return name

    def at(self, revision: str) -> str:
        name = self.branches.get(revision, revision)
        if name not in self.commits:
            raise Refused(404, "Revision not found", "RevisionNotFound")
        return name

    def files(self, revision: str) -> dict[str, bytes]:
        return self.commits[self.at(revision)]


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str = "", **further: object) -> None:
        self.status, self.body = status, json.dumps({"error": message, **further}).encode()
        self.headers = {"X-Error-Message": message, "X-Error-Code": code}


@dataclass
class Hub:
    """What the server holds, whom it lets in, and what it was sent."""

    url: str = ""
    tokens: set[str] = field(default_factory=lambda: {"hf_writer"})
    repos: dict[str, Repo] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)  # uploaded objects by their sha256
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    asked: list[str] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    over: list[str] = field(default_factory=list)  # of what was asked, what is no longer at work
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, line: str) -> Fault:
        with self.lock:
            self.asked.append(line)
            return next((queue.pop(0) for part, queue in self.faults.items() if part in line and queue), Fault())

    def repo(self, name: str) -> Repo:
        if name not in self.repos:
            raise Refused(404, "Repository not found", "RepoNotFound")
        return self.repos[name]


def validate(hub: Hub, body: dict) -> dict:
    front = re.match(r"---\n(.*?)\n---\n", body["content"], re.DOTALL)
    block = yaml.safe_load(front[1]) if front else {}
    licences = block.get("license", [])
    wrong = set([licences] if isinstance(licences, str) else licences) - LICENCES | set(block.get("size_categories", [])) - SIZES
    if body["repoType"] != "dataset" or wrong:
        raise Refused(400, "invalid card", errors=[{"message": f"not allowed: {sorted(wrong)}"}])
    return {"errors": [], "warnings": []}


def create(hub: Hub, body: dict) -> dict:
    name = f"{body['organization']}/{body['name']}"
    if body["type"] != "dataset" or set(body) - {"name", "organization", "type", "visibility"}:
        raise Refused(400, "not a dataset as the client asks for one")
    if name in hub.repos:
        raise Refused(409, "You already created this dataset repo", url=f"{hub.url}/datasets/{name}")
    hub.repos[name] = Repo(body.get("visibility") == "private")
    hub.repos[name].commit("main", {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}, "initial commit")
    return {"url": f"{hub.url}/datasets/{name}"}


def branch(hub: Hub, body: dict, repo: str, revision: str) -> dict:
    found = hub.repo(repo)
    if revision in found.branches:
        raise Refused(409, "Reference already exists")
    found.branches[revision] = found.at(body.get("startingPoint", "main"))
    return {}


def info(hub: Hub, body: None, repo: str, revision: str = "main") -> dict:
    found, sha = hub.repo(repo), hub.repo(repo).at(revision)
    siblings = [{"rfilename": path} for path in sorted(found.commits[sha])]
    return {"id": repo, "sha": sha, "private": found.private, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings}


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entry(path: str, content: bytes) -> dict:
    lfs = {"lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}} if path.endswith(LARGE) else {}
    return {"type": "file", "path": path, "size": len(content), "oid": git_hash(content), **lfs}


def tree(hub: Hub, body: None, repo: str, revision: str, below: str = "") -> list[dict]:
    files = hub.repo(repo).files(revision)
    folders = sorted({path.rpartition("/")[0] for path in files if "/" in path and not below})
    found = [entry(path, content) for path, content in sorted(files.items()) if path.startswith(f"{below}/" if below else "")]
    return found + [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders]


def preupload(hub: Hub, body: dict, repo: str, revision: str) -> dict:
    there = hub.repo(repo).files(revision)
    return {"files": [_mode(file, there) for file in body["files"]]}


def _mode(file: dict, there: dict[str, bytes]) -> dict:
    path, sample = file["path"], base64.b64decode(file["sample"])
    if len(sample) != min(512, file["size"]):
        raise Refused(400, f"{path}: the sample is not the first 512 bytes")
    known = there.get(path)
    oid = None if known is None else hashlib.sha256(known).hexdigest() if path.endswith(LARGE) else git_hash(known)
    return {"path": path, "uploadMode": "lfs" if path.endswith(LARGE) else "regular", "shouldIgnore": False, "oid": oid}


def batch(hub: Hub, body: dict, repo: str) -> dict:
    hub.repo(repo)
    if body["operation"] != "upload" or body["hash_algo"] != "sha256" or "basic" not in body["transfers"]:
        raise Refused(422, "unknown transfer")
    new = {one["oid"]: {"actions": {"upload": {"href": f"{hub.url}/lfs/{one['oid']}"}}} for one in body["objects"] if one["oid"] not in hub.stored}
    return {"transfer": "basic", "objects": [{**one, **new.get(one["oid"], {})} for one in body["objects"]]}


def store(hub: Hub, body: bytes, oid: str) -> dict:
    if hashlib.sha256(body).hexdigest() != oid:
        raise Refused(400, "the object is not the one that was announced")
    hub.stored[oid] = body
    return {}


def commit(hub: Hub, body: list[dict], repo: str, revision: str) -> dict:
    found = hub.repo(repo)
    head = found.at(revision)
    if body[0]["key"] != "header" or not body[0]["value"]["summary"]:
        raise Refused(400, "a commit begins with its header")
    if body[0]["value"].get("parentCommit", head) != head:
        raise Refused(412, "A commit has happened since. Please refresh and try again.")
    files = dict(found.commits[head])
    for line in body[1:]:
        _apply(hub, files, line["key"], line["value"])
    name = found.commit(revision, files, body[0]["value"]["summary"])
    return {"commitUrl": f"{hub.url}/datasets/{repo}/commit/{name}", "commitOid": name, "success": True}


def _apply(hub: Hub, files: dict[str, bytes], key: str, value: dict) -> None:
    if key == "file" and value["encoding"] == "base64" and not value["path"].endswith(LARGE):
        files[value["path"]] = base64.b64decode(value["content"], validate=True)
        hub.received.append(files[value["path"]])
    elif key == "lfsFile" and value["algo"] == "sha256" and len(hub.stored.get(value["oid"], b"")) == value["size"]:
        files[value["path"]] = hub.stored[value["oid"]]
    elif key == "deletedFile" and value["path"] in files:
        del files[value["path"]]
    else:
        raise Refused(400, f"cannot commit {key} {value.get('path')}")


def resolve(hub: Hub, body: None, repo: str, revision: str, path: str) -> tuple[bytes, str]:
    files = hub.repo(repo).files(revision)
    if path not in files:
        raise Refused(404, "Entry not found", "EntryNotFound")
    return files[path], hub.repo(repo).at(revision)


_API = rf"/api/datasets/{_REPO}"
ROUTES: tuple[tuple[str, str, Callable], ...] = (
    ("GET", "/api/whoami-v2", lambda hub, body: {"type": "user", "name": "owner", "auth": {"type": "access_token"}}),
    ("POST", "/api/validate-yaml", validate),
    ("POST", "/api/repos/create", create),
    ("POST", rf"{_API}/branch/(?P<revision>[^/]+)", branch),
    ("GET", rf"{_API}(/revision/(?P<revision>[^/]+))?", info),
    ("GET", rf"{_API}/tree/(?P<revision>[^/]+)(/(?P<below>.+))?", tree),
    ("POST", rf"{_API}/preupload/(?P<revision>[^/]+)", preupload),
    ("POST", rf"/datasets/{_REPO}\.git/info/lfs/objects/batch", batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", store),
    ("POST", rf"{_API}/commit/(?P<revision>[^/]+)", commit),
    ("GET", rf"/datasets/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log_message = lambda *_: None  # noqa: E731

    def answer(self) -> None:
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        fault = hub.ask(f"{self.command} {path}")
        try:
            self.met(hub, path, fault)
        finally:
            hub.over.append(path)

    def met(self, hub: Hub, path: str, fault: Fault) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)) if fault.cut_after is None else fault.cut_after)
        hub.received.append(body)
        self.close_connection |= fault.lost or fault.cut_after is not None
        if fault.cut_after is not None:
            return
        try:
            if fault.status:
                raise Refused(fault.status, "as the test wants it")
            made = self.routed(hub, path, body)
        except Refused as refused:
            return self.send(refused.status, refused.body, {**refused.headers, **fault.headers})
        except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
            return self.send(400, f"not as the client sends it: {error!r}".encode(), {})
        if isinstance(made, tuple):
            self.send_file(*made)
        elif not fault.lost:
            self.send(200, json.dumps(made).encode(), {"Content-Type": "application/json"})

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

    def routed(self, hub: Hub, path: str, body: bytes) -> object:
        for method, pattern, act in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == self.command.replace("HEAD", "GET"):
                named = {name: value for name, value in found.groupdict().items() if value is not None}
                if act is not store:
                    self.check_token(hub, named.get("repo"))
                return act(hub, self.parsed(body, act), **named)
        raise Refused(404, f"no such address: {self.command} {path}")

    def check_token(self, hub: Hub, repo: str | None) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        reads = self.command in ("GET", "HEAD") and repo in hub.repos and not hub.repos[repo].private
        if token not in hub.tokens and not (reads and not token):
            raise Refused(401, "Invalid credentials in Authorization header")

    def parsed(self, body: bytes, act: Callable) -> object:
        if act is store or not body:
            return body or None
        lines = self.headers["Content-Type"] == "application/x-ndjson"
        return [json.loads(line) for line in body.splitlines()] if lines else json.loads(body)

    def send_file(self, content: bytes, commit: str) -> None:
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(span[1]), min(int(span[2] or len(content) - 1), len(content) - 1) + 1) if span else (0, len(content))
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"} if span else {}
        headers |= {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        self.send(206 if span else 200, content[start:end], headers)

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value.replace("\n", " "))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    """A running server without any dataset."""
    server = Server(("127.0.0.1", 0), Handler)
    server.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    with running(server):
        yield server.hub
