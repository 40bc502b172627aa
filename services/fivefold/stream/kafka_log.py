"""The log of a cluster: a group's member on a Kafka topic, whose results and progress are one transaction.

A batch is polled, scored, and only then a transaction is opened, so that it is short and no rebalance ever meets an
open one: callbacks run inside of poll. The transaction carries the generation of the group under which its events were
polled (KIP-447), so a member that has lost them is refused by the broker. After every failure whose outcome is not
known, a new producer with the same transactional id is made, whose first act makes the broker end whatever the old one
had begun; only then it is read how far the group has come.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from fivefold.core.errors import NotFound, RunFailed
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.bounded_call import NeverBack, bounded
from fivefold.stream.events import Event, Outgoing, Place
from fivefold.stream.kafka_cluster import (
    CALL_SECONDS,
    NOT_READ,
    beginnings,
    cluster_of,
    event_of,
    partitions_to_read,
    prepare,
    watermarks,
)
from fivefold.stream.kafka_commits import CommitNumbers
from fivefold.stream.kafka_errors import ACCESS, FENCED_CODES, TOO_LONG, KafkaErrors
from fivefold.stream.kafka_positions import Positions, Written
from fivefold.stream.kafka_producing import produce
from fivefold.stream.kafka_settings import KafkaSettings
from fivefold.stream.log import Rewound
from fivefold.stream.log_waiting import BRIEFLY, LogWait

FENCED = (3, 60.0)
"""So many times within so many seconds another producer may have come with our id: once it may be our own."""

LONGEST = 64 << 20
"""Of an event, in bytes, before it is compressed."""

LISTEN_SECONDS = 7.0
"""Two heartbeats and their answers (librdkafka's `heartbeat.interval.ms`, 3 s), and less than a session."""

LATE_SECONDS = 5.0
"""How much longer than it was given a call may take before it is left alone."""

CLOSE_SECONDS = 15.0
"""How long leaving the group may take: more than a session, after which the group does without this member anyhow."""


class KafkaLog:
    """See `fivefold.stream.log.EventLog`."""

    def __init__(
        self,
        address: TopicAddress,
        group: str,
        slot: str,
        settings: KafkaSettings,
        *,
        to: Sequence[str] = (),
        start: str = "earliest",
        same_partition: bool = True,
        waiting: LogWait = BRIEFLY,
    ) -> None:
        """Be a member of `group` on a topic, which joins with its first poll.

        `to` are the topics that are written, made where there are none. Raises `NotFound`, `AccessError`,
        `RunFailed`, `Unavailable` where no broker answers or a certificate is not believed, and what `waiting` raises.
        """
        self._address, self._topic, self._group, self._slot = address, address.topic, group, slot
        self._start = OFFSET_BEGINNING if start == "earliest" else OFFSET_END
        shared: dict[str, Any] = settings.connection() | {
            "bootstrap.servers": ",".join(address.servers),
            "client.id": f"fivefold.{slot}",
            # Lines of its own: what they would say is told by `KafkaErrors`.
            "log_level": "2",
        }
        self._errors = KafkaErrors(address, group, slot, waiting)
        shared["error_cb"] = self._errors.heard
        # What comes compressed may be longer than what the client would send; the broker looks at it as it is sent.
        self._producing = {"message.max.bytes": str(LONGEST)} | shared | settings.producer(group, slot)
        self._producer = self._made_producer()
        self._partitions = partitions_to_read(self._producer, self._errors)
        # Before anything else: readers of committed events wait for what this slot's dead worker has begun.
        self._begin(self._producer)
        prepare(self._producer, shared, self._errors, self._partitions, to, same_partition=same_partition)
        consuming = shared | settings.consumer(group, slot)
        self._consumer = Consumer(consuming)
        # Results have their events' partitions, or nobody knows where the last one is.
        self._commits = CommitNumbers(group, cluster_of(self._producer, self._errors))
        written = Written(shared, group, self._commits, to if same_partition else ())
        self._positions = Positions(self._consumer, group, self._start, written, self._errors)
        self._outside = self._consumer.consumer_group_metadata()
        """What the consumer says of its membership while it has none."""
        self._joined = False
        self._owned: set[int] = set()
        self._next: dict[int, int] = {}
        """Behind the last polled event, in each partition that has events polled and not committed."""
        self._ends: dict[int, int] = {}
        """Where a partition's end was seen; behind the last event, where that belongs to a transaction."""
        self._done: dict[int, int] = {}
        """How far the group is known to have come."""
        self._begun: dict[int, int] = {}
        """Where the group begins in each partition of which nothing is known to be done, as far as lag asked."""
        self._origin: dict[int, int] = {}
        """The first polled event of each partition: where a group that has committed nothing begins again."""
        self._taken: set[int] = set()
        """What the group has taken during this poll."""
        self._metadata: Any = self._outside
        self._fenced: deque[float] = deque(maxlen=FENCED[0])
        self._goal = self._high()

    # -- what is there before anything is polled ------------------------------------------------------------------

    def _new_producer(self) -> Producer:
        """A producer that can write."""
        producer = self._made_producer()
        self._begin(producer)
        return producer

    def _made_producer(self) -> Producer:
        """A producer with our transactional id."""
        return Producer(self._producing)

    def _begin(self, producer: Producer) -> None:
        """Make a producer the one of our transactional id: what one before it has begun is ended by the broker."""
        until = time.monotonic() + CALL_SECONDS
        while True:
            try:
                producer.init_transactions(CALL_SECONDS)
                return
            except KafkaException as err:
                self._errors.check()
                if not err.args[0].retriable() or time.monotonic() >= until:
                    raise self._errors.refusal(err.args[0]) from err

    # -- the group ------------------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        given = {each.partition for each in partitions}
        consumer.incremental_assign(self._positions.begin(given, self._origin))
        self._owned |= given

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            self._owned.discard(each.partition)
            self._ends.pop(each.partition, None)
            self._done.pop(each.partition, None)
            self._begun.pop(each.partition, None)
            self._origin.pop(each.partition, None)
            self._taken.add(each.partition)

    def poll(self, most: int, seconds: float) -> list[Event]:
        """See `EventLog.poll`."""
        messages = []
        if not self._joined:
            # No sooner: partitions of a member that is not at work yet would wait for it.
            self._consumer.subscribe(
                [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )
            self._joined = True
        self._taken.clear()
        first = self._consumer.poll(seconds)
        if first is not None:
            messages.append(first)
            # consume() waits until it has all that it was asked for, or its time is up: none of it, here.
            if most > 1:
                messages += self._consumer.consume(most - 1, 0)
        self._errors.check()
        # Also those of this very poll: between its first event and the others the group may have taken what that is of.
        if not self._taken.isdisjoint((*self._next, *(each.partition() for each in messages if each.error() is None))):
            self._rewind()
            raise Rewound("the group took partitions whose events were in work")
        events = []
        for message in messages:
            error = message.error()
            if error is None:
                events.append(self._event(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                place, end = message.partition(), message.offset()
                assert place is not None
                assert end is not None
                self._ends[place] = end
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION):
                self._begin_again(message)
            elif error.fatal() or error.code() == KafkaError._FATAL or error.code() in ACCESS:
                # A member that was put out for good says so once, and is silent from then on.
                raise self._errors.refusal(error)
            elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise NotFound("not_found", f"the topic {self._topic!r} is gone")
        self._remember()
        if not events and not self._next:
            self._pass_markers()
        return events

    def _remember(self) -> None:
        """Keep the generation under which events are polled.

        A member that was put out a moment ago, and has not been told yet, has none: a commit without one would count
        where the group is empty, whoever was there meanwhile. Its last generation is refused.
        """
        found = self._consumer.consumer_group_metadata()
        if found != self._outside:
            self._metadata = found

    def _event(self, message: Message) -> Event:
        event = event_of(message, self._topic)
        self._origin.setdefault(event.partition, event.offset)
        self._next[event.partition] = event.offset + 1
        return event

    def _pass_markers(self) -> None:
        """Take the ends of transactions behind the last event for done, so that a topic can be read to its end.

        They stand there like events, so what counts a group's lag by offsets (KEDA, `kafka-consumer-groups`) would
        never see it at zero.
        """
        behind = {
            partition: end
            for partition, end in self._ends.items()
            if partition in self._owned and end > self._done.get(partition, -1)
        }
        if behind:
            self._transact((), behind)

    # -- the transaction ------------------------------------------------------------------------------------------

    def commit(self, outgoing: Sequence[Outgoing]) -> None:
        """See `EventLog.commit`."""
        self._transact(outgoing, dict(self._next))
        self._next.clear()

    def _transact(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        numbers = self._positions.numbered(positions)
        offsets = [
            TopicPartition(self._topic, partition, offset, metadata=self._commits.metadata(numbers[partition]))
            for partition, offset in positions.items()
        ]
        try:
            self._producer.begin_transaction()
            for each in self._commits.marked(outgoing, numbers):
                self._produce(each)
            self._again(lambda: self._send_offsets(offsets))
            self._again(lambda: self._producer.commit_transaction(CALL_SECONDS))
        except KafkaException as err:
            self._failed(err.args[0])
        except NeverBack as err:
            # The broker ends what the old one has begun when the new one says its name; nothing of it was committed.
            self._producer = self._new_producer()
            self._rewind()
            raise Rewound(f"the group's coordinator does not answer: {err}") from None
        except BaseException:
            with contextlib.suppress(KafkaException):
                self._producer.abort_transaction(CALL_SECONDS)
            raise
        self._done.update(positions)
        self._positions.done(positions)

    def _send_offsets(self, offsets: list[TopicPartition]) -> None:
        """Make progress a part of the transaction; raises `NeverBack` where the client does not keep to its time."""
        producer, metadata = self._producer, self._metadata
        bounded(
            lambda: producer.send_offsets_to_transaction(offsets, metadata, CALL_SECONDS), CALL_SECONDS + LATE_SECONDS
        )

    def _produce(self, each: Outgoing) -> None:
        try:
            produce(self._producer, each)
        except KafkaException as err:
            if err.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                raise
            # The client's own limit.
            raise RunFailed(
                "storage_failed",
                f"an event for {each.topic!r} is {len(each.value or b''):,} bytes long, more than a message may be",
                help="allow larger ones (message.max.bytes in FIVEFOLD_KAFKA_OPTIONS_FILE, and at the broker)",
            ) from err

    def _again(self, call: Callable[[], object]) -> None:
        """A call that may be repeated where it says so. A timeout is no such case: its outcome is unknown."""
        until = time.monotonic() + CALL_SECONDS
        while True:
            try:
                call()
                return
            except KafkaException as err:
                error = err.args[0]
                timeout = error.code() == KafkaError._TIMED_OUT
                if timeout or not error.retriable() or error.txn_requires_abort() or time.monotonic() >= until:
                    raise
                time.sleep(0.01)

    def _failed(self, error: KafkaError) -> None:
        """A transaction that does not count, or of which nobody knows; always raises."""
        aborted, fenced = False, error.code() in FENCED_CODES
        if error.txn_requires_abort() and not fenced:
            with contextlib.suppress(KafkaException):
                self._producer.abort_transaction(CALL_SECONDS)
                aborted = True
        if error.code() == KafkaError.FENCED_INSTANCE_ID:
            raise self._errors.conflict()
        if error.code() in TOO_LONG:
            # It would say so again, for ever.
            raise self._errors.too_long(error)
        if not aborted:
            if error.code() in ACCESS:
                raise self._errors.refusal(error)
            if fenced:
                most, within = FENCED
                self._fenced.append(time.monotonic())
                if len(self._fenced) == most and self._fenced[-1] - self._fenced[0] <= within:
                    raise self._errors.conflict()
                self._listen()
            # What the old one has begun ends here, for good: only now it can be asked what counts.
            self._producer = self._new_producer()
        self._rewind()
        raise Rewound(error.str())

    def _listen(self) -> None:
        """Whether the group still counts on this member, before it takes its transactional id back from whoever has it.

        One that was away so long that another worker has come in its slot hears that with its next heartbeat, and ends.
        Otherwise both would end each other's transactions, and it may be the newer one that gives up. What is polled
        meanwhile is read again.
        """
        until = time.monotonic() + LISTEN_SECONDS
        while time.monotonic() < until:
            message = self._consumer.poll(0.1)
            error = None if message is None else message.error()
            if error is not None and error.code() == KafkaError._FATAL:
                raise self._errors.refusal(error)
            self._errors.check()
            if message is not None:
                time.sleep(0.1)

    def _rewind(self) -> None:
        """Poll goes on at what the group has done."""
        self._next.clear()
        self._ends.clear()
        if not self._owned:
            return
        for place in self._positions.begin(self._owned, self._origin):
            try:
                self._consumer.seek(place)
            except KafkaException as err:
                # Not ours any more, or not read yet: whoever has it begins at what is done.
                if err.args[0].code() not in NOT_READ:
                    raise self._errors.refusal(err.args[0]) from err

    def _begin_again(self, message: Message) -> None:
        """A partition whose events are not where they were: the client has stopped to read it. Always raises."""
        error, partition = message.error(), message.partition()
        assert error is not None
        if partition is not None and partition in self._owned:
            (place,) = self._positions.begin([partition], self._origin)
            self._consumer.incremental_unassign([place])
            self._consumer.incremental_assign([place])
        self._rewind()
        raise Rewound(error.str())

    # -- what is told -----------------------------------------------------------------------------------------------

    def lag(self) -> Mapping[Place, int]:
        """See `EventLog.lag`. Offsets behind what is done: the ends of transactions count among them."""
        out = {}
        if unknown := self._owned - self._done.keys() - self._begun.keys():
            latest = self._start == OFFSET_END
            self._begun |= beginnings(self._consumer, self._topic, unknown, self._origin if latest else None)
        for partition in sorted(self._owned):
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
            done = self._done.get(partition, self._begun.get(partition, -1))
            if high >= 0 and done >= 0:
                out[Place(self._topic, partition)] = max(high - done, 0)
        return out

    def finished(self) -> bool:
        """See `EventLog.finished`."""
        done = self._positions.committed(self._goal)
        return all(high <= 0 or done.get(partition, -1) >= high for partition, high in self._goal.items())

    def _high(self) -> dict[int, int]:
        """Where each partition ends now; 0 for one that has nothing to read."""
        out = {}
        for partition in range(self._partitions):
            low, high = watermarks(self._consumer, TopicPartition(self._topic, partition), self._errors)
            out[partition] = high if high > low else 0
        return out

    def close(self) -> None:
        """See `EventLog.close`."""
        # Where it does not come back, the group does without this member when its session is over.
        with contextlib.suppress(KafkaException, RuntimeError, NeverBack):
            bounded(self._consumer.close, CLOSE_SECONDS)
        with contextlib.suppress(KafkaException):
            self._producer.flush(1)
        # Its threads and connections end with the last reference to it.
        del self._producer
