"""What every user of a Kafka cluster needs: topics and their size, and a message as an event."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from fivefold.core.errors import NotFound, RunFailed
from fivefold.stream.events import Event, Headers
from fivefold.stream.kafka_errors import AWAY, LEADERLESS, KafkaErrors

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

CALL_SECONDS = 30.0
"""How long one call to the cluster may take before its outcome counts as unknown."""

NOT_READ = frozenset({KafkaError._STATE, KafkaError._UNKNOWN_PARTITION})
LAG_SECONDS = 1.0
"""How long one question may take that is asked for a metric."""

LOOK_SECONDS = 3.0
"""How long one look for a broker may take, before it is asked whether anybody still waits."""


BESIDE = 256 << 10
"""Bytes that a dead letter may have beside its event: what is wrong with it, most of all."""

_LONGEST = "max.message.bytes"


def partitions_of(client: AdminClient | Producer, errors: KafkaErrors, topic: str = "") -> int:
    """The partitions of a topic of the cluster, 0 where there is none; `errors` hears what the client says.

    Raises what `errors` has heard, and as it says of others, and what its `waiting` raises.
    """
    topic = topic or errors.address.topic
    begun, patience = time.monotonic(), errors.waiting.seconds
    while True:
        errors.waiting.check()
        try:
            # All of them: a broker may make a topic that is asked for by its name.
            found = client.list_topics(timeout=min(LOOK_SECONDS, patience)).topics.get(topic)
        except KafkaException as err:
            # Its callbacks are called here alone.
            client.poll(0)
            errors.check()
            errors.silence()
            if err.args[0].code() in AWAY and time.monotonic() - begun < patience:
                continue
            raise errors.refusal(err.args[0]) from err
        if found is None:
            return 0
        if found.error is None:
            return len(found.partitions)
        if found.error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            return 0
        if found.error.code() != KafkaError.LEADER_NOT_AVAILABLE or time.monotonic() - begun >= CALL_SECONDS:
            raise errors.refusal(found.error)
        time.sleep(0.1)


def partitions_to_read(client: AdminClient | Producer, errors: KafkaErrors) -> int:
    """The partitions of the topic that is read; raises `NotFound` where there is none, and as `partitions_of`."""
    address = errors.address
    partitions = partitions_of(client, errors)
    if not partitions:
        raise NotFound("not_found", f"no topic {address.topic!r} at {','.join(address.servers)}")
    return partitions


def cluster_of(client: AdminClient | Producer, errors: KafkaErrors) -> str:
    """The id of the cluster; raises as `errors` says."""
    try:
        return str(client.list_topics(errors.address.topic, timeout=CALL_SECONDS).cluster_id)
    except KafkaException as err:
        raise errors.refusal(err.args[0]) from err


def watermarks(consumer: Consumer, place: TopicPartition, errors: KafkaErrors) -> tuple[int, int]:
    """The first offset of a partition and the one behind the last.

    A broker that was there a moment ago is asked again, for as long as a call may take. Raises what `errors` has heard,
    and as it says of others.
    """
    until = time.monotonic() + CALL_SECONDS
    while True:
        try:
            found: tuple[int, int] = consumer.get_watermark_offsets(place, CALL_SECONDS)
            return found
        except KafkaException as err:
            errors.check()
            if err.args[0].code() not in AWAY | LEADERLESS or time.monotonic() >= until:
                raise errors.refusal(err.args[0]) from err
        errors.waiting.check()
        time.sleep(0.05)


def prepare(
    client: Producer,
    connection: Mapping[str, Any],
    errors: KafkaErrors,
    partitions: int,
    to: Sequence[str],
    *,
    same_partition: bool,
) -> None:
    """Make the topics `to` where there are none, with as many partitions as the topic that is read has.

    `connection` are the settings of a client that may make them. Raises `RunFailed(run_conflict)` for one of `to` that
    has too few partitions, and what `partitions_of` raises.
    """
    address = errors.address
    for topic in to:
        size = partitions_of(client, errors, topic)
        if not size:
            _create(connection, topic, partitions, address.topic)
        elif same_partition and size < partitions:
            raise RunFailed(
                "run_conflict",
                f"the topic {topic!r} has {size} partitions, and {address.topic!r} has {partitions}",
                help="give it as many, or let the key choose (FIVEFOLD_SAME_PARTITION=false)",
            )


def _create(connection: Mapping[str, Any], topic: str, partitions: int, source: str) -> None:
    """Make a topic that takes whatever the source's topic has, with what is said beside it."""
    # Here: it takes as long to import as all else of the client, and topics are there nearly always.
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    admin = AdminClient(dict(connection))
    options = _longer(admin, source)
    while True:
        try:
            admin.create_topics([NewTopic(topic, num_partitions=partitions, config=options)])[topic].result(
                CALL_SECONDS
            )
            return
        except KafkaException as err:
            error = err.args[0]
            if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return
            if options and error.code() in (KafkaError.POLICY_VIOLATION, KafkaError.INVALID_CONFIG):
                options = {}
                continue
            raise RunFailed(
                "storage_failed",
                f"the topic {topic!r} is not there and cannot be made: {error.str()}",
                help=f"make it, with {partitions} partitions",
            ) from err


