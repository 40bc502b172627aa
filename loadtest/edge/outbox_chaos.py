"""Days without a network, a device's process killed at random, then a torn network; the checker decides.

In `--days` of the device's clock, which runs faster than ours and is set back and forth at every start, the device
accepts `--events` while the network is down, and is killed three times in five. Then the network comes back, torn, and
the device is killed for the rest, as is the receiver, now and then, while the backlog empties and more is accepted.
Last, everything is left to arrive.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loadtest.edge import selftest
from loadtest.edge.delivery_checker import DeliveryVerdict, check, read_arrived
from loadtest.edge.device import Device, Receiver, spread
from loadtest.edge.fivefold_hub import FivefoldHub
from loadtest.edge.torn_network import CLEAR, TORN, TornNetwork
from loadtest.machine.measurement import Failed, say

OFFLINE: Final = 0.6
"""Of the kills, what comes while the network is down."""
LATER: Final = 0.05
"""Of the events, what is accepted while the backlog empties."""
RECEIVER_KILLS: Final = 10
"""The receiver is killed once in so many kills of the second part."""
BEGIN_MS: Final = 1_795_953_600_000
IDLE_SECONDS: Final = 120.0
DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class OutboxChaosSettings:
    """What a run is made of."""

    days: float
    events: int
    kills: int
    threads: int
    seed: int
    speed: float
    """How much faster the device's clock runs."""
    hub: bool = False
    """Whether Fivefold's own hub receives."""


@dataclass
class OutboxChaosResult:
    """What a run has done, and the checker's verdict."""

    settings: OutboxChaosSettings
    verdict: DeliveryVerdict = field(default_factory=DeliveryVerdict)
    kills: int = 0
    receiver_kills: int = 0
    cuts: Counter[str] = field(default_factory=Counter)
    outbox_bytes: int = 0
    """Of the file, when most was in it."""
    seconds: float = 0.0
    draining_seconds: float = 0.0

    def rows(self) -> list[tuple[str, str]]:
        """The table."""
        verdict = self.verdict
        return [
            ("events accepted", f"{verdict.accepted:,}"),
            ("arrived", f"{verdict.arrived:,}"),
            ("… of appends that a kill cut off before they could say so", f"{verdict.unannounced:,}"),
            *((kind, f"{verdict.counts[kind]:,}") for kind in _CHECKED),
            ("kills of the device, of the receiver", f"{self.kills}, {self.receiver_kills}"),
            ("connections cut", ", ".join(f"{count:,} {where}" for where, count in sorted(self.cuts.items()))),
            ("times that an event's clock was behind the one before", f"{verdict.clock_went_back:,}"),
            ("bytes of the outbox at its largest", f"{self.outbox_bytes:,}"),
        ]


_CHECKED: Final = (
    "accepted events that did not arrive",
    "events that arrived twice",
    "out of the order of their lane or thread",
    "other than what was accepted under that number",
    "in gap records that nobody asked for",
)


class OutboxChaos:
    """One run, in a directory of its own."""

    def __init__(self, settings: OutboxChaosSettings, directory: Path) -> None:
        self.settings, self.directory = settings, directory
        self._draw = random.Random(settings.seed)
        self._file = directory / "outbox.sqlite"
        self.result = OutboxChaosResult(settings)

    def run(self) -> OutboxChaosResult:
        """Raises `Failed` where it cannot be judged."""
        if missed := selftest.misses():
            raise Failed("; ".join(missed))
        began = time.monotonic()
        receiver = (
            FivefoldHub(self.directory / "hub") if self.settings.hub else Receiver(self.directory / "arrived.txt")
        )
        network = TornNetwork(receiver.port, self.settings.seed)
        hub = f"http://127.0.0.1:{network.port}"
        device = Device(self._file, hub, self.settings.threads, self.directory / "device.log", "--key", receiver.key)
        try:
            self._offline(device)
            self.result.outbox_bytes = self._file.stat().st_size
            draining = time.monotonic()
            network.set(TORN)
            self._torn(device, receiver)
            network.set(CLEAR)
            self._drain(device, receiver)
            self.result.draining_seconds = time.monotonic() - draining
        finally:
            device.kill()
            receiver.end()
            network.close()
        self.result.cuts = network.cuts
        self.result.verdict = check(device.accepted, read_arrived(receiver.file))
        self.result.seconds = time.monotonic() - began
        return self.result

    def _clock(self, part: float) -> str:
        """The device's clock at a start: where it should be, give or take three days."""
        at = BEGIN_MS + int(part * self.settings.days * DAY_MS) + self._draw.randrange(-3 * DAY_MS, 3 * DAY_MS)
        return f"{at},{self.settings.speed}"

    def _start(self, device: Device, part: float, *more: str) -> None:
        device.start("--clock", self._clock(part), *more)

    def _kill(self, device: Device, part: float, *more: str) -> None:
        device.kill()
        self.result.kills += 1
        if self.result.kills % 20 == 0:
            say(f"{self.result.kills} kills, {len(device.accepted):,} events accepted")
        self._start(device, part, *more)

    def _offline(self, device: Device) -> None:
        total = int(self.settings.events * (1 - LATER))
        self._start(device, 0.0)
        for at in spread(int(self.settings.kills * OFFLINE), total, self._draw):
            self._accepted(device, at)
            # Anywhere in what an append does.
            time.sleep(self._draw.uniform(0, 0.05))
            self._kill(device, at / total)
        self._accepted(device, total)

    def _torn(self, device: Device, receiver: Receiver) -> None:
        kills = self.settings.kills - self.result.kills
        pause = ("--pause", "0.5")
        self._kill(device, 1.0, *pause)
        # By time too: with a torn network it may be long until the next one has arrived.
        points = spread(kills - 1, int(len(device.accepted) * 0.9), self._draw)
        for number, at in enumerate(points):
            receiver.wait_for(at, self._draw.uniform(0.5, 8.0))
            if number % RECEIVER_KILLS == RECEIVER_KILLS - 1:
                receiver.kill()
                self.result.receiver_kills += 1
                receiver.start()
            self._kill(device, 1.0, *pause)

    def _drain(self, device: Device, receiver: Receiver) -> None:
        """Let the rest be accepted, and everything arrive."""
        self._kill(device, 1.0)
        self._accepted(device, self.settings.events)
        device.kill()
        # Nothing new from here on: a sender alone.
        device.start("--silent")
        if not receiver.wait_until_all(device.accepted, IDLE_SECONDS):
            say(f"nothing has arrived for {IDLE_SECONDS:.0f} s")

    def _accepted(self, device: Device, count: int) -> None:
        before = -1
        while not device.wait_for(count, IDLE_SECONDS):
            if device.refused or len(device.accepted) == before:
                raise Failed(f"the device accepts nothing more: {device.refused[:1]}")
            before = len(device.accepted)
