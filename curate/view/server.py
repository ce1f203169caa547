"""The local web page: opened rows, and pairs to label, in; an application that only this machine, and only who knows the token, can use out."""

import asyncio
import secrets
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from curate.config import UsageError
from curate.view.pairs import Pairs, Shown
from curate.view.rows import PAGE, Asked, Rows, about, said

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_LONGEST_NAME = 80
Handler = Callable[[Request], Coroutine[None, None, Response]]


class _Guarded:
    """Answers only below the token, with headers that let a page load nothing from elsewhere."""

    def __init__(self, app: "ASGIApp", token: str) -> None:
        self.app, self.token = app, token.encode()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = scope["path"].split("/")[1].encode("utf-8", "surrogateescape")
        if not secrets.compare_digest(given, self.token):
            await PlainTextResponse("not found\n", 404)(scope, receive, send)
            return

        async def with_headers(message: dict) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
            await send(message)

        await self.app(scope, receive, with_headers)


class _Pages:
    """The pages, by the templates beside this file; all that is put into one is escaped."""

    def __init__(self, opened: list[Rows], pairs: Pairs | None, token: str) -> None:
        self.opened, self.pairs, self.base = opened, pairs, f"/{token}"
        self.templates = Environment(loader=PackageLoader("curate.view"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)

    def html(self, name: str, **given: object) -> HTMLResponse:
        text = self.templates.get_template(name).render(base=self.base, opened=self.opened, labels=self.pairs is not None, **given)
        return HTMLResponse(text.encode("utf-8", "replace"))

    async def home(self, request: Request) -> Response:
        return RedirectResponse(f"{self.base}/label" if self.pairs else f"{self.base}/rows/{len(self.opened) - 1}")

    async def rows(self, request: Request) -> Response:
        number = min(request.path_params["number"], len(self.opened) - 1)
        try:
            asked = Asked.model_validate(dict(request.query_params))
        except ValidationError as error:
            return PlainTextResponse(f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}\n", 400)
        rows = self.opened[number]
        page = await run_in_threadpool(rows.page, asked)
        filters = asked.model_dump(exclude={"page"}, exclude_defaults=True)
        links = {name: f"?{urlencode({**filters, 'page': at})}" for name, at in (("before", asked.page - 1), ("after", asked.page + 1))}
        pages = -(-page.total // PAGE)
        return self.html("rows.html", number=number, rows=rows, page=page, asked=asked, links=links, pages=pages)

    async def story(self, request: Request) -> Response:
        number, id_ = min(request.path_params["number"], len(self.opened) - 1), request.path_params["id"]
        row = await run_in_threadpool(self.opened[number].row, id_)
        ids = list(dict.fromkeys([id_, *((row or {}).get("origins") or [])]))
        places = [place for rows in self.opened for place in await run_in_threadpool(rows.places, ids)]
        if row is None and not places:
            return PlainTextResponse("no such row\n", 404)
        return self.html("story.html", number=number, id=id_, parts=said(row or {}), about=about(row or {}), places=places)

    async def label(self, request: Request) -> Response:
        annotator = request.query_params.get("annotator", "").strip()
        if not annotator or "/" in annotator or len(annotator) > _LONGEST_NAME:
            return self.html("who.html", known=sorted({given.annotator for given in self.pairs.store.labels()}))
        return self.html("label.html", annotator=annotator)

    async def next(self, request: Request) -> Response:
        return await self._next(request.path_params["annotator"])

    async def give(self, request: Request) -> Response:
        """Keep a label; the answer comes when it is on disk, with the next pair."""
        try:
            given = await request.json()
            kept = await run_in_threadpool(self.pairs.give, request.path_params["annotator"], str(given["item"]), str(given["label"]))
        except (ValueError, TypeError, KeyError):
            kept = False
        return await self._next(request.path_params["annotator"]) if kept else JSONResponse({"error": "no such pair or choice"}, 400)

    async def undo(self, request: Request) -> Response:
        await run_in_threadpool(self.pairs.store.undo, request.path_params["annotator"])
        return await self._next(request.path_params["annotator"])

    async def _next(self, annotator: str) -> JSONResponse:
        found = await run_in_threadpool(self.pairs.next, annotator)
        return JSONResponse(found._asdict() if isinstance(found, Shown) else found)


def application(opened: list[Rows], pairs: Pairs | None, token: str) -> Starlette:
    """The pages below `/<token>/`, for browsers that ask for this machine by its loopback name."""
    pages = _Pages(opened, pairs, token)
    routes = [
        Route("/", pages.home),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
    ]
    if opened:
        routes += [Route("/rows/{number:int}", pages.rows), Route("/rows/{number:int}/{id}", pages.story)]
    if pairs:
        routes += [
            Route("/label", pages.label),
            Route("/pairs/{annotator}", pages.next),
            Route("/pairs/{annotator}/give", pages.give, methods=["POST"]),
            Route("/pairs/{annotator}/undo", pages.undo, methods=["POST"]),
        ]
    # Another site may have its own name lead to this address: only the loopback names are answered.
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"], www_redirect=False)
    return Starlette(routes=[Mount(f"/{token}", routes=routes)], middleware=[hosts, Middleware(_Guarded, token=token)])


def bound(port: int) -> socket.socket:
    """A socket on the loopback address; port 0 is any free one. Raises UsageError where the port is taken."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(("127.0.0.1", port))
        opened.listen(128)  # whoever is told the URL may come before the server is ready
    except OSError as error:
        raise UsageError(f"port {port}: {error.strerror}; stop what uses it, or choose another by --port") from None
    return opened


def serve(app: Starlette, at: socket.socket) -> None:
    """Answer until interrupted."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2)
    with suppress(KeyboardInterrupt):
        asyncio.run(uvicorn.Server(config).serve(sockets=[at]))
