"""Gateways in this process, each on a thread and a loop of its own, and what lies in their outboxes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from fivefold.delivery.settings import DeliverySettings
from fivefold.edge.gateway.gateway_process import OUTBOX, Gateway, Updater
from fivefold.edge.gateway.gateway_settings import GatewaySettings
from fivefold.edge.gateway.gateway_updates import GatewayUpdates
from fivefold.edge.outbox import inspection
from fivefold.local.signals import StopSignals
from tests.support.score_commands import environment

SECONDS = 60.0
"""The longest that a test waits for anything."""


class Running:
    """A gateway that answers, and a client of it."""

    def __init__(self, gateway: Gateway, stop: StopSignals) -> None:
        self.gateway, self.stop = gateway, stop
        self.client = httpx.Client(base_url=f"http://{gateway.http}", timeout=SECONDS)

    def ask(self, *records: dict[str, Any], model: str = "demo", **headers: str) -> httpx.Response:
        """Ask for predictions by V1; `x_fivefold_lane="alerts"` is a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(f"/v1/models/{model}:predict", json={"instances": records}, headers=named)

    def metric(self, name: str) -> float:
        """A metric's value, its labels given as they stand in the text."""
        lines = self.client.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).rpartition(" ")[2])


def settings(directory: Path, **given: Any) -> GatewaySettings:
    """Settings on a free port."""
    defaults: dict[str, Any] = {"http": "127.0.0.1:0", "data": str(directory / "data"), "log_sample": 0.0}
    return GatewaySettings(**(defaults | given))


@contextmanager
def running(
    directory: Path,
    bundles: Sequence[Path],
    *,
    updater: Updater | None = None,
    updates: GatewayUpdates | None = None,
    **given: Any,
) -> Iterator[Running]:
    """A gateway of bundles, with its data below the directory; `updates` names them itself, and keeps them new."""
    names, status = [str(bundle) for bundle in bundles], None
    if updates is not None:
        names, status, updater = updates.models(), updates.status, updates.run
    gateway = Gateway(names, settings(directory, **given), DeliverySettings(), updates=status)
    stop, ready = StopSignals(), threading.Event()
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            gateway.run(stop, ready=ready.set, updater=updater)
        except BaseException as error:
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=serve, name="gateway")
    thread.start()
    try:
        assert ready.wait(SECONDS)
        assert not failed, failed
        with contextmanager(_closing)(Running(gateway, stop)) as out:
            yield out
    finally:
        stop()
        thread.join(SECONDS)
        gateway.close()
        stop.close()
    assert not failed, failed


def _closing(running: Running) -> Iterator[Running]:
    try:
        yield running
    finally:
        running.client.close()


@contextmanager
def process(directory: Path, bundle: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A gateway as a process, and where it answers."""
    data = directory / "data"
    words = ["--model", str(bundle), "--data", str(data), "--http", "127.0.0.1:0", *more]
    started = subprocess.Popen(
        [sys.executable, "-m", "fivefold.cli", "gateway", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
    )
    try:
        assert started.stdout is not None
        for line in started.stdout:
            if line.startswith("Ctrl-C"):
                break
        assert started.poll() is None
        yield started, json.loads((data / "gateway.json").read_bytes())["http"]
    finally:
        started.kill()
        started.communicate()


def events(directory: Path, lane: str = "bulk") -> list[dict[str, Any]]:
    """What waits in a lane of the outbox below the directory, with its numbers."""
    stored = inspection.show(directory / "data" / OUTBOX, lane=lane)
    return [{"seq": each.seq, "id": each.id, **(json.loads(each.body) if each.body else {})} for each in stored]


def eventually(right: Callable[[], bool]) -> None:
    """Wait until something is right."""
    deadline = time.monotonic() + SECONDS
    while not right():
        assert time.monotonic() < deadline, "it did not become right"
        time.sleep(0.01)
