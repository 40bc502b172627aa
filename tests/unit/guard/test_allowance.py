"""The limits of one caller: how many a second, how many at once, and each replica's share of both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.errors import Unavailable
from fivefold.guard.allowance import Allowance, CallerLimits


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _limited(allowance: Allowance, replicas: int = 1) -> Unavailable:
    before = allowance.inflight
    with pytest.raises(Unavailable) as caught:
        allowance.enter(replicas)
    assert caught.value.code == "rate_limited"
    assert allowance.inflight == before
    return caught.value


def test_without_limits_nothing_is_refused() -> None:
    allowance = Allowance(CallerLimits())
    for _ in range(1000):
        allowance.enter(1)

    assert allowance.inflight == 1000


def test_the_rate_and_when_to_come_again() -> None:
    """A second's worth at once, then as many as have been earned; the wait that is named is enough."""
    clock = Clock()
    allowance = Allowance(CallerLimits(rate=4.0), clock)
    for _ in range(4):
        allowance.enter(1)
    error = _limited(allowance)
    assert error.retry_after == pytest.approx(0.25)

    clock.now += error.retry_after or 0.0
    allowance.enter(1)
    _limited(allowance)
    clock.now += 60
    for _ in range(4):
        allowance.enter(1)
    _limited(allowance)


def test_a_burst_of_its_own_and_a_rate_below_one() -> None:
    clock = Clock()
    bursty, slow = Allowance(CallerLimits(rate=1.0, burst=3.0), clock), Allowance(CallerLimits(rate=0.5), clock)
    for _ in range(3):
        bursty.enter(1)
    slow.enter(1)

    assert _limited(bursty).retry_after == pytest.approx(1.0)
    assert _limited(slow).retry_after == pytest.approx(2.0)


def test_how_many_are_in_work() -> None:
    allowance = Allowance(CallerLimits(concurrency=2))
    allowance.enter(1)
    allowance.enter(1)
    assert _limited(allowance).retry_after == 1.0

    allowance.leave()
    allowance.enter(1)


def test_who_is_refused_for_one_limit_does_not_pay_for_the_other() -> None:
    """A request that had no place does not use up the rate."""
    allowance = Allowance(CallerLimits(rate=3.0, concurrency=1), Clock())
    allowance.enter(1)
    for _ in range(10):
        _limited(allowance)
    for _ in range(2):
        allowance.leave()
        allowance.enter(1)

    allowance.leave()
    assert "a second" in _limited(allowance).message


@pytest.mark.parametrize(("replicas", "at_once"), [(1, 8), (2, 4), (3, 2), (8, 1), (100, 1)])
def test_each_replica_grants_its_share(replicas: int, at_once: int) -> None:
    """Never more than the limit all together, and never nothing."""
    by_count = Allowance(CallerLimits(concurrency=8))
    by_rate = Allowance(CallerLimits(rate=8.0), Clock())
    for _ in range(at_once):
        by_count.enter(replicas)
        by_rate.enter(replicas)

    _limited(by_count, replicas)
    error = _limited(by_rate, replicas)
    assert (error.help or "").startswith(f"{replicas} replicas") == (replicas > 1)


def test_limits_may_change_at_any_time() -> None:
    clock = Clock()
    allowance = Allowance(CallerLimits(), clock)
    allowance.enter(1)
    allowance.limits = CallerLimits(rate=1.0, concurrency=1)

    assert "in work" in _limited(allowance).message
    allowance.leave()
    allowance.enter(1)
    allowance.leave()
    assert "a second" in _limited(allowance).message


@given(
    st.floats(0.1, 1000),
    st.floats(1, 100),
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 4)), max_size=80),
)
def test_never_more_than_was_earned(rate: float, burst: float, steps: list[tuple[float, int]]) -> None:
    """Whatever the arrivals and the replicas: at most the burst and what the time has brought."""
    clock = Clock()
    allowance = Allowance(CallerLimits(rate=rate, burst=burst), clock)
    granted, elapsed = 0, 0.0
    waits: list[float] = []
    for wait, replicas in steps:
        clock.now += wait
        elapsed += wait
        try:
            allowance.enter(replicas)
            granted += 1
        except Unavailable as error:
            waits.append((error.retry_after or 0.0) * rate / replicas)

    assert granted <= burst + rate * elapsed + 1e-6
    assert allowance.inflight == granted
    assert all(0 < wait <= 1 + 1e-9 for wait in waits)
