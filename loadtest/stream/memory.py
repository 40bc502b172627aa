"""Whether a worker that runs for long needs more memory than one that has just begun.

    python -m loadtest.stream memory --log local|kfake|kafka [--events N]

One worker of a log that always has events for it, one in a hundred of them bad. Its resident memory is looked at a
hundred times, evenly over the events. What counts is the last fifth of the events beside the second one: in the first
it reads its model, and its batches grow.

Exit status: 0 it did not grow, 1 it did, 2 it could not be measured, 130 after Ctrl-C.
"""

from __future__ import annotations

import re
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loadtest.machine.measurement import Failed, say
from loadtest.stream.planned_events import planned
from loadtest.stream.stream_logs import DEAD, GROUP, RESULTS, StreamLog
from loadtest.stream.worker_fleet import WorkerFleet, last_line

BACKLOG: Final = 50_000
"""Events ahead of the worker, so that its batches are full."""

CHUNK: Final = 5_000
LOOKS: Final = 100
MOST: Final = 1.02
"""The most that the last fifth may be, beside the second."""

STALL_SECONDS: Final = 120.0
_FIFTHS: Final = 5


@dataclass
class MemoryGrowth:
    """What a worker weighed, in bytes, after so many events."""

    events: int
    looks: list[tuple[int, int]] = field(default_factory=list)
    highest: int = 0
    """The most that it ever had, between the looks too."""

    seconds: float = 0.0

    def fifths(self) -> list[float]:
        """The median of each fifth of the events; not a number where nobody looked."""
        parts: list[list[int]] = [[] for _ in range(_FIFTHS)]
        for done, weight in self.looks:
            parts[min(done * _FIFTHS // self.events, _FIFTHS - 1)].append(weight)
        return [statistics.median(part) if part else float("nan") for part in parts]

    @property
    def ratio(self) -> float:
        """The last fifth beside the second."""
        found = self.fifths()
        return found[-1] / found[1]

    @property
    def flat(self) -> bool:
        """Whether it did not grow; not so where that is not known."""
        return self.ratio <= MOST

    def markdown(self, log: str) -> str:
        """The table."""
        cells = " | ".join(f"{each / 2**20:.1f}" for each in self.fifths())
        return (
            f"| {log}, {self.events:,} events | 1st fifth | 2nd | 3rd | 4th | 5th | highest | 5th ÷ 2nd | goal |\n"
            "|--|--:|--:|--:|--:|--:|--:|--:|--:|\n"
            f"| resident memory of the worker, MiB | {cells} | {self.highest / 2**20:.1f} | {self.ratio:.3f} | "
            f"{MOST:g} |\n\n{self.events / self.seconds:,.0f} events a second, for {self.seconds:.0f} s."
        )


def measure(log: StreamLog, bundle: Path, events: int, scratch: Path) -> MemoryGrowth:
    """Let a worker do so many events; raises `Failed` where it ends, or nothing is done any more."""
    words = ["--model", str(bundle), *log.words(), "--group", GROUP]
    fleet, reader = WorkerFleet(words, scratch / "workers"), log.reader()
    found, begun = MemoryGrowth(events), time.monotonic()
    produced = done = before = 0
    moved = told = begun
    try:
        worker = fleet.start("w0")
        while done < events:
            if produced < events and produced - done < BACKLOG:
                some = range(produced, min(produced + CHUNK, events))
                if log.append(planned(number, 0) for number in some):
                    produced = some.stop
                    if produced == events:
                        log.flush()
            done = reader.count(RESULTS, DEAD)
            now = time.monotonic()
            if not worker.runs:
                raise Failed(f"the worker has ended after {done:,} events: {last_line(worker.log)}")
            if done > before:
                before, moved = done, now
            elif now - moved > STALL_SECONDS:
                raise Failed(f"nothing is done any more after {done:,} events")
            if done * LOOKS // events > len(found.looks):
                # The kernel counts both by processor, and adds up now and then: one may be behind the other.
                weight, highest = weigh(worker.process.pid)
                found.highest = max(found.highest, highest, weight)
                found.looks.append((done, weight))
            if now - told >= 10:
                told = now
                say(f"{now - begun:4.0f} s: {done:,} done, {found.highest / 2**20:.1f} MiB at most")
            time.sleep(0.01)
        found.seconds = time.monotonic() - begun
    finally:
        fleet.kill_all()
        reader.close()
    return found


def weigh(pid: int) -> tuple[int, int]:
    """The resident memory of a process, and the most that it had so far, in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", text, re.MULTILINE))
    return int(found["VmRSS"]) * 1024, int(found["VmHWM"]) * 1024
