"""What only a cluster's log can meet: members that were put out, and a group that changes within a poll."""

from __future__ import annotations

import contextlib
import threading
import time
from math import inf

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from loadtest.stream.kafka_broker import free_ports
from tests.support.event_logs import KafkaLogs, forwarding, owning, polled

from fivefold.core.errors import RunFailed, Unavailable
from fivefold.stream import kafka_log as kafka_log_module
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.events import Event, Outgoing, Place
from fivefold.stream.kafka_errors import LEADERLESS
from fivefold.stream.kafka_log import KafkaLog
from fivefold.stream.kafka_settings import KafkaSettings
from fivefold.stream.log import EventLog, Rewound
from fivefold.stream.log_waiting import LogWait


def events(count: int) -> list[Outgoing]:
    """Numbered events, all in one partition."""
    return [Outgoing("in", None, b"%d" % at, partition=1) for at in range(count)]


def answers(found: list[Event]) -> list[Outgoing]:
    """An answer to each."""
    return [Outgoing("out", each.key, each.value, partition=each.partition) for each in found]


def values(found: list[Event]) -> list[int]:
    """The numbers of events."""
    return sorted(int(each.value or b"") for each in found)


def inner(log: EventLog) -> KafkaLog:
    """The log behind the prefix of its topics."""
    found = log.log  # type: ignore[attr-defined]
    assert isinstance(found, KafkaLog)
    return found


def poll_for_a_minute(log: EventLog) -> None:
    """Unless something is raised before."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        log.poll(10, 0.1)


class Interrupted:
    """A consumer that loses a partition between the first event of a poll and the others."""

    def __init__(self, log: KafkaLog, partition: int) -> None:
        self.log, self.partition, self.real = log, partition, log._consumer
        log._consumer = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def poll(self, seconds: float) -> Message | None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = self.real.poll(seconds)
            # The end of an empty partition may come first.
            if found is not None and found.error() is None:
                return found
        raise AssertionError("no events")

    def consume(self, most: int, seconds: float) -> list[Message]:
        self.log._revoked(self.real, [TopicPartition(self.log._topic, self.partition)])
        self.log._consumer = self.real
        return self.real.consume(most, seconds)


def test_who_was_put_out_for_good_says_so(kafka: str) -> None:
    """Another member came with its slot: it hears that once, and must not wait for events that never come."""
    logs = KafkaLogs(kafka)
    logs.append("in", events(5))
    late = logs.member("in", ["out"], "0")
    polled(late, 5)
    successor = logs.member("in", ["out"], "0")
    successor.commit(answers(polled(successor, 5)))

    with pytest.raises(RunFailed) as raised:
        poll_for_a_minute(late)

    assert raised.value.code == "run_conflict"
    successor.close()
    late.close()


def test_a_late_member_leaves_its_successor_alone(kafka: str) -> None:
    """It does not take its transactional id back: the successor's next transactions count."""
    logs = KafkaLogs(kafka)
    logs.append("in", events(20))
    late = logs.member("in", ["out"], "0")
    held = polled(late, 20)
    successor = logs.member("in", ["out"], "0")
    successor.commit(answers(polled(successor, 10)))

    with pytest.raises(RunFailed) as raised:
        late.commit(answers(held))
    successor.commit(answers(polled(successor, 10)))

    assert raised.value.code == "run_conflict"
    assert values(logs.read("out")) == list(range(20))
    successor.close()
    late.close()


def test_what_is_taken_within_a_poll_is_not_worked_on(kafka: str) -> None:
    """The group took the partition of the first event while the others were fetched: somebody else has it now."""
    logs = KafkaLogs(kafka)
    logs.append("in", events(10))
    log = logs.member("in", ["out"])
    Interrupted(inner(log), 1)

    with pytest.raises(Rewound):
        log.poll(10, 0.2)

    assert inner(log)._next == {}
    log.close()


