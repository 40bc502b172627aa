"""Exactly one result for each good event, one dead letter for each bad one, in every key's order, with the right value.

Nothing of the product is used here: records come as they lie in the log, read by `loadtest.stream.log_readers` with a
plain client, and what they should be comes from `planned_events`. The checker itself is checked by
`loadtest.stream.selftest`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from loadtest.stream.planned_events import NUMBER, TOTAL, PlannedEvent, planned

LOST, DOUBLE, ORDER, VALUE, FOREIGN = "lost", "double", "order", "value", "foreign"
"""What can be wrong: no record of an event; one more; one before an older one of its key, or away from it; another
value or key than it must have; a record that belongs nowhere."""

SHOWN: Final = 20
"""How many of what is wrong are kept in words."""


@dataclass(frozen=True)
class LogRecord:
    """One record of a topic, in a partition and at an offset."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes | None]


@dataclass
class StreamVerdict:
    """What is wrong: how often each thing, and some of them in words."""

    counts: Counter[str] = field(default_factory=Counter)
    words: list[str] = field(default_factory=list)
    records: Counter[str] = field(default_factory=Counter)
    """Records by topic."""

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.counts

    def add(self, what: str, words: str) -> None:
        """One more thing that is wrong."""
        self.counts[what] += 1
        if len(self.words) < SHOWN:
            self.words.append(f"{what}: {words}")


def check(
    count: int,
    seed: int,
    inputs: Iterable[LogRecord],
    results: Iterable[LogRecord],
    dead_letters: Iterable[LogRecord],
) -> StreamVerdict:
    """Judge what became of the first `count` events; records of one partition come by rising offsets.

    The input is judged too: an event that stands there twice would have two results rightly.
    """
    verdict = StreamVerdict()
    wanted = {"input": lambda _: True, "result": lambda event: event.total is not None}
    wanted["dead letter"] = lambda event: event.total is None
    for name, records in (("input", inputs), ("result", results), ("dead letter", dead_letters)):
        _topic(verdict, name, records, count, seed, wanted[name])
    return verdict


def _topic(
    verdict: StreamVerdict, name: str, records: Iterable[LogRecord], count: int, seed: int, belongs: Any
) -> None:
    seen = bytearray(count)
    last: dict[bytes, tuple[int, int]] = {}
    for record in records:
        verdict.records[name] += 1
        where = f"{name} {record.partition}/{record.offset}"
        number = _number(record)
        event = None if number is None or not 0 <= number < count else planned(number, seed)
        if event is None or not belongs(event):
            verdict.add(FOREIGN, f"{where} belongs to {record.headers.get(NUMBER)!r}")
            continue
        if seen[event.number]:
            verdict.add(DOUBLE, f"{where} is of event {event.number}, which has one already")
            continue
        seen[event.number] = 1
        if (wrong := _wrong(name, event, record)) is not None:
            verdict.add(VALUE, f"{where} of event {event.number}: {wrong}")
        before, partition = last.get(event.key, (-1, record.partition))
        if event.number < before or record.partition != partition:
            verdict.add(
                ORDER, f"{where} is of event {event.number}, after event {before} of its key in partition {partition}"
            )
        last[event.key] = event.number, record.partition
    for number in range(count):
        if not seen[number] and belongs(planned(number, seed)):
            verdict.add(LOST, f"event {number} has no {name}")


def _number(record: LogRecord) -> int | None:
    found = record.headers.get(NUMBER)
    return int(found) if found is not None and found.isdigit() else None


def _wrong(name: str, event: PlannedEvent, record: LogRecord) -> str | None:
    if record.key != event.key:
        return f"its key is {record.key!r}, not {event.key!r}"
    if name != "result":
        return None if record.value == event.value else f"{record.value!r}, not {event.value!r}"
    try:
        found = json.loads(record.value or b"")
    except ValueError:
        return f"{record.value!r} is no JSON"
    return None if found == {TOTAL: event.total} else f"{found!r}, not {event.total}"
