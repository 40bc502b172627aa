"""Who is killed when, and what a kill has cost.

Moments are drawn beforehand from a seed. A worker is killed so many seconds after a fragment is in work, the driver so
many seconds after that or, every fourth time, after its start. What a kill costs is read from the output directory:
what was being written when everybody was dead is lost; what the ledger had then must never be written again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loadtest.batch import outputs

DRIVER, WORKER = "driver", "worker"
FROM_START: Final = 0.25
"""The share of a driver's kills that are counted from its start, so that planning and opening are hit too."""


@dataclass(frozen=True)
class Kill:
    """One SIGKILL: whom, how many seconds after the moment it is counted from, and which one of the workers."""

    whom: str
    after: float
    from_start: bool = False
    pick: float = 0.0

    def victim(self, workers: Sequence[int]) -> int:
        """The one of the workers that is killed."""
        return sorted(workers)[int(self.pick * len(workers))]


def draw(seed: int, count: int, gap: float, start: float) -> list[Kill]:
    """So many kills, half of them of drivers, on average `gap` seconds of work apart; a start takes `start` seconds."""
    rng = random.Random(seed)
    found = []
    for index in range(count):
        driver = index % 2 == 0
        early = driver and rng.random() < FROM_START
        after = rng.uniform(0.0, start if early else 2 * gap)
        found.append(Kill(DRIVER if driver else WORKER, after, early, rng.random()))
    rng.shuffle(found)
    return found


@dataclass
class Watch:
    """What an output directory showed after each kill."""

    output: Path
    lost: list[int] = field(default_factory=list)
    """Fragments that were being scored when the driver died, kill by kill."""
    again: set[str] = field(default_factory=set)
    """Files of finished fragments that were written again."""
    _stamps: dict[str, tuple[int, int]] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def at_work(self) -> bool:
        """Whether a fragment is in work; what the dead have left does not count."""
        return bool(outputs.being_written(self.output) - self._seen)

    def look(self, *, dead: bool) -> None:
        """Look again; `dead`: nobody is at work, so whatever is unfinished is lost."""
        # The ledger first: what it had then stood in its place, whatever is being written meanwhile.
        recorded = set(outputs.finished(self.output))
        now = outputs.stamps(self.output)
        self.again |= {name for name, stamp in self._stamps.items() if now.get(name) != stamp}
        kept = {name: now[name] for name in now if outputs.fragment_of(Path(name).name) in recorded}
        self._stamps = self._stamps | kept
        if dead:
            unfinished = outputs.unfinished(self.output)
            self.lost.append(len(unfinished - self._seen))
            self._seen |= unfinished


@dataclass(frozen=True)
class KillFinding:
    """All of the measurement; digests are by name, seconds are wall seconds of whole commands."""

    rows: int
    fragments: int
    workers: int
    seed: int
    drivers: int
    worker_kills: int
    starts: int
    seconds: float
    """Of the uninterrupted run."""
    differing: Sequence[str]
    untrue: Sequence[str]
    lost: Sequence[int]
    again: Sequence[str]
    attempts: int
    """Attempts beyond the first that the ledger's records tell of: what workers' deaths cost."""
    sums: outputs.Sums
    orphans: Sequence[float | None]
    """Seconds until no process of a dead driver held the model any more; None: some still did."""
    rerun_seconds: float
    rerun_written: Sequence[str]
    twice: Sequence[str]
    """What went wrong when two identical runs ran at once."""

    def judged(self) -> list[tuple[str, str, str, bool]]:
        """Each thing that was wanted: in words, the goal, how it came out, whether it is met."""
        most = max(self.lost, default=0)
        sums = self.sums
        known = [each for each in self.orphans if each is not None]
        slowest = max(known, default=0.0) if len(known) == len(self.orphans) else None
        return [
            (
                "files that differ from the uninterrupted run's",
                "0",
                f"{len(self.differing)}",
                not self.differing,
            ),
            ("files that differ from their records", "0", f"{len(self.untrue)}", not self.untrue),
            (
                "fragments lost at one kill of the driver, at most",
                f"{self.workers}",
                f"{most} ({sum(self.lost)} in all)",
                most <= self.workers,
            ),
            (
                "fragments begun anew after kills of workers",
                f"at most {self.worker_kills}",
                f"{self.attempts}",
                self.attempts <= self.worker_kills,
            ),
            ("finished files written again", "0", f"{len(self.again)}", not self.again),
            (
                "rows = scored + quarantined",
                f"{self.rows:,}",
                f"{sums.rows:,} = {sums.scored:,} + {sums.quarantined:,}",
                sums.hold(self.rows),
            ),
            (
                "workers left by a killed driver are gone within",
                "10 s",
                "never" if slowest is None else f"{slowest:.1f} s",
                slowest is not None and slowest <= 10.0,
            ),
            (
                "the finished run again: the whole command",
                "2 s",
                f"{self.rerun_seconds:.1f} s",
                self.rerun_seconds <= 2.0,
            ),
            ("the finished run again: files written", "0", f"{len(self.rerun_written)}", not self.rerun_written),
            (
                "two identical runs at once",
                "one result",
                "; ".join(self.twice) or "one result",
                not self.twice,
            ),
        ]

    def table(self) -> str:
        """As Markdown."""
        lines = ["| | goal | measured |", "|--|--:|--:|"]
        lines += [f"| {what} | {goal} | {found} |" for what, goal, found, _ in self.judged()]
        kills = self.drivers + self.worker_kills
        return "\n".join(lines) + (
            f"\n\n{self.rows:,} rows in {self.fragments} fragments, {self.workers} workers; {kills} kills, "
            f"{self.drivers} of the driver and {self.worker_kills} of a worker, seed {self.seed}; {self.starts} starts "
            f"until all of that was done. Uninterrupted it takes {self.seconds:.0f} s."
        )

    def misses(self) -> list[str]:
        """What was wanted and is not so."""
        return [what for what, _, _, met in self.judged() if not met]
