"""Reading a topic as it lies there, with nothing of the product: SQLite's own module, or a plain Kafka consumer.

The Kafka consumer reads committed records alone, as every reader has to who wants them exactly once; it belongs to no
group. The columns of the local log are those that its file says itself (`sqlite3 log.sqlite .schema`).
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from loadtest.machine.measurement import NotMeasured
from loadtest.stream.checker import LogRecord

CALL_SECONDS: Final = 30.0

SILENCE_SECONDS: Final = 60.0
"""How long a consumer that has not come to the end may give nothing: an open transaction would hold it up."""

_PASSING: Final = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT)
"""What a consumer says of a broker that is away, and mends itself."""


class Unreadable(NotMeasured):
    """A topic that cannot be read to its end."""


class Reader(Protocol):
    """Whoever reads a log."""

    def read(self, topic: str) -> Iterator[LogRecord]:
        """Every record that counts, each partition by rising offsets."""
        ...

    def count(self, *topics: str) -> int:
        """How many records that count these topics hold by now, cheaply."""
        ...

    def close(self) -> None: ...


class LocalReader:
    """The log of a directory."""

    def __init__(self, directory: Path) -> None:
        self._db = sqlite3.connect(f"file:{directory / 'log.sqlite'}?mode=ro", uri=True, timeout=60)

    def read(self, topic: str) -> Iterator[LogRecord]:
        found = self._db.execute(
            "SELECT partition, offset, key, value, headers FROM events WHERE topic = "
            "(SELECT id FROM topics WHERE name = ?) ORDER BY partition, offset",
            (topic,),
        )
        for partition, offset, key, value, headers in found:
            pairs = [] if headers is None else msgspec.msgpack.decode(headers)
            yield LogRecord(partition, offset, key, value, dict(pairs))

    def count(self, *topics: str) -> int:
        marks = ",".join("?" * len(topics))
        (count,) = self._db.execute(
            f"SELECT coalesce(sum(next), 0) FROM ends JOIN topics ON ends.topic = topics.id WHERE name IN ({marks})",
            topics,
        ).fetchone()
        return int(count)

    def epochs(self) -> int:
        """How often the partition that moved most has changed its owner or lost it."""
        (count,) = self._db.execute("SELECT coalesce(max(epoch), 0) FROM positions").fetchone()
        return int(count)

    def close(self) -> None:
        self._db.close()


class KafkaReader:
    """The topics of a cluster."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._counting: dict[tuple[str, ...], Consumer] = {}
        self._counts: dict[tuple[str, ...], int] = {}

    def consumer(self, **options: Any) -> Consumer:
        """A consumer that never joins its group."""
        return Consumer(
            {
                "bootstrap.servers": self._server,
                "group.id": "checker",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "log_level": 2,
                **options,
            }
        )

    def _partitions(self, consumer: Consumer, topic: str) -> list[TopicPartition]:
        found = consumer.list_topics(topic, timeout=CALL_SECONDS).topics[topic]
        return [TopicPartition(topic, partition, 0) for partition in sorted(found.partitions)]

    def read(self, topic: str) -> Iterator[LogRecord]:
        consumer = self.consumer()
        try:
            left = {each.partition for each in self._partitions(consumer, topic)}
            consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
            deadline = time.monotonic() + SILENCE_SECONDS
            while left:
                message = consumer.poll(1.0)
                if message is None:
                    if time.monotonic() > deadline:
                        raise Unreadable(f"partitions {sorted(left)} of {topic} give nothing and do not end")
                    continue
                deadline = time.monotonic() + SILENCE_SECONDS
                error = message.error()
                if error is None:
                    left.add(int(message.partition() or 0))
                    yield record(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(int(message.partition() or 0))
                elif not error.retriable() and error.code() not in _PASSING:
                    raise KafkaException(error)
        finally:
            consumer.close()

    def count(self, *topics: str) -> int:
        """Reads on from where the last count came to."""
        consumer = self._counting.get(topics)
        if consumer is None:
            consumer = self.consumer()
            with contextlib.suppress(KafkaException, KeyError):
                consumer.assign([each for topic in topics for each in self._partitions(consumer, topic)])
                self._counting[topics] = consumer
        some = consumer.consume(10_000, 0.05)
        self._counts[topics] = self._counts.get(topics, 0) + sum(message.error() is None for message in some)
        return self._counts[topics]

    def close(self) -> None:
        for each in self._counting.values():
            each.close()


def record(message: Message) -> LogRecord:
    """A message as a record."""
    pairs: Any = message.headers() or ()
    headers = {name: value.encode() if isinstance(value, str) else value for name, value in pairs}
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return LogRecord(partition, offset, message.key(), message.value(), headers)
