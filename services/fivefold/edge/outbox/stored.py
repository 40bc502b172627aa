"""What lies in an outbox, and how full it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

LANES: Final = ("alerts", "bulk")
"""The lanes, most urgent first."""

MAX_BODY_BYTES: Final = 250 * 1024
"""The longest body of one event: with its number and id it stays below the 256 KiB that a line may have at a hub."""

QUOTA: Final = "quota"
HUB_LOST: Final = "hub_lost"
CORRUPT: Final = "corrupt"
GAP_REASONS: Final = (QUOTA, HUB_LOST, CORRUPT)

HUB_BEHIND: Final = "hub_behind"
"""The hub has acknowledged less than it had before: it has lost its state."""

HUB_INVALID: Final = "hub_invalid"
"""The hub has acknowledged what was never sent."""

OUTBOX_COPIED: Final = "outbox_copied"
"""The hub has other events under this outbox' numbers: one with the same id has sent them."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that will never come: `first` to the seq of the record, both included; `count` of them were accepted."""

    first: int
    count: int
    reason: str
    """One of `GAP_REASONS`."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One event of a lane, or a gap record in the place of events."""

    lane: str
    seq: int
    """From 1 on without holes within a lane; of a gap record, the last that it covers."""
    id: str
    """The event's id, a UUIDv7; a gap record's too."""
    body: bytes
    """A JSON object in UTF-8, without `seq` and `id`; of a gap record, empty."""
    at_ms: int
    """The device's clock when it was stored, in milliseconds since 1970. It decides nothing."""
    gap: Gap | None = None

    @property
    def first(self) -> int:
        """The first seq that it stands for."""
        return self.seq if self.gap is None else self.gap.first


@dataclass(frozen=True, slots=True)
class LaneStop:
    """Why nothing more is sent from a lane until somebody decides."""

    code: str
    """`hub_behind`, `hub_invalid` or `outbox_copied`."""
    acked_through: int
    """What the hub said."""
    at_ms: int


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """How a lane stands."""

    lane: str
    events: int
    """Events that wait, gap records not counted."""
    bytes: int
    """What they take of the quota."""
    next_seq: int
    acked_through: int
    sent_through: int
    """The highest seq that a hub may have seen."""
    dropped: int
    """Events that were dropped for the quota since the outbox was made."""
    corrupt: int
    """Events that could not be read any more since the outbox was made."""
    gaps: int
    """Gap records that wait."""
    oldest_ms: int | None
    """The device's clock when the oldest event was stored, None where none waits."""
    stop: LaneStop | None

    def to_json(self) -> dict[str, Any]:
        """As the commands print it."""
        stop = self.stop and {
            "code": self.stop.code,
            "hub_acked_through": self.stop.acked_through,
            "at_ms": self.stop.at_ms,
        }
        return {
            "lane": self.lane,
            "events": self.events,
            "bytes": self.bytes,
            "next_seq": self.next_seq,
            "acked_through": self.acked_through,
            "sent_through": self.sent_through,
            "dropped": self.dropped,
            "corrupt": self.corrupt,
            "gaps": self.gaps,
            "oldest_ms": self.oldest_ms,
            "stop": stop,
        }


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """How an outbox stands."""

    id: str
    path: str
    policy: str
    quota_bytes: int
    used_bytes: int
    """What all that waits takes of the quota."""
    lanes: tuple[LaneStatus, ...]
    broken: str | None
    """Why the disk is not trusted any more, until it is opened again; None where it is."""

    def __getitem__(self, lane: str) -> LaneStatus:
        return next(each for each in self.lanes if each.lane == lane)

    @property
    def events(self) -> int:
        """Events that wait, in all lanes."""
        return sum(each.events for each in self.lanes)

    @property
    def nearly_full(self) -> bool:
        """Whether four fifths of the quota are used."""
        return self.used_bytes >= 0.8 * self.quota_bytes

    def to_json(self) -> dict[str, Any]:
        """As the commands print it."""
        return {
            "outbox": self.id,
            "path": self.path,
            "policy": self.policy,
            "quota_bytes": self.quota_bytes,
            "used_bytes": self.used_bytes,
            "nearly_full": self.nearly_full,
            "broken": self.broken,
            "lanes": [each.to_json() for each in self.lanes],
        }
