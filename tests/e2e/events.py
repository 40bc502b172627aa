"""Events of a stream from outside of its workers: patients produced at a steady rate, and what became of each of them.

Which workers there are, and what happens to them meanwhile, is left to the tests.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from confluent_kafka import Producer

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import NotFound
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.events import Event, header
from fivefold.stream.kafka_browsing import browse_kafka
from fivefold.stream.kafka_settings import KafkaSettings

KEYS = 40
"""Patients whose events have to stay in their order."""

BAD_EVERY = 100
"""One event of so many is refused by the contract."""


class Patients:
    """Golden rows of a bundle, over and over, as events of a topic from a thread of its own, from `with` to its end."""

    def __init__(self, bundle: Bundle, server: str, topic: str, rate: float) -> None:
        given, answers = bundle.golden()
        self._rows, self._answers = given.to_records(), answers.to_records()
        self._topic, self._rate = topic, rate
        self.run = uuid.uuid4().hex
        self.count = 0
        self._failed: list[str] = []
        self._stop = threading.Event()
        self._producer = Producer({"bootstrap.servers": server, "enable.idempotence": "true", "linger.ms": "0"})
        self._thread = threading.Thread(target=self._work, name="patients")

    def __enter__(self) -> Patients:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        assert self._producer.flush(60) == 0, "events were not taken by the broker"
        assert not self._failed, self._failed[:3]

    def _work(self) -> None:
        begun = time.monotonic()
        while not self._stop.wait(max(begun + self.count / self._rate - time.monotonic(), 0)):
            row = dict(self._rows[self.count % len(self._rows)])
            if self.count % BAD_EVERY == BAD_EVERY - 1:
                row["mean_radius"] = -1.0
            key = f"patient-{self.count % KEYS}"
            headers: list[tuple[str, str | bytes | None]] = [("run", self.run), ("number", str(self.count))]
            self._producer.produce(self._topic, json.dumps(row), key, headers=headers, on_delivery=self._delivered)
            self._producer.poll(0)
            self.count += 1

    def _delivered(self, error: Any, _: Any) -> None:
        if error is not None:
            self._failed.append(str(error))

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

    @classmethod
    def read(cls, server: str, to: str, dead_letter: str, run: str) -> Outcome:
        """Of a run alone, as a reader of committed events finds them."""
        return cls(*(_committed(server, topic, run) for topic in (to, dead_letter)))

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
        assert {header(event.headers, "fivefold-dead-code") for event in self.dead} == {b"out_of_range"}


def number_of(event: Event) -> int:
    """The number that an event was given."""
    return int(header(event.headers, "number") or b"")


def _committed(server: str, topic: str, run: str) -> list[Event]:
    try:
        found = list(browse_kafka(TopicAddress(topic, (server,)), KafkaSettings()))
    except NotFound:
        # Workers make the topics that they write to.
        return []
    return [event for event in found if header(event.headers, "run") == run.encode()]
