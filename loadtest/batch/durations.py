"""The figures of a comparison: seconds by model, program and round, and the rates and ratios that follow from them.

A command that scores next to nothing shows what it takes to start and to end. Rates are given twice: over all of a
command's seconds, and over those that are left without that. A ratio is Fivefold's rate over the other's in the same
round; what counts is its median, beside the lowest and the highest.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from loadtest.batch.programs import FIVEFOLD, BatchProgram
from loadtest.bench.rates import Ratio
from loadtest.machine.generated import MeasuredModel

MOST_BYTES: Final = 600_000_000
"""The most memory that a worker may have."""

FLAT: Final = 1.1
"""The most that a worker's memory may grow with ten times the input."""

SHORTEST: Final = 2.0
"""A command that is done in fewer times its start-up says nothing about what is left without that."""

Key = tuple[str, str]


@dataclass(frozen=True)
class JudgedGoal:
    """Something that was wanted: in words, how it came out, whether that is met."""

    what: str
    found: str
    wanted: str
    met: bool


@dataclass
class BatchResult:
    """One run of the comparison; `rows` are by the model's name."""

    who: Sequence[BatchProgram]
    models: Sequence[MeasuredModel]
    rounds: int
    workers: int
    rows: dict[str, int]
    profile: dict[str, Any]
    seconds: dict[Key, list[float]] = field(default_factory=dict)
    empty: dict[Key, list[float]] = field(default_factory=dict)
    peaks: dict[Key, int] = field(default_factory=dict)
    small: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of Fivefold alone, by model: the rows of a smaller input, and a worker's peak memory in bytes with it."""

    def add(self, who: BatchProgram, model: MeasuredModel, seconds: float, peak: int) -> None:
        """One command over the whole input, and the peak memory of its largest worker in bytes."""
        key = who.name, model.name
        self.seconds.setdefault(key, []).append(seconds)
        self.peaks[key] = max(peak, self.peaks.get(key, 0))

    def add_empty(self, who: BatchProgram, model: MeasuredModel, seconds: float) -> None:
        """One command over next to nothing."""
        self.empty.setdefault((who.name, model.name), []).append(seconds)

    def start(self, who: BatchProgram, model: MeasuredModel) -> float:
        """Seconds that the program takes to start and to end: the median."""
        return statistics.median(self.empty[who.name, model.name])

    def rates(self, who: BatchProgram, model: MeasuredModel, *, started: bool) -> list[float]:
        """Rows a second, round by round; `started`: without start-up."""
        least = self.start(who, model) if started else 0.0
        # Below a trial's noise the start-up may be the whole of it.
        return [self.rows[model.name] / max(took - least, 0.01) for took in self.seconds[who.name, model.name]]

    def rate(self, who: BatchProgram, model: MeasuredModel, *, started: bool) -> float:
        """Rows a second, the median over the rounds."""
        return statistics.median(self.rates(who, model, started=started))

    def ratio(self, who: BatchProgram, model: MeasuredModel, *, started: bool) -> Ratio:
        """Fivefold over the other, round by round."""
        ours, theirs = (self.rates(each, model, started=started) for each in (FIVEFOLD, who))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios))

    def tells(self, who: BatchProgram, model: MeasuredModel) -> bool:
        """Whether there were rows enough to tell a program's rate from its start-up."""
        return min(self.seconds[who.name, model.name]) >= SHORTEST * self.start(who, model)

    def too_short(self) -> list[str]:
        """Who was done too soon for that."""
        return [f"{who.title}, {model.name}" for model in self.models for who in self.who if not self.tells(who, model)]

    def growth(self, model: MeasuredModel) -> float | None:
        """A worker's peak memory with the whole input over that with the smaller one."""
        small = self.small.get(model.name)
        return self.peaks[FIVEFOLD.name, model.name] / small[1] if small and small[1] else None

    def judged(self) -> list[JudgedGoal]:
        """Every goal that this run can judge; ratios are those without start-up."""
        out = []
        for model in self.models:
            for who in self.who:
                goal = who.goals.get(model.name)
                if goal is not None and self.tells(FIVEFOLD, model) and self.tells(who, model):
                    ratio = self.ratio(who, model, started=True).median
                    out.append(
                        JudgedGoal(f"{model.name} ÷ {who.name}", f"{ratio:.2f}", f"at least {goal:g}", ratio >= goal)
                    )
            peak = self.peaks[FIVEFOLD.name, model.name]
            found, wanted = f"{peak / 1e6:.0f} MB", f"at most {MOST_BYTES / 1e6:.0f} MB"
            out.append(JudgedGoal(f"{model.name}, memory of a worker", found, wanted, 0 < peak <= MOST_BYTES))
            growth = self.growth(model)
            if growth is not None:
                what = f"{model.name}, memory with the whole input ÷ with a part"
                out.append(JudgedGoal(what, f"{growth:.2f}", f"at most {FLAT:g}", growth <= FLAT))
        return out

    def json(self) -> dict[str, Any]:
        """Everything, every round's figure included."""
        return {
            "rounds": self.rounds,
            "workers": self.workers,
            "rows": self.rows,
            "profile": self.profile,
            "seconds": [
                {"program": name, "model": model, "seconds": took, "start_up_seconds": self.empty[name, model]}
                for (name, model), took in self.seconds.items()
            ],
            "peak_bytes": {f"{name}, {model}": peak for (name, model), peak in self.peaks.items()},
            "smaller": {model: {"rows": rows, "peak_bytes": peak} for model, (rows, peak) in self.small.items()},
            "goals": [vars(each) for each in self.judged()],
        }
