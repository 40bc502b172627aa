"""Many devices at once on one hub: how many events a second are stored, how long a batch waits, what the hub takes.

    python -m loadtest.edge devices --devices 1000

Every device sends its batches one after the other, some dozens of devices at a time, from this process; the hub is a
process of its own on the same machine and disk. A third of the batches is sent twice, as after a lost answer. At the
end the hub's own list of devices is asked for, and its store is counted: each event once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from fivefold.edge.hub.device_register import add_device
from fivefold.edge.hub.event_ledger import head_position
from fivefold.edge.hub.store_opening import open_database
from fivefold.edge.outbox.stored import Stored
from fivefold.edge.sync.lane_batches import encode_batch
from fivefold.edge.sync.lane_protocol import MEDIA_TYPE, OUTBOX_HEADER, events_path
from loadtest.machine.programs import ROOT

OUTBOX: Final = "0" * 32
BODY: Final = b'{"at":"2026-01-01T00:00:00.000Z","kind":"prediction","n":%d,"x":"' + b"x" * 250 + b'"}'
TWICE: Final = 3
"""Every third batch is sent again."""


@dataclass
class DevicesResult:
    """What was measured; times in seconds."""

    devices: int
    events: int
    stored: int
    seconds: float
    waits: list[float]
    """Of each batch, until its answer."""
    busy: int
    """Answers that asked to come again."""
    listing: float
    """The median of ten askings for the first 1,000 devices."""
    memory: int
    """Of the hub at its largest, in bytes."""

    @property
    def holds(self) -> bool:
        """Whether every event is there once."""
        return self.stored == self.events

    def rows(self) -> list[tuple[str, str]]:
        """The table."""
        waits = sorted(self.waits)
        return [
            ("devices", f"{self.devices:,}"),
            ("events stored, of those sent", f"{self.stored:,} of {self.events:,}"),
            ("events a second", f"{self.events / self.seconds:,.0f}"),
            ("a batch's wait, median", f"{statistics.median(waits) * 1000:,.0f} ms"),
            ("a batch's wait, 99 of 100", f"{waits[int(len(waits) * 0.99)] * 1000:,.0f} ms"),
            ("batches that were asked to come again", f"{self.busy:,}"),
            ("the list of 1,000 devices", f"{self.listing * 1000:,.0f} ms"),
            ("the hub's memory at its largest", f"{self.memory / 2**20:,.0f} MiB"),
        ]


def measure(scratch: Path, devices: int, events: int, batch: int, at_once: int, url: str | None) -> DevicesResult:
    """Run a hub and its devices: `events` of each device, `batch` in a request, `at_once` devices at a time.

    `url` is a Postgres to use instead of a directory; it has to be empty.
    """
    names = [f"device-{each:05d}" for each in range(devices)]
    with contextlib.closing(open_database(str(scratch / "hub"), url)) as database, database.transaction() as connection:
        keys = {name: add_device(connection, name) for name in names}
    with _hub(scratch, url) as (address, process):
        begun = time.monotonic()
        waits, busy = asyncio.run(_send(address, keys, events, batch, at_once))
        seconds = time.monotonic() - begun
        listing = statistics.median(_list(address, min(devices, 1000)) for _ in range(10))
        memory = _largest(process.pid)
    with contextlib.closing(open_database(str(scratch / "hub"), url)) as database, database.reading() as connection:
        stored = head_position(connection)
    return DevicesResult(devices, devices * events, stored, seconds, waits, busy, listing, memory)


@contextlib.contextmanager
def _hub(scratch: Path, url: str | None) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    place = ["--database", url] if url else ["--data", str(scratch / "hub")]
    words = [sys.executable, "-m", "fivefold", "hub", "serve", "--http", "127.0.0.1:0", *place]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        try:
            first = process.stderr.readline()
            found = re.search(r"http://\S+", first)
            if found is None:
                raise RuntimeError(first + process.stderr.read())
            yield found[0], process
        finally:
            process.terminate()
            process.wait()


async def _send(address: str, keys: dict[str, str], events: int, batch: int, at_once: int) -> tuple[list[float], int]:
    room = asyncio.Semaphore(at_once)
    waits: list[float] = []
    busy = 0
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=120, verify=False) as client:

        async def device(name: str, key: str) -> None:
            nonlocal busy
            headers = {"authorization": f"Bearer {key}", OUTBOX_HEADER: OUTBOX, "content-type": MEDIA_TYPE}
            headers["content-encoding"] = "gzip"
            async with room:
                for number, first in enumerate(range(1, events + 1, batch)):
                    some = range(first, min(first + batch, events + 1))
                    content = encode_batch([Stored("bulk", seq, f"{name}-{seq}", BODY % seq, 0) for seq in some]).body
                    for _ in range(2 if number % TWICE == 0 else 1):
                        begun = time.monotonic()
                        while True:
                            answer = await client.post(events_path(name, "bulk"), content=content, headers=headers)
                            if answer.status_code not in (429, 503):
                                break
                            busy += 1
                            await asyncio.sleep(float(answer.headers["retry-after"]) * random.random())
                        waits.append(time.monotonic() - begun)
                        answer.raise_for_status()
                        if json.loads(answer.content) != {"acked_through": some[-1], "rejected": []}:
                            raise RuntimeError(f"{name} at {first}: {answer.text}")

        await asyncio.gather(*(device(name, key) for name, key in keys.items()))
    return waits, busy


def _list(address: str, devices: int) -> float:
    begun = time.monotonic()
    answer = httpx.get(f"{address}/v1/hub/devices", params={"limit": 1000}, verify=False)
    found = len(answer.raise_for_status().json()["devices"])
    if found != devices:
        raise RuntimeError(f"expected {devices} devices, the hub lists {found}")
    return time.monotonic() - begun


def _largest(pid: int) -> int:
    """The largest resident set that a process has had (proc(5), VmHWM), in bytes."""
    found = re.search(r"VmHWM:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0
