"""The page of a server that asks for a key: it says so, takes one, and keeps it out of the code that it offers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fivefold.guard import keys
from tests.support.browser_server import Served, served
from tests.support.opened import Opened

STORED = "[localStorage.length, sessionStorage.length, document.cookie]"


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
    """A wrong one is told in place and asked for again; with the right one everything is as on an open server."""
    server, key = guarded
    opened = Opened(page)
    page.goto(server.url)
    card = page.get_by_role("region", name="This server asks for an API key")
    field = card.get_by_role("textbox", name="API key")
    expect(field).to_be_focused()
    expect(card.get_by_role("alert")).to_be_hidden()

    field.fill(key[:-1] + "?")
    page.keyboard.press("Enter")
    expect(card.get_by_role("alert")).to_contain_text("not known")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#work")).to_be_hidden()
    assert page.evaluate(STORED) == [0, 0, ""]

    page.keyboard.type(key)
    card.get_by_role("button", name="Use this key").click()
    opened.settled()
    expect(card).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(opened.notice).to_be_hidden()
    assert "Bearer $FIVEFOLD_KEY" in opened.code.text_content()
    assert key[12:] not in page.content()
    assert [line for line in opened.complaints if "status of 401" not in line] == []


@pytest.mark.full
def test_a_key_is_kept_in_its_tab_until_it_signs_out(guarded: tuple[Served, str], page: Page) -> None:
    """A reload asks for nothing; another tab does, and so does this one when it has signed out."""
    server, key = guarded
    asked = page.get_by_role("region", name="This server asks for an API key")
    page.goto(server.url)
    page.get_by_role("textbox", name="API key").fill(key)
    page.get_by_role("button", name="Use this key").click()
    Opened(page).settled()
    assert page.evaluate(STORED) == [0, 1, ""]
    page.reload()
    Opened(page).settled()
    expect(asked).to_be_hidden()

    other = page.context.new_page()
    other.goto(server.url)
    expect(other.get_by_role("textbox", name="API key")).to_be_focused()

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("textbox", name="API key")).to_be_focused()
    expect(page.locator("#work")).to_be_hidden()
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    assert page.evaluate(STORED) == [0, 0, ""]


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
                page.get_by_role("textbox", name="API key").fill(key)
                page.get_by_role("button", name="Use this key").click()
            expect(page.locator("#facts")).to_contain_text("not given out")
            expect(page.locator("#row")).to_have_text("An example")
            expect(page.locator("#files")).to_be_hidden()
            expect(page.locator("#answer")).not_to_be_empty()
            assert sum("status of 403" in line for line in opened.complaints) == denied
            assert [line for line in opened.complaints if "status of 40" not in line] == []
