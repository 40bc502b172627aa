"""Which header says what on a result, and the id that makes a second copy known as one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

from fivefold.stream.events import Event, Headers

PREFIX: Final = "fivefold-"
"""How the name of every header begins that a worker writes on a result."""

VERSION: Final = "contract-version"
"""The header of an event that says which version of the contract it follows; without it, the model's own."""

_SPACE: Final = uuid.UUID("6f0f7f4e-2f0e-5b5b-9d0a-8b5ac3b7a1de")


def event_id(event: Event, bundle: str) -> str:
    """The id of what becomes of an event under a bundle: the same whoever scores it, how often (UUID 5, RFC 9562)."""
    return str(uuid.uuid5(_SPACE, f"{event.topic}/{event.partition}/{event.offset}/{bundle}"))


def source_of(event: Event) -> str:
    """TOPIC/PARTITION/OFFSET."""
    return f"{event.topic}/{event.partition}/{event.offset}"


def of_result(event: Event, identity: str, model: Mapping[str, bytes]) -> Headers:
    """What a result carries beside its event's own headers."""
    return described(PREFIX, event, identity, model)


def described(prefix: str, event: Event, identity: str, model: Mapping[str, bytes]) -> Headers:
    """What became of which event, and by which model; names begin with `prefix`."""
    return (
        (f"{prefix}id", identity.encode()),
        (f"{prefix}source", source_of(event).encode()),
        *((f"{prefix}{name}", value) for name, value in model.items()),
    )


def for_result(headers: Headers) -> Headers:
    """The event's own headers as a result carries them on: without what the worker before this one has written, and
    without the version of the event's contract, which says nothing of a result."""
    return tuple(each for each in headers if not each[0].startswith(PREFIX) and each[0] != VERSION)
