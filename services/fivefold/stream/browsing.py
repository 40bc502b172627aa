"""Reading a topic, all of it or its last events, without being anybody's member: for looking, never for working."""

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


def latest(address: TopicAddress, directory: str | Path, most: int) -> Iterator[Event]:
    """The last events of each partition, at most so many. Raises `NotFound` and what the log raises."""
    if address.is_local:
        store = SqliteStore(directory, create=False)
        try:
            found = store.find(address.topic)
            if found is not None:
                ends = store.ends(found)
                yield from store.read(address.topic, start=[max(end - most, 0) for end in ends], ends=ends)
        finally:
            store.close()
        return
    from fivefold.stream.kafka_browsing import latest_kafka
    from fivefold.stream.kafka_settings import KafkaSettings

    yield from latest_kafka(address, read(KafkaSettings), most)
