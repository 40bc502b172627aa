"""How long a reader of committed records stands still after a worker was killed, and its results stay away.

    python -m loadtest.stream recovery [--kills 20]

A worker on a real Kafka always has events in its hands. Marks are written into the partitions that it writes, every so
many milliseconds and by no transaction: a reader of committed records has one at once, unless a transaction before it
is open. The worker is killed at a moment that is drawn and started again at once, in its slot, as a supervisor does.
The stall is the longest that a mark took from then on; the gap is the time until a result comes of the new worker.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, Producer, TopicPartition

from loadtest.machine.measurement import Failed, say
from loadtest.stream.log_readers import KafkaReader
from loadtest.stream.planned_events import NUMBER, planned
from loadtest.stream.stream_logs import GROUP, RESULTS, KafkaStreamLog
from loadtest.stream.worker_fleet import WorkerFleet

PARTITIONS: Final = 2
MARK_SECONDS: Final = 0.02
GOAL_SECONDS: Final = 3.0
LIMIT_SECONDS: Final = 60.0
BACKLOG: Final = 20_000
"""Events ahead of the worker, so that it is always at work."""

_MARK: Final = "mark"


@dataclass
class Recoveries:
    """Seconds, kill by kill."""

    stalls: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)
    """The longest that a mark took while nobody was killed."""

    def markdown(self) -> str:
        """The table."""
        lines = [
            f"| {len(self.stalls)} kills | goal | median | highest |",
            "|--|--:|--:|--:|",
            f"| a reader of committed records stands still, seconds | {GOAL_SECONDS:g} | {_of(self.stalls)} |",
            f"| until the new worker's first result, seconds | | {_of(self.gaps)} |",
            f"| before each kill: the longest that a mark took, seconds | | {_of(self.usual)} |",
        ]
        return "\n".join(lines)

    @property
    def met(self) -> bool:
        """Whether no reader stood still for longer than wanted."""
        return max(self.stalls) <= GOAL_SECONDS


def _of(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} | {max(seconds):.2f}"


class MarkWriter(threading.Thread):
    """Writes marks, and keeps the events' backlog filled."""

    def __init__(self, address: str, log: KafkaStreamLog) -> None:
        super().__init__(daemon=True)
        self._producer = Producer({"bootstrap.servers": address, "linger.ms": 0, "log_level": 2})
        self._log = log
        self.done = 0
        self.ending = threading.Event()

    def run(self) -> None:
        produced = 0
        while not self.ending.wait(MARK_SECONDS):
            for partition in range(PARTITIONS):
                stamp = b"%.6f" % time.monotonic()
                self._producer.produce(RESULTS, stamp, partition=partition, headers=[(_MARK, b"1")])
            self._producer.poll(0)
            if produced - self.done < BACKLOG:
                self._log.append(planned(number, 0) for number in range(produced, produced + 500))
                produced += 500


class RecoveryReader:
    """What a reader of committed records meets."""

    def __init__(self, address: str) -> None:
        self._consumer: Consumer = KafkaReader(address).consumer(**{"fetch.wait.max.ms": 20})
        self._consumer.assign([TopicPartition(RESULTS, partition, 0) for partition in range(PARTITIONS)])
        self.longest = 0.0
        self.results = 0
        self.last_result = 0.0

    def read(self, seconds: float) -> None:
        """Read for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for message in self._consumer.consume(500, 0.01):
                if message.error() is not None:
                    continue
                pairs: Any = message.headers() or ()
                names = {name for name, _ in pairs}
                now = time.monotonic()
                if _MARK in names:
                    self.longest = max(self.longest, now - float(message.value() or b"0"))
                elif NUMBER in names:
                    self.results += 1
                    self.last_result = now

    def close(self) -> None:
        self._consumer.close()


def measure(address: str, log: KafkaStreamLog, bundle: Path, kills: int, seed: int, scratch: Path) -> Recoveries:
    """Kill so many times; raises `Failed` where a worker does not come back."""
    draw = random.Random(seed)
    words = ["--model", str(bundle), *log.words(), "--group", GROUP, "--max-batch", "500"]
    fleet = WorkerFleet([*words, "--max-bad-fraction", "1"], scratch / "workers")
    found, reader, marks = Recoveries(), RecoveryReader(address), MarkWriter(address, log)
    marks.start()
    try:
        worker = fleet.start("w0")
        _results(reader, marks)
        for kill in range(kills):
            reader.longest = 0.0
            reader.read(draw.uniform(1.0, 3.0))
            marks.done = reader.results
            found.usual.append(reader.longest)
            reader.longest = 0.0
            killed = time.monotonic()
            fleet.kill(worker)
            worker = fleet.start("w0")
            # What the killed worker had committed still arrives; the new one takes longer than that to start.
            reader.read(0.3)
            _results(reader, marks)
            found.gaps.append(reader.last_result - killed)
            reader.read(1.0)
            found.stalls.append(reader.longest)
            say(f"kill {kill + 1} of {kills}: stall {found.stalls[-1]:.2f} s, gap {found.gaps[-1]:.2f} s")
    finally:
        marks.ending.set()
        marks.join()
        fleet.kill_all()
        reader.close()
    return found


def _results(reader: RecoveryReader, marks: MarkWriter) -> None:
    """Read until a result comes."""
    before, until = reader.results, time.monotonic() + LIMIT_SECONDS
    while reader.results == before:
        reader.read(0.02)
        if time.monotonic() > until:
            raise Failed(f"no result for {LIMIT_SECONDS:.0f} s")
    marks.done = reader.results
