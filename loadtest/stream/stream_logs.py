"""The three logs that a run can be over, each with the topics of one run: where workers read and write, how events
come in, and who reads what came out."""

from __future__ import annotations

import sqlite3
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from fivefold.core.errors import RunFailed
from fivefold.stream.events import Outgoing
from fivefold.stream.sqlite_store import APPEND_ROWS, SqliteStore
from loadtest.machine.measurement import Failed
from loadtest.stream.kafka_broker import KafkaBroker, KfakeBroker, make_topics
from loadtest.stream.log_readers import KafkaReader, LocalReader, Reader
from loadtest.stream.planned_events import NUMBER, PlannedEvent

EVENTS, RESULTS, DEAD = "events", "results", "events.dead-letter"
GROUP: Final = "chaos"
FLUSH_SECONDS: Final = 180.0
JOIN_SECONDS: Final = 60.0
"""A member that joins waits until the sessions of those are over that have gone without a word."""

BUSY_MILLISECONDS: Final = 200

_MEMBERSHIP: Final = b"CGMDv2:"


class StreamLog(Protocol):
    """Where a run's events come from and go to."""

    broker: KafkaBroker | None
    """What can be killed and comes back; None where nothing can."""

    def words(self) -> list[str]:
        """The arguments of `fivefold stream` that name the topics."""
        ...

    def append(self, events: Iterable[PlannedEvent]) -> bool:
        """Append events in their order; they need not be in the log before `flush`. False where the log takes none now:
        then none of them is in it, and the caller has to come again."""
        ...

    def flush(self) -> None:
        """Wait until all events are in the log."""
        ...

    def reader(self) -> Reader:
        """A reader of its own."""
        ...

    def rebalances(self) -> int | None:
        """How often the group has been put together anew, by the log's own account; None where it keeps none."""
        ...

    def close(self) -> None: ...


class LocalLog:
    """The log of a directory."""

    def __init__(self, directory: Path, partitions: int) -> None:
        self.broker: KafkaBroker | None = None
        self._directory = directory
        self._store = SqliteStore(directory)
        # A worker that is stopped in the middle of a write keeps all others out, until who appends here has woken it.
        self._store.db.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        for topic in (EVENTS, RESULTS, DEAD):
            self._store.make(topic, partitions)

    def words(self) -> list[str]:
        return ["--from", f"local://{EVENTS}", "--to", f"local://{RESULTS}", "--data", str(self._directory)]

    def append(self, events: Iterable[PlannedEvent]) -> bool:
        found = [Outgoing(EVENTS, each.key, each.value, ((NUMBER, b"%d" % each.number),)) for each in events]
        # More would be more than one transaction, of which some could be in the log and some not.
        assert len(found) <= APPEND_ROWS
        try:
            self._store.append(EVENTS, found)
        except RunFailed as error:
            if getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                return False
            raise
        return True

    def flush(self) -> None:
        """An append is on the disk."""

    def reader(self) -> Reader:
        return LocalReader(self._directory)

    def rebalances(self) -> int | None:
        reader = LocalReader(self._directory)
        try:
            return reader.epochs()
        finally:
            reader.close()

    def close(self) -> None:
        self._store.close()


class KafkaStreamLog:
    """Topics of a Kafka, real or not, which ends with `close`."""

    def __init__(self, broker: KafkaBroker | KfakeBroker, partitions: int) -> None:
        self.broker = broker if isinstance(broker, KafkaBroker) else None
        self._running = broker
        self._address = broker.address
        make_topics(self._address, partitions, EVENTS, RESULTS, DEAD)
        self._failed: list[str] = []
        # Idempotent: it sends again what a killed broker has not answered, and nothing twice.
        self._producer = Producer(
            {
                "bootstrap.servers": self._address,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "log_level": 2,
                "reconnect.backoff.max.ms": 1000,
                "queue.buffering.max.messages": 2_000_000,
            }
        )

    def words(self) -> list[str]:
        at = f"kafka://{self._address}"
        return ["--from", f"{at}/{EVENTS}", "--to", f"{at}/{RESULTS}"]

    def append(self, events: Iterable[PlannedEvent]) -> bool:
        for each in events:
            headers: list[tuple[str, str | bytes | None]] = [(NUMBER, b"%d" % each.number)]
            self._producer.produce(EVENTS, each.value, each.key, headers=headers, on_delivery=self._delivered)
        self._producer.poll(0)
        return True

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._failed.append(error.str())

    def flush(self) -> None:
        left = self._producer.flush(FLUSH_SECONDS)
        if left or self._failed:
            raise Failed(f"{left} events could not be produced, {len(self._failed)} failed: {self._failed[:1]}")

    def reader(self) -> Reader:
        return KafkaReader(self._address)

    def rebalances(self) -> int | None:
        if self.broker is None:
            return generation_of_next(self._address, GROUP, EVENTS)
        return generations(self._address, GROUP)

    def close(self) -> None:
        self._producer.purge()
        self._running.stop()


def generations(address: str, group: str) -> int | None:
    """The highest generation that the broker has written down for a group of the classic protocol.

    Keys of the topic `__consumer_offsets` with version 2 are groups' metadata: a name; in the value, behind its version
    and the kind of the protocol, stands the generation.
    https://github.com/apache/kafka/blob/4.3.1/group-coordinator/src/main/resources/common/message/GroupMetadataValue.json
    """
    consumer: Consumer = KafkaReader(address).consumer(**{"isolation.level": "read_uncommitted"})
    highest: int | None = None
    try:
        consumer.assign([TopicPartition("__consumer_offsets", 0, 0)])
        while (message := consumer.poll(10)) is not None and message.error() is None:
            key, value = message.key(), message.value()
            if key is None or value is None or key[:2] != b"\x00\x02" or key[4:] != group.encode():
                continue
            (length,) = struct.unpack_from(">h", value, 2)
            (generation,) = struct.unpack_from(">i", value, 4 + max(length, 0))
            highest = max(highest or 0, generation)
    finally:
        consumer.close()
    return highest


def generation_of_next(address: str, group: str, topic: str) -> int | None:
    """The generation before that of a member which joins a group when all others have gone; None where none joins.

    For a cluster that writes down no groups. Behind the mark of librdkafka's form of a membership its generation
    stands, as the machine has integers.
    """
    joined: list[int] = []
    consumer: Consumer = KafkaReader(address).consumer(
        **{"group.id": group, "partition.assignment.strategy": "cooperative-sticky"}
    )
    try:
        consumer.subscribe([topic], on_assign=lambda *_: joined.append(1))
        until = time.monotonic() + JOIN_SECONDS
        while not joined and time.monotonic() < until:
            consumer.poll(0.1)
        (generation,) = struct.unpack_from("=i", consumer.consumer_group_metadata(), len(_MEMBERSHIP))
    finally:
        consumer.close()
    return int(generation) - 1 if joined else None
