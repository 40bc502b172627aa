"""Whether the checker sees what it is there for: faults injected into a right outcome, each of which it must name.

    python -m loadtest.stream selftest

Every run of `chaos` begins with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from loadtest.stream import checker
from loadtest.stream.checker import LogRecord, StreamVerdict, check
from loadtest.stream.planned_events import NUMBER, TOTAL, planned

EVENTS: Final = 2_000
SEED: Final = 7
PARTITIONS: Final = 4

TopicRecords = dict[str, list[LogRecord]]
Injection = Callable[[TopicRecords], object]


def right() -> TopicRecords:
    """An outcome with nothing wrong, as a log would hold it: `inputs`, `results`, `dead_letters`."""
    out: TopicRecords = {"inputs": [], "results": [], "dead_letters": []}
    ends: dict[tuple[str, int], int] = {}
    for number in range(EVENTS):
        event = planned(number, SEED)
        partition = sum(event.key) % PARTITIONS
        result = event.value if event.total is None else b'{"%s":%d.0}' % (TOTAL.encode(), event.total)
        for topic, value in (
            ("inputs", event.value),
            ("dead_letters" if event.total is None else "results", result),
        ):
            offset = ends.get((topic, partition), 0)
            ends[topic, partition] = offset + 1
            headers = {NUMBER: b"%d" % number}
            out[topic].append(LogRecord(partition, offset, event.key, value, headers))
    return out


def _same_key(records: list[LogRecord]) -> tuple[int, int]:
    """The places of two records of one key, one after the other."""
    first = 5
    second = next(at for at in range(first + 1, len(records)) if records[at].key == records[first].key)
    return first, second


def _swap(records: list[LogRecord]) -> None:
    one, other = _same_key(records)
    records[one], records[other] = records[other], records[one]


def _later_again(records: list[LogRecord]) -> None:
    records.append(records[3])


def _elsewhere(records: list[LogRecord]) -> None:
    _, at = _same_key(records)
    records[at] = replace(records[at], partition=(records[at].partition + 1) % PARTITIONS)


def _another_value(records: list[LogRecord]) -> None:
    records[9] = replace(records[9], value=records[10].value)


def _another_key(records: list[LogRecord]) -> None:
    records[9] = replace(records[9], key=b"key-nobody")


def _both(outcome: TopicRecords) -> None:
    outcome["results"].append(outcome["dead_letters"][2])


def _in(topic: str, change: Callable[[list[LogRecord]], object]) -> Injection:
    return lambda outcome: change(outcome[topic])


INJECTED: Final[tuple[tuple[str, str, Injection], ...]] = (
    ("a result twice, one after the other", checker.DOUBLE, _in("results", lambda some: some.insert(8, some[8]))),
    ("a result twice, much later", checker.DOUBLE, _in("results", _later_again)),
    ("a dead letter twice", checker.DOUBLE, _in("dead_letters", _later_again)),
    ("a result lost", checker.LOST, _in("results", lambda some: some.pop(11))),
    ("the last result lost", checker.LOST, _in("results", lambda some: some.pop())),
    ("a dead letter lost", checker.LOST, _in("dead_letters", lambda some: some.pop(1))),
    ("two results of a key in the wrong order", checker.ORDER, _in("results", _swap)),
    ("a result in another partition than its key's", checker.ORDER, _in("results", _elsewhere)),
    ("the value of another event", checker.VALUE, _in("results", _another_value)),
    ("another key", checker.VALUE, _in("results", _another_key)),
    ("a dead letter with another value", checker.VALUE, _in("dead_letters", _another_value)),
    ("a bad event that has a result too", checker.FOREIGN, _both),
    ("an event produced twice", checker.DOUBLE, _in("inputs", _later_again)),
)


def judged(outcome: TopicRecords) -> StreamVerdict:
    """The checker's verdict over an outcome."""
    return check(EVENTS, SEED, outcome["inputs"], outcome["results"], outcome["dead_letters"])


def misses() -> list[str]:
    """What the checker did not see, or saw where nothing was; empty where it is fit for use."""
    clean = judged(right())
    missed = [] if clean.holds else [f"it complains of a right outcome: {clean.words[0]}"]
    for what, kind, inject in INJECTED:
        outcome = right()
        inject(outcome)
        if not judged(outcome).counts[kind]:
            missed.append(f"it does not see {what}")
    return missed
