"""Back-off and bandwidth, on clocks of their own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fivefold.edge.sync.pacing import MOST_SECONDS, RETRY_AFTER_MOST, HubBackOff, TokenBucket


def test_waits_double_up_to_five_minutes_and_are_drawn_from_nothing_to_that() -> None:
    """Full jitter: the limit is 1, 2, 4 ... 300 seconds."""
    limits: list[tuple[float, float]] = []
    back_off = HubBackOff(lambda low, high: limits.append((low, high)) or high)
    for _ in range(12):
        back_off.failed()

    assert [low for low, _ in limits] == [0.0] * 12
    assert [high for _, high in limits] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    back_off.succeeded()
    assert back_off.failed() == 1


@given(st.floats(0, 1e9), st.integers(0, 40))
def test_what_the_hub_asks_for_is_the_least(retry_after: float, failures: int) -> None:
    back_off = HubBackOff()
    for _ in range(failures):
        back_off.failed()
    wait = back_off.failed(retry_after)

    assert min(retry_after, RETRY_AFTER_MOST) <= wait <= min(retry_after, RETRY_AFTER_MOST) + MOST_SECONDS


@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=40), st.floats(100, 1e6))
def test_a_bucket_keeps_to_its_rate(sizes: list[int], rate: float) -> None:
    """What was sent before a message may go is at most the rate's, and a second's worth that was saved up."""
    now = [0.0]
    bucket = TokenBucket(rate, lambda: now[0])
    sent = 0
    for size in sizes:
        now[0] += bucket.wait(size)
        assert bucket.wait(size) < 1e-6
        assert sent <= rate * now[0] + rate + 1e-3 * rate
        bucket.spend(size)
        sent += size


def test_a_clock_that_stands_still_sends_nothing_more() -> None:
    bucket = TokenBucket(1000.0, lambda: 0.0)
    bucket.spend(1000)
    assert bucket.wait(500) == 0.5
    assert bucket.wait(5000) == 1.0
