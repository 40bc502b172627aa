"""The id of a result."""

from __future__ import annotations

import uuid

import pytest

from fivefold.stream.events import Event
from fivefold.stream.identity import event_id

SPACE = uuid.UUID("6f0f7f4e-2f0e-5b5b-9d0a-8b5ac3b7a1de")
"""Never changed: who has seen an id knows it again."""


@pytest.mark.parametrize("offset", [0, 1, 7, 2**40])
@pytest.mark.parametrize("topic", ["events", "Ereignisse-ß"])
def test_it_is_a_uuid_of_the_fifth_version(topic: str, offset: int) -> None:
    """The one that anybody's library makes of the same name."""
    event = Event(topic, 3, offset, 0, None, None)

    assert event_id(event, "sha256:ab") == str(uuid.uuid5(SPACE, f"{topic}/3/{offset}/sha256:ab"))
