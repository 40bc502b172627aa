"""Faults are drawn from a seed."""

from __future__ import annotations

from itertools import islice

from loadtest.stream.fault_plan import KILL, STOP, WEIGHTS, FaultPlan, PlannedFault


def drawn(seed: int, kinds: tuple[str, ...] = tuple(WEIGHTS)) -> list[PlannedFault]:
    """The first faults of a plan."""
    plan = FaultPlan(seed, (2.0, 5.0), 10.0, kinds)
    return list(islice(iter(plan.next, None), 300))


def test_a_seed_gives_the_same_faults() -> None:
    """And another one gives others."""
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_every_kind_comes_at_its_time() -> None:
    """No sooner and no later than asked for, and only what was asked for."""
    found = drawn(1)

    assert {each.kind for each in found} == set(WEIGHTS)
    assert all(2 <= each.after <= 5 for each in found)
    assert {each.kind for each in drawn(1, (KILL, STOP))} == {KILL, STOP}


def test_most_stops_outlast_the_session() -> None:
    """And some do not."""
    seconds = [each.seconds for each in drawn(1) if each.kind == STOP]

    assert sum(each > 10 for each in seconds) > len(seconds) / 2
    assert any(each < 10 for each in seconds)
