"""Numbers of a lane under which no event came: those that its gap records cover.

A watermark counts them, because nothing is waited for there; what a device has delivered does not. An outbox that goes
on under another id (`fivefold.edge.outbox`) begins with such a record, for the numbers that came under the id before.
"""

from __future__ import annotations

import msgspec

from fivefold.edge.hub.copied_outboxes import Where
from fivefold.edge.hub.database import HubConnection
from fivefold.edge.sync.event_bodies import GAP


def note_missing(connection: HubConnection, where: Where, numbers: int) -> None:
    """So many more numbers of a lane stand for no event."""
    connection.execute(
        "INSERT INTO hub_missing (device, outbox, lane, numbers) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (device, outbox, lane) DO UPDATE SET numbers = hub_missing.numbers + excluded.numbers",
        (*where, numbers),
    )


def count_stored_gaps(connection: HubConnection) -> None:
    """Count what the gap records of a store cover that did not count them when they came."""
    gaps = connection.execute("SELECT device, outbox, lane, seq, body FROM hub_events WHERE kind = ?", (GAP,))
    for device, outbox, lane, seq, body in gaps:
        where = (device, outbox, lane)
        before = max(
            connection.execute(
                f"SELECT coalesce(max(seq), 0) FROM {table} "  # noqa: S608  # one of two names, below
                "WHERE device = ? AND outbox = ? AND lane = ? AND seq < ?",
                (*where, seq),
            )[0][0]
            for table in ("hub_events", "hub_quarantine")
        )
        # Of one that stands for events which had come, only the rest is missing.
        first = max(int(msgspec.json.decode(bytes(body))["from_seq"]), before + 1)
        note_missing(connection, where, seq - first + 1)


def delivered_by_lane(connection: HubConnection, first: str, last: str) -> dict[str, dict[str, int]]:
    """How many lines that are no gap records have come from each of the devices between two, by lane."""
    out: dict[str, dict[str, int]] = {}
    for device, lane, total in connection.execute(
        "SELECT m.device, m.lane, sum(m.through - coalesce(g.numbers, 0)) FROM hub_watermarks m "
        "LEFT JOIN hub_missing g ON g.device = m.device AND g.outbox = m.outbox AND g.lane = m.lane "
        "WHERE m.device BETWEEN ? AND ? GROUP BY m.device, m.lane",
        (first, last),
    ):
        out.setdefault(device, {})[lane] = int(total)
    return out
