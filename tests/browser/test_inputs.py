"""What came in, as the page shows it: asked for by hand, of the process that answers, and nothing of a text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.test_access import CONTRASTS, PHONE
from tests.support.browser_server import Served, served

NAMES = ("weight", "service", "note")


def test_what_came_in_is_shown_when_it_is_asked_for(server: Served, visit: Open) -> None:
    """Counts, bounds, a histogram, categories, refusals by field; what came since by another look."""
    with served(server.bundles) as fresh:
        opened = visit("parcels", url=fresh.url)
        card = opened.page.get_by_role("region", name="What came in")
        opened.field("weight").fill("99")
        opened.ask()
        assert not any("input-statistics" in each.url for each in opened.requests)
        card.get_by_role("button", name="Show").click()
        fields = card.get_by_role("region", name="Fields").locator("tbody tr")
        weight, service, note = (fields.filter(has=opened.page.get_by_text(name, exact=True)) for name in NAMES)

        expect(card).to_contain_text("1 answered row, since")
        expect(card.get_by_role("region", name="Refused requests").locator("tbody tr")).to_have_text(
            "weightout_of_range1"
        )
        expect(weight.locator("td")).to_have_text(["1", "", "10", "10", re.compile("7 to 14: 1")])
        expect(service.locator("td").last).to_have_text("express 1")
        expect(note.locator("td")).to_have_text(["1", "", "", "", ""])

        opened.field("weight").fill("69")
        opened.ask()
        card.get_by_role("button", name="Refresh").click()
        expect(weight.locator("td").nth(3)).to_have_text("69")


@pytest.mark.full
@pytest.mark.parametrize("size", [{}, PHONE], ids=["desk", "phone"])
def test_it_fits_and_stands_out(visit: Open, size: dict[str, Any]) -> None:
    """On a phone and in the dark."""
    page = visit("parcels", color_scheme="dark", **size).page
    page.get_by_role("region", name="What came in").get_by_role("button").click()
    expect(page.get_by_role("region", name="Fields")).to_be_visible()

    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
    assert page.evaluate(CONTRASTS) == []
