"""An outbox on a disk that fills up: a tmpfs of a few MiB, in a mount namespace of this process's own.

    python -m loadtest.edge disk-full

In turn: the disk is filled by somebody else while the device appends; what is accepted is sent and forgotten while the
disk is still full; room comes back and it goes on. Then the same with a quota under `drop_oldest`, and kills. Whatever
was accepted has to arrive, or be in a gap record of the quota's; an append that did not fit has to say so.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.edge.delivery_checker import DeliveryVerdict, check, read_arrived
from loadtest.edge.device import Device, Receiver, environment
from loadtest.machine.measurement import Failed, NotMeasured
from loadtest.machine.programs import ROOT

DISK_MIB: Final = 12
SECONDS: Final = 60.0
QUOTA: Final = 2_000_000
KILLS: Final = 5


@dataclass
class DiskFullResult:
    """What both parts have come to."""

    full: DeliveryVerdict
    refused: int
    """Appends that were refused for the disk, one for each thread and start."""
    freed_when_full: bool
    quota: DeliveryVerdict
    quota_kills: int

    @property
    def holds(self) -> bool:
        return self.full.holds and self.quota.holds and self.refused > 0 and self.freed_when_full

    def rows(self) -> list[tuple[str, str]]:
        """The table."""
        return [
            ("disk full: accepted, arrived", f"{self.full.accepted:,}, {self.full.arrived:,}"),
            ("… appends refused for it", f"{self.refused:,}"),
            ("… sent and forgotten while it is full", "yes" if self.freed_when_full else "no"),
            ("… wrong", f"{sum(self.full.counts.values()):,}"),
            ("quota, drop_oldest: accepted", f"{self.quota.accepted:,}"),
            ("… arrived, covered by gap records", f"{self.quota.arrived:,}, {self.quota.covered:,}"),
            ("… kills", f"{self.quota_kills}"),
            ("… wrong", f"{sum(self.quota.counts.values()):,}"),
        ]


def in_own_namespace(words: list[str]) -> int:
    """Run this command again where it may mount. Raises `NotMeasured`."""
    inner = [sys.executable, "-m", "loadtest.edge", "disk-full", "--mounted", *words]
    try:
        probe = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    except FileNotFoundError:
        raise NotMeasured("there is no unshare here", "util-linux has it") from None
    if probe.returncode:
        raise NotMeasured("this machine allows no mount namespace", "run it as root")
    return subprocess.run(["unshare", "-rm", *inner], env=environment(), cwd=ROOT, check=False).returncode


def mount(directory: Path) -> None:
    """A small disk of memory. Raises `Failed`."""
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(directory)]
    if subprocess.run(words, check=False).returncode:
        raise Failed("the small disk cannot be mounted")


def measure(directory: Path) -> DiskFullResult:
    """Both parts; `directory` is for what does not lie on the small disk."""
    disk = directory / "disk"
    disk.mkdir()
    mount(disk)
    full, refused, freed = _full(directory, disk)
    quota = _quota(directory, disk)
    return DiskFullResult(full, refused, freed, quota, KILLS)


def _full(directory: Path, disk: Path) -> tuple[DeliveryVerdict, int, bool]:
    log = directory / "full.log"
    receiver = Receiver(directory / "full.txt")
    device = Device(disk / "outbox.sqlite", f"http://127.0.0.1:{receiver.port}", 4, log)
    nobody = Device(disk / "outbox.sqlite", "http://127.0.0.1:9", 4, log)
    try:
        # No hub: the outbox has the disk until it is full.
        nobody.start("--clock", "1795953600000,500")
        nobody.wait_for(10**9, SECONDS)
        _fill(disk / "filler")
        nobody.kill()
        # Killed on a full disk, and opened there: with a hub, everything goes, and then there is room.
        device.next = nobody.next
        device.start("--silent")
        freed = receiver.wait_until_all(nobody.accepted, SECONDS)
        device.kill()
        (disk / "filler").unlink()
        device.start("--pause", "0.02")
        device.wait_for(500, SECONDS)
        device.kill()
        device.start("--silent")
        receiver.wait_until_all([*nobody.accepted, *device.accepted], SECONDS)
        device.kill()
    finally:
        receiver.kill()
    verdict = check([*nobody.accepted, *device.accepted], read_arrived(receiver.file))
    return verdict, len(nobody.refused) + len(device.refused), freed


def _quota(directory: Path, disk: Path) -> DeliveryVerdict:
    for each in disk.iterdir():
        each.unlink()
    receiver = Receiver(directory / "quota.txt")
    hub = f"http://127.0.0.1:{receiver.port}"
    policy = ("--quota", str(QUOTA), "--policy", "drop_oldest")
    device = Device(disk / "outbox.sqlite", hub, 4, directory / "quota.log", *policy)
    away = Device(disk / "outbox.sqlite", "http://127.0.0.1:9", 4, directory / "quota.log", *policy)
    try:
        for round_ in range(KILLS):
            # In turn with a hub and without one.
            one, other = (away, device) if round_ % 2 == 0 else (device, away)
            one.start("--clock", "1795953600000,500")
            one.wait_for(len(one.accepted) + 15_000, SECONDS)
            one.kill()
            other.next = one.next
        device.start("--silent")
        receiver.wait_until_all([*away.accepted, *device.accepted], SECONDS)
        device.kill()
    finally:
        receiver.kill()
    return check([*away.accepted, *device.accepted], read_arrived(receiver.file), gaps=True)


def _fill(path: Path) -> None:
    """Take what is left of the disk."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            # The last pages are taken one by one.
            if file.write(bytes(4096)) < 4096:
                return
