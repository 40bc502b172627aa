"""The hub's page for people: devices as they report themselves, on a wide and on a narrow screen, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from fivefold.edge.hub.store_opening import open_database
from tests.support.hubs import RunningHub, event, running_hub
from tests.support.opened import Opened

REASON = "golden.jsonl: row 0, outputs.probability[1]: expected <b>0.01</b> within 1e-05, got 0.99"
LONG = "a" * 63
"""The longest id that a device may have."""

pytestmark = pytest.mark.full


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    """A hub with three devices: one is well, one has refused a model and is behind, one was never heard of."""
    with closing(open_database(str(tmp_path / "hub"), None)) as database, running_hub(database) as made:
        well, behind = made.device("pump-1"), made.device(LONG)
        made.device("tablet-3")
        well.send([event(1), event(2), b'{"seq": 3, oops'])
        behind.send([event(1)])
        refused = {"name": "demo", "version": "3", "digest": "sha256:1", "state": "refused", "reason": REASON}
        for device, backlog, more in ((well, 0, []), (behind, 12_345, [refused])):
            report: dict[str, Any] = {
                "outbox": device.outbox,
                "backlog": {"alerts": 0, "bulk": backlog},
                "oldest": "2026-01-01T00:00:00Z" if backlog else None,
                "software": "fivefold 0.1.0",
                "models": [{"name": "demo", "version": "2", "digest": "sha256:2", "state": "active"}, *more],
            }
            device.http.put(f"/v1/edge/{device.device}/report", json=report).raise_for_status()
        yield made


def opened(browser: Browser, hub: RunningHub, **options: Any) -> Page:
    """The page, once the devices are there; it has nothing to complain about."""
    page = browser.new_context(**options).new_page()
    complaints = Opened(page).complaints
    page.goto(f"{hub.url}/")
    expect(page.locator("#devices tr")).to_have_count(3)
    assert complaints == []
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_devices_stand_there_as_they_report_themselves(
    browser: Browser, hub: RunningHub, width: int, scheme: Any
) -> None:
    """Nothing is wider than its place, what devices say is text, and a refused model stands out with its reason."""
    page = opened(browser, hub, viewport={"width": width, "height": 800}, color_scheme=scheme)
    rows = page.locator("#devices tr")
    models = rows.filter(has_text=LONG).locator("li")

    expect(rows.filter(has_text="pump-1")).to_contain_text("demo 2")
    expect(rows.filter(has_text="tablet-3")).to_contain_text("never")
    assert models.all_inner_texts() == ["demo 2", f"demo 3 refused: {REASON}"]
    expect(models.last).to_have_class("bad")
    expect(rows.filter(has_text=LONG)).to_contain_text("12,345")
    expect(page.locator("#quarantine")).to_contain_text('{"seq": 3, oops')
    expect(page.locator("#releases")).to_contain_text("No release: fivefold hub publish makes one.")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(
        "[...document.querySelectorAll('td')].every((cell) => cell.scrollWidth <= cell.clientWidth + 1)"
    )
    if width < 700:
        labels = page.evaluate("getComputedStyle(document.querySelector('#devices td'), '::before').content")
        assert labels == '"Device"'
        assert page.evaluate(
            "[...document.querySelectorAll('.scroll')].every((one) => one.scrollWidth <= one.clientWidth)"
        )
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every((part) => part > 127)")
    assert light == (scheme == "light")
    page.context.close()


def test_the_filter_finds_by_id_model_and_state(browser: Browser, hub: RunningHub) -> None:
    page = opened(browser, hub)
    for text, count in (("refused", "1 of 3"), ("PUMP", "1 of 3"), ("demo", "2 of 3"), ("nobody", "0 of 3")):
        page.get_by_label("Filter the devices").fill(text)
        expect(page.locator("#device-count")).to_have_text(count)
    expect(page.locator("#devices")).to_have_text("No device is like that.")
    page.context.close()
