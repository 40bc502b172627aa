"""The highest rate that meets the service level, and the curve around it.

The search doubles the rate until it fails, then halves the interval on a logarithmic scale. A step that fails is asked
once more, because on a shared machine one bad second says little; a step that fails twice has failed. Sending is left
to the caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from loadtest.load.k6 import Outcome
from loadtest.load.verdict import LoadVerdict

FRACTIONS: Final = (0.10, 0.25, 0.50, 0.75, 0.90, 1.00, 1.10, 1.20)
PRECISE: Final = 1.08
"""The search ends when the lowest failing rate is at most this many times the highest that passes."""


@dataclass(frozen=True)
class Step:
    """One rate that was tried."""

    rate: float
    outcome: Outcome
    verdict: LoadVerdict


@dataclass
class Capacity:
    """What the search found. `bounded` says that the generator gave out before the server did."""

    rate: float
    bounded: bool
    steps: list[Step] = field(default_factory=list)
    curve: list[Step] = field(default_factory=list)

    @property
    def knee(self) -> float | None:
        """The rate at which the p99 curve bends away the most, or None where it does not bend."""
        points = [(step.rate, step.outcome.latency.p(99)) for step in self.curve if step.verdict.state != "void"]
        return knee(points)


def knee(points: Sequence[tuple[float, float]]) -> float | None:
    """The point of an increasing curve farthest below the line between its ends, both axes scaled to 0..1.

    After Satopää et al., "Finding a 'Kneedle' in a Haystack" (2011), for a convex curve without smoothing. None for
    fewer than three points, or where no point lies at least a tenth below the line.
    """
    if len(points) < 3:
        return None
    (x0, y0), (x1, y1) = points[0], points[-1]
    if x1 <= x0 or y1 <= y0:
        return None
    below = [((x - x0) / (x1 - x0) - (y - y0) / (y1 - y0), x) for x, y in points]
    distance, rate = max(below)
    return rate if distance >= 0.1 else None


def search(try_rate: Callable[[float], Step], start: float, ceiling: float) -> Capacity:
    """Find the capacity between nothing and `ceiling`, beginning at `start`; `Capacity.rate` is 0 where `start` and all
    below it down to a hundredth fail."""
    tried: list[Step] = []
    blamed: dict[float, bool] = {math.inf: True}

    def passes(rate: float) -> bool:
        for _ in range(2):
            step = try_rate(rate)
            tried.append(step)
            if step.verdict.met:
                return True
        blamed[rate] = step.verdict.generator
        return False

    rate = min(start, ceiling)
    low, high = 0.0, math.inf
    while high == math.inf and low < ceiling:
        if passes(rate):
            low = rate
            rate = min(rate * 2, ceiling)
        else:
            high = rate
    while not low and rate > start / 100:
        rate /= 4
        if passes(rate):
            low = rate
        else:
            high = rate
    while low and high != math.inf and high / low > PRECISE:
        middle = math.sqrt(low * high)
        if passes(middle):
            low = middle
        else:
            high = middle
    return Capacity(low, bounded=blamed[high], steps=tried)


def curve(capacity: Capacity, try_rate: Callable[[float], Step], ceiling: float) -> None:
    """Measure 10 to 120 % of the capacity into `capacity.curve`, as far as the generator's `ceiling` allows."""
    for fraction in FRACTIONS:
        rate = capacity.rate * fraction
        if rate <= ceiling:
            capacity.curve.append(try_rate(rate))
