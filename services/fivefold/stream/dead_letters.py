"""Dead letters: what they say, and how they are sent again to where they came from.

A dead letter is the event as it was, key, value and headers, with headers of ours beside them that say why
(`fivefold.stream.identity`). Sending one again is a read and a write in one transaction, as scoring is: whoever stops
in between has neither lost nor doubled one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fivefold.stream.events import Event, Outgoing
from fivefold.stream.identity import death, without_death
from fivefold.stream.log import EventLog, Rewound

BATCH = 1000
POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter and what it says; empty texts for what it does not say."""

    event: Event
    code: str
    path: str
    error: str
    source: str
    """TOPIC/PARTITION/OFFSET of the event that it was."""

    @classmethod
    def of(cls, event: Event) -> DeadLetter:
        """Read the headers of one."""
        said = death(event.headers)
        return cls(event, *(said.get(name, "") for name in ("code", "path", "error", "source")))

    @property
    def topic(self) -> str:
        """The topic of the event that it was."""
        return self.source.rpartition("/")[0].rpartition("/")[0]


@dataclass(slots=True)
class Replayed:
    """What a replay did."""

    sent: int = 0
    left: int = 0
    """Dead letters that were not chosen; they are done for this replay's group all the same."""


def replay(
    log: EventLog, to: str, *, wanted: Callable[[DeadLetter], bool], stopped: Callable[[float], bool]
) -> Replayed:
    """Send dead letters to the topic `to` as the events that they were, until none is left."""
    done = Replayed()
    while not stopped(0):
        try:
            events = log.poll(BATCH, POLL_SECONDS)
            if not events:
                if log.finished():
                    break
                continue
            chosen = [event for event in events if wanted(DeadLetter.of(event))]
            log.commit([_revived(event, to) for event in chosen])
        except Rewound:
            stopped(POLL_SECONDS)
            continue
        done.sent += len(chosen)
        done.left += len(events) - len(chosen)
    return done


def _revived(event: Event, to: str) -> Outgoing:
    return Outgoing(to, event.key, event.value, without_death(event.headers))
