"""Batches of many devices in one transaction, each with its own fate."""

from __future__ import annotations

import contextlib

import pytest
from tests.support.hubs import OUTBOX, event

from fivefold.core.errors import InternalError, Unavailable
from fivefold.edge.hub.batch_commit import BatchCommit
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_register import add_device
from fivefold.edge.hub.event_ledger import DeviceBatch
from fivefold.edge.sync.lane_batches import decode_batch


def batch(seq: int, device: str = "a") -> DeviceBatch:
    return DeviceBatch(device, OUTBOX, "bulk", decode_batch(event(seq)))


@pytest.fixture(autouse=True)
def device(local: HubDatabase) -> None:
    with local.transaction() as connection:
        add_device(connection, "a")


def test_what_waits_goes_together(local: HubDatabase) -> None:
    """One transaction takes all that came while another one was under way, in the order in which it came."""
    with contextlib.closing(BatchCommit(local)) as commit:
        with local.transaction():
            waiting = [commit.submit(batch(seq)) for seq in range(1, 21)]
        assert [each.result(30).acked_through for each in waiting] == list(range(1, 21))
        assert commit.transactions <= 2
        assert commit.stored == 20
        assert commit.stored_event.is_set()


def test_who_gives_up_waiting_harms_nobody(local: HubDatabase) -> None:
    """Neither the others nor the thread that writes."""
    with contextlib.closing(BatchCommit(local)) as commit:
        with local.transaction():
            first, second = commit.submit(batch(1)), commit.submit(batch(2))
            given_up = second.cancel()
        assert first.result(30).acked_through == 1
        assert given_up
        assert commit.submit(batch(2)).result(30).acked_through == 2


def test_one_that_cannot_be_stored_is_alone(local: HubDatabase) -> None:
    """A batch of a device that is not there breaks its own transaction only."""
    broken = DeviceBatch(object(), OUTBOX, "bulk", decode_batch(event(1)))  # type: ignore[arg-type]
    with contextlib.closing(BatchCommit(local)) as commit:
        with local.transaction():
            waiting = [commit.submit(batch(1)), commit.submit(broken), commit.submit(batch(2))]
        assert [waiting[each].result(30).acked_through for each in (0, 2)] == [1, 2]
        with pytest.raises(InternalError):
            waiting[1].result(30)


def test_no_more_than_may_wait(local: HubDatabase) -> None:
    """The next one is asked to come again, and after the end nobody is let in."""

    def fill(commit: BatchCommit) -> None:
        for seq in (1, 2, 3):
            commit.submit(batch(seq))

    waits = pytest.raises(Unavailable, match="wait for the hub's store")
    with contextlib.closing(BatchCommit(local, most=1)) as commit, local.transaction(), waits:
        fill(commit)
    with pytest.raises(Unavailable, match="closing"):
        commit.submit(batch(1))
