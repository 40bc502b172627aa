"""How busy a replica is, for an autoscaler that counts ongoing requests."""

from __future__ import annotations

import time
from collections.abc import Callable

FULL = 0.8
"""The share of a core's time at which a replica counts as having its target of ongoing requests."""


class Utilisation:
    """How many ongoing requests this replica counts as having.

    Most requests are answered without ever waiting, so a count taken between two of them is nearly always 0 however
    busy the replica is. Its CPU time is not: at `FULL` it stands for `target` requests. The larger of that and the
    count is the load.
    """

    def __init__(
        self,
        inflight: Callable[[], float],
        target: float,
        *,
        cpu: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`cpu` and `clock` give seconds."""
        self._inflight, self._target, self._cpu, self._clock = inflight, target, cpu, clock
        self._before = cpu(), clock()

    def measure(self) -> float:
        """The load since the last time this was asked."""
        before, now = self._before, (self._cpu(), self._clock())
        elapsed = now[1] - before[1]
        if elapsed <= 0:
            return float(self._inflight())
        self._before = now
        busy = (now[0] - before[0]) / elapsed
        return max(float(self._inflight()), busy / FULL * self._target)
