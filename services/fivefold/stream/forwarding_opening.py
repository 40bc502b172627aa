"""From an address to a topic that a source forwards into: the local log's, or a Kafka cluster's."""

from __future__ import annotations

from pathlib import Path

from fivefold.core.settings import read
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.forwarding import Forwarding, SqliteForwarding


def open_forwarding(address: TopicAddress, source: str, *, directory: str | Path) -> Forwarding:
    """The topic at an address, for the source of that name; it is made where there is none, and so is its progress.

    A Kafka cluster is asked first when something is to be written or told. Raises what the local log raises.
    """
    if address.is_local:
        return SqliteForwarding(directory, address.topic, source)
    from fivefold.stream.kafka_forwarding import KafkaForwarding
    from fivefold.stream.kafka_settings import KafkaSettings

    return KafkaForwarding(address, source, read(KafkaSettings))
