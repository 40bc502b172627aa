"""Worker processes and what is done to them: started, killed, stopped and woken, asked to leave.

A worker that ends of its own accord is started again, as a supervisor would, and what it said last is kept. Whether
the outcome is right is left to the checker.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loadtest.machine.measurement import INTERRUPTED
from loadtest.machine.programs import ROOT, direct

LEAVE_SECONDS: Final = 60.0
"""How long a worker may take to end after SIGTERM."""


@dataclass
class FleetWorker:
    """One process; `slot` is its name in the group, `log` what it says."""

    slot: str
    log: Path
    process: subprocess.Popen[bytes]
    stopped: bool = False
    leaving: bool = False
    """Whether it was asked to end."""

    @property
    def runs(self) -> bool:
        """Whether it is there, stopped or not."""
        return self.process.poll() is None

    def send(self, signum: int) -> None:
        """Send a signal, to a process that may be gone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signum)


@dataclass
class Endings:
    """How workers have ended of their own accord: the last line of each, without its figures."""

    lines: Counter[str] = field(default_factory=Counter)


class WorkerFleet:
    """The workers of one group."""

    def __init__(self, words: Sequence[str], directory: Path, options: Mapping[str, str] | None = None) -> None:
        """`words` are the arguments of `fivefold stream` but for the slot; logs lie below `directory`, `options` are
        variables of the workers."""
        self._words, self._directory, self._options = list(words), directory, dict(options or {})
        self.workers: list[FleetWorker] = []
        self.endings = Endings()
        self.starts = 0
        directory.mkdir(parents=True, exist_ok=True)

    def command(self, slot: str, *more: str) -> list[str]:
        """A worker's command line."""
        return [sys.executable, "-m", "fivefold.cli", "stream", *self._words, "--slot", slot, *more]

    def environment(self) -> dict[str, str]:
        """A worker's variables: of the package beside this one, one thread for the model."""
        path = os.pathsep.join((str(ROOT / "services"), os.environ.get("PYTHONPATH", "")))
        return direct() | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | self._options

    def start(self, slot: str) -> FleetWorker:
        """One more worker."""
        log = self._directory / f"{slot}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                self.command(slot),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
                env=self.environment(),
                start_new_session=True,
            )
        self.starts += 1
        worker = FleetWorker(slot, log, process)
        self.workers.append(worker)
        return worker

    def running(self) -> list[FleetWorker]:
        """Those that run and are not stopped."""
        return [each for each in self.workers if not each.stopped and each.runs]

    def kill(self, worker: FleetWorker) -> None:
        """SIGKILL."""
        worker.process.kill()
        worker.process.wait()
        self.workers.remove(worker)

    def leave(self, worker: FleetWorker) -> None:
        """SIGTERM, without waiting for the end; `look` collects it."""
        worker.send(signal.SIGTERM)
        worker.leaving = True

    def stop(self, worker: FleetWorker) -> None:
        """SIGSTOP: it stands still wherever it is, and keeps all that it holds."""
        worker.send(signal.SIGSTOP)
        worker.stopped = True

    def wake(self, worker: FleetWorker) -> None:
        """SIGCONT."""
        worker.send(signal.SIGCONT)
        worker.stopped = False

    def look(self) -> list[FleetWorker]:
        """Those that have ended since the last look: the ones that failed count among `endings`."""
        ended = [each for each in self.workers if not each.runs]
        for each in ended:
            self.workers.remove(each)
            # By SIGTERM: it was so new that it did not listen yet.
            asked = {0, -signal.SIGTERM} | ({INTERRUPTED} if each.leaving else set())
            if each.process.returncode not in asked:
                self.endings.lines[f"exit {each.process.returncode}: {without_figures(last_line(each.log))}"] += 1
        return ended

    def end(self) -> list[str]:
        """Ask everybody to leave; what went wrong, empty where all of them did."""
        wrong = []
        for each in self.workers:
            self.wake(each)
            self.leave(each)
        deadline = time.monotonic() + LEAVE_SECONDS
        for each in list(self.workers):
            try:
                each.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                wrong.append(f"{each.slot} does not end")
                self.kill(each)
        self.look()
        return wrong

    def kill_all(self) -> None:
        """SIGKILL to everybody; a stopped process dies of it too."""
        for each in list(self.workers):
            self.kill(each)


def without_figures(line: str) -> str:
    """A line in which what differs from worker to worker is left out: addresses, numbers, and the client's details."""
    return re.sub(r"\d[\d.,:]*", "…", re.sub(r"127\.0\.0\.1:\d+: 127\.0\.0\.1.*| \(after .*", "", line)).rstrip()


def last_line(log: Path) -> str:
    """The last error that a worker has named."""
    lines = log.read_text(errors="replace").replace("\r", "\n").splitlines()
    return next((line for line in reversed(lines) if line.startswith("error")), lines[-1] if lines else "nothing said")
