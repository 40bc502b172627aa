"""Pruning: what a log has, and old enough; never anything else, and devices notice nothing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

import pytest
from tests.support.hubs import OUTBOX, body, event

from fivefold.core.errors import RunFailed
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_register import add_device, milliseconds
from fivefold.edge.hub.event_ledger import (
    DeviceBatch,
    StoredEvent,
    apply_batches,
    events_after,
    head_position,
    lane_watermarks,
)
from fivefold.edge.hub.forward_loop import ForwardLoop
from fivefold.edge.hub.prune_loop import PruneLoop
from fivefold.edge.hub.pruning import forwarded_position, note_forwarded, prune
from fivefold.edge.sync.lane_batches import decode_batch

LATE = 2**60


@pytest.fixture(autouse=True)
def device(database: HubDatabase) -> None:
    with database.transaction() as connection:
        add_device(connection, "a")


def deliver(database: HubDatabase, first: int, last: int, now: int = 1000) -> None:
    lines = decode_batch(body(*(event(seq) for seq in range(first, last + 1))))
    with database.transaction() as connection:
        apply_batches(connection, [DeviceBatch("a", OUTBOX, "bulk", lines)], now)


def left(database: HubDatabase) -> list[int]:
    with database.reading() as connection:
        return [each.seq for each in events_after(connection, 0, 100)]


def forwarded(database: HubDatabase, position: int) -> None:
    with database.transaction() as connection:
        note_forwarded(connection, position)


def test_what_was_forwarded_goes(database: HubDatabase) -> None:
    """The rest stays, and so do watermarks and positions; a line that comes again is known."""
    deliver(database, 1, 10)
    forwarded(database, 7)

    assert prune(database, before=LATE) == 7
    assert left(database) == [8, 9, 10]
    deliver(database, 1, 11)
    assert left(database) == [8, 9, 10, 11]
    with database.reading() as connection:
        assert lane_watermarks(connection, "a", OUTBOX)["bulk"] == 11
        assert head_position(connection) == 11


def test_what_is_young_stays(database: HubDatabase) -> None:
    """Also where the hub's clock went back: nothing goes before what is younger than asked for."""
    deliver(database, 1, 2, now=1000)
    deliver(database, 3, 4, now=5000)
    deliver(database, 5, 6, now=2000)
    forwarded(database, 6)

    assert prune(database, before=5000) == 2
    assert left(database) == [3, 4, 5, 6]


def test_a_hub_that_forwards_nothing_is_told_how_far(database: HubDatabase) -> None:
    """Without that nothing goes; where it forwards, nobody's word counts but the log's."""
    deliver(database, 1, 4)
    with pytest.raises(RunFailed, match="forwarded nothing") as refused:
        prune(database, before=LATE)
    assert "--through" in (refused.value.help or "")
    assert prune(database, before=LATE, through=3) == 3
    assert left(database) == [4]
    forwarded(database, 3)
    with pytest.raises(RunFailed, match="the log has its events up to 3"):
        prune(database, before=LATE, through=4)
    assert left(database) == [4]


class MemoryLog:
    """A log that keeps what it is given, and that can lose it."""

    def __init__(self, reached: int = 0) -> None:
        self.reached, self.seqs = reached, list[int]()
        self.asked = threading.Event()

    def position(self) -> int:
        self.asked.set()
        return self.reached

    def append(self, events: Sequence[StoredEvent], position: int) -> None:
        self.seqs += [each.seq for each in events]
        self.reached = position

    def close(self) -> None:
        pass


def eventually(right: object) -> None:
    assert callable(right)
    pause = threading.Event()
    for _ in range(2000):
        if right():
            return
        pause.wait(0.01)
    raise AssertionError("it did not become right")


def known(database: HubDatabase) -> int:
    with database.reading() as connection:
        return forwarded_position(connection)


def test_forwarding_says_how_far_and_goes_past_no_hole(database: HubDatabase) -> None:
    """A log that has lost what was pruned here is refused, and one that goes on is served."""
    deliver(database, 1, 5)
    stored = threading.Event()
    with contextlib.closing(ForwardLoop(database, MemoryLog(5), stored)):
        eventually(lambda: known(database) == 5)
    prune(database, before=LATE)
    deliver(database, 6, 8)
    log = MemoryLog(3)
    with contextlib.closing(ForwardLoop(database, log, stored)) as loop:
        eventually(lambda: loop.trouble is not None)
        assert loop.trouble is not None
        assert "those up to 5 were pruned" in str(loop.trouble)
    assert log.seqs == []
    log = MemoryLog(5)
    with contextlib.closing(ForwardLoop(database, log, stored)):
        eventually(lambda: log.reached == 8)

    assert log.seqs == [6, 7, 8]


def test_a_hub_prunes_by_itself(database: HubDatabase) -> None:
    """Again and again, what is forwarded and old; nothing before anything is forwarded, and what is young stays."""
    deliver(database, 1, 4, now=milliseconds() - 2000)
    with contextlib.closing(PruneLoop(database, 1000, every_seconds=0.01)):
        deliver(database, 5, 6, now=milliseconds() + 3_600_000)
        assert left(database) == [1, 2, 3, 4, 5, 6]
        forwarded(database, 2)
        eventually(lambda: left(database) == [3, 4, 5, 6])
        forwarded(database, 6)
        eventually(lambda: left(database) == [5, 6])


def test_pruning_ends_between_two_transactions(database: HubDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes a hub does not wait for all that is old."""
    monkeypatch.setattr("fivefold.edge.hub.pruning.TOGETHER", 2)
    deliver(database, 1, 9)
    forwarded(database, 9)

    assert prune(database, before=LATE, go_on=lambda: False) == 2
    assert left(database) == [3, 4, 5, 6, 7, 8, 9]
