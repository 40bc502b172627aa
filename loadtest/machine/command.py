"""One command while it runs: how long it takes, which of its processes hold the model, and their memory.

A process holds the model when it has mapped the model runtime. The first process of a command counts only where no
other one does: it may plan and wait. What a command is told, and what its output is worth, is left to others.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fivefold.local import processes
from loadtest.machine import programs
from loadtest.machine.measurement import Failed

LOOK_SECONDS: Final = 0.25
"""Between two looks at the processes; the high-water mark of their memory is the kernel's own."""

LIBRARY: Final = "onnxruntime"
_NEVER: Final = ("java", "raylet", "gcs_server")
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Ran:
    """A command that has ended: its exit status, wall seconds, the peak memory in bytes of the largest process that
    held the model (0: none was seen), and the end of what it said."""

    status: int
    seconds: float
    peak: int
    output: str


class Command:
    """A command that runs, in a session of its own: Ctrl-C reaches the measurement alone, which then ends it."""

    def __init__(self, program: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._log = log
        self._holding: dict[int, bool] = {}
        self._peaks: dict[int, int] = {}
        with log.open("wb") as output:
            self._began = time.monotonic()
            self._process = subprocess.Popen(
                program,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=programs.direct()
                | {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONUNBUFFERED": "1"}
                | dict(environment or {}),
                cwd=log.parent,
                start_new_session=True,
            )
        self._handle = os.pidfd_open(self._process.pid)

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self._began

    def holders(self) -> list[int]:
        """The ids of the processes that hold the model."""
        found = [pid for pid in processes.descendants(self._process.pid) if self._holds(pid)]
        return found or [pid for pid in (self._process.pid,) if self._holds(pid)]

    def workers(self) -> list[int]:
        """Those that hold the model, the first process left out."""
        return [pid for pid in self.holders() if pid != self._process.pid]

    def ended(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        return bool(select.select([self._handle], [], [], max(0.0, seconds))[0])

    def until(self, reached: Callable[[], bool], seconds: float = 0.1) -> bool:
        """Wait until something is reached, looked at every so many seconds; False where the command ends before."""
        while not reached():
            if self.ended(seconds):
                return False
        return True

    def wait(self, limit: float = 3600.0) -> Ran:
        """Wait for its end; raises `Failed` where it takes longer than `limit` seconds."""
        deadline = time.monotonic() + limit
        while not self.ended(LOOK_SECONDS):
            self._look()
            if time.monotonic() > deadline:
                raise Failed(f"{self._process.args} does not end within {limit:.0f} s\n{self.output()}")
        seconds = self.seconds
        status = self._process.wait()
        os.close(self._handle)
        return Ran(status, seconds, max(self._peaks.values(), default=0), self.output())

    def kill(self) -> None:
        """SIGKILL to its first process alone."""
        self._process.kill()
        self._process.wait()
        os.close(self._handle)

    def output(self) -> str:
        """The end of its output."""
        return self._log.read_text(errors="replace")[-3000:]

    def _look(self) -> None:
        for pid in self.holders():
            with contextlib.suppress(OSError):
                peak = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
                if peak:
                    self._peaks[pid] = int(peak[1]) * 1024
        # A first process that opened the model before its workers did is none of them.
        if len(self._peaks) > 1:
            self._peaks.pop(self._process.pid, None)

    def _holds(self, pid: int) -> bool:
        if not self._holding.get(pid):
            self._holding[pid] = holds_model(pid)
        return self._holding[pid]


def holds_model(pid: int) -> bool:
    """Whether a process has mapped the model runtime; one that is gone has not."""
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/comm").read_text().strip() not in _NEVER:
            return LIBRARY in Path(f"/proc/{pid}/maps").read_text(errors="replace")
    return False


def alive(pids: Sequence[int]) -> list[int]:
    """Those of the processes that still run; a zombie does not."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
            if state not in (b"Z", b"X"):
                found.append(pid)
    return found


def gone(pids: Sequence[int], limit: float) -> float | None:
    """Seconds until none of the processes runs any more; None where some still do after `limit`."""
    began = time.monotonic()
    while alive(pids):
        if time.monotonic() - began > limit:
            return None
        time.sleep(0.02)
    return time.monotonic() - began


def end(pid: int) -> None:
    """SIGKILL to a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def fivefold() -> str:
    """The product's own program, beside this interpreter."""
    return str(Path(sys.executable).with_name("fivefold"))


def score(bundle: Path, rows: Path, output: Path, workers: int, *more: str) -> list[str]:
    """The command that is measured: score a directory's files, the rows' own numbers kept."""
    places = ["--model", str(bundle), "--input", str(rows), "--output", str(output)]
    return [fivefold(), "score", *places, "--workers", str(workers), *more]
