"""The device's process and the receiver's, from outside: started, listened to, killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from loadtest.edge.delivery_checker import Accepted
from loadtest.edge.outbox_writer import TOGETHER
from loadtest.machine.measurement import Failed
from loadtest.machine.programs import ROOT, direct

START_SECONDS: Final = 120.0


def environment() -> dict[str, str]:
    """Of the package beside this one."""
    return direct() | {"PYTHONPATH": f"{ROOT / 'services'}{os.pathsep}{ROOT}"}


class Device:
    """A device whose process is killed and started again; `accepted` is what its appends have returned for."""

    def __init__(self, file: Path, hub: str, threads: int, log: Path, *more: str) -> None:
        self._words = [sys.executable, "-m", "loadtest.edge.outbox_writer", str(file), "--hub", hub, *more]
        self._log = log
        self.next = [0] * threads
        """The number that each thread begins with."""
        self.accepted: list[Accepted] = []
        self.refused: list[str] = []
        self.starts = 0
        self._changed = threading.Condition()
        self._opened = False
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None

    def start(self, *more: str) -> None:
        """Start it; returns when the outbox is open. Raises `Failed`."""
        self._opened = False
        with self._log.open("ab") as log:
            words = [*self._words, "--from", ",".join(map(str, self.next)), *more]
            self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, env=environment(), cwd=ROOT)
        self._listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._listener.start()
        self.starts += 1
        with self._changed:
            if not self._changed.wait_for(lambda: self._opened, START_SECONDS):
                raise Failed(f"the device does not start: {self._log.read_text()[-500:]}")

    def wait_for(self, accepted: int, seconds: float) -> bool:
        """Wait until so many were accepted, in all lives together."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.accepted) >= accepted or bool(self.refused), seconds)

    def kill(self) -> None:
        """SIGKILL, and read what it has said until then."""
        assert self._process is not None
        assert self._listener is not None
        self._process.kill()
        self._process.wait()
        self._listener.join()
        # The append that was cut off has numbers of its own, which are not given again.
        self.next = [number + TOGETHER for number in self.next]

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with self._changed:
                    self._heard(line)
                    self._changed.notify_all()

    def _heard(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            return
        if line == b"open\n":
            self._opened = True
        elif line.startswith(b"refused"):
            self.refused.append(line.decode().strip())
        else:
            lane, *numbers = line.decode().split()
            seq, thread, number, count = map(int, numbers)
            self.accepted += [Accepted(lane, seq + at, thread, number + at) for at in range(count)]
            self.next[thread] = number + count


class Receiver:
    """The receiver's process; it keeps its port when it is killed and started again."""

    key = "key"
    """The device's."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.port = 0
        self.lines = 0
        self.marks: dict[str, int] = {}
        self.starts = 0
        self._changed = threading.Condition()
        self.start()

    def start(self) -> None:
        """Start it; returns when it listens. Raises `Failed`."""
        words = [sys.executable, "-m", "loadtest.edge.event_receiver", str(self.file), "--port", str(self.port)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment(), cwd=ROOT)
        assert self._process.stdout is not None
        first = self._process.stdout.readline().split()
        if len(first) != 2:
            raise Failed("the receiver does not start")
        self.port = int(first[1])
        self.starts += 1
        self._listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._listener.start()

    def wait_for(self, lines: int, seconds: float) -> bool:
        """Wait until it has stored so many lines."""
        with self._changed:
            return self._changed.wait_for(lambda: self.lines >= lines, seconds)

    def wait_until_all(self, accepted: Iterable[Accepted], idle: float) -> bool:
        """Wait until every lane has come to the last that was accepted; False where nothing has moved for so long."""
        last: dict[str, int] = {}
        for each in accepted:
            last[each.lane] = max(each.seq, last.get(each.lane, 0))
        while any(self.marks.get(lane, 0) < seq for lane, seq in last.items()):
            if not self.wait_for(self.lines + 1, idle):
                return False
        return True

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()
        self._listener.join()

    def end(self) -> None:
        """Kill it for good."""
        self.kill()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                lines, lane, mark = line.decode().split()
                with self._changed:
                    self.lines, self.marks[lane] = int(lines), int(mark)
                    self._changed.notify_all()


def spread(count: int, total: int, draw: random.Random) -> list[int]:
    """So many points of a whole, ascending, anywhere in it."""
    return sorted(draw.randrange(total) for _ in range(count))
