"""Whether a worker grows is told by the last fifth of its events beside the second."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from loadtest.stream import memory
from loadtest.stream.memory import MemoryGrowth
from loadtest.stream.planned_events import bundle
from loadtest.stream.stream_logs import LocalLog

MIB = 2**20


def growth(*weights: int) -> MemoryGrowth:
    """Looks evenly over a hundred thousand events, in MiB."""
    step = 100_000 // len(weights)
    return MemoryGrowth(
        100_000, [(at * step, weight * MIB) for at, weight in enumerate(weights)], max(weights) * MIB, 10.0
    )


def test_what_the_start_takes_does_not_count() -> None:
    """A model and first batches are no leak, and one look beside the others is none either."""
    found = growth(20, 60, 100, 100, 100, 100, 101, 180, 101, 101)

    assert found.flat
    assert "| resident memory of the worker, MiB | 40.0 | 100.0 | 100.0 | 140.5 | 101.0 | 180.0 | 1.010 |" in (
        found.markdown("local")
    )


def test_a_worker_that_grows_is_seen() -> None:
    """However slowly, where it is more than the goal allows."""
    assert not growth(100, 100, 100, 101, 102, 103, 104, 105, 106, 107).flat


def test_what_nobody_looked_at_is_not_flat() -> None:
    """A worker that did everything between two looks has shown nothing."""
    assert not MemoryGrowth(1000, [(1000, MIB)], MIB, 1.0).flat


def test_a_process_is_weighed() -> None:
    """In bytes."""
    now, most = memory.weigh(os.getpid())

    assert MIB < now <= most


@pytest.mark.full
def test_a_worker_is_looked_at(tmp_path: Path) -> None:
    """Evenly over its events."""
    log = LocalLog(tmp_path / "log", 2)
    try:
        found = memory.measure(log, bundle(tmp_path), 20_000, tmp_path)
    finally:
        log.close()

    assert 4 <= len(found.looks) <= memory.LOOKS
    assert found.looks[-1][0] == 20_000
    assert found.highest >= max(weight for _, weight in found.looks)
