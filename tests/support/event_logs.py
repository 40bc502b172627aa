"""Logs to test against: the local one in a directory, and a Kafka, which is kfake unless an address is given."""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fivefold.stream.addresses import TopicAddress
from fivefold.stream.browsing import latest
from fivefold.stream.events import Event, Outgoing
from fivefold.stream.log import EventLog, Rewound
from fivefold.stream.sqlite_log import SqliteLog
from fivefold.stream.sqlite_store import SqliteStore

PARTITIONS = 4


class Logs(Protocol):
    """Where topics are, and members of groups on them."""

    def append(self, topic: str, events: Sequence[Outgoing]) -> None:
        """Append to a topic of `PARTITIONS` partitions, which is made where there is none."""
        ...

    def read(self, topic: str) -> list[Event]:
        """What is committed in a topic, partition by partition."""
        ...

    def latest(self, topic: str, most: int) -> list[Event]:
        """The last events of each partition."""
        ...

    def member(self, topic: str, to: Sequence[str], slot: str = "0", group: str = "g") -> EventLog:
        """A new member of a group."""
        ...


class LocalLogs:
    """The local log, with a session that a busy machine does not end."""

    def __init__(self, directory: Path, session: float = 60.0) -> None:
        self.directory, self.session = directory, session

    def append(self, topic: str, events: Sequence[Outgoing]) -> None:
        with contextlib.closing(SqliteStore(self.directory)) as store:
            store.append(topic, events, PARTITIONS)

    def read(self, topic: str) -> list[Event]:
        with contextlib.closing(SqliteStore(self.directory)) as store:
            return [] if store.find(topic) is None else list(store.read(topic))

    def latest(self, topic: str, most: int) -> list[Event]:
        return list(latest(TopicAddress(topic, ()), self.directory, most))

    def member(self, topic: str, to: Sequence[str], slot: str = "0", group: str = "g") -> EventLog:
        return SqliteLog(self.directory, topic, group, to=to, session=self.session)


class KafkaLogs:
    """A Kafka at an address; the names of topics and groups are made its own by a prefix."""

    _count = itertools.count()

    def __init__(self, server: str) -> None:
        self.server = server
        self.prefix = f"t{next(self._count)}-{time.time_ns()}-"

    def make(self, topic: str, options: Mapping[str, str] | None = None) -> None:
        """Make a topic where there is none; `options` are settings of it."""
        from confluent_kafka.admin import AdminClient
        from confluent_kafka.cimpl import NewTopic

        admin = AdminClient({"bootstrap.servers": self.server})
        if self.prefix + topic not in admin.list_topics(timeout=10).topics:
            wanted = NewTopic(self.prefix + topic, num_partitions=PARTITIONS, config=dict(options or {}))
            admin.create_topics([wanted])[self.prefix + topic].result(10)

    def append(self, topic: str, events: Sequence[Outgoing]) -> None:
        from confluent_kafka import Producer

        self.make(topic)
        producer = Producer({"bootstrap.servers": self.server, "linger.ms": 0})
        for each in events:
            named = {} if each.partition is None else {"partition": each.partition}
            producer.produce(self.prefix + topic, each.value, each.key, headers=list(each.headers), **named)
        assert producer.flush(20) == 0

    def read(self, topic: str) -> list[Event]:
        from fivefold.core.errors import NotFound
        from fivefold.stream.kafka_browsing import browse_kafka
        from fivefold.stream.kafka_settings import KafkaSettings

        try:
            return list(browse_kafka(self.address(topic), KafkaSettings()))
        except NotFound:
            return []

    def latest(self, topic: str, most: int) -> list[Event]:
        from fivefold.stream.kafka_browsing import latest_kafka
        from fivefold.stream.kafka_settings import KafkaSettings

        return list(latest_kafka(self.address(topic), KafkaSettings(), most))

    def address(self, topic: str) -> TopicAddress:
        """Of a topic."""
        return TopicAddress(self.prefix + topic, (self.server,))

    def member(self, topic: str, to: Sequence[str], slot: str = "0", group: str = "g") -> EventLog:
        from fivefold.stream.kafka_log import KafkaLog
        from fivefold.stream.kafka_settings import KafkaSettings

        return _Prefixed(
            KafkaLog(
                self.address(topic),
                self.prefix + group,
                slot,
                KafkaSettings(),
                to=[self.prefix + each for each in to],
            ),
            self.prefix,
        )


class _Prefixed:
    """A log whose topics are named without the prefix."""

    def __init__(self, log: EventLog, prefix: str) -> None:
        self.log, self.prefix = log, prefix

    def commit(self, outgoing: Sequence[Outgoing]) -> None:
        from dataclasses import replace

        self.log.commit([replace(each, topic=self.prefix + each.topic) for each in outgoing])

    def __getattr__(self, name: str) -> Callable[..., object]:
        return getattr(self.log, name)


@contextlib.contextmanager
def kfake(program: str) -> Iterator[str]:
    """A Kafka in memory, at the address that is given."""
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


@contextlib.contextmanager
def forwarding(place: tuple[str, int], server: str) -> Iterator[None]:
    """Whoever connects to a place talks to the server."""
    host, port = server.rsplit(":", 1)

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError), source, target:
            while some := source.recv(65_536):
                target.sendall(some)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = listener.accept()
                other = socket.create_connection((host, int(port)))
                for pair in ((one, other), (other, one)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(place) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield


def polled(log: EventLog, count: int, seconds: float = 60) -> list[Event]:
    """So many events, in as many polls as it takes."""
    events: list[Event] = []
    deadline = time.monotonic() + seconds
    while len(events) < count:
        assert time.monotonic() < deadline, f"{len(events)} of {count}"
        with contextlib.suppress(Rewound):
            events += log.poll(count - len(events), 0.2)
    return events


def owning(log: EventLog, seconds: float = 60) -> None:
    """Wait until the member has partitions; the topic has to be empty, or read."""
    deadline = time.monotonic() + seconds
    while not log.lag():
        assert time.monotonic() < deadline
        assert log.poll(1, 0.1) == []
