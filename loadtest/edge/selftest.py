"""Whether the checker sees what it is there for: faults injected into a right delivery, each of which it must name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from loadtest.edge import delivery_checker
from loadtest.edge.delivery_checker import Accepted, Arrived, check

EVENTS: Final = 600
Deliveries = list[Arrived]


def right() -> tuple[list[Accepted], Deliveries]:
    """A delivery with nothing wrong: two lanes, three threads, one event in fifty whose append was cut off."""
    accepted, arrived = [], []
    ends = {"alerts": 0, "bulk": 0}
    for number in range(EVENTS):
        lane = "alerts" if number % 10 == 0 else "bulk"
        ends[lane] += 1
        if number % 50 != 7:
            accepted.append(Accepted(lane, ends[lane], number % 3, number))
        arrived.append(Arrived(lane, ends[lane], ends[lane], number % 3, number, 1000 - number))
    return accepted, arrived


def _swap(some: Deliveries) -> None:
    some[21], some[22] = some[22], some[21]


def _swap_contents(some: Deliveries) -> None:
    one, other = some[21], some[22]
    some[21] = one._replace(thread=other.thread, number=other.number)
    some[22] = other._replace(thread=one.thread, number=one.number)


def _renumbered(some: Deliveries) -> None:
    """Lost in front of the receiver's numbers: it has no hole, and everything behind has moved up."""
    lane = some.pop(31).lane
    for at in range(31, len(some)):
        if some[at].lane == lane:
            some[at] = some[at]._replace(first=some[at].first - 1, seq=some[at].seq - 1)


def _covered(some: Deliveries) -> None:
    some[41] = some[41]._replace(thread=-1, number=1)


def _undercounted(some: Deliveries) -> None:
    some[41] = some[41]._replace(thread=-1, number=0)


def _again_at_the_end(some: Deliveries) -> None:
    last = max(line.seq for line in some if line.lane == "bulk")
    some.append(some[3]._replace(first=last + 1, seq=last + 1))


INJECTED: Final[tuple[tuple[str, str, Callable[[Deliveries], object]], ...]] = (
    ("an event lost", delivery_checker.LOST, lambda some: some.pop(31)),
    ("an event lost before it was numbered", delivery_checker.LOST, _renumbered),
    ("the last event lost", delivery_checker.LOST, lambda some: some.pop()),
    ("an event twice, one after the other", delivery_checker.DOUBLE, lambda some: some.insert(8, some[8])),
    ("an event twice, much later", delivery_checker.DOUBLE, lambda some: some.append(some[8])),
    ("an event twice under two numbers", delivery_checker.DOUBLE, _again_at_the_end),
    ("two events in the wrong order", delivery_checker.ORDER, _swap),
    ("two events under each other's numbers", delivery_checker.VALUE, _swap_contents),
    ("a gap record that nobody asked for", delivery_checker.GAP, _covered),
)


def misses() -> list[str]:
    """What the checker did not see, or saw where nothing was; empty where it is fit for use."""
    clean = check(*right())
    missed = [] if clean.holds else [f"it complains of a right delivery: {clean.words[0]}"]
    for what, kind, inject in INJECTED:
        accepted, arrived = right()
        inject(arrived)
        if not check(accepted, arrived).counts[kind]:
            missed.append(f"it does not see {what}")
    accepted, arrived = right()
    _undercounted(arrived)
    if not check(accepted, arrived, gaps=True).counts[delivery_checker.GAP]:
        missed.append("it does not see a gap record that counts too few")
    return missed
