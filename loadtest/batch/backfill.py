"""Thirty days scored one by one, killed and started again: whether every day is done once and told in the table.

    python -m loadtest.batch.backfill [--days 30] [--kills 2] [--rows 20_000] [--seed N] [--write FILE] [--quick]

Every day has a folder of generated rows, one in a thousand of them out of range. `fivefold batch backfill` does two
days at a time and is hit by kill -9 when some of them are published, at numbers drawn from the seed; the same command
goes on. What was published before a kill must stay as it is, and the last table must tell of every day.

Exit status: 0 everything as it was wanted, 1 something was not, 2 it could not be measured, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import random
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest import document
from loadtest.batch import outputs
from loadtest.batch.kill import BAD_EVERY
from loadtest.machine import command, generated, measurement
from loadtest.machine.command import Command
from loadtest.machine.generated import CACHE
from loadtest.machine.measurement import Failed, positive, say

FIRST: Final = dt.date(2026, 1, 1)
PARALLEL: Final = 2
_REPORTED: Final = re.compile(r"^(\d{4}-\d\d-\d\d) +(\w+) +([\d,]+) +([\d,]+) +([\d,]+)", re.MULTILINE)


@dataclass(frozen=True)
class BackfillFinding:
    """One backfill. `published` is how many days were there at each kill; `reported` the last table's days that it
    calls published with the right numbers; `wrong` those whose ledger does not hold; `again` files written after they
    were published."""

    days: int
    rows: int
    seed: int
    published: Sequence[int]
    reported: int
    wrong: Sequence[str]
    again: Sequence[str]
    status: int
    seconds: float

    def misses(self) -> list[str]:
        """What was wanted and is not so."""
        out = [f"{day}: rows are not accounted for" for day in self.wrong]
        out += [f"{name} was written again" for name in self.again]
        if self.status:
            out.append(f"the last start ended with {self.status}")
        if self.reported != self.days:
            out.append(f"the table tells of {self.reported} of {self.days} days")
        return out

    def table(self) -> str:
        """As Markdown."""
        at = ", ".join(map(str, self.published))
        lines = [
            "| | goal | measured |",
            "|--|--:|--:|",
            f"| days in the last table, published, with the right numbers | {self.days} | {self.reported} |",
            f"| days whose ledger does not hold | 0 | {len(self.wrong)} |",
            f"| files of published days that were written again | 0 | {len(self.again)} |",
        ]
        return "\n".join(lines) + (
            f"\n\n{self.days} days of {self.rows:,} rows, {PARALLEL} at a time, killed when {at} days were published "
            f"(seed {self.seed}); {self.seconds:.0f} s from the first start to the end of the last."
        )


class Backfilling:
    """The command, its days and its places."""

    def __init__(self, names: Sequence[str], rows: int, scratch: Path) -> None:
        self.names, self._scratch = names, scratch
        self._output = scratch / "scores"
        self._bundle = generated.bundle(generated.LINEAR, CACHE / "bundles")
        made = generated.rows(CACHE, rows, files=1, bad_every=BAD_EVERY)
        for name in names:
            day = scratch / "rows" / f"ds={name}"
            day.mkdir(parents=True)
            for file in made.glob("*.parquet"):
                os.link(file, day / file.name)

    def start(self) -> Command:
        """Begin, or go on."""
        places = ["--input", f"{self._scratch}/rows/ds={{ds}}", "--output", f"{self._output}/ds={{ds}}"]
        program = [command.fivefold(), "batch", "backfill", "--model", str(self._bundle), *places]
        program += ["--from", self.names[0], "--to", self.names[-1], "--partition", "ds"]
        program += ["--max-parallel", str(PARALLEL), "--workers", "1"]
        return Command(program, self._scratch / f"log-{time.monotonic_ns()}.txt")

    def published(self) -> list[Path]:
        """The days that readers may have."""
        return [path for path in sorted(self._output.glob("ds=*")) if outputs.published(path)]

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Every file of the published days."""
        return {f"{day.name}/{name}": stamp for day in self.published() for name, stamp in outputs.stamps(day).items()}

    def wrong(self, rows: int) -> list[str]:
        """The days whose rows are not all accounted for."""
        places = {name: self._output / f"ds={name}" for name in self.names}
        return [
            name
            for name, place in places.items()
            if not outputs.published(place) or not outputs.sums(place).hold(rows) or outputs.untrue(place)
        ]


