"""Batch scoring killed at random moments: whether the result is the one that an uninterrupted run has.

    python -m loadtest.batch.kill [--rows 10_000_000] [--kills 20] [--seed N] [--write docs/measurements.md] [--quick]

A forest scores generated rows, a few of them out of range, in a hundred fragments. One run is left alone. Another one
is hit by kill -9, driver and workers in equal parts, at moments drawn from the seed, and started again until it is
done; where it is done before all kills are, the next one begins with an empty directory. Then the finished run is
started once more, and two identical runs are started at once into an empty directory.

Exit status: 0 everything as it was wanted, 1 something was not, 2 it could not be measured, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fivefold.local import processes
from loadtest import document
from loadtest.batch import kill_plan, outputs
from loadtest.batch.kill_plan import DRIVER, Kill, KillFinding, Watch
from loadtest.machine import command, generated, measurement
from loadtest.machine.command import Command
from loadtest.machine.generated import CACHE
from loadtest.machine.measurement import Failed, positive, say

ROWS: Final = 10_000_000
QUICK_ROWS: Final = 400_000
FRAGMENTS: Final = 100
QUICK_FRAGMENTS: Final = 20
BAD_EVERY: Final = 1_000

ORPHAN_SECONDS: Final = 15.0
CROWDED: Final = 0.6
"""Of an uninterrupted run's time of work, how much the kills take together: most runs see all of theirs."""


@dataclass
class Killing:
    """One measurement: what is scored, where, and what has been found so far."""

    bundle: Path
    rows: Path
    scratch: Path
    workers: int
    starts: int = 0
    drivers: int = 0
    worker_kills: int = 0
    orphans: list[float | None] = field(default_factory=list)

    def start(self, output: Path) -> Command:
        """Start the run, or go on with it."""
        program = command.score(self.bundle, self.rows, output, self.workers)
        return Command(program, self.scratch / f"{output.name}-{time.monotonic_ns()}.txt")

    def whole(self, output: Path) -> tuple[float, float]:
        """Run it undisturbed; seconds of the whole command, and of it until the first fragment was finished."""
        running = self.start(output)
        running.until(lambda: bool(outputs.finished(output)))
        first = running.seconds
        ran = running.wait()
        _right(ran.status, ran.output)
        return ran.seconds, first

    def interrupted(self, output: Path, planned: deque[Kill]) -> Watch:
        """Run it until it is done, killed as planned as long as there are kills left."""
        watch = Watch(output)
        while True:
            self.starts += 1
            running = self.start(output)
            died = False
            while planned and not died:
                kill = planned[0]
                if not self._moment(running, kill, watch) or not self._strike(running, kill):
                    break
                planned.popleft()
                died = kill.whom == DRIVER
                watch.look(dead=died)
                finished = len(outputs.finished(output))
                say(f"  {kill.whom} killed, {finished} fragments are finished; {len(planned)} kills to go")
            if not died:
                ran = running.wait()
                _right(ran.status, ran.output)
                watch.look(dead=False)
                return watch

    def _moment(self, running: Command, kill: Kill, watch: Watch) -> bool:
        """Wait for the moment; False where the run is over before."""
        if not kill.from_start and not running.until(watch.at_work, 0.02):
            return False
        if running.ended(kill.after):
            return False
        # The one that is meant may be starting just now.
        return kill.whom == DRIVER or running.until(lambda: bool(running.workers()))

    def _strike(self, running: Command, kill: Kill) -> bool:
        """Kill; False where there is no worker left to kill."""
        workers = running.workers()
        if kill.whom == DRIVER:
            running.kill()
            self.drivers += 1
            self.orphans.append(command.gone(workers, ORPHAN_SECONDS))
            return True
        if not workers:
            return False
        command.end(kill.victim(workers))
        self.worker_kills += 1
        return True

    def at_once(self, output: Path, digests: dict[str, str]) -> list[str]:
        """Two identical runs into one directory; what went wrong."""
        both = [self.start(output) for _ in range(2)]
        ended = [each.wait() for each in both]
        wrong = [f"exit status {ran.status}: {ran.output[-300:]}" for ran in ended if ran.status]
        if not outputs.published(output):
            wrong.append("nothing is published")
        wrong += [f"{name} differs" for name in outputs.differing(digests, outputs.digests(output))]
        wrong += [f"the record of {name} is of other bytes" for name in outputs.untrue(output)]
        return wrong


