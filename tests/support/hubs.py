"""Hubs to test against: a real one in a thread, or as a process that may be killed, and lines as devices send them."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import httpx

from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_register import add_device
from fivefold.edge.hub.hub_limits import HubSettings
from fivefold.edge.hub.hub_process import OpenForwarder, answer_until, listening
from fivefold.local.signals import StopSignals

OUTBOX = "0123456789abcdef" * 2


def event(seq: int, value: object = 0) -> bytes:
    """A prediction as a line."""
    members = {"model": "m", "version": "1", "contract": "c@1", "bundle": "sha256:00", "input": {"x": value}}
    about = {"id": f"e-{seq}", "at": "2026-11-29T12:00:00.123Z", "kind": "prediction"}
    return json.dumps({"seq": seq, **about, **members, "output": {"y": value}}).encode()


def gap(first: int, last: int, reason: str = "quota") -> bytes:
    """A gap record as a line."""
    about = {"from_seq": first, "to_seq": last, "count": last - first + 1, "reason": reason}
    return json.dumps({"seq": last, "kind": "gap", **about, "at": "2026-11-29T12:00:00.123Z"}).encode()


def body(*lines: bytes) -> bytes:
    """Lines as one request has them."""
    return b"".join(line + b"\n" for line in lines)


class HubClient:
    """One device, or somebody who shows its key."""

    def __init__(self, url: str, device: str, key: str, outbox: str = OUTBOX) -> None:
        self.device, self.outbox = device, outbox
        headers = {"authorization": f"Bearer {key}"}
        # Nothing here is encrypted; reading the system's certificates would take most of a client's time.
        self.http = httpx.Client(base_url=url, headers=headers, timeout=30, verify=False)

    def send(
        self, lines: Sequence[bytes] | bytes, lane: str = "bulk", *, packed: bool = False, **headers: str
    ) -> httpx.Response:
        """Post lines, or a body as it is."""
        content = lines if isinstance(lines, bytes) else body(*lines)
        given = {"x-fivefold-outbox": self.outbox, "content-type": "application/x-ndjson"}
        if packed:
            content, given["content-encoding"] = gzip.compress(content), "gzip"
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(f"/v1/edge/{self.device}/lanes/{lane}/events", content=content, headers=given)

    def watermarks(self) -> dict[str, int]:
        """What the hub has of the outbox."""
        answer = self.http.get(f"/v1/edge/{self.device}/watermark", params={"outbox": self.outbox})
        found: dict[str, int] = answer.raise_for_status().json()["lanes"]
        return found

    def close(self) -> None:
        self.http.close()


class RunningHub:
    """A hub in a thread of this process."""

    def __init__(
        self, database: HubDatabase, forwarder: OpenForwarder | None = None, target: str = "", **given: Any
    ) -> None:
        self.database = database
        self._stop = StopSignals()
        self._stack = contextlib.ExitStack()
        listener = self._stack.enter_context(listening("127.0.0.1:0"))
        self.port: int = listener.getsockname()[1]
        settings = HubSettings(http=f"127.0.0.1:{self.port}", **given)
        scheme = "https" if settings.certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        work = answer_until(self._stop, database, settings, listener, forwarder, target)
        self._thread = threading.Thread(target=lambda: asyncio.run(work), name="hub")
        self._thread.start()

    def device(self, id: str, outbox: str = OUTBOX) -> HubClient:
        """A new device."""
        with self.database.transaction() as connection:
            key = add_device(connection, id)
        return self._stack.enter_context(contextlib.closing(HubClient(self.url, id, key, outbox)))

    def close(self) -> None:
        self._stop()
        self._thread.join()
        self._stack.close()
        self._stop.close()


@contextlib.contextmanager
def running_hub(database: HubDatabase, *given: Any, **named: Any) -> Iterator[RunningHub]:
    """A hub for the length of a `with`; the store stays open."""
    made = RunningHub(database, *given, **named)
    try:
        yield made
    finally:
        made.close()


def start_hub(port: int, *words: str) -> subprocess.Popen[bytes]:
    """`fivefold hub serve` as a process that answers at a port when this returns."""
    root = Path(__file__).parents[2]
    environ = {**os.environ, "PYTHONPATH": f"{root / 'services'}:{root}"}
    line = [sys.executable, "-m", "fivefold", "hub", "serve", "--http", f"127.0.0.1:{port}", *words]
    process = subprocess.Popen(line, env=environ, stderr=subprocess.PIPE)
    assert process.stderr is not None
    first = process.stderr.readline()
    if not first.startswith(b"hub "):
        raise RuntimeError((first + process.stderr.read()).decode())
    # What it says further goes nowhere, and must not fill the pipe.
    threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()
    return process


def _drain(pipe: IO[bytes]) -> None:
    with pipe:
        pipe.read()
