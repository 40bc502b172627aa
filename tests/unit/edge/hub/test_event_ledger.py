"""The ledger: every event is stored once, nothing behind a hole, and whatever else came is kept; on both stores."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from tests.support.hubs import OUTBOX, body, event, gap

from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_register import add_device, list_devices
from fivefold.edge.hub.event_ledger import (
    Applied,
    DeviceBatch,
    apply_batches,
    events_after,
    head_position,
    lane_watermarks,
    quarantined_lines,
)
from fivefold.edge.hub.missing_numbers import count_stored_gaps
from fivefold.edge.sync.lane_batches import decode_batch


@pytest.fixture(autouse=True)
def devices(database: HubDatabase) -> None:
    """Two devices."""
    with database.transaction() as connection:
        add_device(connection, "a")
        add_device(connection, "b")


def apply(database: HubDatabase, *lines: bytes, device: str = "a", outbox: str = OUTBOX, lane: str = "bulk") -> Applied:
    with database.transaction() as connection:
        (out,) = apply_batches(connection, [DeviceBatch(device, outbox, lane, decode_batch(body(*lines)))], 1000)
    return out


def seqs(database: HubDatabase, device: str = "a") -> list[int]:
    with database.reading() as connection:
        return [each.seq for each in events_after(connection, 0, 1000, device)]


def codes(applied: Applied) -> list[tuple[int, str]]:
    return [(each.seq, each.code) for each in applied.rejected]


def quarantined(database: HubDatabase) -> Sequence[bytes]:
    with database.reading() as connection:
        return [each.raw for each in quarantined_lines(connection, None, 100)]


def test_new_lines_are_stored_once(database: HubDatabase) -> None:
    """A batch that comes again is acknowledged and changes nothing."""
    first = apply(database, event(1), event(2))
    again = apply(database, event(1), event(2))
    more = apply(database, event(2), event(3))

    assert (first.acked_through, again.acked_through, more.acked_through) == (2, 2, 3)
    assert (first.stored, again.stored, more.stored) == (2, 0, 1)
    assert seqs(database) == [1, 2, 3]


def test_nothing_behind_a_hole_is_acknowledged(database: HubDatabase) -> None:
    """A batch that begins behind one is told so."""
    apply(database, event(1))

    behind = apply(database, event(3), event(4))

    assert behind.hole
    assert behind.acked_through == 1
    assert seqs(database) == [1]


def test_lanes_outboxes_and_devices_count_alone(database: HubDatabase) -> None:
    """The same numbers in another lane, outbox or device are other events."""
    other = "f" * 32
    for device, outbox, lane in (
        ("a", OUTBOX, "bulk"),
        ("a", OUTBOX, "alerts"),
        ("a", other, "bulk"),
        ("b", OUTBOX, "bulk"),
    ):
        assert apply(database, event(1), device=device, outbox=outbox, lane=lane).stored == 1

    with database.reading() as connection:
        assert lane_watermarks(connection, "a", OUTBOX) == {"alerts": 1, "bulk": 1}
        assert lane_watermarks(connection, "b", OUTBOX) == {"alerts": 0, "bulk": 1}
        assert head_position(connection) == 4
        assert [each.position for each in events_after(connection, 0, 10)] == [1, 2, 3, 4]


def test_a_poison_line_is_kept_and_blocks_nothing(database: HubDatabase) -> None:
    """It is acknowledged, told every time it comes, and lies in quarantine byte for byte."""
    poison = b'{"seq": 2, "kind": \xff\xfe'
    first = apply(database, event(1), poison, event(3))
    again = apply(database, event(1), poison, event(3))

    assert first.acked_through == 3
    assert codes(first) == codes(again) == [(2, "malformed")]
    assert seqs(database) == [1, 3]
    assert quarantined(database) == [poison]


def test_other_content_under_a_known_number_is_told(database: HubDatabase) -> None:
    """Nothing is overwritten, and what came is kept, once."""
    apply(database, event(1, "right"))
    for _ in range(2):
        assert codes(apply(database, event(1, "other"))) == [(1, "event_conflict")]

    with database.reading() as connection:
        (stored,) = events_after(connection, 0, 10)
    assert json.loads(stored.body)["input"] == {"x": "right"}
    assert quarantined(database) == [event(1, "other")]


def test_the_same_json_in_another_spelling_is_the_same(database: HubDatabase) -> None:
    """Members in another order, and other spaces, are no conflict; 1 and true are."""
    apply(database, event(1, 1))
    members = json.loads(event(1, 1))
    turned = json.dumps({"seq": 1, **dict(reversed(members.items()))}, separators=(",", ":")).encode()

    assert codes(apply(database, turned)) == []
    assert codes(apply(database, event(1, True))) == [(1, "event_conflict")]


def test_a_gap_covers_its_numbers(database: HubDatabase) -> None:
    """The lane goes on behind it; what comes later of it is a conflict and kept."""
    applied = apply(database, event(1), gap(2, 9), event(10))
    late = apply(database, event(5))

    assert applied.acked_through == 10
    assert seqs(database) == [1, 9, 10]
    assert codes(late) == [(5, "event_conflict")]
    assert quarantined(database) == [event(5)]


def test_a_gap_over_events_that_are_here(database: HubDatabase) -> None:
    """A device that never heard of an acknowledgement may give up what has come: that is no conflict."""
    apply(database, event(1), event(2), event(3))

    inside = apply(database, gap(2, 3))
    beyond = apply(database, gap(2, 6), event(7))

    assert codes(inside) == codes(beyond) == []
    assert beyond.acked_through == 7
    assert seqs(database) == [1, 2, 3, 6, 7]


@pytest.mark.full
def test_a_broken_gap_record_blocks_nothing(database: HubDatabase) -> None:
    """What it covers is passed, and it is kept in quarantine."""
    applied = apply(database, event(1), gap(2, 9, reason="whim"), event(10))

    assert applied.acked_through == 10
    assert codes(applied) == [(9, "malformed")]


def test_a_transaction_that_fails_changes_nothing(database: HubDatabase) -> None:
    """Neither events nor watermark, and the next one goes on from there."""
    apply(database, event(1))

    def crash() -> None:
        with database.transaction() as connection:
            apply_batches(connection, [DeviceBatch("a", OUTBOX, "bulk", decode_batch(event(2)))], 1)
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        crash()

    assert seqs(database) == [1]
    assert apply(database, event(2)).acked_through == 2
    with database.reading() as connection:
        assert [each.position for each in events_after(connection, 0, 10)] == [1, 2]


def test_events_are_read_in_bounds(database: HubDatabase) -> None:
    """At least one, and no more than fit."""
    apply(database, *(event(seq, "x" * 1000) for seq in range(1, 11)))

    with database.reading() as connection:
        assert len(events_after(connection, 0, 10, max_bytes=1)) == 1
        assert len(events_after(connection, 0, 10, max_bytes=5000)) == 2
        assert [each.seq for each in events_after(connection, 8, 10)] == [9, 10]


def delivered(database: HubDatabase, device: str = "a") -> int:
    with database.reading() as connection:
        (row,) = [each for each in list_devices(connection) if each.id == device]
    return sum(row.delivered.values())


def uncounted(database: HubDatabase) -> None:
    """Make it the store of a hub that did not count what gap records cover."""
    with database.transaction() as connection:
        connection.execute("DELETE FROM hub_missing")
        count_stored_gaps(connection)


@pytest.mark.parametrize("recount", [False, True])
def test_what_gap_records_cover_was_not_delivered(database: HubDatabase, recount: bool) -> None:
    """Nor do a renewed outbox's earlier numbers count again, nor what a record covers that had come."""
    apply(database, event(1), event(2), b'{"seq":3,\xff', gap(4, 6), event(7))
    apply(database, gap(5, 9))
    apply(database, gap(6, 10), event(11))
    apply(database, event(1), event(2))
    begun = gap(1, 11, "hub_lost").replace(b'"count": 11', b'"count": 0')
    apply(database, begun, event(12), outbox="f" * 32)
    apply(database, event(1), lane="alerts")
    if recount:
        uncounted(database)

    assert delivered(database) == 1 + 2 + 1 + 1 + 1 + 1
    assert delivered(database, "b") == 0
