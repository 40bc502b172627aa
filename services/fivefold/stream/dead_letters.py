"""Dead letters: what they say, and how they are sent again to where they came from.

A dead letter is the event as it was, key, value and headers, with headers of ours beside them that say why
(`of_dead_letter`). Sending one again is a read and a write in one transaction, as scoring is: whoever stops
in between has neither lost nor doubled one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from fivefold.core.errors import FivefoldError
from fivefold.stream.events import Event, Headers, Outgoing
from fivefold.stream.identity import described
from fivefold.stream.log import EventLog, Rewound

DEAD: Final = "fivefold-dead-"
"""How they begin on a dead letter: a name that a result never has, so the event's own headers all stay."""

BATCH = 1000
POLL_SECONDS = 0.25


def of_dead_letter(event: Event, identity: str, model: Headers, error: FivefoldError, group: str) -> Headers:
    """What a dead letter carries beside the event's own headers: why, where it came from, and who gave it up.

    `model` is what `identity.named` gives for the prefix `DEAD`.
    """
    said = error.to_json()
    return (
        *described(DEAD, event, identity, model),
        (f"{DEAD}code", error.code.encode()),
        (f"{DEAD}path", str(said["path"]).encode("utf-8", "backslashreplace")),
        (f"{DEAD}error", str(said["error"]).encode("utf-8", "backslashreplace")),
        # The first violation speaks; of several, all are named.
        *(((f"{DEAD}details", msgspec.json.encode(said["details"])),) if len(error.details) > 1 else ()),
        (f"{DEAD}timestamp", str(event.timestamp).encode()),
        (f"{DEAD}group", group.encode()),
    )


def without_death(headers: Headers) -> Headers:
    """The headers of the event that became a dead letter, all of them."""
    return tuple(each for each in headers if not each[0].startswith(DEAD))


def death(headers: Headers) -> dict[str, str]:
    """What a dead letter says of itself, by the names without their prefix; empty where it is none."""
    return {
        name.removeprefix(DEAD): (value or b"").decode("utf-8", "replace")
        for name, value in headers
        if name.startswith(DEAD)
    }


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
