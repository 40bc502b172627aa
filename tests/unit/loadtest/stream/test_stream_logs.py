"""The logs that a run is over: who appends is not held up, and how often a group was put together anew is told."""

from __future__ import annotations

import contextlib
from pathlib import Path

from loadtest.stream.planned_events import planned
from loadtest.stream.stream_logs import EVENTS, LocalLog

from fivefold.stream.sqlite_store import SqliteStore


def test_a_log_that_is_held_takes_nothing(tmp_path: Path) -> None:
    """A worker that stands still in the middle of a write is woken by who appends, so that one must come back."""
    log = LocalLog(tmp_path, 2)
    events = [planned(number, 0) for number in range(50)]
    with contextlib.closing(SqliteStore(tmp_path)) as worker:
        with worker.transaction():
            assert not log.append(events)
        assert log.append(events)
        assert not list(worker.read("results"))
        assert len(list(worker.read(EVENTS))) == 50
    log.close()
