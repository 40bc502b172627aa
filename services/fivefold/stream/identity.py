"""Which header says what on a result and on a dead letter, and the id that makes a second copy known as one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

import msgspec

from fivefold.core.errors import FivefoldError
from fivefold.stream.events import Event, Headers

PREFIX: Final = "fivefold-"
"""How the name of every header begins that a worker writes on a result."""

DEAD: Final = "fivefold-dead-"
"""How they begin on a dead letter: a name that a result never has, so the event's own headers all stay."""

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
    return _from(PREFIX, event, identity, model)


def of_dead_letter(
    event: Event, identity: str, model: Mapping[str, bytes], error: FivefoldError, group: str
) -> Headers:
    """What a dead letter carries beside the event's own headers: why, where it came from, and who gave it up."""
    said = error.to_json()
    return (
        *_from(DEAD, event, identity, model),
        (f"{DEAD}code", error.code.encode()),
        (f"{DEAD}path", str(said["path"]).encode("utf-8", "backslashreplace")),
        (f"{DEAD}error", str(said["error"]).encode("utf-8", "backslashreplace")),
        # The first violation speaks; of several, all are named.
        *(((f"{DEAD}details", msgspec.json.encode(said["details"])),) if len(error.details) > 1 else ()),
        (f"{DEAD}timestamp", str(event.timestamp).encode()),
        (f"{DEAD}group", group.encode()),
    )


def _from(prefix: str, event: Event, identity: str, model: Mapping[str, bytes]) -> Headers:
    return (
        (f"{prefix}id", identity.encode()),
        (f"{prefix}source", source_of(event).encode()),
        *((f"{prefix}{name}", value) for name, value in model.items()),
    )


def for_result(headers: Headers) -> Headers:
    """The event's own headers as a result carries them on: without what the worker before this one has written, and
    without the version of the event's contract, which says nothing of a result."""
    return tuple(each for each in headers if not each[0].startswith(PREFIX) and each[0] != VERSION)


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
