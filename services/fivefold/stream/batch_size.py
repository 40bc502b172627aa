"""How many events the next poll should ask for: many where there are many, few where each can be answered at once."""

from __future__ import annotations

LEAST = 64
"""Below it a model's call costs the same for one event more (measured with 50 trees: flat from 64 rows on)."""


class BatchSize:
    """Grows while polls come back full, shrinks when they do not."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.now = min(LEAST, most)

    def polled(self, events: int) -> None:
        """A poll that asked for `now` has given so many."""
        if events >= self.now:
            self.now = min(self.now * 2, self._most)
        elif events < self.now // 4:
            self.now = max(self.now // 2, min(LEAST, self._most))
