"""The port of a log: a group's reader and writer in one, whose results and progress count together or not at all.

    events = log.poll(most, seconds)          # nothing is committed by reading
    log.commit(results_of(events))            # the results, and that all polled events are done: one transaction

There is no state between the two but what was polled. Whatever goes wrong in a commit, the log forgets what was polled,
reads again how far the group has really come, and says so by `Rewound`: the caller polls again, and scores what is
left. Where the transaction did count after all, nothing is left of it; where it did not, all of it is. So a caller
needs no rules of its own for failures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from fivefold.stream.events import Event, Outgoing, Place


class Rewound(Exception):  # nothing is lost
    """What was polled last is not committed by this log, and is not held any more: poll again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EventLog(Protocol):
    """One member of one group on one topic. Used by one thread."""

    def poll(self, most: int, seconds: float) -> list[Event]:
        """At most `most` events that nobody else of the group has, in each partition's order; waits so long for one.

        Raises `Rewound` where the group took the partitions of events that were polled and not committed.
        """
        ...

    def commit(self, outgoing: Sequence[Outgoing]) -> None:
        """Write these events in their order, and take all events polled so far for done, in one transaction. Their
        topics are among those that the log was opened to write.

        Raises `Rewound`, after which poll begins at what is not done; `FivefoldError` where nothing can go on.
        """
        ...

    def lag(self) -> Mapping[Place, int]:
        """For each partition of this member, how many events are in the log and not done."""
        ...

    def finished(self) -> bool:
        """Whether everything is done that was in the topic when this log was opened, by whichever member."""
        ...

    def close(self) -> None:
        """Leave the group; what is polled and not committed is somebody else's.

        At once on the local log; with Kafka once the slot's session is over, unless the same slot is back before.
        """
        ...
