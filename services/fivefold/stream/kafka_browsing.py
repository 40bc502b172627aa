"""Reading a Kafka topic from its beginning, without a group: what is committed there now, partition by partition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from fivefold.core.errors import NotFound
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.events import Event
from fivefold.stream.kafka_cluster import CALL_SECONDS, event_of, partitions_of
from fivefold.stream.kafka_errors import KafkaErrors
from fivefold.stream.kafka_settings import KafkaSettings

SILENCE_SECONDS = 30.0
"""How long a partition whose end was not reached may give nothing before this ends in an error."""


def browse_kafka(address: TopicAddress, settings: KafkaSettings) -> Iterator[Event]:
    """Every committed event that is there now. Raises `NotFound`, `AccessError`, `Unavailable`."""
    shared: dict[str, Any] = settings.connection() | {"bootstrap.servers": ",".join(address.servers), "log_level": "2"}
    errors = KafkaErrors(address)
    shared["error_cb"] = errors.heard
    partitions = partitions_of(AdminClient(shared), errors)
    if not partitions:
        raise NotFound("not_found", f"no topic {address.topic!r} at {','.join(address.servers)}")
    consumer = Consumer(
        shared
        | {
            # Never joined: without a subscription there is no member.
            "group.id": "fivefold-browse",
            "enable.auto.commit": "false",
            "isolation.level": "read_committed",
            "enable.partition.eof": "true",
            "auto.offset.reset": "earliest",
            # At an end the broker waits for more, for half a second unless told otherwise: before it says that this is
            # the end, and before the next partition is asked for.
            "fetch.wait.max.ms": "10",
        }
    )
    try:
        for partition in range(partitions):
            yield from _partition(consumer, address, partition)
    except KafkaException as err:
        errors.check()
        raise errors.refusal(err.args[0]) from err
    finally:
        consumer.close()


def _partition(consumer: Consumer, address: TopicAddress, partition: int) -> Iterator[Event]:
    place = TopicPartition(address.topic, partition)
    low, high = consumer.get_watermark_offsets(place, CALL_SECONDS)
    if low >= high:
        return
    consumer.assign([TopicPartition(address.topic, partition, low)])
    while True:
        message = consumer.poll(SILENCE_SECONDS)
        error = None if message is None else message.error()
        if message is None or error is not None:
            if error is not None and error.code() == error._PARTITION_EOF:  # its own name
                return
            raise (
                KafkaException(error)
                if error is not None
                else NotFound("not_found", f"partition {partition} of {address} gives nothing")
            )
        event = event_of(message, address.topic)
        if event.offset >= high:
            return
        yield event
        if event.offset + 1 >= high:
            return
