"""What every log does: the same cases on each."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest
from tests.support.event_logs import Logs, polled

from fivefold.stream.events import Event, Outgoing
from fivefold.stream.log import Rewound


def events(count: int, keys: int = 7) -> list[Outgoing]:
    """Numbered events under a few keys."""
    return [Outgoing("in", b"k%d" % (at % keys), b"%d" % at, (("n", b"%d" % at), ("nil", None))) for at in range(count)]


def answers(found: list[Event]) -> list[Outgoing]:
    """An answer to each."""
    return [Outgoing("out", each.key, each.value, each.headers, partition=each.partition) for each in found]


def values(found: list[Event]) -> list[int]:
    """The numbers of events, in order."""
    return sorted(int(each.value or b"") for each in found)


def test_an_event_comes_as_it_was_written(logs: Logs) -> None:
    """Key, value, headers, their order, a repeated name, null and empty."""
    odd = Outgoing("in", b"\xff\x00", b"", (("a", b"1"), ("a", b"\xff"), ("b", None), ("c", b"")))
    logs.append("in", [odd, Outgoing("in", None, None), Outgoing("in", b"", b"x")])
    log = logs.member("in", ["out"])

    found = polled(log, 3)
    log.commit(answers(found))
    log.close()

    assert {(each.key, each.value, each.headers) for each in found} == {
        (odd.key, odd.value, odd.headers),
        (None, None, ()),
        (b"", b"x", ()),
    }
    assert {(e.key, e.value, e.headers, e.partition) for e in logs.read("out")} == {
        (e.key, e.value, e.headers, e.partition) for e in found
    }


def test_the_order_of_a_key_stays(logs: Logs) -> None:
    """Over polls and commits of any size."""
    logs.append("in", events(200))
    log = logs.member("in", ["out"])
    done = 0
    for size in (1, 3, 50, 146):
        found = polled(log, size)
        done += len(found)
        log.commit(answers(found))
    log.close()

    assert done == 200
    by_key: dict[bytes | None, list[int]] = {}
    for each in logs.read("out"):
        by_key.setdefault(each.key, []).append(int(each.value or b""))
    assert all(found == sorted(found) for found in by_key.values())
    assert sorted(each for found in by_key.values() for each in found) == list(range(200))


def test_what_is_not_committed_comes_again(logs: Logs) -> None:
    """To the next member, without what was committed before."""
    logs.append("in", events(20))
    log = logs.member("in", ["out"])
    first = polled(log, 8)
    log.commit(answers(first))
    polled(log, 5)
    log.close()

    log = logs.member("in", ["out"])
    second = polled(log, 12)
    log.commit(answers(second))

    assert values(first + second) == list(range(20))
    assert values(logs.read("out")) == list(range(20))
    while not log.finished():
        assert log.poll(10, 0.1) == []
    assert sum(log.lag().values()) == 0
    log.close()


def test_groups_do_not_know_each_other(logs: Logs) -> None:
    """Each reads all."""
    logs.append("in", events(10))
    for group in ("one", "two"):
        log = logs.member("in", ["out"], group=group)
        found = polled(log, 10)
        log.commit([])
        log.close()

        assert values(found) == list(range(10))
    assert logs.read("out") == []


@pytest.mark.parametrize("logs", ["local", pytest.param("kafka", marks=pytest.mark.full)], indirect=True)
def test_two_members_share_and_hand_over(logs: Logs) -> None:
    """Each event is one member's, and one that leaves leaves its part to the other."""
    logs.append("in", [])
    one, two = logs.member("in", ["out"], "0"), logs.member("in", ["out"], "1")
    for _ in range(300):
        assert one.poll(1, 0.05) == two.poll(1, 0.05) == []
        if len(one.lag()) == len(two.lag()) == 2:
            break
        # Kafka knows how far it has come only once something was done: its empty ends are.
    logs.append("in", [Outgoing("in", None, b"%d" % at, partition=at % 4) for at in range(40)])

    ours, theirs = polled(one, 20), polled(two, 20)

    assert values(ours + theirs) == list(range(40))
    assert not {each.place for each in ours} & {each.place for each in theirs}
    one.commit(answers(ours))
    two.close()
    rest = polled(one, 20)
    one.commit(answers(rest))
    one.close()
    assert values(rest) == values(theirs)
    assert values(logs.read("out")) == list(range(40))


def test_a_member_whose_place_was_taken_cannot_write(logs: Logs) -> None:
    """It wakes up late, with results in hand: they do not count, and nothing is there twice."""
    logs.append("in", events(20))
    late = logs.member("in", ["out"], "0")
    held = polled(late, 20)
    take_over(logs, late)
    successor = logs.member("in", ["out"], "0")
    found = polled(successor, 20)
    successor.commit(answers(found))

    with pytest.raises(Exception) as raised:  # Rewound, or the conflict of two with one slot
        late.commit(answers(held))

    assert isinstance(raised.value, Rewound) or getattr(raised.value, "code", "") == "run_conflict"
    assert values(logs.read("out")) == list(range(20))
    successor.close()
    late.close()


def take_over(logs: Logs, late: object) -> None:
    """Let the local log take a member for dead; Kafka does when its successor comes."""
    ending = getattr(late, "_ending", None)
    if ending is not None:
        ending.set()
        late._beat.join()
        late._store.db.execute("UPDATE members SET seen = seen - 1000")


@pytest.mark.parametrize("counts", [True, False])
def test_a_commit_of_which_nobody_knows(logs: Logs, monkeypatch: pytest.MonkeyPatch, counts: bool) -> None:
    """Whether it counted or not: the caller polls again, and every result is there once."""
    logs.append("in", events(20))
    log = logs.member("in", ["out"])
    first = polled(log, 12)
    with monkeypatch.context() as patched:
        lose_the_answer(log, patched, counts)
        with pytest.raises(Rewound):
            log.commit(answers(first))

    second = polled(log, 8 if counts else 20)
    log.commit(answers(second))

    assert values(logs.read("out")) == list(range(20))
    assert log.poll(1, 0.1) == []
    log.close()


def lose_the_answer(log: object, monkeypatch: pytest.MonkeyPatch, counts: bool) -> None:
    """The next transaction ends in an error that says nothing, after it counted or before."""
    store = getattr(log, "_store", None)
    if store is not None:
        whole = store.transaction

        @contextlib.contextmanager
        def lost() -> Iterator[None]:
            error = sqlite3.OperationalError("lost")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            with whole():
                yield
                if not counts:
                    raise error
            raise error

        monkeypatch.setattr(store, "transaction", lost)
        return
    from confluent_kafka import KafkaError, KafkaException

    kafka = log.log  # type: ignore[attr-defined]

    class Lossy:
        """A producer whose commit takes too long."""

        def __init__(self, producer: object) -> None:
            self.producer = producer

        def __getattr__(self, name: str) -> object:
            return getattr(self.producer, name)

        def commit_transaction(self, seconds: float) -> None:
            if counts:
                self.producer.commit_transaction(seconds)  # type: ignore[attr-defined]
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "lost"))

    kafka._producer = Lossy(kafka._producer)
