"""Forwarding into a Kafka topic: events and the source's position in one transaction of one producer.

The producer's transactional id is the source's, so the broker ends what one before it has begun, and refuses that one
from then on. Only behind that is the position read: up to where the progress ended then, and past transactions of
others that are still open.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fivefold.core.errors import FivefoldError, RunFailed, Unavailable
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.events import Outgoing
from fivefold.stream.forwarding import PROGRESS, WINDOW, position_of
from fivefold.stream.kafka_cluster import CALL_SECONDS, partitions_of, watermarks
from fivefold.stream.kafka_errors import FENCED_CODES, TOO_LONG, KafkaErrors
from fivefold.stream.kafka_log import LONGEST
from fivefold.stream.kafka_producing import produce
from fivefold.stream.kafka_settings import KafkaSettings
from fivefold.stream.sqlite_store import PARTITIONS

READ_SECONDS: Final = 90.0
"""How long reading the progress may take: longer than a transaction of somebody who is gone stays open."""


class KafkaForwarding:
    """See `fivefold.stream.forwarding.Forwarding`."""

    def __init__(self, address: TopicAddress, source: str, settings: KafkaSettings) -> None:
        """Nothing is asked of the cluster yet. Raises `SettingsError` for files that cannot be read."""
        self._topic, self._progress, self._source = address.topic, address.topic + PROGRESS, source
        shared: dict[str, Any] = settings.connection() | {
            "bootstrap.servers": ",".join(address.servers),
            "client.id": f"fivefold.{source}",
            "log_level": "2",
        }
        self._errors = KafkaErrors(address, "fivefold-hub", source)
        shared["error_cb"] = self._errors.heard
        self._shared = shared
        self._producing = {"message.max.bytes": str(LONGEST)} | shared | settings.producer("fivefold-hub", source)
        self._producer: Producer | None = None

    def position(self) -> int:
        """See `Forwarding.position`: takes the transactional id, so that what it reads is final."""
        self._forget()
        self._errors.check()
        self._prepare()
        producer = Producer(self._producing)
        self._again(lambda: producer.init_transactions(CALL_SECONDS))
        self._producer = producer
        return self._reached()

    def append(self, outgoing: Sequence[Outgoing], position: int) -> None:
        """See `Forwarding.append`."""
        producer = self._producer
        if producer is None:
            raise Unavailable("not_ready", "the position has not been asked for", retry_after=1.0)
        try:
            producer.begin_transaction()
            for each in outgoing:
                produce(producer, each)
            value = str(position).encode()
            produce(producer, Outgoing(self._progress, self._source.encode(), value, partition=0))
            self._again(lambda: producer.commit_transaction(CALL_SECONDS))
        except KafkaException as err:
            self._forget()
            raise self._refusal(err) from err
        except BaseException:
            self._forget()
            raise

    def close(self) -> None:
        """See `Forwarding.close`."""
        self._forget()

    def _forget(self) -> None:
        """Its threads and connections end with the last reference to it, and so does an open transaction at last."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaException):
                producer.purge()
                producer.abort_transaction(1.0)

    def _again(self, call: Callable[[], object]) -> None:
        """Until it succeeds, or fails for good."""
        until = time.monotonic() + CALL_SECONDS
        while True:
            try:
                call()
                return
            except KafkaException as err:
                if not err.args[0].retriable() or time.monotonic() >= until:
                    raise self._refusal(err) from err
                time.sleep(0.01)

    def _prepare(self) -> None:
        """Make both topics where there are none."""
        admin = AdminClient(self._shared)
        for topic, partitions, options in (
            (self._topic, PARTITIONS, {}),
            (self._progress, 1, {"cleanup.policy": "compact"}),
        ):
            found = partitions_of(admin, self._errors, topic)
            if topic == self._progress and found > 1:
                raise RunFailed("run_conflict", f"expected one partition of {topic!r}, got {found}")
            if found:
                continue
            try:
                admin.create_topics([NewTopic(topic, num_partitions=partitions, config=options)])[topic].result(
                    CALL_SECONDS
                )
            except KafkaException as err:
                if not partitions_of(admin, self._errors, topic):
                    raise RunFailed(
                        "storage_failed",
                        f"the topic {topic!r} is not there and cannot be made: {err.args[0].str()}",
                        help=f"make it, with {partitions} partitions",
                    ) from err

    def _reached(self) -> int:
        """The source's last position: read from behind, in windows that grow."""
        consumer = Consumer(
            self._shared
            | {
                # Never joined: without a subscription there is no member.
                "group.id": "fivefold-hub-progress",
                "enable.auto.commit": "false",
                "isolation.level": "read_committed",
                "enable.partition.eof": "true",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": "10",
            }
        )
        try:
            place = TopicPartition(self._progress, 0)
            low, high = watermarks(consumer, place, self._errors)
            begin, window = high, WINDOW
            while begin > low:
                end, begin = begin, max(low, begin - window)
                found = self._last(consumer, begin, end)
                if found is not None:
                    return found
                window *= 10
            return 0
        except KafkaException as err:
            raise self._refusal(err) from err
        finally:
            consumer.close()

    def _last(self, consumer: Consumer, begin: int, end: int) -> int | None:
        """The last position of this source between two offsets; all of them have to be read, or it is no answer."""
        consumer.assign([TopicPartition(self._progress, 0, begin)])
        key, last = self._source.encode(), None
        until = time.monotonic() + READ_SECONDS
        while time.monotonic() < until:
            message = consumer.poll(1.0)
            self._errors.check()
            if message is None:
                continue
            error, offset = message.error(), message.offset()
            assert offset is not None
            if error is not None:
                if error.code() != error._PARTITION_EOF:  # its own name
                    raise KafkaException(error)
                # Before the end there is a transaction of somebody else that is still open.
                if offset >= end:
                    return last
                continue
            if offset < end and message.key() == key:
                last = position_of(message.value(), self._topic)
            if offset + 1 >= end:
                return last
        raise Unavailable(
            "not_ready",
            f"{self._progress!r} could not be read to its end within {READ_SECONDS:g} s",
            help="a transaction of another hub may be open there",
            retry_after=5.0,
        )

    def _refusal(self, err: KafkaException) -> FivefoldError:
        error = err.args[0]
        if error.code() in TOO_LONG:
            return self._errors.too_long(error)
        if error.code() in FENCED_CODES:
            return RunFailed("run_conflict", f"another process forwards as {self._source!r}")
        return self._errors.refusal(error)
