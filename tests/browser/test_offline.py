"""An exported page: predicts without a network, takes only whole models, and loses no answer that it called saved."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

from fivefold.core.bundle.bundle import Bundle, sign
from fivefold.exports.web_runtime import WebRuntime
from tests.browser.conftest import CHROMIUM
from tests.support import exported_pages
from tests.support.exported_pages import look, settled
from tests.support.score_commands import until
from tests.support.static_site import StaticSite, static_site

KEY = "device-key"


def test_a_page_predicts_without_a_network(page: Page, bundle: Bundle, runtime: WebRuntime, tmp_path: Path) -> None:
    """At most 4 MB at first; then the server is gone, and the page still answers and refuses as the server does."""
    with static_site(exported_pages.export(bundle, tmp_path / "site", runtime)) as site:
        page.goto(site.url)
        settled(page)
        assert site.sent_bytes <= 4_000_000
        site.stop()
        page.reload()
        settled(page)
        page.get_by_role("button", name="Next golden row").click()

        expect(page.locator("#answer").get_by_text("as recorded in golden row 2")).to_be_visible()
        expect(page.locator("#device")).to_contain_text("equal here")
        page.get_by_label("mean_radius", exact=True).fill("61.5")
        page.get_by_role("button", name="Predict").click()
        expect(page.locator("#fields")).to_contain_text("expected a number of at most 60 image unit, got 61.5")


@pytest.mark.full
def test_a_changed_byte_in_any_file_of_a_model_is_refused(
    page: Page, bundle: Bundle, runtime: WebRuntime, tmp_path: Path
) -> None:
    """The older model keeps answering, also offline; the whole file is taken when it comes."""
    root = exported_pages.export(bundle, tmp_path / "site", runtime)
    with static_site(root) as site:
        page.goto(site.url)
        settled(page)
        newer = exported_pages.another(bundle, tmp_path / "second", "2")
        exported_pages.export(newer, root, runtime)
        # What both models share is taken from this device, and was never asked for.
        for name in ("bundle.json", "golden.jsonl"):
            site.changed = f"{newer.digest}/{name}"
            look(page)
            expect(page.locator("#refused")).to_contain_text(f"Version 2 was not taken: {name}", timeout=30_000)
            page.get_by_role("button", name="Predict").click()
            expect(page.locator("#answer").get_by_text("as recorded in golden row 1")).to_be_visible()
        site.changed = None
        look(page)
        expect(page.locator("#newer")).to_contain_text("Version 2 is on this device", timeout=30_000)
        asked = {path.rpartition("/")[2] for path in site.paths if newer.digest in path}
        assert asked == {"bundle.json", "golden.jsonl"}
        site.stop()
        page.get_by_role("button", name="Show it").click()
        expect(page.locator("#facts")).to_contain_text("2, default", timeout=60_000)
        settled(page)


@pytest.mark.full
@pytest.mark.parametrize("name", ["model.onnx", "contract.json", "golden.jsonl", "bundle.json"])
def test_a_first_model_with_a_changed_byte_is_not_opened(
    page: Page, bundle: Bundle, runtime: WebRuntime, tmp_path: Path, name: str
) -> None:
    """There is no older one: the page says what is wrong, and opens when the whole file is there."""
    with static_site(exported_pages.export(bundle, tmp_path / "site", runtime)) as site:
        site.changed = f"{bundle.digest}/{name}"
        page.goto(site.url)
        expect(page.locator("#notice")).to_contain_text(name, timeout=60_000)
        site.changed = None
        page.get_by_role("button", name="Try again").click()
        settled(page)


@pytest.mark.full
@pytest.mark.parametrize("end", [".wasm", ".mjs", "worker", "page", "icon-192"])
def test_a_page_with_a_changed_byte_is_not_kept(
    page: Page, bundle: Bundle, runtime: WebRuntime, tmp_path: Path, end: str
) -> None:
    """A file of the page that is not what it was exported as: nothing is opened."""
    root = exported_pages.export(bundle, tmp_path / "site", runtime)
    with static_site(root) as site:
        whole = (path for path in (root / "assets").iterdir() if path.suffix not in (".gz", ".br"))
        site.changed = next(path.name for path in whole if end in path.name)
        page.goto(site.url)
        if end == "page":
            expect(page.locator("#title")).to_be_hidden()
        else:
            expect(page.locator("#notice")).to_contain_text("could not be kept", timeout=60_000)
        assert page.evaluate("caches.keys()") in ([], None) or not any(
            name.startswith("fivefold-model") for name in page.evaluate("caches.keys()")
        )


@pytest.mark.full
def test_a_model_that_answers_otherwise_is_refused(
    page: Page, bundle: Bundle, runtime: WebRuntime, tmp_path: Path
) -> None:
    """Whole by every digest, and not what it was recorded as: refused for good, and not downloaded again."""
    root = exported_pages.export(bundle, tmp_path / "site", runtime)
    with static_site(root) as site:
        page.goto(site.url)
        settled(page)
        other = exported_pages.another(bundle, tmp_path / "other", "2", exported_pages.flipped)
        (root / "models" / other.digest).mkdir()
        for name in other.names():
            (root / "models" / other.digest / name).write_bytes(other.read(name))
        published = f'{{"format": 1, "name": "{other.name}", "version": "2", "digest": "{other.digest}"}}'
        (root / "model.json").write_text(published)
        look(page)
        expect(page.locator("#refused")).to_contain_text("golden.jsonl: row 0, outputs.probability", timeout=30_000)
        before = len(site.paths)

        def looked_twice() -> bool:
            # One look at a time: who comes while another is at it does not look.
            look(page)
            return sum(path.endswith("/model.json") for path in site.paths[before:]) > 1

        until(looked_twice, 60)
        assert not any(other.digest in path for path in site.paths[before:])


@pytest.mark.full
def test_a_model_is_replaced_and_taken_back(page: Page, bundle: Bundle, runtime: WebRuntime, tmp_path: Path) -> None:
    """The newer one answers at the next start; back at the older one, the newer is not taken again by itself."""
    root = exported_pages.export(bundle, tmp_path / "site", runtime)
    with static_site(root) as site:
        page.goto(site.url)
        settled(page)
        exported_pages.export(exported_pages.another(bundle, tmp_path / "second", "2"), root, runtime)
        look(page)
        expect(page.locator("#newer")).to_be_visible(timeout=30_000)
        page.reload()
        settled(page)
        expect(page.locator("#facts")).to_contain_text("2, default")
        site.stop()
        page.get_by_role("button", name="Go back to it").click()
        expect(page.locator("#facts")).to_contain_text("1, default", timeout=60_000)
        site.start()
        page.reload()
        settled(page)
        expect(page.locator("#refused")).to_contain_text("taken back on this device")
        expect(page.locator("#facts")).to_contain_text("1, default")


@pytest.mark.full
def test_only_models_of_the_pinned_key_are_taken(
    page: Page, bundle: Bundle, runtime: WebRuntime, tmp_path: Path
) -> None:
    """A signed model opens; one that is not signed, whole as it is, does not replace it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    signed = sign(bundle.copy(tmp_path / "signed").path, key)
    root = exported_pages.export(signed, tmp_path / "site", runtime, key=key.public_key())
    with static_site(root) as site:
        page.goto(site.url)
        settled(page)
        for label, other in (("unsigned", None), ("strange", Ed25519PrivateKey.generate())):
            newer = exported_pages.another(bundle, tmp_path / label, f"2-{label}")
            newer = sign(newer.path, other) if other is not None else newer
            exported_pages.export(newer, root, runtime, key=key.public_key())
            look(page)
            expect(page.locator("#refused")).to_contain_text(f"2-{label} was not taken: bundle.sig", timeout=30_000)


