"""How many events a poll asks for follows how many there are, and how long they take."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.stream.batch_size import LEAST, LONGEST, BatchSize


def busy(size: BatchSize, cost: Callable[[int], float], batches: int) -> list[float]:
    """Seconds of each batch where there are always more events."""
    out = []
    for _ in range(batches):
        asked = size.now
        size.polled(asked)
        size.took(asked, cost(asked))
        out.append(cost(asked))
    return out


def test_it_grows_to_the_most_where_events_are_cheap() -> None:
    """And comes back where few arrive."""
    size = BatchSize(10_000)
    busy(size, lambda events: events * 40e-6, 10)
    assert size.now == 10_000

    for _ in range(20):
        size.polled(3)
        size.took(3, 0.001)
    assert size.now == LEAST


@pytest.mark.parametrize("each", [0.001, 0.05, 0.3, 1.5])
def test_dear_events_are_asked_for_in_small_batches(each: float) -> None:
    """Known before the first of them, and after."""
    took = busy(BatchSize(10_000, lambda events: events * each), lambda events: events * each, 30)

    assert max(took) <= 2 * LONGEST
    assert max(took[5:]) > LONGEST / 4


def test_what_turns_out_to_be_dear_is_asked_for_in_small_batches() -> None:
    """Though it was said to be cheap, as where some rows take longer than those it was measured with."""
    took = busy(BatchSize(10_000), lambda events: events * 0.5, 30)

    assert all(seconds <= LONGEST for seconds in took[1:])


@given(
    st.integers(1, 100_000),
    st.floats(0, 100),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1000)), max_size=30),
)
def test_it_is_always_one_and_at_most_the_most(most: int, said: float, batches: list[tuple[float, float]]) -> None:
    """Whatever is measured."""
    size = BatchSize(most, lambda events: events * said)
    for share, seconds in batches:
        assert 1 <= size.now <= most
        events = int(size.now * share)
        size.polled(events)
        if events:
            size.took(events, seconds)
    assert 1 <= size.now <= most
