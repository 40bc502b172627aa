"""The page of a server that asks for a key: it says so, takes one, and keeps it out of the code that it offers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fivefold.guard import keys
from tests.support.browser_server import Served, served
from tests.support.opened import Opened


@pytest.fixture
def guarded(server: Served, tmp_path: Path) -> Iterator[tuple[Served, str]]:
    key, entry = keys.make("page", ["infer", "bundles"])
    keys.add(tmp_path / "keys.json", entry)
    with served(server.bundles, keys=str(tmp_path / "keys.json")) as out:
        yield out, key


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.mark.full
def test_the_page_asks_for_a_key_and_uses_it(guarded: tuple[Served, str], page: Page) -> None:
    """A wrong one is asked for again; with the right one everything is as on an open server."""
    server, key = guarded
    opened = Opened(page)
    page.goto(server.url)
    expect(opened.notice).to_contain_text("asks for an API key")

    for shown in (key[:-1] + "?", key):
        page.get_by_label("key", exact=False).fill(shown)
        page.get_by_role("button", name="Use this key").click()
        if shown != key:
            expect(opened.notice).to_contain_text("not known")
    opened.settled()

    expect(opened.notice).to_be_hidden()
    assert "Bearer $FIVEFOLD_KEY" in opened.code.text_content()
    assert key[12:] not in page.content()
    assert page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])") == '[{},{},""]'
    assert [line for line in opened.complaints if "status of 401" not in line] == []


@pytest.mark.full
def test_a_page_without_golden_rows_asks_with_an_example(server: Served, tmp_path: Path, page: Page) -> None:
    """A key that may ask and not read the bundles, and a server that gives them to nobody: the model is still tried."""
    key, entry = keys.make("asks")
    keys.add(tmp_path / "keys.json", entry)
    for given, denied in ({"keys": str(tmp_path / "keys.json")}, 1), ({"serve_bundles": False}, 0):
        with served(server.bundles, **given) as out:
            opened = Opened(page)
            page.goto("about:blank")
            page.goto(out.url)
            if denied:
                page.get_by_label("key", exact=False).fill(key)
                page.get_by_role("button", name="Use this key").click()
            expect(page.locator("#facts")).to_contain_text("not given out")
            expect(page.locator("#row")).to_have_text("An example")
            expect(page.locator("#files")).to_be_hidden()
            expect(page.locator("#answer")).not_to_be_empty()
            assert sum("status of 403" in line for line in opened.complaints) == denied
            assert [line for line in opened.complaints if "status of 40" not in line] == []