def measure(rows: int, fragments: int, count: int, seed: int, workers: int, scratch: Path) -> KillFinding:
    """The whole measurement; says what it does."""
    say("making rows and the model, where they are not there yet")
    inputs = generated.rows(CACHE, rows, files=fragments, bad_every=BAD_EVERY)
    bundle = generated.bundle(generated.FOREST, CACHE / "bundles")
    generated.warm(inputs)
    killing = Killing(bundle, inputs, scratch, workers)
    alone = scratch / "alone"
    seconds, first = killing.whole(alone)
    wanted = outputs.digests(alone)
    say(f"uninterrupted: {seconds:.1f} s, the first fragment after {first:.1f} s")
    say("the finished run again")
    before = outputs.stamps(alone)
    again = killing.start(alone).wait()
    _right(again.status, again.output)
    written = outputs.differing(_words(before), _words(outputs.stamps(alone)))
    processes.sweep()

    planned = deque(kill_plan.draw(seed, count, CROWDED * (seconds - first) / count, first))
    differing: list[str] = []
    untrue: list[str] = []
    lost: list[int] = []
    repeated: list[str] = []
    attempts = 0
    broken: outputs.Sums | None = None
    while planned:
        output = scratch / f"killed-{len(lost)}-{killing.starts}"
        say(f"a run that is killed, seed {seed}, {len(planned)} kills to go")
        watch = killing.interrupted(output, planned)
        processes.sweep()
        differing += outputs.differing(wanted, outputs.digests(output))
        untrue += outputs.untrue(output)
        lost += watch.lost
        repeated += sorted(watch.again)
        attempts += sum(int(record["attempt"]) - 1 for record in outputs.records(output).values())
        sums = outputs.sums(output)
        broken = broken if broken and not broken.hold(rows) else sums
        if not outputs.published(output):
            differing.append(outputs.SUCCESS)
        shutil.rmtree(output)
    say("two identical runs at once")
    twice = killing.at_once(scratch / "twice", wanted)
    return KillFinding(
        rows=rows,
        fragments=len(outputs.finished(alone)),
        workers=workers,
        seed=seed,
        drivers=killing.drivers,
        worker_kills=killing.worker_kills,
        starts=killing.starts,
        seconds=seconds,
        differing=differing,
        untrue=untrue,
        lost=lost,
        again=repeated,
        attempts=attempts,
        sums=broken or outputs.sums(alone),
        orphans=killing.orphans,
        rerun_seconds=again.seconds,
        rerun_written=written,
        twice=twice,
    )


def _words(stamps: dict[str, tuple[int, int]]) -> dict[str, str]:
    return {name: f"{inode} {changed}" for name, (inode, changed) in stamps.items()}


def _right(status: int, output: str) -> None:
    if status:
        raise Failed(f"the run ended with {status}:\n{output}")


@measurement.exits()
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and say what was not as it was wanted."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.write and given.quick:
        parser.error("--write is for a whole measurement, without --quick")
    rows = given.rows or (QUICK_ROWS if given.quick else ROWS)
    count = given.kills or (4 if given.quick else 20)
    seed = measurement.seed(given.seed)
    measurement.ready()
    with measurement.hint(f"the kills were those of --seed {seed}"), measurement.scratch(CACHE, "kill-") as scratch:
        fragments = QUICK_FRAGMENTS if given.quick else FRAGMENTS
        found = measure(rows, fragments, count, seed, given.workers, scratch)
    document.publish(found.table(), given.write, "batch-kill")
    missed = found.misses()
    for name in (*found.differing, *found.untrue, *found.again)[:20]:
        say(f"  {name}")
    say(f"missed: {', '.join(missed)}" if missed else "everything as it was wanted")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.batch.kill",
        description=__doc__.partition("\n\nExit status")[0],
        epilog="examples:\n  python -m loadtest.batch.kill --write docs/measurements.md\n"
        "  python -m loadtest.batch.kill --quick --seed 7",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=positive, metavar="N", help=f"{ROWS:,} if left out")
    parser.add_argument("--kills", type=positive, metavar="K", help="20 if left out")
    parser.add_argument("--seed", type=int, metavar="S", help="of the moments; drawn and printed if left out")
    parser.add_argument("--workers", type=positive, default=2, metavar="W")
    parser.add_argument("--quick", action="store_true", help="few rows and kills: whether it works")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table where its markers are")
    return parser


if __name__ == "__main__":
    sys.exit(main())
