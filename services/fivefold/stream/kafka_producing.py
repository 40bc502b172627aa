"""One event into a Kafka producer, for whoever holds its transaction."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import Producer

from fivefold.stream.events import Outgoing

FULL_SECONDS: Final = 0.05
"""How long a full queue is given to empty before it is asked again."""


def produce(producer: Producer, each: Outgoing) -> None:
    """Put an event into the producer's queue, waiting for room; raises `KafkaException` for one that it never takes."""
    named: dict[str, Any] = {} if each.partition is None else {"partition": each.partition}
    if each.timestamp is not None and each.timestamp >= 0:
        named["timestamp"] = each.timestamp
    while True:
        try:
            producer.produce(each.topic, each.value, each.key, headers=list(each.headers), **named)
            return
        except BufferError:
            producer.poll(FULL_SECONDS)
