"""The page as a test sees it: its parts by their roles, and everything the browser has said about it."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import ConsoleMessage, Error, Locator, Page, Request, expect

REFUSED = "Failed to load resource: the server responded with a status of 422"
"""Chromium's own line about an answer with an error; that answer is what such a test is about."""


class Opened:
    """One open page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[Request] = []
        page.on("console", self._hear)
        page.on("pageerror", self._thrown)
        page.on("request", self._asked)
        self.answer = page.get_by_role("region", name="Answer")
        self.fields = page.get_by_role("form", name="Request")
        self.predict = page.get_by_role("button", name="Predict")
        self.code = page.get_by_role("region", name="The same request from your code")
        self.contract = page.get_by_role("region", name="Contract")
        self.notice = page.locator("#notice")
        self.state = page.locator("#state")

    def _hear(self, message: ConsoleMessage) -> None:
        if not message.text.startswith(REFUSED):
            self.complaints.append(message.text)

    def _thrown(self, error: Error) -> None:
        self.complaints.append(str(error))

    def _asked(self, request: Request) -> None:
        self.requests.append(request)

    def leave(self) -> None:
        """Leave the tab as it was found."""
        self.page.unroute_all(behavior="ignoreErrors")
        self.page.remove_listener("console", self._hear)
        self.page.remove_listener("pageerror", self._thrown)
        self.page.remove_listener("request", self._asked)

    def field(self, name: str) -> Locator:
        """The control labelled with the field's name."""
        return self.fields.get_by_label(name, exact=True)

    def wrong(self, name: str) -> Locator:
        """The place of the field's error."""
        described = (self.field(name).get_attribute("aria-describedby") or "").split()
        return self.page.locator(f"#{described[-1]}")

    def settled(self) -> None:
        """Wait until an answer, or a refusal, stands there and nothing is under way."""
        expect(self.page.locator("#answer:not([aria-busy]) > *").first).to_be_visible()

    def sent(self) -> list[Any]:
        """The bodies of the requests for a prediction, parsed."""
        return [json.loads(each.post_data or "") for each in self.requests if each.method == "POST"]

    def ask(self) -> None:
        """Press the button and wait for the server's answer."""
        with self.page.expect_response(lambda response: response.request.method == "POST"):
            self.predict.click()
        self.settled()
