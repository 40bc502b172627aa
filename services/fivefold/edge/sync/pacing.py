"""How fast a device asks: full jitter after failures, and a bandwidth that it does not exceed on average.

Both say how long to wait and wait for nobody.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 300.0
RETRY_AFTER_MOST: Final = 3600.0
"""A hub that asks for longer is asked again after this."""


class HubBackOff:
    """Waits after failures, spread over a limit that doubles: a fleet that lost its hub does not come back as one.

    Full jitter, as in M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._draw = draw
        self.failures = 0
        """In a row."""

    def failed(self, retry_after: float | None = None) -> float:
        """One more failure: seconds to wait, at least those that the hub asks for."""
        most = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(self.failures, 30))
        self.failures += 1
        wait = self._draw(0.0, most)
        # Many were told the same number at the same time, so the jitter comes on top.
        return wait if retry_after is None else min(max(retry_after, 0.0), RETRY_AFTER_MOST) + min(wait, retry_after)

    def succeeded(self) -> None:
        self.failures = 0


class TokenBucket:
    """A bandwidth: what is sent is paid for at its rate, a second's worth of which may be saved up.

    What is larger than that is sent when the bucket is full, and paid for afterwards. Time is the monotonic clock's: a
    wall clock that is set back would stop it.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`rate` in bytes a second."""
        self._rate, self._clock = rate, clock
        self._tokens, self._at = rate, clock()

    def wait(self, size: int) -> float:
        """Seconds until so many bytes may be sent."""
        now = self._clock()
        self._tokens = min(self._rate, self._tokens + max(now - self._at, 0.0) * self._rate)
        self._at = now
        return max(min(float(size), self._rate) - self._tokens, 0.0) / self._rate

    def spend(self, size: int) -> None:
        """So many were sent."""
        self._tokens -= size
