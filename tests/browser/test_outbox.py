"""The outbox of a page in front of a real hub: at its quota, with gap records, and what the device tells of itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from fivefold.core.bundle.bundle import Bundle
from fivefold.edge.hub.device_register import add_device, list_devices
from fivefold.edge.hub.event_ledger import events_after
from fivefold.edge.hub.store_opening import open_database
from fivefold.exports.web_runtime import WebRuntime
from tests.support import exported_pages
from tests.support.exported_pages import look
from tests.support.hubs import RunningHub, running_hub
from tests.support.static_site import StaticSite

SECONDS = 30.0
FULL = 9_000
"""Bytes of a quota that a handful of the demo model's events fill."""

pytestmark = pytest.mark.full


@pytest.fixture
def site(tmp_path: Path) -> Iterator[StaticSite]:
    """A web server for the page, whose address the hub lets in; the page is exported into its directory."""
    out = StaticSite(tmp_path / "site")
    out.start()
    yield out
    out.stop()


@pytest.fixture
def hub(tmp_path: Path, site: StaticSite) -> Iterator[RunningHub]:
    with (
        closing(open_database(str(tmp_path / "hub"), None)) as database,
        running_hub(database, cors_origins=(site.url.rstrip("/"),)) as made,
    ):
        yield made


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


class Tablet:
    """A page that is open, and its device at the hub."""

    def __init__(self, page: Page, site: StaticSite, hub: RunningHub) -> None:
        self.page, self.hub = page, hub
        with hub.database.transaction() as connection:
            self.key = add_device(connection, "tablet-1")
        page.goto(site.url)
        self.saved()

    def saved(self, text: str = "saved on this device") -> None:
        expect(self.page.locator("#answer:not([aria-busy]) > *").first).to_be_visible(timeout=60_000)
        expect(self.page.locator("#saved")).to_contain_text(text)

    def predict(self, text: str = "saved on this device") -> None:
        """Ask for the next golden row, and wait for what is said of its event."""
        number = self.page.locator("#row").inner_text().split()[2]
        self.page.get_by_role("button", name="Next golden row").click()
        expect(self.page.locator("#answer")).to_contain_text(f"as recorded in golden row {int(number) + 1}")
        self.saved(text)

    def waiting(self) -> int:
        return int(self.page.locator("#waiting").inner_text())

    def connect(self) -> None:
        """Give the device's key, and wait until everything is sent."""
        self.page.get_by_label("Device", exact=True).fill("tablet-1")
        self.page.get_by_label("Key", exact=True).fill(self.key)
        self.page.get_by_role("button", name="Connect").click()
        expect(self.page.locator("#waiting")).to_have_text("0", timeout=30_000)

    def events(self) -> list[dict[str, Any]]:
        """What the hub has of the device, in its order."""
        with self.hub.database.reading() as connection:
            return [json.loads(each.body) for each in events_after(connection, 0, 1000)]

    def report(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What the device last told of itself, once it is what is wanted."""
        until = time.monotonic() + SECONDS
        while True:
            with self.hub.database.reading() as connection:
                (device,) = list_devices(connection)
            if device.report and wanted(device.report):
                return device.report
            assert time.monotonic() < until, device.report
            # Also turns the page's own events over.
            self.page.wait_for_timeout(50)


def test_a_full_outbox_refuses_and_loses_nothing(
    page: Page, site: StaticSite, hub: RunningHub, bundle: Bundle, runtime: WebRuntime
) -> None:
    """The answer is shown and called not saved; what was saved is delivered, and then there is room again."""
    exported_pages.export(bundle, site.root, runtime, hub=hub.url, outbox_bytes=FULL)
    tablet = Tablet(page, site, hub)
    kept = 1
    while kept < 20:
        page.get_by_role("button", name="Predict").click()
        expect(page.locator("#saved")).to_contain_text("saved")
        expect(page.locator("#predict[aria-busy]")).to_have_count(0)
        if page.locator("#saved").inner_text() != "saved on this device":
            break
        kept += 1
    tablet.predict(f"not saved: the outbox is full: {FULL} bytes")
    page.reload()
    tablet.saved("not saved: the outbox is full")

    assert 2 <= kept < 20
    assert tablet.waiting() == kept
    tablet.connect()
    tablet.predict()
    expect(page.locator("#waiting")).to_have_text("0", timeout=30_000)
    assert [(each["seq"], each["kind"]) for each in tablet.events()] == [
        (seq, "prediction") for seq in range(1, kept + 2)
    ]


def test_what_was_given_up_for_newer_events_is_covered_by_gap_records(
    page: Page, site: StaticSite, hub: RunningHub, bundle: Bundle, runtime: WebRuntime
) -> None:
    """Oldest first, also over a restart: the hub gets every number once, as an event or inside one gap."""
    exported_pages.export(bundle, site.root, runtime, hub=hub.url, outbox_bytes=FULL, drop_oldest=True)
    tablet = Tablet(page, site, hub)
    for _ in range(11):
        tablet.predict()
    page.reload()
    tablet.saved()
    for _ in range(3):
        tablet.predict()
    waiting, last = tablet.waiting(), 1 + 11 + 1 + 3
    expect(page.locator("#dropped")).to_contain_text(f"{last - waiting} events were given up for newer ones")
    tablet.connect()
    gap, *events = tablet.events()

    assert (gap["kind"], gap["reason"]) == ("gap", "quota")
    assert (gap["from_seq"], gap["to_seq"], gap["count"]) == (1, last - waiting, last - waiting)
    assert gap["seq"] == gap["to_seq"]
    assert [each["seq"] for each in events] == list(range(gap["to_seq"] + 1, last + 1))
    assert {each["kind"] for each in events} == {"prediction"}
    tablet.predict()
    expect(page.locator("#waiting")).to_have_text("0", timeout=30_000)
    assert tablet.events()[-1]["seq"] == last + 1


def test_the_hub_hears_which_model_a_page_serves(
    page: Page, site: StaticSite, hub: RunningHub, bundle: Bundle, runtime: WebRuntime, tmp_path: Path
) -> None:
    """As a gateway tells it: what is served, what waits, and a model that was taken back, with the reason."""
    exported_pages.export(bundle, site.root, runtime, hub=hub.url)
    tablet = Tablet(page, site, hub)
    tablet.connect()
    first = tablet.report(lambda report: bool(report["models"]))
    newer = exported_pages.another(bundle, tmp_path / "second", "2")
    exported_pages.export(newer, site.root, runtime, hub=hub.url)
    look(page)
    expect(page.locator("#newer")).to_be_visible(timeout=30_000)
    page.reload()
    second = tablet.report(lambda report: report["models"][0]["version"] == "2")
    page.get_by_role("button", name="Go back to it").click()
    back = tablet.report(lambda report: len(report["models"]) == 2)

    assert first["software"].startswith("fivefold ")
    assert first["backlog"] == {"alerts": 0, "bulk": 0}
    assert first["oldest"] is None
    assert first["models"] == [
        {"name": bundle.name, "version": "1", "digest": f"sha256:{bundle.digest}", "state": "active"}
    ]
    assert [(each["version"], each["state"]) for each in second["models"]] == [("2", "active")]
    assert [(each["version"], each["state"]) for each in back["models"]] == [("1", "active"), ("2", "rolled_back")]
    assert back["models"][1]["reason"] == "taken back on this device"
    assert len({each["outbox"] for each in (first, second, back)}) == 1
