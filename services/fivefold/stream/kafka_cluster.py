"""What every user of a Kafka cluster needs: topics and their size, a message as an event, an error as ours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from operator import methodcaller
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fivefold.core.errors import AccessError, FivefoldError, NotFound, RunFailed, Unavailable
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.events import Event, Headers

CALL_SECONDS = 30.0
"""How long one call to the cluster may take before its outcome counts as unknown."""

FENCED_CODES = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}  # its own names
)
NOT_READ = frozenset({KafkaError._STATE, KafkaError._UNKNOWN_PARTITION})
ACCESS = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)


def partitions_of(admin: AdminClient, address: TopicAddress, topic: str = "") -> int:
    """The partitions of a topic of the cluster, 0 where there is none. Raises as `refusal` says."""
    topic = topic or address.topic
    until = time.monotonic() + CALL_SECONDS
    while True:
        try:
            # All of them: a broker may make a topic that is asked for by its name.
            found = admin.list_topics(timeout=CALL_SECONDS).topics.get(topic)
        except KafkaException as err:
            raise refusal(err.args[0], address) from err
        if found is None:
            return 0
        if found.error is None:
            return len(found.partitions)
        if found.error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            return 0
        if found.error.code() != KafkaError.LEADER_NOT_AVAILABLE or time.monotonic() >= until:
            raise refusal(found.error, address)
        time.sleep(0.1)


def prepare(admin: AdminClient, address: TopicAddress, to: Sequence[str], *, same_partition: bool) -> int:
    """The partitions of the topic that is read; the topics `to` are made where there are none, with as many.

    Raises `NotFound` where there is nothing to read, `RunFailed(run_conflict)` for one of `to` that has too few, and as
    `refusal` says.
    """
    partitions = partitions_of(admin, address)
    if not partitions:
        raise NotFound("not_found", f"no topic {address.topic!r} at {','.join(address.servers)}")
    for topic in to:
        size = partitions_of(admin, address, topic)
        if not size:
            _create(admin, topic, partitions)
        elif same_partition and size < partitions:
            raise RunFailed(
                "run_conflict",
                f"the topic {topic!r} has {size} partitions, and {address.topic!r} has {partitions}",
                help="give it as many, or let the key choose (FIVEFOLD_SAME_PARTITION=false)",
            )
    return partitions


def _create(admin: AdminClient, topic: str, partitions: int) -> None:
    try:
        admin.create_topics([NewTopic(topic, num_partitions=partitions)])[topic].result(CALL_SECONDS)
    except KafkaException as err:
        if err.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise RunFailed(
                "storage_failed",
                f"the topic {topic!r} is not there and cannot be made: {err.args[0].str()}",
                help=f"make it, with {partitions} partitions",
            ) from err


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


def refusal(error: KafkaError, address: TopicAddress) -> FivefoldError:
    """An error that will not mend itself, as ours: access, no broker, or anything else."""
    where = ",".join(address.servers)
    if error.code() in ACCESS:
        code = "forbidden" if "AUTHORIZATION" in error.name() else "unauthenticated"
        return AccessError(code, f"{where}: {error.str()}")
    if error.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
        return Unavailable("not_ready", f"no broker answers at {where}: {error.str()}", retry_after=5.0)
    return RunFailed("storage_failed", f"{where}: {error.str()}")
