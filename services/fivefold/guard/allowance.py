"""How much one caller may ask: a token bucket for the rate, a count for what is in work.

The limits hold for all replicas together: each one grants its share, so nothing is coordinated while a request waits,
and a caller whose connections all lead to one replica gets that one's share alone. Who the caller is, is left to
`keyring` and `tokens`; how many replicas there are, to the deployment.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fivefold.core.errors import Unavailable

CROWDED_SECONDS: Final = 1.0
"""What a caller with too much in work is asked to wait: when some of it ends, nobody knows."""


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """Requests a second, how many of them may come at once after a pause, and how many may be in work; None: any."""

    rate: float | None = None
    burst: float | None = None
    """At least 1; one second's worth where it is not given."""

    concurrency: int | None = None


class Allowance:
    """What is left of one caller's limits in this process. One thread, that of the event loop, uses it."""

    __slots__ = ("_clock", "_filled", "_left", "inflight", "limits")

    def __init__(self, limits: CallerLimits, clock: Callable[[], float] = time.monotonic) -> None:
        """The bucket begins full; `clock` gives seconds."""
        self.limits = limits
        """May be set to other ones at any time, from any thread."""

        self.inflight = 0
        self._clock = clock
        self._filled, self._left = clock(), float("inf")

    def enter(self, replicas: int) -> None:
        """Count one request, of this replica's share; raises `Unavailable` `rate_limited` where that is used up."""
        limits = self.limits
        # A share below one request would lock the caller out for good.
        if limits.concurrency is not None and self.inflight >= max(1, limits.concurrency // replicas):
            raise Unavailable(
                "rate_limited",
                f"expected at most {limits.concurrency} requests of this caller in work at once",
                help=_shared(replicas),
                retry_after=CROWDED_SECONDS,
            )
        if limits.rate is not None:
            rate = limits.rate / replicas
            most = max(1.0, (limits.rate if limits.burst is None else limits.burst) / replicas)
            now = self._clock()
            left = min(most, self._left + (now - self._filled) * rate)
            self._left, self._filled = left, now
            if left < 1.0:
                raise Unavailable(
                    "rate_limited",
                    f"expected at most {limits.rate:g} requests a second of this caller",
                    help=_shared(replicas),
                    retry_after=(1.0 - left) / rate,
                )
            self._left = left - 1.0
        self.inflight += 1

    def leave(self) -> None:
        """A request that entered has ended."""
        self.inflight -= 1


def _shared(replicas: int) -> str | None:
    return f"{replicas} replicas share the limit; spread requests over connections" if replicas > 1 else None
