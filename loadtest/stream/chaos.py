"""Events while workers and the broker are killed, stopped and woken, and come and go; then the checker decides.

    python -m loadtest.stream chaos --log local|kfake|kafka [--events N] [--seconds S] [--workers 3] [--seed S]

A quarter of the events is there at the start, so that workers have full batches in their hands; the rest comes evenly
over `--seconds`, in which faults come too (`loadtest.stream.fault_plan`). Then everybody is woken and left to finish.
One more worker of the group, started afterwards, must find nothing to do.

Exit status: 0 exactly one of each, 1 not so, 2 it could not be measured, 130 after Ctrl-C.
"""

from __future__ import annotations

import heapq
import itertools
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loadtest.machine.measurement import Failed, say
from loadtest.stream import checker
from loadtest.stream.checker import StreamVerdict
from loadtest.stream.fault_plan import BROKER, JOIN, KILL, LEAVE, RESTART, STOP, TWIN, FaultPlan, PlannedFault
from loadtest.stream.kafka_broker import KafkaBroker
from loadtest.stream.planned_events import planned
from loadtest.stream.stream_logs import DEAD, EVENTS, GROUP, RESULTS, StreamLog
from loadtest.stream.worker_fleet import FleetWorker, WorkerFleet, last_line

SESSION_SECONDS: Final = 10.0
"""A member that was not heard of for so long is taken for dead, by each of the logs."""

HEAD: Final = 0.25
"""Of the events, what is there at the start."""

CHUNK: Final = 5_000
LINE_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 120.0
"""Without faults, and nothing finished for so long, an administrator restarts the broker; then the rest is lost."""

HELPS: Final = 2
"""Restarts for that, before it is given up."""


@dataclass(frozen=True)
class ChaosSettings:
    """What a run is made of; times in seconds."""

    events: int
    seconds: float
    workers: int
    between: tuple[float, float]
    seed: int
    max_batch: int
    kinds: tuple[str, ...]
    rebalances: int = 0
    """The least number of them that makes it a proof; where the log does not tell it, none is asked for."""


@dataclass
class ChaosResult:
    """What a run has done, and the checker's verdict."""

    settings: ChaosSettings
    verdict: StreamVerdict
    faults: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    seconds: float = 0.0
    rebalances: int | None = None
    endings: Counter[str] = field(default_factory=Counter)
    """Workers that ended of their own accord, by what they said."""
    rewinds: int = 0
    helped: int = 0
    """Orderly restarts of the broker by whoever looks after it, because nothing was finished any more."""
    wrong: list[str] = field(default_factory=list)
    """What else is not as it has to be."""

    @property
    def holds(self) -> bool:
        """Whether everything is as it has to be."""
        return self.verdict.holds and not self.wrong


