"""A server on loopback that answers every request with given bodies, as an endpoint of any make would: `answering`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import chain, repeat

from loopback import Server, running


@contextmanager
def answering(status: int, *bodies: str, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """The base URL of a server that gives one body after the other, the last one for ever.

    A stream has no length: it ends where the connection is closed, which a client cannot tell from a break.
    """
    replies = chain(bodies, repeat(bodies[-1]))
    told = {"Content-Type": "application/json", **(headers or {})}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = next(replies).encode()
            self.send_response(status)
            streamed = told["Content-Type"].startswith("text/event-stream")
            for name, value in {**told, **({"Connection": "close"} if streamed else {"Content-Length": str(len(body))})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    with running(server):
        yield f"http://127.0.0.1:{server.server_port}/v1"
