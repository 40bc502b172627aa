"""How many events the next poll should ask for: many where there are many, few where each can be answered at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

LEAST: Final = 64
"""Below it a model's call costs the same for one event more (measured with 50 trees: flat from 64 rows on)."""

LONGEST: Final = 2.0
"""Seconds that scoring a batch should take at most. Who is told to end ends its batch first, a group waits for a member
that has one, and whoever takes longer than the group waits would have its batch read again, and again."""


class BatchSize:
    """Grows while polls come back full, shrinks when they do not, and where events take long."""

    def __init__(self, most: int, seconds: Callable[[int], float] = lambda _: 0.0) -> None:
        """`seconds` says about how long so many events take; what they do take is told to `took`."""
        self._most = most
        self.now = min(LEAST, most)
        while self.now > 1 and seconds(self.now) > LONGEST:
            self.now //= 2

    def polled(self, events: int) -> None:
        """A poll that asked for `now` has given so many."""
        if events >= self.now:
            self.now = min(self.now * 2, self._most)
        elif events < self.now // 4:
            self.now = max(self.now // 2, min(LEAST, self.now))

    def took(self, events: int, seconds: float) -> None:
        """So many events took so long."""
        if seconds > LONGEST / 2:
            self.now = max(1, min(self.now, int(events * LONGEST / seconds)))