class Chaos:
    """One run over one log."""

    def __init__(
        self, log: StreamLog, bundle: Path, settings: ChaosSettings, scratch: Path, options: Mapping[str, str]
    ) -> None:
        self._log, self._settings, self._scratch = log, settings, scratch
        words = ["--model", str(bundle), *log.words(), "--group", GROUP, "--max-batch", str(settings.max_batch)]
        self._fleet = WorkerFleet(words, scratch / "workers", options)
        self._plan = FaultPlan(settings.seed, settings.between, SESSION_SECONDS, settings.kinds)
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._names = itertools.count()
        self._produced = 0
        self._done = self._done_before = 0
        self._helped = 0
        self._faults: Counter[str] = Counter()

    def run(self) -> ChaosResult:
        """All of it; raises `Failed` where it cannot be told what came out."""
        settings, begun = self._settings, time.monotonic()
        reader = self._log.reader()
        try:
            self._produce(int(settings.events * HEAD))
            for at in range(settings.workers):
                self._fleet.start(f"w{at}")
            self._disturb(reader.count)
            self._finish(reader.count)
            wrong = self._fleet.end()
            result = ChaosResult(settings, StreamVerdict(), self._faults, self._fleet.starts, time.monotonic() - begun)
            say("checking")
            result.verdict = checker.check(
                settings.events, settings.seed, reader.read(EVENTS), reader.read(RESULTS), reader.read(DEAD)
            )
        finally:
            self._fleet.kill_all()
            reader.close()
        result.helped = self._helped
        result.rebalances = self._log.rebalances()
        result.endings = self._fleet.endings.lines
        result.rewinds = sum(
            each.read_text(errors="replace").count("read again: ") for each in (self._scratch / "workers").glob("*.log")
        )
        result.wrong = wrong + self._afterwards()
        if result.rebalances is not None and result.rebalances < settings.rebalances:
            result.wrong.append(f"{result.rebalances} rebalances, not {settings.rebalances}: give it more --seconds")
        return result

    # -- while faults come ----------------------------------------------------------------------------------------

    def _disturb(self, count: Callable[..., int]) -> None:
        settings, begun = self._settings, time.monotonic()
        fault = self._plan.next()
        due, reported = begun + fault.after, begun
        while (now := time.monotonic()) < begun + settings.seconds:
            share = HEAD + (1 - HEAD) * (now - begun) / settings.seconds
            self._produce(int(settings.events * share))
            if now >= due:
                self._strike(fault)
                fault = self._plan.next()
                due = time.monotonic() + fault.after
            self._tick()
            self._done = count(RESULTS, DEAD)
            if now - reported >= LINE_SECONDS:
                reported = now
                self._tell(now - begun, self._done)
            time.sleep(0.02)

    def _produce(self, until: int) -> None:
        while self._produced < until:
            some = range(self._produced, min(until, self._produced + CHUNK))
            if not self._log.append(planned(number, self._settings.seed) for number in some):
                return
            self._produced = some.stop

    def _tick(self) -> None:
        """What is due by now; whoever has ended of its own accord comes back."""
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()
        self._fleet.look()
        broker = self._log.broker
        if broker is not None and not broker.runs and not self._later:
            raise Failed(f"the broker has ended: {broker.log}")
        while len(self._fleet.running()) + len(self._later) < self._settings.workers:
            self._fleet.start(self._free())

    def _in(self, seconds: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), action))

    def _free(self) -> str:
        """The first slot that nobody has."""
        taken = {each.slot for each in self._fleet.workers}
        return next(name for at in itertools.count() if (name := f"w{at}") not in taken)

    def _strike(self, fault: PlannedFault) -> None:
        if fault.kind in (RESTART, BROKER):
            self._broker(fault)
            return
        if fault.kind == JOIN:
            # Above twice as many the oldest one goes again.
            if len(self._fleet.running()) >= 2 * self._settings.workers:
                self._fleet.leave(self._fleet.running()[0])
            self._fleet.start(f"j{next(self._names)}")
            self._faults[JOIN] += 1
            return
        running = self._fleet.running()
        if not running:
            return
        self._faults[fault.kind] += 1
        worker = running[int(fault.pick * len(running))]
        {KILL: self._kill, STOP: self._stop, TWIN: self._twin, LEAVE: self._leave}[fault.kind](worker, fault)

    def _kill(self, worker: FleetWorker, fault: PlannedFault) -> None:
        self._fleet.kill(worker)
        self._in(fault.seconds, lambda: self._again(worker.slot))

    def _leave(self, worker: FleetWorker, fault: PlannedFault) -> None:
        self._fleet.leave(worker)
        self._in(fault.seconds, lambda: self._again(worker.slot))

    def _stop(self, worker: FleetWorker, fault: PlannedFault) -> None:
        self._fleet.stop(worker)
        self._in(fault.seconds, lambda: self._fleet.wake(worker))

    def _twin(self, worker: FleetWorker, fault: PlannedFault) -> None:
        self._fleet.stop(worker)
        self._fleet.start(worker.slot)
        self._in(fault.seconds, lambda: self._fleet.wake(worker))

    def _again(self, slot: str) -> None:
        if not any(each.slot == slot and each.runs for each in self._fleet.workers):
            self._fleet.start(slot)

    def _broker(self, fault: PlannedFault) -> None:
        broker = self._log.broker
        # Killed before anything is done again, it would only be away for longer.
        if broker is None or not broker.runs or self._done <= self._done_before:
            return
        self._faults[fault.kind] += 1
        if fault.kind == RESTART:
            broker.ask_to_end()
        else:
            broker.kill()
        self._in(fault.seconds, lambda: self._back(broker))

    def _back(self, broker: KafkaBroker) -> None:
        if broker.runs:
            # One that was asked to end is still at it.
            self._in(0.2, lambda: self._back(broker))
            return
        self._done_before = self._done
        broker.start(wait=False)

    def _tell(self, seconds: float, done: int) -> None:
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self._faults.items()))
        say(
            f"{seconds:4.0f} s: {self._produced:,} produced, {done:,} done, {len(self._fleet.running())} workers run, "
            f"{len(self._fleet.workers) - len(self._fleet.running())} stopped; {faults or 'no fault yet'}"
        )

    # -- afterwards -----------------------------------------------------------------------------------------------

    def _finish(self, count: Callable[..., int]) -> None:
        """Whoever is stopped wakes when it was to wake; then all is left alone until everything is done."""
        settings, begun = self._settings, time.monotonic()
        most, moved, reported = 0, begun, begun
        flushed = False
        while True:
            now = time.monotonic()
            self._tick()
            self._produce(settings.events)
            done = count(RESULTS, DEAD)
            if done > most:
                most, moved = done, now
            if now - reported >= LINE_SECONDS:
                reported = now
                self._tell(settings.seconds + now - begun, done)
            if not self._later:
                if not flushed and self._produced == settings.events:
                    self._log.flush()
                    flushed, moved = True, time.monotonic()
                if done >= settings.events and not any(each.stopped for each in self._fleet.workers):
                    return
                if now - moved > IDLE_SECONDS:
                    say(f"nothing is finished any more: {done:,} of {settings.events:,}")
                    if not self._help():
                        return
                    moved = time.monotonic()
            time.sleep(0.05)

    def _help(self) -> bool:
        """Do what an administrator would: restart the broker; whether that was done."""
        broker = self._log.broker
        if broker is None or self._helped == HELPS:
            return False
        self._helped += 1
        say("restarting the broker")
        broker.stop()
        broker.start()
        return True

    def _afterwards(self) -> list[str]:
        """What a worker of the group still finds to do."""
        log = self._scratch / "afterwards.log"
        with log.open("wb") as output:
            command = self._fleet.command("afterwards", "--once")
            try:
                done = subprocess.run(
                    command, stdout=output, stderr=output, env=self._fleet.environment(), timeout=180, check=False
                )
            except subprocess.TimeoutExpired:
                return [f"a worker afterwards does not come to the end: {last_line(log)}"]
        said = last_line(log)
        if done.returncode:
            return [f"a worker afterwards ends with {done.returncode}: {said}"]
        return [] if said.startswith("0 events") else [f"a worker afterwards still found: {said}"]