@contextmanager
def profile(browser: Browser, directory: Path) -> Iterator[BrowserContext]:
    """Another browser, with a profile on the disk, ended as it comes."""
    context = browser.browser_type.launch_persistent_context(
        str(directory), executable_path=CHROMIUM, args=["--disable-gpu"]
    )
    try:
        yield context
    finally:
        # The browser may be dead already, or die of its kill just now: then there is nobody to ask.
        if any(_processes(directory)):
            with suppress(Error):
                context.close()


def _processes(directory: Path) -> Iterator[int]:
    """The processes of the browser with this profile."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(directory).encode() in place.read_bytes():
                yield int(place.parent.name)
        except OSError:
            continue


def _kill(directory: Path) -> None:
    for process in list(_processes(directory)):
        if process != os.getpid():
            os.kill(process, signal.SIGKILL)


_COUNT = """
globalThis.__saved = 0;
new MutationObserver(() => {
  if (document.getElementById("saved").textContent === "saved on this device") told();
}).observe(document.getElementById("saved"), { childList: true });
"""


@pytest.mark.full
def test_no_saved_answer_is_lost_when_the_browser_is_killed(
    browser: Browser, bundle: Bundle, runtime: WebRuntime, tmp_path: Path
) -> None:
    """Killed in the middle of writing, three times: what was called saved is delivered, each once and in order."""
    port_holder = StaticSite(tmp_path)
    port_holder.start()
    port_holder.stop()
    hub = f"http://127.0.0.1:{port_holder.port}"
    root = exported_pages.export(bundle, tmp_path / "site", runtime, hub=hub)
    saved = 0
    site = StaticSite(root, KEY)
    site.port = port_holder.port
    site.start()
    try:
        for seed in range(3):
            with profile(browser, tmp_path / "profile") as context:
                count = [0]
                page = context.new_page()
                page.expose_function("told", lambda count=count: count.__setitem__(0, count[0] + 1))
                page.goto(site.url)
                settled(page)
                expect(page.locator("#saved")).to_have_text("saved on this device")
                page.evaluate(_COUNT)
                page.get_by_role("button", name="Send 20").click()
                wanted = random.Random(seed).randint(3, 12)
                page.wait_for_function("n => document.querySelectorAll('#latency rect').length >= n", arg=wanted)
                _kill(tmp_path / "profile")
                # One more for the answer that the page opened with.
                saved += count[0] + 1
        site.lose_replies = 1
        with profile(browser, tmp_path / "profile") as context:
            page = context.new_page()
            page.goto(site.url)
            settled(page)
            expect(page.locator("#saved")).to_have_text("saved on this device")
            waiting = int(page.locator("#waiting").inner_text())
            page.get_by_label("Device", exact=True).fill("tablet-1")
            page.get_by_label("Key", exact=True).fill(KEY)
            page.get_by_role("button", name="Connect").click()
            expect(page.locator("#waiting")).to_have_text("0", timeout=30_000)
        events = site.events()

        assert waiting >= saved + 1
        assert [event["seq"] for event in events] == list(range(1, waiting + 1))
        assert len({event["id"] for event in events}) == waiting
        assert all(event["bundle"] == f"sha256:{bundle.digest}" for event in events)
        assert {event["output"]["label"] for event in events} <= {"benign", "malignant"}
    finally:
        site.stop()


@pytest.mark.full
def test_a_hub_that_says_what_cannot_be_stops_the_lane(
    page: Page, bundle: Bundle, runtime: WebRuntime, tmp_path: Path
) -> None:
    """An unknown key, a busy hub, one that lost its state: nothing is deleted; a gap record tells the loss.

    One that has others' events under the outbox' numbers: what waits goes on from an outbox of its own.
    """
    port_holder = StaticSite(tmp_path)
    port_holder.start()
    port_holder.stop()
    root = exported_pages.export(bundle, tmp_path / "site", runtime, hub=f"http://127.0.0.1:{port_holder.port}")
    site = StaticSite(root, KEY)
    site.port = port_holder.port
    site.start()
    predict = page.get_by_role("button", name="Predict")
    try:
        page.goto(site.url)
        settled(page)
        page.get_by_label("Device", exact=True).fill("tablet-1")
        page.get_by_label("Key", exact=True).fill("another")
        page.get_by_role("button", name="Connect").click()
        expect(page.locator("#sending")).to_contain_text("unknown key", timeout=30_000)
        page.get_by_role("button", name="Disconnect").click()
        site.answers = [(503, {"error": "busy", "code": "overloaded"}, {"retry-after": "1"})]
        page.get_by_label("Device", exact=True).fill("tablet-1")
        page.get_by_label("Key", exact=True).fill(KEY)
        page.get_by_role("button", name="Connect").click()
        expect(page.locator("#waiting")).to_have_text("0", timeout=30_000)
        for count in (2, 3):
            predict.click()
            expect(page.locator("#device")).to_contain_text(f"Sent\n{count}", use_inner_text=True, timeout=30_000)
        lane = next(iter(site.watermarks))
        site.watermarks[lane] = 1
        predict.click()
        expect(page.locator("#stopped")).to_contain_text("hub_behind", timeout=30_000)
        expect(page.locator("#waiting")).to_have_text("1")
        page.get_by_role("button", name="Go on, and record the loss").click()
        expect(page.locator("#waiting")).to_have_text("0", timeout=30_000)
        last = site.events()[-2:]

        assert (last[0]["kind"], last[0]["from_seq"], last[0]["to_seq"], last[0]["reason"]) == ("gap", 2, 3, "hub_lost")
        assert last[1]["seq"] == 4
        site.answers = [(409, {"code": "outbox_copied", "error": "a copy", "acked_through": 9, "id": "other"}, {})]
        predict.click()
        expect(page.locator("#stopped")).to_contain_text("outbox_copied", timeout=30_000)
        expect(page.locator("#waiting")).to_have_text("1")
        assert site.paths[-1].endswith(f"?after={last[1]['id']}")
        page.get_by_role("button", name="Go on under a name of its own").click()
        expect(page.locator("#waiting")).to_have_text("0", timeout=30_000)
        _, anew = site.applied.values()

        assert [(line["kind"], line["seq"], line.get("count")) for line in anew] == [
            ("gap", 4, 0),
            ("prediction", 5, None),
        ]
    finally:
        site.stop()
