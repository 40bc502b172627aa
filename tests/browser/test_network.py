"""What the page asks for and from whom, and what it says when nobody answers."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from fivefold.serving.page import CONTENT_SECURITY_POLICY
from tests.browser.conftest import Open
from tests.support import browser_bundles
from tests.support.browser_server import Served, served

LOST = "Failed to load resource: net::ERR_"
"""How Chromium's own line about a server that is gone begins."""


@pytest.mark.full
def test_everything_comes_from_the_server_itself(visit: Open, server: Served) -> None:
    """No request leaves the origin, whatever is looked at; the first visit is a few small files."""
    opened = visit()
    for tab in opened.code.get_by_role("tab").all():
        tab.click()
    opened.page.get_by_role("link", name="version 2").click()
    expect(opened.field("insured")).to_be_visible()
    opened.settled()
    origins = {urlsplit(request.url)[:2] for request in opened.requests}
    files = [request.response() for request in opened.requests if "/page/" in request.url]

    assert origins == {urlsplit(server.url)[:2]}
    assert all(answer is not None and answer.ok for answer in files)
    assert sum(len(answer.body()) for answer in files if answer) < 105_000


def test_the_policy_is_kept_and_enforced(visit: Open, server: Served) -> None:
    """Nothing of the page needs what the policy forbids, and what is slipped in does not run."""
    opened = visit()
    assert opened.complaints == []
    answer = opened.page.request.get(server.url, headers={"accept": "text/html"})
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    opened.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.slipped = true";
          document.body.append(script);
        }"""
    )

    assert opened.page.evaluate("window.slipped") is None
    assert "Content Security Policy" in opened.complaints.pop()


@pytest.mark.full
def test_the_page_outlives_its_server(visit: Open, tmp_path: Path) -> None:
    """It says that nobody answers, keeps what was typed, and goes on when the server is back."""
    bundles = [browser_bundles.bundle(tmp_path, each) for each in ("1", "2")]
    with served(bundles) as first:
        port = urlsplit(first.url).port or 0
        opened = visit("parcels", url=first.url)
        expect(opened.state).to_have_text("ready")
        opened.field("weight").fill("12.5")
    opened.predict.click()
    expect(opened.answer).to_contain_text("The server cannot be reached.")
    expect(opened.answer).to_contain_text("is it still running?")
    expect(opened.state).to_have_text("unreachable")
    expect(opened.field("weight")).to_have_value("12.5")
    opened.page.get_by_role("link", name="version 2").click()
    expect(opened.notice).to_contain_text("The server cannot be reached.")

    with served(bundles, port):
        opened.notice.get_by_role("button", name="Try again").click()
        expect(opened.field("insured")).to_be_visible()
        expect(opened.notice).to_be_hidden()
        opened.settled()
        expect(opened.answer).to_contain_text("on time")
    opened.complaints = [each for each in opened.complaints if not each.startswith(LOST)]


def test_a_server_that_drains_is_not_ready(visit: Open, server: Served) -> None:
    """The page shows the server's own word about itself, and an error that belongs to no field as a sentence."""
    opened = visit()
    body = (
        '{"error": "the server is going away", "code": "not_ready", "help": "try another replica", "request_id": "7"}'
    )
    for path in ("**/readyz", "**/*:predict"):
        opened.page.route(path, lambda route: route.fulfill(status=503, body=body, content_type="application/json"))
    opened.predict.click()

    expect(opened.answer).to_contain_text("the server is going away")
    expect(opened.answer).to_contain_text("not_ready")
    expect(opened.answer).to_contain_text("help: try another replica")
    expect(opened.state).to_have_text("not ready")
    assert opened.page.locator("[aria-invalid]").count() == 0
    opened.complaints.clear()


def test_an_answer_of_a_proxy_is_told_by_its_status(visit: Open) -> None:
    """Words that are not the server's are not shown as such."""
    opened = visit()
    opened.page.route("**/*:predict", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    opened.predict.click()

    expect(opened.answer).to_contain_text("The server answered with status 502.")
    opened.complaints.clear()
