"""Acknowledgements keep the order of arrival, whatever order the work ends in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fivefold.edge.gateway.mqtt_order import ArrivalOrder


@given(st.integers(0, 12).flatmap(lambda count: st.permutations(range(count))))
def test_acknowledged_in_order_and_once(ends: list[int]) -> None:
    """Each message once, in the order in which they came, and none before its own work ended."""
    order = ArrivalOrder()
    arrivals = [order.arrived(mid, 1) for mid in range(len(ends))]
    acknowledged: list[int] = []
    for at, mid in enumerate(ends):
        acknowledged += [each.mid for each in order.finish(arrivals[mid])]
        assert set(acknowledged) <= set(ends[: at + 1])

    assert acknowledged == list(range(len(ends)))
    assert len(order) == 0


def test_another_connection_begins_anew() -> None:
    """What was not acknowledged comes again, and holds nothing up meanwhile."""
    order = ArrivalOrder()
    lost = order.arrived(1, 1)
    order.forget()
    again = order.arrived(1, 1)

    assert order.finish(lost) == []
    assert order.finish(again) == [again]
