"""How fast events become durable, and how fast a backlog empties on loopback; beside the disk's own pace.

    python -m loadtest.edge throughput

Threads append events of some 300 bytes one at a time, as a gateway's requests do, into a file on this disk. A sender
then empties it into the receiver, in a process of its own. As the disk decides, its synchronisations a second are
measured right before, by themselves.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fivefold.edge.outbox import Outbox
from fivefold.edge.sync.sender import Sender
from loadtest.edge.device import Receiver

THREADS: Final = (1, 8, 64)
BODY: Final = b'{"at":"0","kind":"prediction","t":0,"n":%d,"x":"' + b"x" * 250 + b'"}'


@dataclass
class OutboxRates:
    """Events a second, the median of the rounds."""

    syncs: float
    appended: dict[int, float]
    drained: float
    drained_cpu: float
    """For each second of the sender's CPU time."""

    def rows(self) -> list[tuple[str, str]]:
        """The table."""
        return [
            ("synchronisations of the disk a second, alone", f"{self.syncs:,.0f}"),
            *(
                (
                    f"durable events a second, {threads} thread{'s' if threads > 1 else ''}; for each synchronisation",
                    f"{rate:,.0f}; {rate / self.syncs:.2f}",
                )
                for threads, rate in self.appended.items()
            ),
            ("events a second, a backlog that empties", f"{self.drained:,.0f}"),
            ("… events for each second of the sender's CPU time", f"{self.drained_cpu:,.0f}"),
        ]


def measure(directory: Path, rounds: int, seconds: float, backlog: int) -> OutboxRates:
    """Rounds of all of it, in turn."""
    syncs = []
    drained: list[tuple[float, float]] = []
    appended: dict[int, list[float]] = {threads: [] for threads in THREADS}
    for number in range(rounds):
        place = directory / str(number)
        place.mkdir()
        syncs.append(_syncs(place / "sync", seconds / 2))
        with Outbox(place / "outbox.sqlite", quota_bytes=10**10) as outbox:
            for threads in THREADS:
                appended[threads].append(_append(outbox, threads, seconds))
            _backlog(outbox, backlog)
            drained.append(_drain(outbox, place / "arrived.txt"))
    return OutboxRates(
        statistics.median(syncs),
        {threads: statistics.median(rates) for threads, rates in appended.items()},
        statistics.median(wall for wall, _ in drained),
        statistics.median(cpu for _, cpu in drained),
    )


def _syncs(path: Path, seconds: float) -> float:
    began, count = time.monotonic(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    while (spent := time.monotonic() - began) < seconds:
        os.write(descriptor, bytes(4096))
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    return count / spent


def _append(outbox: Outbox, threads: int, seconds: float) -> float:
    counts = [0] * threads
    until = time.monotonic() + seconds

    def one(thread: int) -> None:
        while time.monotonic() < until:
            outbox.append("bulk", [(str(uuid.uuid4()), BODY % counts[thread])])
            counts[thread] += 1

    running = [threading.Thread(target=one, args=(thread,)) for thread in range(threads)]
    began = time.monotonic()
    for each in running:
        each.start()
    for each in running:
        each.join()
    return sum(counts) / (time.monotonic() - began)


def _backlog(outbox: Outbox, events: int) -> None:
    missing = events - outbox.status().events
    while missing > 0:
        outbox.append("bulk", [(str(uuid.uuid4()), BODY % at) for at in range(min(missing, 1000))])
        missing -= 1000


def _drain(outbox: Outbox, arrived: Path) -> tuple[float, float]:
    """Events a second, of the wall and of this process's CPU."""
    receiver = Receiver(arrived)
    sender = Sender(outbox, f"http://127.0.0.1:{receiver.port}", "device-1", "key")
    try:
        sender.step()
        events, began, cpu = outbox.status().events, time.monotonic(), time.process_time()
        while sender.step():
            pass
        return events / (time.monotonic() - began), events / (time.process_time() - cpu)
    finally:
        sender.close()
        receiver.kill()
