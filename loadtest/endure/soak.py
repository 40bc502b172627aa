"""Half of what a server can do, for an hour: whether memory, handles or latency grow.

    python -m loadtest.endure.soak [--minutes 60] [--write docs/measurements.md]

The demo model is packed and served on one half of the cores, the generator has the other half. The rate is half of what
sixteen callers get who wait for their answers. Every minute is a run of its own; after each, the replica is weighed.
What counts is the last quarter of the minutes beside the first, after the warm-up. Exit status: 0 nothing grew, 1
something did, 2 it could not be run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fivefold.packing import demo
from loadtest import document
from loadtest.endure.overload import Target, say
from loadtest.load.scenario import GRPC, REST, Scenario
from loadtest.machine import host, measurement

CALLERS: Final = 16
HALF: Final = 0.5
MINUTE: Final = 52.0
"""Seconds of load in a minute that are counted; the rest is the generator's start and `OPENING`."""
OPENING: Final = 5.0
"""Seconds before, at the same rate: the generator opens its connections, which is not what an hour is about."""
WARM: Final = 0.1
"""The share of the minutes that do not count."""
MIX: Final = dict.fromkeys((*REST, *GRPC), 1.0)


@dataclass(frozen=True)
class Minute:
    """One minute: latency in milliseconds, resident bytes, open handles.

    `wrong` counts wrong answers and lost ones, `left_out` what the generator could not ask in time, because everything
    that may be in flight was waiting, or because it was held up itself.
    """

    p50: float
    p99: float
    resident: float
    handles: float
    requests: int
    wrong: int
    left_out: int = 0


@dataclass(frozen=True)
class Measure:
    """One thing that must not grow: its title, how it is said, and the most that last ÷ first may be."""

    title: str
    of: Callable[[Minute], float]
    text: Callable[[float], str]
    most: float


MEASURES: Final = (
    Measure("memory of the replica", lambda minute: minute.resident, lambda value: f"{value / 2**20:.1f} MiB", 1.02),
    Measure("open handles of the replica", lambda minute: minute.handles, lambda value: f"{value:.0f}", 1.02),
    Measure("latency, p50", lambda minute: minute.p50, lambda value: f"{value:.2f} ms", 1.10),
    Measure("latency, p99", lambda minute: minute.p99, lambda value: f"{value:.2f} ms", 1.25),
)


@dataclass(frozen=True)
class SoakFinding:
    """The first and the last quarter of a run, as medians."""

    rate: float
    minutes: Sequence[Minute]

    def quarters(self, measure: Measure) -> tuple[float, float]:
        """The median of the first quarter after the warm-up, and of the last."""
        counted = self.minutes[round(len(self.minutes) * WARM) :]
        size = max(1, len(counted) // 4)
        first, last = ([measure.of(minute) for minute in part] for part in (counted[:size], counted[-size:]))
        return statistics.median(first), statistics.median(last)

    def misses(self) -> list[str]:
        """What grew, and answers that were not right."""
        out = []
        for measure in MEASURES:
            first, last = self.quarters(measure)
            if last > first * measure.most:
                out.append(measure.title)
        if any(minute.wrong for minute in self.minutes):
            out.append("answers")
        return out

    def table(self) -> str:
        """As Markdown."""
        lines = ["| | first quarter | last quarter | last ÷ first | at most |", "|--|--:|--:|--:|--:|"]
        for measure in MEASURES:
            first, last = self.quarters(measure)
            ratio = f"{last / first:.3f}"
            lines.append(
                f"| {measure.title} | {measure.text(first)} | {measure.text(last)} | {ratio} | {measure.most:.2f} |"
            )
        total = sum(minute.requests for minute in self.minutes)
        wrong = sum(minute.wrong for minute in self.minutes)
        left_out = [minute.left_out for minute in self.minutes if minute.left_out]
        said = f", {sum(left_out):,} more not asked in time in {len(left_out)} of the minutes" if left_out else ""
        return (
            "\n".join(lines)
            + f"\n\n{len(self.minutes)} minutes at {self.rate:,.0f} requests a second, half of the capacity, all five "
            f"transports: {total:,} requests, {wrong:,} without a right answer{said}."
        )


def scenario(rate: float, seconds: float) -> Scenario:
    """Every transport in equal parts, nothing invalid."""
    return Scenario.of_profile("steady", rate=rate, seconds=seconds, mix=MIX, invalid=0.0, warm_seconds=OPENING)


def minute(target: Target, rate: float, seconds: float) -> Minute:
    """Load for a minute, then weigh."""
    outcome = target.run(scenario(rate, seconds))
    weight = target.host.weigh()
    wrong, left_out = outcome.errors, outcome.dropped + outcome.unsent
    if wrong:
        say(f"    wrong: {dict(outcome.codes)}")
    return Minute(
        outcome.latency.p(50), outcome.latency.p(99), weight.resident, weight.handles, outcome.requests, wrong, left_out
    )


def measure(minutes: int, seconds: float = MINUTE) -> SoakFinding:
    """The whole soak; says every minute."""
    with tempfile.TemporaryDirectory(prefix="fivefold-soak-") as temporary:
        bundle = Path(temporary) / "demo"
        demo.demo(bundle)
        server, generator = host.halves()
        with host.served([bundle], {}, server) as running:
            target = Target(running, generator, model=demo.NAME)
            found = target.run(scenario(1.0, min(20.0, seconds)), closed=CALLERS)
            rate = HALF * found.requests / found.seconds
            say(f"capacity {2 * rate:,.0f}/s to {CALLERS} callers; {minutes} minutes at {rate:,.0f}/s")
            out: list[Minute] = []
            for index in range(minutes):
                began = time.monotonic()
                out.append(minute(target, rate, seconds))
                now = out[-1]
                cells = [measure.text(measure.of(now)) for measure in MEASURES]
                counts = f"{now.requests:,} requests, {now.wrong} wrong, {now.left_out} left out"
                say(f"{index + 1:3} {'  '.join(cells)}  {counts}")
                if seconds == MINUTE:
                    time.sleep(max(0.0, 60.0 - (time.monotonic() - began)))
            return SoakFinding(rate, out)


@measurement.exits()
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and say whether anything grew."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.endure.soak",
        description="Load a host of one's own for an hour and look at what grows.",
        epilog="example:\n  python -m loadtest.endure.soak --write docs/measurements.md",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=int, default=60, metavar="N")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table where its markers are")
    given = parser.parse_args(arguments)
    if given.minutes < 4:
        parser.error("expected at least 4 minutes: quarters are compared")
    measurement.end_on_sigterm()
    found = measure(given.minutes)
    document.publish(found.table(), given.write, "soak")
    missed = found.misses()
    say(f"grew: {', '.join(missed)}" if missed else "nothing grew")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