def _longer(admin: AdminClient, source: str) -> dict[str, str]:
    """The setting of a topic whose events may be longer than the source's; empty where that one's is not told."""
    from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]

    resource = ConfigResource(ConfigResource.Type.TOPIC, source)
    try:
        found = admin.describe_configs([resource])[resource].result(CALL_SECONDS)
        return {_LONGEST: str(min(int(found[_LONGEST].value) + BESIDE, 2**31 - 1))}
    except (KafkaException, KeyError, TypeError, ValueError):
        return {}


def beginnings(
    consumer: Consumer, topic: str, partitions: Iterable[int], latest: Mapping[int, int] | None
) -> dict[int, int]:
    """Where the consumer's group is in some partitions, and where it begins in those of which it has committed nothing.

    `latest` is None for a group that begins at the first event; otherwise it begins at the end, unless events were read
    since: then there. What does not answer soon is left out.
    """
    places = [TopicPartition(topic, partition) for partition in sorted(partitions)]
    out: dict[int, int] = {}
    with contextlib.suppress(KafkaException):
        try:
            places = consumer.committed(places, LAG_SECONDS)
        except KafkaException as err:
            if err.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
        for each in places:
            if each.error is None and each.offset >= 0:
                out[each.partition] = each.offset
            elif each.error is None:
                low, high = consumer.get_watermark_offsets(each, LAG_SECONDS)
                out[each.partition] = low if latest is None else latest.get(each.partition, high)
    return out


def event_of(message: Message, topic: str) -> Event:
    """A message as an event."""
    kind, stamp = message.timestamp()
    lost, found = _headers_of(message)
    headers: Headers = tuple((name, value.encode() if isinstance(value, str) else value) for name, value in found)
    partition, offset = message.partition(), message.offset()
    # It was read, not made.
    assert partition is not None
    assert offset is not None
    return Event(topic, partition, offset, stamp if kind else -1, message.key(), message.value(), headers, lost)


def _headers_of(message: Message) -> tuple[bool, Any]:
    """Whether the headers cannot be read, and what they are."""
    try:
        return False, _call_headers(message) or ()
    except (SystemError, UnicodeError):
        # Names are bytes to Kafka; the client makes text of them, and fails where one is no UTF-8. Who could not read
        # an event would meet it again for ever.
        return True, ()


_call_headers = methodcaller("headers")
"""The client then gives a list together with the error, with a hole in it. This way of calling looks at that; a plain
call, once the interpreter has made it quick, does not: the error comes up elsewhere, or the hole ends the process."""
