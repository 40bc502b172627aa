"""Outcomes made by hand, for tests of what is concluded from them."""

from __future__ import annotations

from typing import Any

from loadtest.load.calibrate import Limit
from loadtest.load.k6 import PERCENTILES, Latency, Outcome, Phase, Slot

LIMIT = Limit(10_000.0, Latency(100, {float(p): 0.3 for p in PERCENTILES}, 0.4), {})


def latency(p99: float, count: int = 1000) -> Latency:
    """A latency that grows evenly to its 99th percentile."""
    return Latency(count, {round(float(p), 3): p99 * (0.2 + 0.8 * p / 99) for p in PERCENTILES}, p99 * 1.5)


def outcome(rate: float = 100.0, p99: float = 10.0, **changes: Any) -> Outcome:
    """A run in which nothing went wrong, with changes."""
    members: dict[str, Any] = {
        "rate": rate,
        "seconds": 10.0,
        "requests": round(rate * 10),
        "errors": 0,
        "refused": 3,
        "dropped": 0,
        "unsent": 0,
        "codes": {},
        "latency": latency(p99, round(rate * 10)),
        "lateness": latency(0.5),
        "transports": {"v1": latency(p99), "grpc": latency(p99 / 2)},
        "transport_errors": {},
        "slots": [Slot(float(i), latency(p99, 100), 0) for i in range(10)],
        "phases": [Phase(rate, 10.0, latency(p99, round(rate * 10)), latency(0.0, 0))],
        "cpu_seconds": 1.0,
        "waiting": 100,
    }
    return Outcome(**members | changes)