def test_a_member_that_is_none_keeps_its_last_generation(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit without a generation would count where the group is empty: the last one is refused instead."""
    logs = KafkaLogs(kafka)
    logs.append("in", events(10))
    log = logs.member("in", ["out"])
    polled(log, 5)
    kafka_log = inner(log)
    joined = kafka_log._metadata

    class Outside:
        """A consumer that has been put out and not been told yet."""

        def __init__(self, real: object) -> None:
            self.real = real

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def consumer_group_metadata(self) -> bytes:
            return kafka_log._outside

    monkeypatch.setattr(kafka_log, "_consumer", Outside(kafka_log._consumer))
    polled(log, 5)

    assert joined != kafka_log._outside
    assert kafka_log._metadata == joined
    monkeypatch.undo()
    log.close()


class NeverHeardOf:
    """A client whose call by this name does not come back until it is let go."""

    def __init__(self, real: object, name: str) -> None:
        self.real, self.name, self.release = real, name, threading.Event()

    def __getattr__(self, name: str) -> object:
        if name != self.name:
            return getattr(self.real, name)

        def late(*arguments: object) -> object:
            self.release.wait()
            return getattr(self.real, name)(*arguments)

        return late


def test_a_commit_whose_offsets_never_arrive_is_begun_again(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client may wait for a coordinator for ever: a worker goes on without, and what comes late is nothing."""
    monkeypatch.setattr(kafka_log_module, "CALL_SECONDS", 1.0)
    monkeypatch.setattr(kafka_log_module, "LATE_SECONDS", 0.1)
    logs = KafkaLogs(kafka)
    logs.append("in", events(10))
    log = logs.member("in", ["out"])
    held = answers(polled(log, 10))
    stuck = NeverHeardOf(inner(log)._producer, "send_offsets_to_transaction")
    monkeypatch.setattr(inner(log), "_producer", stuck)

    with pytest.raises(Rewound, match="the group's coordinator does not answer"):
        log.commit(held)
    stuck.release.set()
    monkeypatch.setattr(kafka_log_module, "CALL_SECONDS", 30.0)
    log.commit(answers(polled(log, 10)))

    assert values(logs.read("out")) == list(range(10))
    log.close()


def test_a_group_that_is_never_left_holds_nobody_up(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a worker does not wait for it."""
    monkeypatch.setattr(kafka_log_module, "CLOSE_SECONDS", 0.1)
    logs = KafkaLogs(kafka)
    logs.append("in", events(1))
    log = logs.member("in", ["out"])
    polled(log, 1)
    stuck = NeverHeardOf(inner(log)._consumer, "close")
    monkeypatch.setattr(inner(log), "_consumer", stuck)

    log.close()

    stuck.release.set()


def test_lag_is_known_before_the_first_commit(kafka: str) -> None:
    """From where the group begins: a worker that is stuck in its first batch is behind, too."""
    logs = KafkaLogs(kafka)
    logs.append("in", events(12))
    log = logs.member("in", ["out"])
    found = polled(log, 3)
    place = Place(logs.prefix + "in", 1)

    assert lag_of(log, place) == 12
    log.commit(answers(found))
    assert lag_of(log, place) == 9
    log.close()
    again = logs.member("in", ["out"])
    polled(again, 1)
    assert lag_of(again, place) == 9
    again.close()


def lag_of(log: EventLog, place: Place) -> int:
    """A lag that a busy broker may not tell at once: what does not answer within a second is left out."""
    deadline = time.monotonic() + 60
    while place not in (found := log.lag()):
        assert time.monotonic() < deadline
    return found[place]


def test_a_broker_that_blinks_at_the_start_is_asked_again(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away for a moment, or not yet the leader of a topic that was just made: no reason for a worker to end."""
    logs = KafkaLogs(kafka)
    logs.append("in", events(5))
    log = logs.member("in", ["out"])
    kafka_log = inner(log)
    errors = [KafkaError._DESTROY, KafkaError._TRANSPORT, *sorted(LEADERLESS)]

    class Blinking:
        """A consumer whose broker is away, or without a leader, once in each way."""

        def __init__(self, consumer: Consumer) -> None:
            self.consumer = consumer

        def get_watermark_offsets(self, *arguments: object) -> object:
            if errors:
                raise KafkaException(KafkaError(errors.pop()))
            return self.consumer.get_watermark_offsets(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(kafka_log, "_consumer", Blinking(kafka_log._consumer))
        assert kafka_log._high() == kafka_log._goal
        assert errors == []
    log.close()


def test_lag_of_a_group_that_begins_at_the_end(kafka: str) -> None:
    """What was there before it is not behind."""
    logs = KafkaLogs(kafka)
    logs.append("in", events(12))
    log = KafkaLog(
        logs.address("in"), f"{logs.prefix}g", "0", KafkaSettings(), to=[logs.prefix + "out"], start="latest"
    )
    owning(log)

    place = Place(logs.prefix + "in", 1)
    deadline = time.monotonic() + 60
    # Where a partition ends is known when the broker has answered a fetch of it.
    while place not in log.lag() and time.monotonic() < deadline:
        assert log.poll(5, 0.1) == []

    assert log.lag()[place] == 0
    log.close()


NOBODY = TopicAddress("in", (f"127.0.0.1:{free_ports(1)[0]}",))


def opened(address: TopicAddress, waiting: LogWait) -> KafkaLog:
    """A member at an address."""
    return KafkaLog(address, "g", "0", KafkaSettings(), to=["out"], waiting=waiting)


def test_where_no_broker_answers_the_reason_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """In the error, and once before it: librdkafka's own lines, which never end, are not there."""
    said: list[str] = []

    with pytest.raises(Unavailable, match=r"no broker answers at 127.*Connection refused"):
        opened(NOBODY, LogWait(seconds=1.5, notice=said.append))

    assert len(said) == 1
    assert said[0].startswith("no answer from a broker of 127.0.0.1:")
    assert "Connection refused" in said[0]
    assert capfd.readouterr().err == ""


def test_a_broker_is_waited_for_until_nobody_waits_any_more() -> None:
    """A worker that is there before its broker."""
    told = threading.Event()

    def check() -> None:
        if told.is_set():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(NOBODY, LogWait(seconds=inf, check=check, notice=lambda _: told.set()))


def test_a_broker_that_comes_later_is_found(kafka: str) -> None:
    """By way of an address that begins to answer once the worker has complained."""
    logs = KafkaLogs(kafka)
    logs.append("in", events(5))
    host, port = "127.0.0.1", free_ports(1)[0]
    address = TopicAddress(logs.prefix + "in", (f"{host}:{port}",))
    with contextlib.ExitStack() as stack:

        def answer(_: str) -> None:
            stack.enter_context(forwarding((host, port), kafka))

        log = opened(address, LogWait(seconds=60, notice=answer))
        assert len(polled(log, 5)) == 5
        log.close()
