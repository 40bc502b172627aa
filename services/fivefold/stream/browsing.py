"""Reading a topic from its beginning without being anybody's member: for looking, never for working."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fivefold.core.settings import read
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.events import Event
from fivefold.stream.sqlite_store import SqliteStore


def browse(address: TopicAddress, directory: str | Path) -> Iterator[Event]:
    """Every event that is there now. Raises `NotFound` and what the log raises."""
    if address.is_local:
        store = SqliteStore(directory, create=False)
        try:
            yield from store.read(address.topic)
        finally:
            store.close()
        return
    from fivefold.stream.kafka_browsing import browse_kafka
    from fivefold.stream.kafka_settings import KafkaSettings

    yield from browse_kafka(address, read(KafkaSettings))
