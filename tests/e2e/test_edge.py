"""A gateway on this machine and the hub in the cluster: both are killed, and each accepted event is there once."""

from __future__ import annotations

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

from tests.e2e import bundles, cluster
from tests.e2e.report import Report

pytestmark = pytest.mark.e2e

VALUES = "k8s/kind/hub.yaml"
HUB = f"{cluster.NAME}-hub"
STORE = "--data=/data/hub"
DEVICE = "ward-3"
EVENTS = 40
"""Between two disturbances."""


@pytest.fixture(scope="module", autouse=True)
def hub() -> Iterator[None]:
    """A hub beside a release that serves as before; at the end it is gone, and its claim with it."""
    cluster.upgrade(bundles.paths(bundles.build(1)), ARGS=f"-f {VALUES}")
    cluster.until("the hub", _ready)
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
