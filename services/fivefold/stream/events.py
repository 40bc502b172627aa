"""What travels over a log: an event as it was read, and one that is to be written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

Headers = tuple[tuple[str, bytes | None], ...]
"""Names and values in their order; a name may stand there more than once, a value may be null."""


class Place(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Event:
    """An event as a log gave it, byte for byte. `timestamp` is in milliseconds since 1970, -1 where there is none.

    `headers_lost` says that it has headers which cannot be read, and none of them is here.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    headers_lost: bool = False

    @property
    def place(self) -> Place:
        """Where it was."""
        return Place(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event to be written. The key chooses the partition unless one is named; `timestamp` None: now."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int | None = None
    partition: int | None = None


def header(headers: Headers, name: str) -> bytes | None:
    """The last value of that name, as Kafka's own clients look one up; None where there is none, or null."""
    for each, value in reversed(headers):
        if each == name:
            return value
    return None


def without(headers: Headers, names: Iterable[str]) -> Headers:
    """The headers but for those names."""
    if not headers:
        return headers
    dropped = frozenset(names)
    return tuple(each for each in headers if each[0] not in dropped)
