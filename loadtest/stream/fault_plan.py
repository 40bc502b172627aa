"""Which fault comes when: drawn from a seed, so that a run can be made again as far as a machine allows.

    kill      SIGKILL to a worker, which comes back in its slot at once, or after a while
    stop      SIGSTOP for longer than the session, or for less; somebody else has its events by then, and it wakes late
    twin      a worker is stopped, another one comes with its slot, then the first one wakes
    join      one more worker
    leave     a worker is asked to end; it comes back later where too few would be left
    restart   the broker is asked to end, as by an administrator, and comes back with its data
    broker    SIGKILL to the broker, which comes back with its data

Who is meant is left to the run (`loadtest.stream.chaos`): a fault names a share of the workers that run then.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

KILL, STOP, TWIN, JOIN, LEAVE, RESTART, BROKER = "kill", "stop", "twin", "join", "leave", "restart", "broker"

WEIGHTS: Final = {KILL: 8, STOP: 4, TWIN: 2, JOIN: 6, LEAVE: 6, RESTART: 1, BROKER: 1}
"""How often each comes, one beside the other."""


@dataclass(frozen=True)
class PlannedFault:
    """A fault: so many seconds after the one before it, for so many seconds, to which of the workers (0 to 1)."""

    kind: str
    after: float
    seconds: float
    pick: float


class FaultPlan:
    """An endless row of faults."""

    def __init__(self, seed: int, between: tuple[float, float], session: float, kinds: Sequence[str]) -> None:
        """`between` are the shortest and the longest time between two, `session` seconds make a worker dead."""
        self._random = random.Random(seed)
        self._between, self._session, self._kinds = between, session, list(kinds)
        self._weights = [WEIGHTS[kind] for kind in kinds]

    def next(self) -> PlannedFault:
        """The next one."""
        draw = self._random
        kind = draw.choices(self._kinds, self._weights)[0]
        lengths = {
            KILL: lambda: draw.choice((0.0, 0.0, draw.uniform(0, 4))),
            # Two of three beyond the session; some of those also beyond the time that a transaction may take.
            STOP: lambda: draw.choice((draw.uniform(0.5, 5), *(self._session + draw.uniform(1, 10) for _ in "12"))),
            TWIN: lambda: draw.uniform(2, self._session + 5),
            LEAVE: lambda: draw.uniform(0, self._session + 5),
            RESTART: lambda: draw.uniform(0, 4),
            BROKER: lambda: draw.uniform(0, 4),
        }
        seconds = lengths[kind]() if kind in lengths else 0.0
        return PlannedFault(kind, draw.uniform(*self._between), seconds, draw.random())
