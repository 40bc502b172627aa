"""The figures of a run: rates by server, workload, connections and round, and the ratios that follow from them.

A ratio is Fivefold's rate over the other's in the same round; what counts is its median, beside the lowest and highest.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtest.bench.comparison import FIVEFOLD, BenchComparison, Contender, Workload
from loadtest.bench.running import MemoryWeight

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Ratio:
    """Fivefold over another server."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class JudgedRatio:
    """A ratio beside the least one that was wanted."""

    who: Contender
    workload: Workload
    connections: int
    goal: float
    ratio: Ratio

    @property
    def met(self) -> bool:
        """Whether the median reaches it."""
        return self.ratio.median >= self.goal


@dataclass
class BenchResult:
    """One run."""

    comparison: BenchComparison
    who: Sequence[Contender]
    rounds: int
    seconds: int
    profile: dict[str, Any]
    rates: dict[Key, list[float]] = field(default_factory=dict)
    cpu: dict[Key, list[float]] = field(default_factory=dict)
    weights: dict[str, MemoryWeight] = field(default_factory=dict)

    def add(self, who: Contender, workload: Workload, connections: int, rate: float, cpu: float) -> None:
        """One measurement: requests a second, and seconds of CPU a request, of all processes of the server."""
        self.rates.setdefault((who.name, workload.name, connections), []).append(rate)
        self.cpu.setdefault((who.name, workload.name, connections), []).append(cpu)

    def rate(self, who: Contender, workload: Workload, connections: int) -> float:
        """The median over the rounds."""
        return statistics.median(self.rates[who.name, workload.name, connections])

    def cpu_seconds(self, who: Contender, workload: Workload, connections: int) -> float:
        """Of one request; the median over the rounds."""
        return statistics.median(self.cpu[who.name, workload.name, connections])

    def ratio(self, who: Contender, workload: Workload, connections: int) -> Ratio:
        """Fivefold over the other, round by round."""
        ours = self.rates[FIVEFOLD, workload.name, connections]
        ratios = [a / b for a, b in zip(ours, self.rates[who.name, workload.name, connections], strict=True)]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios))

    def workloads(self) -> list[Workload]:
        """Those that something was measured under."""
        return [each for each in self.comparison.workloads if any(name == each.name for _, name, _ in self.rates)]

    def measured(self, workload: Workload) -> list[Contender]:
        """Who was measured under it, in the order of the comparison."""
        return [each for each in self.who if any(key[:2] == (each.name, workload.name) for key in self.rates)]

    def connections(self, workload: Workload) -> list[int]:
        """The numbers of connections that it was measured with."""
        return sorted({connections for _, name, connections in self.rates if name == workload.name})

    def memory(self) -> float | None:
        """Fivefold's replica over a bare one of Ray Serve's, resident memory."""
        beside = self.comparison.weighed
        if beside is None or not {FIVEFOLD, beside.name} <= set(self.weights):
            return None
        return self.weights[FIVEFOLD].resident / self.weights[beside.name].resident

    def judged(self) -> list[JudgedRatio]:
        """Every goal that this run can judge."""
        return [
            JudgedRatio(who, workload, connections, goal, self.ratio(who, workload, connections))
            for workload in self.workloads()
            for who in self.measured(workload)
            for connections in self.connections(workload)
            if (goal := who.goals.get((workload.name, connections))) is not None
        ]

    def json(self) -> dict[str, Any]:
        """Everything, every round's figure included."""
        return {
            "comparison": self.comparison.name,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "profile": self.profile,
            "rates": [
                {
                    "server": name,
                    "workload": workload,
                    "connections": connections,
                    "requests_per_second": rates,
                    "cpu_seconds_per_request": self.cpu[name, workload, connections],
                }
                for (name, workload, connections), rates in self.rates.items()
            ],
            "memory": {name: vars(weight) for name, weight in self.weights.items()},
            "memory_ratio": self.memory(),
            "goals": [
                {
                    "server": each.who.name,
                    "workload": each.workload.name,
                    "connections": each.connections,
                    "goal": each.goal,
                    "ratio": vars(each.ratio),
                    "met": each.met,
                }
                for each in self.judged()
            ],
        }
