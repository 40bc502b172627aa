"""Reading a Kafka topic without a group: what is committed there now, all of it or the last of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from fivefold.core.errors import NotFound
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.events import Event
from fivefold.stream.kafka_cluster import event_of, partitions_of, watermarks
from fivefold.stream.kafka_errors import KafkaErrors
from fivefold.stream.kafka_settings import KafkaSettings

SILENCE_SECONDS = 30.0
"""How long a partition whose end was not reached may give nothing before this ends in an error."""


def browse_kafka(address: TopicAddress, settings: KafkaSettings) -> Iterator[Event]:
    """Every committed event that is there now. Raises `NotFound`, `AccessError`, `Unavailable`."""
    with _reading(address, settings) as (consumer, partitions, errors):
        for partition in range(partitions):
            yield from _partition(consumer, address, partition, errors)


def latest_kafka(address: TopicAddress, settings: KafkaSettings, most: int) -> Iterator[Event]:
    """The committed ones among the last `most` offsets of each partition; raises as `browse_kafka` does.

    Where a transaction is open, what comes behind it is not read.
    """
    with _reading(address, settings) as (consumer, partitions, errors):
        left: dict[int, int] = {}
        places = []
        for partition in range(partitions):
            low, high = watermarks(consumer, TopicPartition(address.topic, partition), errors)
            if low < high:
                left[partition] = high
                places.append(TopicPartition(address.topic, partition, max(low, high - most)))
        if places:
            consumer.assign(places)
        while left:
            message = consumer.poll(SILENCE_SECONDS)
            error = None if message is None else message.error()
            if message is None:
                raise NotFound("not_found", f"{address} gives nothing")
            if error is None:
                event = event_of(message, address.topic)
                # Others may go on writing: what they write now is not waited for.
                if event.offset + 1 >= left.get(event.partition, 0):
                    left.pop(event.partition, None)
                yield event
            elif error.code() == error._PARTITION_EOF:  # its own name
                left.pop(message.partition() or 0, None)
            else:
                raise KafkaException(error)


@contextmanager
def _reading(address: TopicAddress, settings: KafkaSettings) -> Iterator[tuple[Consumer, int, KafkaErrors]]:
    """A consumer that is nobody's member, how many partitions the topic has, and what the client has heard."""
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
        yield consumer, partitions, errors
    except KafkaException as err:
        errors.check()
        raise errors.refusal(err.args[0]) from err
    finally:
        consumer.close()


def _partition(consumer: Consumer, address: TopicAddress, partition: int, errors: KafkaErrors) -> Iterator[Event]:
    place = TopicPartition(address.topic, partition)
    low, high = watermarks(consumer, place, errors)
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
