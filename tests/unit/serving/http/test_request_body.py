"""A body that comes in parts: the same bytes however they are cut, and no more memory than they take."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fivefold.serving.http.request_body import read_body
from fivefold.serving.limits import ServingLimits

LIMITS = ServingLimits()


def read(parts: Sequence[bytes]) -> bytes:
    """The body of these parts."""
    left: Iterator[tuple[int, bytes]] = iter(enumerate(parts, 1))

    async def receive() -> dict[str, Any]:
        index, part = next(left)
        return {"type": "http.request", "body": part, "more_body": index < len(parts)}

    return asyncio.run(read_body({}, receive, LIMITS))


@given(
    st.lists(st.one_of(st.binary(max_size=9), st.integers(0, 9000).map(lambda size: b"%d" % size * size)), min_size=1)
)
def test_however_it_is_cut(parts: list[bytes]) -> None:
    """Small parts, large ones and empty ones, in any order."""
    assert read(parts) == b"".join(parts)


def test_small_parts_take_what_their_bytes_take() -> None:
    """A part is an object of some forty bytes, however little it holds."""
    parts = [b"ab"] * 300_000
    tracemalloc.start()
    try:
        body = read(parts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(body) == 600_000
    assert peak < 6 * len(body)
