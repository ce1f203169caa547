"""A real HTTP server on loopback whose faults a test can program: files in, answers of all kinds out."""

import contextlib
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit


class Fault(NamedTuple):
    """What one request meets instead of a plain answer."""

    status: int | None = None
    """Answer with this status and no file."""
    headers: dict[str, str] = {}
    cut_after: int | None = None
    """Close the connection after so many bytes of the body."""
    delay: float = 0.0
    """Seconds before the answer."""
    drip: float = 0.0
    """Seconds between two bytes."""
    replace: bytes | None = None
    """From this request on the file holds other bytes, under another ETag."""
    drop: bool = False
    """Close the connection before any answer."""


@dataclass
class Site:
    """What the server holds and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range header of each request, in order."""
    ranges: bool = True
    validators: bool = True
    lengths: bool = True
    commit: str | None = None
    """Where set, the server answers HEAD as the Hugging Face Hub does, at this commit; else it refuses it."""

    def etag(self, path: str) -> str:
        return f'"{zlib.crc32(self.files[path]):08x}-{len(self.files[path])}"'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        site, path = self.server.site, urlsplit(self.path).path.lstrip("/")
        if site.commit is None:
            self._plain(405, {})
        elif path in site.files:
            size = str(len(site.files[path]))
            self._plain(200, {"ETag": site.etag(path), "X-Repo-Commit": site.commit, "Content-Length": size})
        else:
            self._plain(404, {"X-Error-Code": "EntryNotFound"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._plain(404, {})

    def do_GET(self) -> None:
        site, path = self.server.site, urlsplit(self.path).path.lstrip("/")
        site.asked.append((path, self.headers.get("Range")))
        fault = site.faults[path].pop(0) if site.faults.get(path) else Fault()
        time.sleep(fault.delay)
        if fault.replace is not None:
            site.files[path] = fault.replace
        if fault.drop:
            self.close_connection = True
        elif fault.status:
            self._plain(fault.status, fault.headers)
        elif path not in site.files:
            self._plain(404, {})
        else:
            self._file(site, path, fault)

    def _plain(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _file(self, site: Site, path: str, fault: Fault) -> None:
        body, asked = site.files[path], self.headers.get("Range")
        condition = self.headers.get("If-Range")
        ranged = site.ranges and asked and (condition is None or condition == site.etag(path))
        start, end = self._span(asked, len(body)) if ranged else (0, len(body))
        if ranged and start >= len(body):
            return self._plain(416, {"Content-Range": f"bytes */{len(body)}"})
        self.send_response(206 if ranged else 200)
        if site.validators:
            self.send_header("ETag", site.etag(path))
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
        if site.lengths:
            self.send_header("Content-Length", str(end - start))
        else:
            self.close_connection = True
        self.end_headers()
        self._body(body[start:end], fault)

    @staticmethod
    def _span(asked: str, size: int) -> tuple[int, int]:
        first, _, last = asked.removeprefix("bytes=").partition("-")
        return int(first), min(size, int(last) + 1) if last else size

    def _body(self, data: bytes, fault: Fault) -> None:
        with contextlib.suppress(ConnectionError):
            if fault.drip:
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    time.sleep(fault.drip)
                return
            self.wfile.write(data if fault.cut_after is None else data[: fault.cut_after])
        if fault.cut_after is not None and fault.cut_after < len(data):
            self.close_connection = True


class Server(ThreadingHTTPServer):
    """A server that is silent about clients who leave it."""

    daemon_threads = True
    request_queue_size = 128
    """By default 5 may wait to be let in, and Linux leaves the next one standing for seconds."""

    def handle_error(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def running(server: Server) -> Iterator[None]:
    """The server answers as long as the context lasts."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Site]:
    """A running server that holds `files` by path."""
    server = Server(("127.0.0.1", 0), Handler)
    server.site = Site(f"http://127.0.0.1:{server.server_port}", dict(files))
    with running(server):
        yield server.site
