"""Pruning: events leave the store once they are where they go on to, the oldest first and in the hub's order.

What is deleted is written down with it: how far the store was pruned, so that no log is asked to go on from before
that; how far each lane was, so that a line which comes again is known and not compared; and the id of a lane's last
line, so that copied outboxes are still told (`copied_outboxes`). Watermarks, quarantine and devices stay. When to prune
and what is old enough is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fivefold.core.errors import RunFailed
from fivefold.edge.hub.copied_outboxes import note_given_up
from fivefold.edge.hub.database import HubConnection, HubDatabase

TOGETHER: Final = 2000
"""Events of one transaction: devices wait for it."""

_FORWARDED: Final = "forwarded"
_PRUNED: Final = "pruned"


def note_forwarded(connection: HubConnection, position: int) -> None:
    """A log has every event up to there, by its own word."""
    _set(connection, _FORWARDED, position)


def forwarded_position(connection: HubConnection) -> int:
    """How far the log is known to have come; 0 where this store never forwarded."""
    return _get(connection, _FORWARDED)


def pruned_position(connection: HubConnection) -> int:
    """The position of the last event that was deleted; 0 where none was."""
    return _get(connection, _PRUNED)


def prune(
    database: HubDatabase, *, before: int, through: int | None = None, go_on: Callable[[], bool] = lambda: True
) -> int:
    """Delete events that were received before a time, in milliseconds since 1970; how many those were. `go_on` is
    asked between two transactions.

    Only what a log is known to have. `through`, for a store that forwards nothing, is the position up to which its
    events were taken elsewhere. Raises `RunFailed` `run_conflict` where it is missing, or the store does forward.
    """
    with database.reading() as connection:
        forwarded = forwarded_position(connection)
    if through is None and not forwarded:
        raise RunFailed(
            "run_conflict",
            "this hub has forwarded nothing: what it has may be nowhere else",
            path=database.where,
            help="serve it with --forward; or take its events by fivefold hub events, and name the last position "
            "with --through",
        )
    if through is not None and forwarded:
        raise RunFailed(
            "run_conflict",
            f"this hub forwards, and the log has its events up to {forwarded}: --through is for one that does not",
            path=database.where,
            help="leave --through out",
        )
    limit, deleted = forwarded if through is None else through, 0
    while count := _prune_some(database, limit, before):
        deleted += count
        if not go_on():
            break
    return deleted


def _prune_some(database: HubDatabase, limit: int, before: int) -> int:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT position, device, outbox, lane, seq, id, received FROM hub_events WHERE position <= ? "
            "ORDER BY position LIMIT ?",
            (limit, TOGETHER),
        )
        # In the hub's order, whatever its clock has done: a younger one in between ends it.
        young = next((at for at, row in enumerate(rows) if row[6] >= before), len(rows))
        if not (old := rows[:young]):
            return 0
        last: dict[tuple[str, str, str], tuple[int, str]] = {}
        for _, device, outbox, lane, seq, id, _ in old:
            last[device, outbox, lane] = max(last.get((device, outbox, lane), (0, "")), (seq, id))
        for where, (seq, id) in last.items():
            connection.execute(
                "UPDATE hub_watermarks SET pruned = ? WHERE device = ? AND outbox = ? AND lane = ?", (seq, *where)
            )
            given = connection.execute(
                "SELECT through, (SELECT max(seq) FROM hub_line_ids WHERE device = ? AND outbox = ? AND lane = ?) "
                "FROM hub_watermarks WHERE device = ? AND outbox = ? AND lane = ?",
                (*where, *where),
            )
            # An id that a device has given the line since is the one that counts.
            if given and given[0][0] == seq != given[0][1]:
                note_given_up(connection, where, seq, id)
        connection.execute("DELETE FROM hub_events WHERE position <= ?", (old[-1][0],))
        _set(connection, _PRUNED, old[-1][0])
        return len(old)


def _get(connection: HubConnection, name: str) -> int:
    rows = connection.execute("SELECT position FROM hub_head WHERE name = ?", (name,))
    return int(rows[0][0]) if rows else 0


def _set(connection: HubConnection, name: str, position: int) -> None:
    connection.execute(
        "INSERT INTO hub_head (name, position) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET position = excluded.position",
        (name, position),
    )
