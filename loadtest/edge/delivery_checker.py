"""The checker: what was accepted against what arrived, with nothing of the product.

Accepted is what an append has returned for, `(lane, seq, thread, number)`. Arrived is the receiver's file, in order.
An event whose append was cut off by a kill may have arrived or not; its number in the lane has to be accounted for all
the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

LOST: Final = "accepted events that did not arrive"
DOUBLE: Final = "events that arrived twice"
ORDER: Final = "out of the order of their lane or thread"
VALUE: Final = "other than what was accepted under that number"
GAP: Final = "in gap records that nobody asked for"
KINDS: Final = (LOST, DOUBLE, ORDER, VALUE, GAP)

SHOWN: Final = 10


class Accepted(NamedTuple):
    """One event that an append has returned for."""

    lane: str
    seq: int
    thread: int
    number: int


class Arrived(NamedTuple):
    """One line of the receiver's: an event, or a gap (`thread` -1, `number` its count)."""

    lane: str
    first: int
    seq: int
    thread: int
    number: int
    at: int


@dataclass
class DeliveryVerdict:
    """What is wrong, by kind, with some sentences."""

    accepted: int = 0
    arrived: int = 0
    unannounced: int = 0
    """Arrived, and their append was cut off before it could say so."""
    covered: int = 0
    """Accepted, and covered by a gap record that is allowed."""
    clock_went_back: int = 0
    """Times that the device's clock was behind that of the event before it."""
    counts: Counter[str] = field(default_factory=Counter)
    words: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.counts

    def add(self, kind: str, sentence: str, count: int = 1) -> None:
        self.counts[kind] += count
        if len(self.words) < SHOWN:
            self.words.append(f"{kind}: {sentence}")


def read_arrived(path: Path) -> list[Arrived]:
    """The receiver's file."""
    out = []
    for line in path.read_text().splitlines():
        lane, first, seq, thread, number, at = line.split()
        if thread == "gap":
            out.append(Arrived(lane, int(first), int(seq), -1, int(number), 0))
        else:
            out.append(Arrived(lane, int(first), int(seq), int(thread), int(number), int(at)))
    return out


def check(accepted: Iterable[Accepted], arrived: Iterable[Arrived], *, gaps: bool = False) -> DeliveryVerdict:
    """The verdict; `gaps`: accepted events may be covered by gap records instead."""
    verdict = DeliveryVerdict()
    owed: dict[tuple[str, int], tuple[int, int]] = {}
    for lane, seq, thread, number in accepted:
        verdict.accepted += 1
        if (lane, seq) in owed:
            verdict.add(DOUBLE, f"{seq} of {lane} was given to two events")
        owed[lane, seq] = thread, number
    marks: dict[str, int] = {}
    clocks: dict[str, int] = {}
    newest: dict[tuple[str, int], int] = {}
    seen: set[tuple[int, int]] = set()
    for line in arrived:
        mark = marks.get(line.lane, 0)
        if line.first != mark + 1:
            kind = DOUBLE if line.seq <= mark and (line.thread, line.number) in seen else ORDER
            verdict.add(kind, f"{line.first} of {line.lane} came after {mark}")
        marks[line.lane] = max(mark, line.seq)
        if line.thread < 0:
            covered = sum(owed.pop((line.lane, seq), None) is not None for seq in range(line.first, line.seq + 1))
            verdict.covered += covered
            if not gaps:
                verdict.add(GAP, f"{line.first} to {line.seq} of {line.lane}", max(covered, 1))
            elif line.number < covered:
                verdict.add(GAP, f"{line.first} to {line.seq} of {line.lane} counts {line.number} of {covered}")
            continue
        verdict.arrived += 1
        event = line.thread, line.number
        if event in seen:
            verdict.add(DOUBLE, f"event {event} came again as {line.seq} of {line.lane}")
        seen.add(event)
        if line.number <= newest.get((line.lane, line.thread), -1):
            verdict.add(ORDER, f"event {event} came after {newest[line.lane, line.thread]} of its thread")
        newest[line.lane, line.thread] = line.number
        verdict.clock_went_back += line.at < clocks.get(line.lane, line.at)
        clocks[line.lane] = line.at
        owing = owed.pop((line.lane, line.seq), None)
        if owing is None:
            verdict.unannounced += 1
        elif owing != event:
            verdict.add(VALUE, f"{line.seq} of {line.lane} is event {event}, accepted was {owing}")
    for (lane, seq), event in owed.items():
        verdict.add(LOST, f"event {event}, {seq} of {lane}")
    return verdict
