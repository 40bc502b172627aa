"""A real Chromium in front of a real server, with the demo model and one that has a field of every kind.

Playwright keeps an event loop running in the thread that drives it, so a browser lives as long as one module of tests
and never beside tests that run loops of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fivefold.core.bundle.bundle import Bundle
from fivefold.exports.web_runtime import WebRuntime, web_runtime
from tests.support import browser_bundles, programs
from tests.support.browser_server import Served, served
from tests.support.opened import Opened

CHROMIUM = programs.needed("chromium", "the page in a browser", "chromium-browser", "google-chrome")
RUNTIME = programs.web_runtime("pages that predict offline")
_NEED_RUNTIME = ["test_offline.py", "test_outbox.py", "test_page_runtime.py", "test_page_update.py"]
collect_ignore_glob = ([] if RUNTIME else _NEED_RUNTIME) if CHROMIUM else ["test_*.py"]

expect.set_options(timeout=10_000)

Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def server(demo_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Both models, the second in two versions."""
    directory = tmp_path_factory.mktemp("browser")
    bundles = [Bundle.open(demo_bundle), *(browser_bundles.bundle(directory, each) for each in ("1", "2"))]
    with served(bundles) as out:
        yield out


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def runtime() -> WebRuntime:
    """ONNX Runtime Web, as an exported page takes it along."""
    assert RUNTIME is not None
    return web_runtime(RUNTIME)


@pytest.fixture(scope="module")
def bundle(demo_bundle: Path) -> Bundle:
    """The demo model."""
    return Bundle.open(demo_bundle)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a profile of its own; it throws nothing."""
    context = browser.new_context()
    made = context.new_page()
    thrown: list[str] = []
    made.on("pageerror", lambda error: thrown.append(str(error)))
    yield made
    context.close()
    assert thrown == []


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Page:
    """The tab of all visits that need no profile of their own."""
    return browser.new_page()


@pytest.fixture
def visit(browser: Browser, server: Served, tab: Page) -> Iterator[Open]:
    """Load the page of a model and wait for its first answer; the rest are options of a profile of its own.

    Whatever the page does, it throws nothing, and the browser has nothing to complain about but the answers that a
    test has asked for.
    """
    with ExitStack() as closing:
        visited: list[Opened] = []

        def go(model: str = "breast-cancer", version: str = "1", url: str = server.url, **options: Any) -> Opened:
            page = tab
            if options:
                context = browser.new_context(**options)
                closing.callback(context.close)
                page = context.new_page()
            page.goto("about:blank")
            visited.append(Opened(page))
            closing.callback(visited[-1].leave)
            page.goto(f"{url}#/{model}/{version}")
            visited[-1].settled()
            return visited[-1]

        yield go
        for opened in visited:
            assert opened.complaints == []
