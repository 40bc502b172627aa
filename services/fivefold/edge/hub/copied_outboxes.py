"""Copied outboxes: two devices with one disk's image, or an outbox that was put back from a backup.

Both send the same numbers of the same outbox, and other events. Every event has an id of its own, so the id of the line
at a lane's watermark tells whether a device goes on from it. The hub keeps no second copy of that id: it is the stored
event's. `hub_line_ids` has it where the event cannot say it: because it was pruned, or because the device has given it
up for a gap record since. What a batch is compared with is `event_ledger`'s.
"""

from __future__ import annotations

from fivefold.edge.hub.database import HubConnection

Where = tuple[str, str, str]
"""Device, outbox and lane."""


def line_id(connection: HubConnection, where: Where, seq: int) -> str:
    """The id of the line at a number that is a lane's watermark; empty where it is not known."""
    given = connection.execute(
        "SELECT id FROM hub_line_ids WHERE device = ? AND outbox = ? AND lane = ? AND seq = ?", (*where, seq)
    ) or connection.execute(
        "SELECT id FROM hub_events WHERE device = ? AND outbox = ? AND lane = ? AND seq = ?", (*where, seq)
    )
    return str(given[0][0]) if given else ""


def note_given_up(connection: HubConnection, where: Where, seq: int, id: str) -> None:
    """The line at the watermark has this id from now on; empty: none is known."""
    connection.execute(
        "INSERT INTO hub_line_ids (device, outbox, lane, seq, id) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (device, outbox, lane) DO UPDATE SET seq = excluded.seq, id = excluded.id",
        (*where, seq, id),
    )


def note_copy(connection: HubConnection, where: Where, through: int, now: int) -> None:
    """A copy was refused, or has said itself that it is one."""
    connection.execute(
        "INSERT INTO hub_copies (device, outbox, lane, through, at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (device, outbox, lane) DO UPDATE SET through = excluded.through, at = excluded.at",
        (*where, through, now),
    )
