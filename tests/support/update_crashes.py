"""A device's updates, killed before their operations on files: `python -m tests.support.update_crashes DIR EVERY`.

The process forks; the child plays a part of a device's life and is killed with SIGKILL before the n-th operation on a
file, for every EVERY-th n until it comes through. After each death the parent opens what the device would serve, and
has it live that part again, to the end that it has without a death. Prints how many deaths there were in each part.

A process of its own, with one thread: forking a test's would copy whatever threads it has.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid
from fivefold.edge.updates.device_models import DeviceModels
from fivefold.edge.updates.release_source import DirectorySource
from fivefold.edge.updates.updater import Updater, UpdateRules
from tests.support.bundles import write_sum
from tests.support.releases import TRUSTED, released

EVENTS = (
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "os.link",
    "os.symlink",
    "os.scandir",
)


def main(directory: str, every: int) -> int:
    home = Path(directory)
    logging.disable()
    initial = home / "initial"
    write_sum(initial, version="0")
    sticks = {number: released(home / f"release-{number}", number) for number in (1, 2, 3)}
    start = home / "device-0"
    start.mkdir()
    for name, play, serves in (
        ("first", lambda device: take(device, sticks[1]), {"0", "1"}),
        ("next", lambda device: take(device, sticks[2]), {"1", "2"}),
        ("refused", lambda device: refuse(device, sticks[3]), {"2"}),
        ("damaged", damage, {"1", "2"}),
        ("again", lambda device: take(device, sticks[2]), {"1", "2"}),
        ("back", lambda device: go_back(device, released_once(home, sticks)), {"2", "4"}),
    ):
        start = part(home, name, start, initial, play, serves, every)
    return 0


def released_once(home: Path, sticks: dict[int, Path]) -> Path:
    if 4 not in sticks:
        sticks[4] = released(home / "release-4", 4)
    return sticks[4]


def part(
    home: Path, name: str, before: Path, initial: Path, play: Callable[[Device], None], serves: set[str], every: int
) -> Path:
    """Play a part of the life without a death, then with one at each operation; returns the device after it."""
    end = home / f"after-{name}"
    shutil.copytree(before, end)
    play(Device(end, initial))
    wanted = Device(end, initial).summary()
    deaths = 0
    while True:
        device = home / "dying"
        shutil.rmtree(device, ignore_errors=True)
        shutil.copytree(before, device)
        pid = os.fork()
        if pid == 0:
            die_before(deaths * every + 1, device)
            play(Device(device, initial))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0, name
            break
        deaths += 1
        # A device that has died starts again, and serves what was verified.
        bundle = Bundle.open(Device(device, initial).updater().active("demo"))
        assert bundle.version in serves, (name, deaths, bundle.version)
        play(Device(device, initial))
        found = Device(device, initial).summary()
        assert found == wanted, (name, deaths, found, wanted)
    print(name, deaths)
    assert deaths
    return end


def die_before(operation: int, root: Path) -> None:
    """This process dies before its n-th operation on a file below `root`."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in EVENTS and any(str(root) in str(argument) for argument in arguments):
            count += 1
            if count == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


class Device:
    def __init__(self, root: Path, initial: Path) -> None:
        self.models = DeviceModels(root, {"demo": initial})
        self.at_fault = False

    def updater(self) -> Updater:
        return Updater(self.models, TRUSTED, examiner=self.examine, rules=UpdateRules(probation=0, reserve=0))

    def examine(self, *_: Any) -> None:
        if self.at_fault:
            raise BundleInvalid("it answers differently")

    def summary(self) -> Any:
        state = self.models.state("demo")
        archives = sorted(path.name for path in (self.models.root / "demo" / "archives").iterdir())
        # A start counts also where the process died right behind it.
        served = Bundle.open(self.models.active("demo")).version
        return state.highest, state.active, state.previous, state.testing, state.ended, state.damaged, archives, served


def boot(device: Device) -> Updater:
    updater = device.updater()
    updater.start()
    updater.active("demo")
    return updater


def bring(device: Device, stick: Path) -> None:
    source = DirectorySource(stick)
    device.updater().install(source.offers()[0], source)


def take(device: Device, stick: Path) -> None:
    bring(device, stick)
    boot(device).ready()


def refuse(device: Device, stick: Path) -> None:
    device.at_fault = True
    with contextlib.suppress(BundleInvalid):
        bring(device, stick)
    boot(device).ready()


def damage(device: Device) -> None:
    active = device.models.state("demo").active
    if active is not None and active.release == 2:
        path = device.models.archive("demo", active.archive)
        if path.exists():
            path.write_bytes(b"worn out")
    boot(device).ready()
    # The second start finds that nobody names the damaged archive any more.
    boot(device).ready()


def go_back(device: Device, stick: Path) -> None:
    bring(device, stick)
    while device.models.state("demo").testing:
        # None of these starts gets ready.
        boot(device)
    boot(device).ready()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
