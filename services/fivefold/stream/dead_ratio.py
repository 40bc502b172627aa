"""The circuit breaker: how many of the last events may become dead letters before the worker stops."""

from __future__ import annotations

from collections import Counter, deque

from fivefold.core.errors import RunFailed


class DeadRatio:
    """Counts over a window of the last events, in whole batches."""

    def __init__(self, most: float, window: int) -> None:
        self._most, self._window = most, window
        self._batches: deque[tuple[int, Counter[str]]] = deque()
        self._events = 0
        self._codes: Counter[str] = Counter()

    def committed(self, events: int, codes: Counter[str]) -> None:
        """A batch is done. Raises `RunFailed(too_many_bad_rows)` where too many became dead letters: those of this
        batch are in the log, so nothing is lost and nothing will be done twice."""
        self._batches.append((events, codes))
        self._events += events
        self._codes += codes
        while self._events - self._batches[0][0] >= self._window:
            gone, fewer = self._batches.popleft()
            self._events -= gone
            self._codes -= fewer
        dead = self._codes.total()
        if self._events < self._window or dead <= self._most * self._events:
            return
        shown = ", ".join(f"{code} {count:,}" for code, count in self._codes.most_common(3))
        raise RunFailed(
            "too_many_bad_rows",
            f"{dead:,} of the last {self._events:,} events are dead letters ({shown}), and at most "
            f"{self._most:.1%} may be",
            help="look at them (fivefold dead-letters list), mend the model or the producer, then start again and "
            "replay them; or allow more (--max-bad-fraction)",
        )
