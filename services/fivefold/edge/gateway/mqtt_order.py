"""Acknowledgements in the order in which the messages came, as MQTT asks for (version 5.0, section 4.6), although the
messages themselves are done in any order.

When a message is done, and how it is acknowledged, is left to the intake.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Arrival:
    """One message that waits for its acknowledgement."""

    mid: int
    qos: int
    done: bool = False


class ArrivalOrder:
    """The messages of one connection, in the order in which they came. One thread at a time."""

    def __init__(self) -> None:
        self._waiting: deque[Arrival] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def arrived(self, mid: int, qos: int) -> Arrival:
        """A message came; acknowledging it waits for `finish`."""
        arrival = Arrival(mid, qos)
        self._waiting.append(arrival)
        return arrival

    def finish(self, arrival: Arrival) -> list[Arrival]:
        """A message is done: those that can be acknowledged now, in order."""
        arrival.done = True
        out = []
        while self._waiting and self._waiting[0].done:
            out.append(self._waiting.popleft())
        return out

    def forget(self) -> None:
        """The connection has gone: the broker sends what was not acknowledged again."""
        self._waiting.clear()