def reported(text: str, names: Sequence[str], rows: int) -> int:
    """How many of the days the last table calls published, with all rows scored or quarantined as they should be."""
    bad = rows // BAD_EVERY
    right = ("published", rows, rows - bad, bad)
    # A day is told when it begins and ends, too: what counts is what is said of it last.
    last = {
        day: (state, *(int(each.replace(",", "")) for each in counts))
        for day, state, *counts in _REPORTED.findall(text)
    }
    return sum(last.get(name) == right for name in names)


def measure(days: int, rows: int, count: int, seed: int, scratch: Path) -> BackfillFinding:
    """The whole measurement; says what it does."""
    names = [(FIRST + dt.timedelta(days=index)).isoformat() for index in range(days)]
    work = Backfilling(names, rows, scratch)
    moments = sorted(random.Random(seed).sample(range(1, days), count))
    say(f"{days} days of {rows:,} rows, to be killed when {', '.join(map(str, moments))} are published, seed {seed}")
    began = time.monotonic()
    published: list[int] = []
    before: dict[str, tuple[int, int]] = {}
    again: set[str] = set()

    def look() -> None:
        now = work.stamps()
        again.update(name for name, stamp in before.items() if now.get(name) != stamp)
        before.update(now)

    for moment in moments:
        running = work.start()
        if not running.until(lambda least=moment: len(work.published()) >= least):
            raise Failed(f"ended with {running.wait().status} before {moment} days were published:\n{running.output()}")
        running.kill()
        published.append(len(work.published()))
        look()
        say(f"  killed, {published[-1]} days are published")
    ran = work.start().wait()
    look()
    return BackfillFinding(
        days=days,
        rows=rows,
        seed=seed,
        published=published,
        reported=reported(ran.output, names, rows),
        wrong=work.wrong(rows),
        again=sorted(again),
        status=ran.status,
        seconds=time.monotonic() - began,
    )


@measurement.exits()
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and say what was not as it was wanted."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.write and given.quick:
        parser.error("--write is for a whole measurement, without --quick")
    days = given.days or (4 if given.quick else 30)
    count = given.kills or (1 if given.quick else 2)
    if count >= days:
        parser.error(f"--kills: expected fewer than there are days, got {count} of {days}")
    seed = measurement.seed(given.seed)
    measurement.ready()
    with measurement.hint(f"the kills were those of --seed {seed}"), measurement.scratch(CACHE, "backfill-") as scratch:
        found = measure(days, given.rows, count, seed, scratch)
    document.publish(found.table(), given.write, "batch-backfill")
    for each in found.misses():
        say(f"missed: {each}")
    return 1 if found.misses() else 0


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.batch.backfill",
        description=__doc__.partition("\n\nExit status")[0],
        epilog="examples:\n  python -m loadtest.batch.backfill --write docs/measurements.md\n"
        "  python -m loadtest.batch.backfill --quick",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--days", type=positive, metavar="N", help="30 if left out")
    parser.add_argument("--kills", type=positive, metavar="K", help="2 if left out")
    parser.add_argument("--rows", type=positive, default=20_000, metavar="N", help="of each day")
    parser.add_argument("--seed", type=int, metavar="S", help="of the moments; drawn and printed if left out")
    parser.add_argument("--quick", action="store_true", help="a few days: whether it works")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table where its markers are")
    return parser


if __name__ == "__main__":
    sys.exit(main())
