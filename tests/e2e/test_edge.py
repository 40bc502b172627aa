"""A gateway and a browser on this machine, the hub and the browser's page in the cluster.

Gateway and hub are killed, and each accepted event is there once; the page answers without a network, and what it
answered arrives.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from loadtest.stream.kafka_broker import free_ports
from playwright.sync_api import expect, sync_playwright

from fivefold.exports.web_runtime import web_runtime
from tests.e2e import bundles, cluster
from tests.e2e.report import Report
from tests.support import exported_pages, programs

pytestmark = pytest.mark.e2e

VALUES = "k8s/kind/hub.yaml"
HUB = f"{cluster.NAME}-hub"
SITE = f"{cluster.NAME}-site"
STORE = "--data=/data/hub"
DEVICE = "ward-3"
EVENTS = 40
"""Between two disturbances."""

PAGE = bundles.DIRECTORY / "site"


@pytest.fixture(scope="module", autouse=True)
def hub() -> Iterator[None]:
    """A hub and a page beside a release that serves as before; at the end they are gone, and the claim with them."""
    runtime = programs.web_runtime("the page out of the cluster")
    assert runtime is not None
    exported_pages.export(bundles.build(1), PAGE, web_runtime(runtime), hub=f"https://{cluster.ADDRESS}")
    cluster.upgrade(bundles.paths(bundles.build(1)), ARGS=f"-f {VALUES}", SITE=str(PAGE))
    cluster.until("the hub", _ready)
    cluster.kubectl("rollout", "status", f"deployment/{SITE}", "--timeout=300s")
    yield
    # The release before has no hub, and the same service: nothing is drained.
    cluster.helm("rollback", cluster.NAME)
    cluster.kubectl("delete", "persistentvolumeclaim", f"data-{HUB}-0", "--wait=false")


def _ready() -> bool:
    status = json.loads(cluster.kubectl("get", "statefulset", HUB, "-o", "json"))["status"]
    return status.get("readyReplicas") == 1


def _hub(*words: str) -> str:
    """Run `fivefold hub` where its store is."""
    return cluster.kubectl("exec", f"statefulset/{HUB}", "--", "fivefold", "hub", *words, STORE)


class Gateway:
    """`fivefold gateway` as a device runs it, with what it has accepted."""

    def __init__(self, directory: Path, key: str) -> None:
        self._directory, self._port = directory, free_ports(1)[0]
        (directory / "key").write_text(key)
        (directory / "key").chmod(0o600)
        self.accepted: list[Any] = []
        """The answers, in order."""
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Begin, or begin again, on the same outbox."""
        words = [
            *(sys.executable, "-m", "fivefold", "gateway", "--model", str(bundles.build(1).path)),
            *("--data", str(self._directory / "data"), "--http", f"127.0.0.1:{self._port}", "--device", DEVICE),
            *("--hub", f"https://{cluster.ADDRESS}", "--hub-ca", str(cluster.AUTHORITY)),
            *("--key-file", str(self._directory / "key")),
        ]
        with (self._directory / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, cwd=cluster.ROOT)
        cluster.until("the gateway", self._listens, 120)
        return self.process

    def _listens(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def score(self, count: int) -> None:
        """Ask for so many rows of the golden ones, a request each."""
        rows = bundles.build(1).golden()[0].to_records()
        for at in range(count):
            answer = httpx.post(
                f"http://127.0.0.1:{self._port}/v1/models/{bundles.DEMO}:predict",
                json={"instances": [rows[at % len(rows)]]},
                timeout=60,
            ).raise_for_status()
            self.accepted.append(answer.json()["predictions"][0])

    def said(self) -> str:
        return (self._directory / "log").read_text()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A device that the hub knows."""
    found = Gateway(tmp_path, _hub("device", "add", DEVICE).strip())
    yield found
    if found.process.poll() is None:
        found.process.terminate()
        found.process.wait(60)


def test_what_a_device_accepted_arrives_once_whoever_is_killed(gateway: Gateway, figures: Report) -> None:
    """The hub's pod and the gateway's process go without grace while events are under way; their order holds."""
    begun = time.monotonic()
    gateway.score(EVENTS)
    (pod,) = [name for name in cluster.kubectl("get", "pods", "-o", "name").split() if name.startswith(f"pod/{HUB}-")]
    cluster.kubectl("delete", pod, "--grace-period=0", "--force")
    gateway.score(EVENTS)
    gateway.process.send_signal(signal.SIGKILL)
    gateway.process.wait(60)
    gateway.start()
    gateway.score(EVENTS)
    cluster.until("the hub again", _ready)

    def arrived() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in _hub("events", "--device", DEVICE).splitlines()]
        return lines if len(lines) >= len(gateway.accepted) else []

    lines = cluster.until("every event at the hub", arrived, 180)
    events = [line["event"] for line in lines]

    assert Counter(event["seq"] for event in events) == Counter(range(1, 3 * EVENTS + 1)), gateway.said()
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert [event["output"] for event in events] == gateway.accepted
    assert gateway.process.poll() is None
    figures.fact(
        f"A gateway outside and the hub inside, each killed once: {len(events)} events, every one there once and in "
        f"order after {time.monotonic() - begun:.0f} s."
    )


def test_a_stolen_key_opens_nothing_else() -> None:
    """A device's key is good for its own path alone; none for nothing."""
    key = _hub("device", "add", "ward-4").strip()
    with httpx.Client(base_url=f"https://{cluster.ADDRESS}", verify=cluster.trust(), timeout=60) as client:
        asked = {
            path: client.get(f"/v1/edge/{path}/watermark?outbox={'0' * 32}", headers=headers).status_code
            for path, headers in ((DEVICE, {"authorization": f"Bearer {key}"}), ("ward-4", {}))
        }
        # What operators look at does not go through the gateway.
        beside = client.get("/v1/hub/devices", headers={"authorization": f"Bearer {key}"})

    assert asked == {DEVICE: 403, "ward-4": 401}
    assert beside.status_code in (401, 404)


def test_the_page_is_sent_as_it_was_exported(figures: Report) -> None:
    """Every file by its digest, and in its small form to who takes it; only what is named by its digest is kept."""
    listed: dict[str, str] = json.loads((PAGE / "integrity.json").read_text())["files"]
    with httpx.Client(base_url=f"https://{cluster.ADDRESS}", verify=cluster.trust(), timeout=60) as client:

        def raw(path: str, coding: str) -> tuple[httpx.Response, bytes]:
            with client.stream("GET", f"/site/{path}", headers={"accept-encoding": coding}) as answer:
                return answer, b"".join(answer.iter_raw())

        for path, digest in listed.items():
            answer, data = raw(path, "identity")
            assert (answer.status_code, hashlib.sha256(data).hexdigest()) == (200, digest), path
            lasting = path.startswith(("assets/", "models/"))
            assert answer.headers["cache-control"].endswith("immutable" if lasting else "no-cache"), path
        whole = [path for path in listed if not path.endswith((".gz", ".br"))]
        small = 0
        for path in whole:
            answer, data = raw(path, "gzip, br")
            ending = {"br": ".br", "gzip": ".gz", None: ""}[answer.headers.get("content-encoding")]
            assert hashlib.sha256(data).hexdigest() == listed[path + ending], path
            smallest = min(
                len((PAGE / f"{path}{end}").read_bytes()) for end in ("", ".gz", ".br") if path + end in listed
            )
            assert len(data) <= smallest + 64, path
            small += len(data)
        beside = {path: client.get(path).status_code for path in ("/site", "/site/nothing.js", "/site/../v1/hub")}
        refused = client.post("/site/index.html", content=b"x").status_code
        moved = client.get("/site").headers["location"]

    assert beside == {"/site": 301, "/site/nothing.js": 404, "/site/../v1/hub": 404}
    assert refused in (405, 413)
    assert moved.endswith("/site/")
    assert small <= 4_000_000
    figures.fact(f"The browser's page through the gateway: {len(whole)} files, {small / 1e6:.2f} MB over the wire.")


def test_a_browser_goes_on_offline_and_its_answers_arrive() -> None:
    """Opened from the cluster, cut off, asked, opened again, connected: the hub has the events, each once."""
    device = "tablet-1"
    chromium = programs.needed("chromium", "the page out of the cluster", "chromium-browser", "google-chrome")
    key = _hub("device", "add", device).strip()
    with sync_playwright() as playwright:
        # The release's authority is one that it made itself.
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--disable-gpu", "--ignore-certificate-errors"]
        )
        context = browser.new_context(ignore_https_errors=True)
        page = context.new_page()
        page.goto(f"https://{cluster.ADDRESS}/site/")
        exported_pages.settled(page)
        page.wait_for_function("navigator.serviceWorker.controller !== null")
        context.set_offline(True)
        page.reload()
        exported_pages.settled(page)
        page.get_by_role("button", name="Next golden row").click()
        expect(page.locator("#answer")).to_contain_text("as recorded in golden row 2", timeout=60_000)
        expect(page.locator("#saved")).to_contain_text("saved on this device", timeout=60_000)
        context.set_offline(False)
        page.get_by_label("Device", exact=True).fill(device)
        page.get_by_label("Key", exact=True).fill(key)
        page.get_by_role("button", name="Connect").click()
        expect(page.locator("#waiting")).to_have_text("0", timeout=60_000)
        browser.close()
    events = [json.loads(line)["event"] for line in _hub("events", "--device", device).splitlines()]

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    golden = bundles.build(1).golden()[1].to_records()
    assert {event["output"]["label"] for event in events} <= {row["label"] for row in golden}
    assert len(events) >= 2
