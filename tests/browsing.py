"""A local page as a user meets it: the server as a process of its own, and Debian's Chromium, headless."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHOTS = os.environ.get("CURATE_SCREENSHOTS")
"""A folder to leave screenshots in, for a person to look at."""
SIZES = ((1280, 900), (390, 844))
PATIENCE_S = 120
"""How long a busy machine may take for what one with nothing else to do does at once."""
get, post = partial(httpx.get, timeout=PATIENCE_S), partial(httpx.post, timeout=PATIENCE_S)


def started(call: str) -> tuple[subprocess.Popen[str], str]:
    """A server process that `call` of curate.view makes, and its URL."""
    program = f"from pathlib import Path\nfrom curate.view.session import view, label\nsession = {call}\nprint(session.url, flush=True)\nsession.serve()"
    running = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    url = running.stdout.readline().strip()
    assert url, "the server did not start"
    return running, url


@contextmanager
def serving(call: str) -> Iterator[str]:
    """The URL of such a server while it runs."""
    running, url = started(call)
    try:
        yield url
    finally:
        running.kill()
        running.wait()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[test]'")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"], timeout=PATIENCE_S * 1000)
        yield opened
        opened.close()


def context_of(browser: "Browser", **settings: object) -> "BrowserContext":
    """A browser as one person has it: its pages share what they keep."""
    context = browser.new_context(**settings)
    context.set_default_timeout(PATIENCE_S * 1000)
    return context


def look(browser: "Browser", url: str, name: str, ready: str) -> None:
    """At both widths, light and dark: nothing is wider than the window, nothing comes from elsewhere."""
    for width, height in SIZES:
        for scheme in ("light", "dark"):
            context = context_of(browser, viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            asked = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(url)
            page.wait_for_selector(ready)
            if SHOTS:
                page.screenshot(path=f"{SHOTS}/{name}-{width}-{scheme}.png")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is too wide for {width}"
            assert all(one.startswith(url.split("/rows")[0].split("/label")[0]) for one in asked)
            context.close()
