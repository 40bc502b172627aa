"""Events of a stream from outside of its workers: patients produced at a steady rate, and what became of each of them.

Which workers there are, and what happens to them meanwhile, is left to the tests.
"""

from __future__ import annotations

import json
import math
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from types import TracebackType

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from fivefold.core.bundle.bundle import Bundle
from fivefold.stream.events import Event, header
from fivefold.stream.kafka_cluster import event_of

KEYS = 40
"""Patients whose events have to stay in their order."""

BAD_EVERY = 100
"""One event of so many is refused by the contract."""

TOGETHER = 25
"""Events of one transaction: each leaves a marker behind them, which is no event and counts in nobody's lag."""

SILENCE = 1.0
"""Seconds without another event after which a reader takes what it has for all that there is."""


class Patients:
    """Golden rows of a bundle, over and over, as events of a topic, some in each transaction, from a thread of its own
    and for the length of a `with`."""

    def __init__(
        self,
        bundle: Bundle,
        server: str,
        topic: str,
        rate: float,
        *,
        together: int = TOGETHER,
        most: float = math.inf,
    ) -> None:
        """Produce `rate` events a second, `together` of them in a transaction, until there are `most`."""
        given, answers = bundle.golden()
        self._rows, self._answers = given.to_records(), answers.to_records()
        self._topic, self._rate = topic, rate
        self._together, self._most = together, most
        self.run = uuid.uuid4().hex
        self.count = 0
        self._failed: list[Exception] = []
        self._stop = threading.Event()
        self._producer = Producer({"bootstrap.servers": server, "transactional.id": self.run, "linger.ms": "0"})
        self._thread = threading.Thread(target=self._work, name="patients")

    def __enter__(self) -> Patients:
        self._producer.init_transactions(60)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Produce no more; fails where something was not taken."""
        self._stop.set()
        self._thread.join()
        assert not self._failed, self._failed

    def _work(self) -> None:
        begun = time.monotonic()
        try:
            while self.count < self._most:
                if self._stop.wait(max(begun + self.count / self._rate - time.monotonic(), 0)):
                    return
                self._producer.begin_transaction()
                for number in range(self.count, self.count + self._together):
                    self._produce(number)
                self._producer.commit_transaction(60)
                self.count += self._together
        except KafkaException as error:
            self._failed.append(error)

    def _produce(self, number: int) -> None:
        row = dict(self._rows[number % len(self._rows)])
        if number % BAD_EVERY == BAD_EVERY - 1:
            row["mean_radius"] = -1.0
        headers: list[tuple[str, str | bytes | None]] = [("run", self.run), ("number", str(number))]
        self._producer.produce(self._topic, json.dumps(row), f"patient-{number % KEYS}", headers=headers)

    def label(self, number: int) -> str:
        """What the model says of an event that is not refused."""
        return str(self._answers[number % len(self._answers)]["label"])

    def wanted(self) -> tuple[list[int], list[int]]:
        """The numbers of the events that have to have a result, and of those that have to be dead letters."""
        bad = range(BAD_EVERY - 1, self.count, BAD_EVERY)
        return sorted(set(range(self.count)) - set(bad)), list(bad)


@dataclass(frozen=True)
class Outcome:
    """What is committed of a run: results and dead letters, in each partition's order."""

    results: list[Event]
    dead: list[Event]

    @property
    def count(self) -> int:
        """Events that something became of; one that is there twice counts twice."""
        return len(self.results) + len(self.dead)

    def check(self, patients: Patients) -> None:
        """Exactly one each: for the good ones the model's own answer, in the order of their keys; codes for the bad."""
        good, bad = patients.wanted()
        for found, wanted in ((self.results, good), (self.dead, bad)):
            numbers = [number_of(event) for event in found]
            twice = [number for number, count in Counter(numbers).items() if count > 1]
            assert not twice, f"{len(twice)} of them twice, {twice[:5]}"
            missing = sorted(set(wanted) - set(numbers))
            assert not missing, f"{len(missing)} of them missing, {missing[:5]}"
            assert sorted(numbers) == wanted
            by_key: dict[bytes | None, list[int]] = {}
            for number, event in zip(numbers, found, strict=True):
                by_key.setdefault(event.key, []).append(number)
            assert all(order == sorted(order) for order in by_key.values())
        wrong = [
            number
            for event in self.results
            if json.loads(event.value or b"")["label"] != patients.label(number := number_of(event))
        ]
        assert not wrong, wrong[:5]
        assert {header(event.headers, "fivefold-dead-code") for event in self.dead} <= {b"out_of_range"}


def number_of(event: Event) -> int:
    """The number that an event was given."""
    return int(header(event.headers, "number") or b"")


class Reader:
    """What is committed in topics, of a run alone, read on from call to call; a topic may come later."""

    def __init__(self, server: str, run: str) -> None:
        self._run = run.encode()
        self._events: dict[str, list[Event]] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": server,
                # Never joined: without a subscription there is no member.
                "group.id": f"reader-{run}",
                "isolation.level": "read_committed",
                "enable.auto.commit": "false",
                "auto.offset.reset": "earliest",
                "topic.metadata.refresh.interval.ms": "1000",
            }
        )

    def read(self, *topics: str, seconds: float = 3.0) -> list[list[Event]]:
        """The events of each topic, until none has come for `SILENCE` seconds, or so many are over."""
        for topic in topics:
            self._begin(topic)
        until = time.monotonic() + seconds
        while time.monotonic() < until and (messages := self._consumer.consume(1000, SILENCE)):
            for message in messages:
                assert message.error() is None, message.error()
                event = event_of(message, message.topic() or "")
                if header(event.headers, "run") == self._run:
                    self._events[event.topic].append(event)
        return [self._events.get(topic, []) for topic in topics]

    def _begin(self, topic: str) -> None:
        if topic in self._events:
            return
        # All of them: a broker may make a topic that is asked for by its name.
        found = self._consumer.list_topics(timeout=30).topics.get(topic)
        if found is not None and found.partitions:
            self._events[topic] = []
            self._consumer.incremental_assign([TopicPartition(topic, each, 0) for each in found.partitions])

    def close(self) -> None:
        self._consumer.close()
