"""Which header says what on a result, and the id that makes a second copy known as one."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Final

from fivefold.stream.events import Event, Headers

PREFIX: Final = "fivefold-"
"""How the name of every header begins that a worker writes on a result."""

VERSION: Final = "contract-version"
"""The header of an event that says which version of the contract it follows; without it, the model's own."""

_SPACE: Final = uuid.UUID("6f0f7f4e-2f0e-5b5b-9d0a-8b5ac3b7a1de").bytes


def misspelled_version(headers: Headers) -> str | None:
    """A header that means `VERSION` in HTTP's spelling (capitals, or `x-` before it), which would be passed over."""
    for name, value in headers:
        if value is not None and name != VERSION and name.lower().removeprefix("x-") == VERSION:
            return name
    return None


def event_id(event: Event, bundle: str) -> str:
    """The id of what becomes of an event under a bundle: the same whoever scores it, how often (UUID 5, RFC 9562).

    Written out: objects of `uuid` for each event take a quarter of all the time that a small model's worker has.
    """
    name = f"{event.topic}/{event.partition}/{event.offset}/{bundle}"
    digest = hashlib.sha1(_SPACE + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def source_of(event: Event) -> str:
    """TOPIC/PARTITION/OFFSET."""
    return f"{event.topic}/{event.partition}/{event.offset}"


def of_result(event: Event, identity: str, model: Headers) -> Headers:
    """What a result carries beside its event's own headers; `model` as `named` gives it."""
    return described(PREFIX, event, identity, model)


def named(prefix: str, model: Mapping[str, bytes]) -> Headers:
    """What is to be said of a model, as headers: the same for all that it scores."""
    return tuple((f"{prefix}{name}", value) for name, value in model.items())


def described(prefix: str, event: Event, identity: str, model: Headers) -> Headers:
    """What became of which event, and by which model; names begin with `prefix`, those of `model` already do."""
    return ((f"{prefix}id", identity.encode()), (f"{prefix}source", source_of(event).encode()), *model)


def for_result(headers: Headers) -> Headers:
    """The event's own headers as a result carries them on: without what the worker before this one has written, and
    without the version of the event's contract, which says nothing of a result."""
    return tuple(each for each in headers if not each[0].startswith(PREFIX) and each[0] != VERSION)
