"""Whether a model takes one more request, by how long that would have to wait, and a process one more byte.

A queue helps against a burst and harms in an overload: there it stays as long as it may be, everybody waits that long,
and no more is answered for it. So a wait beyond the limit is allowed for as long as a burst lasts; afterwards what
would wait longer is refused at once, while what was admitted keeps its latency. (The idea is CoDel's, RFC 8289, applied
where requests come in instead of where they leave, so that a refusal takes no time.)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fivefold.core.errors import Unavailable

PATIENCE = 2.0
"""A request may wait so many times as long as it takes itself, whatever the limit: a slow model's clients know it."""

FORGET = 0.02
"""How much one request's end weighs in the pace that is measured."""

LULLS = 10.0
"""How many times as long as a request may wait there may be no queue within an overload: random arrivals are full of
such lulls."""

RELIEF = 0.5
"""How much a calm second makes up for: with random arrivals even an overload is calm for half of the time."""

LOOKS = 4
"""How many requests must have found a queue, however far apart they came, before it is no burst any more."""

SHORTEST = 1e-9
"""Seconds that a request is taken to need at least."""


class Admission:
    """The queue of one model as one event loop sees it; times in seconds, `clock` as `time.perf_counter`."""

    def __init__(
        self, wait: float, burst: float, *, at_once: int, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """A request may be expected to wait `wait` seconds, or `PATIENCE` times its own; in a burst longer.

        A burst is whatever lasts at most `burst` seconds.
        """
        self._limit, self._burst, self._at_once, self._clock = wait, burst, at_once, clock
        self._ahead = 0.0
        self._count = 0
        # How long it takes to get one predicted second of work done, from the requests that ended while others waited:
        # threads, batches and a machine that is slower than it was when the model was measured are all in it.
        self._took, self._done = 1.0 / at_once, 1.0
        self._measured = False
        self._last = self._asked = clock()
        self._over = 0.0
        """For how long there has been a queue, less what has been calm since."""

    @property
    def wait(self) -> float:
        """How long a request that came now would be expected to wait until the model takes it."""
        if self._count < self._at_once:
            return 0.0
        expected = self._ahead * self._took / self._done
        # Nothing has ended for longer than that: the model is stuck, or slower than ever before.
        return max(expected, self._clock() - self._last)

    def admits(self, seconds: float) -> bool:
        """Whether one more may join, that the model is expected to need so many seconds for."""
        wait, now = self.wait, self._clock()
        since, self._asked = now - self._asked, now
        # What is usual here decides whether this is a queue; one large request may wait longer, and says nothing. Once
        # it is a standing one, what waits is kept within the limit, so less than that is still a sign of it.
        usual = self._patience(self._ahead / self._count if self._count else seconds)
        if wait > (usual / 2 if self._over >= self._burst else usual):
            # Nobody has looked meanwhile: where the whole process was held up, this was one queue, not a long one.
            self._over = min(self._over + min(since, self._burst / LOOKS), self._burst + LULLS * usual)
        else:
            self._over = max(self._over - since * RELIEF, 0.0)
        return wait <= self._patience(seconds) or self._over < self._burst

    def begin(self, seconds: float) -> None:
        """A request joins that the model is expected to need so many seconds for."""
        self._count += 1
        if self._count == self._at_once:
            self._last = self._clock()
        self._ahead += seconds

    def end(self, seconds: float, *, counts: bool = True) -> None:
        """It has left; `counts` says whether the model worked for it."""
        now = self._clock()
        if counts:
            # Where fewer wait than can run, the time between two ends is not the model's.
            if self._count > self._at_once:
                self._learn(now - self._last, seconds)
            self._last = now
        self._count -= 1
        self._ahead = self._ahead - seconds if self._count else 0.0

    def _patience(self, seconds: float) -> float:
        """How long a request may wait that was expected to need so many seconds: as many as it really will."""
        return max(self._limit, PATIENCE * seconds * self._at_once * self._took / self._done)

    def _learn(self, took: float, done: float) -> None:
        done = max(done, SHORTEST)
        if not self._measured:
            # Until now it was what the model promised: from here on that weighs as much as a request like this one.
            self._measured = True
            self._took, self._done = self._took * done, self._done * done
        self._took += FORGET * (took - self._took)
        self._done += FORGET * (done - self._done)


FREE = 64 * 1024
"""Bytes of each body that are not counted: small requests pass whatever the large ones hold."""


class Room:
    """The bytes that the bodies of a process may hold at once, from their first byte until they are answered."""

    def __init__(self, most: int, retry_after: float) -> None:
        self.most, self.held = most, 0
        self._retry_after = retry_after
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Hold so many more bytes; raises `Unavailable` `overloaded` where there is no room for them."""
        with self._lock:
            if self.held + size <= self.most:
                self.held += size
                return
        raise Unavailable(
            "overloaded",
            f"the requests in work hold {self.held} of {self.most} bytes already",
            help="ask again in a moment, or send a smaller body",
            retry_after=self._retry_after,
        )

    def give(self, size: int) -> None:
        """Let go of so many bytes."""
        with self._lock:
            self.held -= size
