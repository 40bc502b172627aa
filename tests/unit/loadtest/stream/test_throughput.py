"""Rates beside each other, and which goals they meet."""

from __future__ import annotations

import json

import pytest
from loadtest.peers.stream import stream_topics
from loadtest.stream import throughput
from loadtest.stream.throughput import Rates


def test_ratios_are_those_of_one_round() -> None:
    """Rounds on a busy machine differ from each other, what counts is how many times another's rate ours is."""
    found = Rates(
        {"fivefold": [100.0, 10.0, 30.0], "at-least-once": [100.0, 11.0, 32.0], "faststream": [5.0, 2.0, 4.0]}
    )

    assert found.ratio("at-least-once") == (pytest.approx(0.9375), pytest.approx(10 / 11), 1.0)
    assert found.missed() == ["faststream"]
    assert "| Fivefold without the transaction | 32 | 0.94 (0.91 to 1.00) | 0.9 |  |" in found.markdown()


def test_the_slowest_of_a_hundred_counts() -> None:
    """The 99th percentile of the latencies, in milliseconds."""
    found = Rates({"fivefold": [1000.0]}, latencies=[0.01] * 97 + [0.5] * 3, offered=500.0)

    assert found.missed() == ["p99"]
    assert "500 ms at the 99th percentile" in found.markdown()


def test_rows_are_what_the_model_takes() -> None:
    """Twenty numbers between the contract's bounds, the same in every run."""
    some = [json.loads(each) for each in throughput.rows(1500)]

    assert some[0] == some[1000]
    assert all(tuple(each) == stream_topics.FEATURES for each in some)
    assert all(-8 <= number <= 8 for each in some for number in each.values())
