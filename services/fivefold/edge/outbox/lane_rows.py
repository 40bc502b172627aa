"""The rows of an outbox: one for each event, one for each gap, one for each lane, each with its checksum.

SQLite has no checksums of its own: a bit that a disk has changed inside of a body would be read as if it were right.
Transactions, and what is done with what is broken, are `queue`'s.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from fivefold.core.errors import RunFailed
from fivefold.edge.outbox.stored import CORRUPT, Gap, LaneStatus, LaneStop, Stored

LANE_BITS: Final = 53
"""A row's key is its lane's number and its seq, so that lanes are ranges of one table."""

ROW_BYTES: Final = 64
"""What a row takes of the quota beside its id and body."""

# As bytes: what a damaged file holds need not be text.
_SELECT: Final = (
    "SELECT key, CAST(id AS BLOB), at_ms, CAST(body AS BLOB), first, count, CAST(reason AS BLOB), crc FROM events "
)
_LANE: Final = "name, next, acked, sent, events, bytes, gaps, dropped, corrupt, stop_code, stop_acked, stop_at_ms"

EventRow = tuple[int, str, int, bytes, int | None, int | None, str | None, int]
RawRow = tuple[Any, ...]
"""A row as it lies there: the same columns, of any type."""


@dataclass(slots=True)
class LaneState:
    """A lane's row."""

    index: int
    name: str
    next: int = 1
    acked: int = 0
    sent: int = 0
    events: int = 0
    bytes: int = 0
    gaps: int = 0
    dropped: int = 0
    corrupt: int = 0
    stop: LaneStop | None = None

    def key(self, seq: int) -> int:
        """The key of a number's row."""
        return self.index << LANE_BITS | seq

    def seq(self, key: int) -> int:
        """The number of a row."""
        return key - (self.index << LANE_BITS)

    def range(self, first: int, last: int) -> tuple[int, int]:
        """The keys from a number to another, both included."""
        return self.key(first), self.key(last)

    def status(self, oldest_ms: int | None) -> LaneStatus:
        """As it is shown."""
        return LaneStatus(
            lane=self.name,
            events=self.events,
            bytes=self.bytes,
            next_seq=self.next,
            acked_through=self.acked,
            sent_through=self.sent,
            dropped=self.dropped,
            corrupt=self.corrupt,
            gaps=self.gaps,
            oldest_ms=oldest_ms,
            stop=self.stop,
        )


def row_bytes(id: str, body: bytes) -> int:
    """What a row takes of the quota."""
    return len(id) + len(body) + ROW_BYTES


def event_row(key: int, id: str, at_ms: int, body: bytes) -> EventRow:
    """The row of an event."""
    return key, id, at_ms, body, None, None, None, _crc(id.encode(), at_ms, body, None, None, None)


def gap_row(key: int, id: str, at_ms: int, gap: Gap) -> EventRow:
    """The row of a gap record; its key is that of the last number it covers."""
    crc = _crc(id.encode(), at_ms, b"", gap.first, gap.count, gap.reason.encode())
    return key, id, at_ms, b"", gap.first, gap.count, gap.reason, crc


def insert_rows(db: apsw.Connection, rows: list[EventRow]) -> None:
    db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def select_rows(db: apsw.Connection, lane: LaneState, first: int, most: int) -> Generator[RawRow, None, None]:
    """A lane's rows in order from a number on, as they lie there. To be closed: it reads until then."""
    low, high = lane.range(first, (1 << LANE_BITS) - 1)
    cursor = db.execute(_SELECT + "WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?", (low, high, most))
    try:
        yield from cursor
    finally:
        cursor.close(True)


def select_row(db: apsw.Connection, lane: LaneState, seq: int) -> Stored | None:
    """What stands at a number, None where nothing does that can be read."""
    rows: Any = db.execute(_SELECT + "WHERE key = ?", (lane.key(seq),)).fetchall()
    return stored_of(lane, rows[0]) if rows else None


def select_sizes(db: apsw.Connection, lane: LaneState, first: int) -> Generator[tuple[int, bool, int], None, None]:
    """Number, whether it is a gap, and bytes of a lane's rows in order. To be closed."""
    low, high = lane.range(first, (1 << LANE_BITS) - 1)
    cursor: Any = db.execute(
        "SELECT key, first IS NOT NULL, length(id) + length(body) + ? FROM events "
        "WHERE key BETWEEN ? AND ? ORDER BY key",
        (ROW_BYTES, low, high),
    )
    try:
        for key, gap, size in cursor:
            yield lane.seq(key), bool(gap), size
    finally:
        cursor.close(True)


def stored_of(lane: LaneState, row: RawRow) -> Stored | None:
    """A row as what it stands for; None where its checksum is not right."""
    key, id, at_ms, body, first, count, reason, crc = row
    if not isinstance(id, bytes) or not isinstance(body, bytes):
        return None
    if crc != _crc(id, at_ms, body, first, count, reason):
        return None
    seq, name = lane.seq(key), id.decode()
    if first is None:
        return Stored(lane.name, seq, name, body, at_ms)
    return Stored(lane.name, seq, name, body, at_ms, Gap(first, count, reason.decode()))


def write_lane(db: apsw.Connection, lane: LaneState) -> None:
    values = _values(lane)
    db.execute(
        f"INSERT OR REPLACE INTO lanes (lane, {_LANE}, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  # names of columns
        (lane.index, *values, _lane_crc(values)),
    )


def read_lanes(db: apsw.Connection, path: Path) -> list[LaneState]:
    """Every lane of the file. Raises `RunFailed(input_broken)`."""
    lanes = []
    rows: Any = db.execute(f"SELECT lane, {_LANE}, crc FROM lanes ORDER BY lane").fetchall()  # noqa: S608  # ditto
    for index, *values, crc in rows:
        name, next, acked, sent, events, size, gaps, dropped, corrupt, code, stop_acked, at_ms = values
        if crc != _lane_crc(tuple(values)) or not 0 <= acked <= sent < next:
            raise RunFailed(
                "input_broken",
                f"the outbox is corrupt: the row of lane {name!r} does not fit its checksum",
                path=str(path),
                help="keep the file and move it aside: with none there, a new one is made",
            )
        stop = None if code is None else LaneStop(code, stop_acked, at_ms)
        lanes.append(LaneState(index, name, next, acked, sent, events, size, gaps, dropped, corrupt, stop))
    return lanes


def oldest_ms(db: apsw.Connection, lane: LaneState) -> int | None:
    """When the oldest event of a lane was stored, by the device's clock."""
    low, high = lane.range(0, (1 << LANE_BITS) - 1)
    rows: Any = db.execute(
        "SELECT at_ms FROM events WHERE key BETWEEN ? AND ? AND first IS NULL ORDER BY key LIMIT 1", (low, high)
    ).fetchall()
    return int(rows[0][0]) if rows else None


def totals(db: apsw.Connection, lane: LaneState, first: int, last: int) -> tuple[int, int, int]:
    """Events, gap records, and the events' bytes of a lane's rows between two numbers."""
    low, high = lane.range(first, last)
    rows: Any = db.execute(
        "SELECT count(*), count(first), coalesce(sum(iif(first IS NULL, length(id) + length(body) + ?, 0)), 0) "
        "FROM events WHERE key BETWEEN ? AND ?",
        (ROW_BYTES, low, high),
    ).fetchall()
    ((count, gaps, size),) = rows
    return count - gaps, gaps, size


def delete_rows(db: apsw.Connection, lane: LaneState, first: int, last: int) -> None:
    db.execute("DELETE FROM events WHERE key BETWEEN ? AND ?", lane.range(first, last))


def line_ids(db: apsw.Connection, lane: LaneState, seq: int) -> set[str]:
    """The ids under which a hub may have a number: of what stands there, and of what was given up or acknowledged.

    None where what once stood there could not be read.
    """
    rows: Any = db.execute("SELECT id FROM gone_ids WHERE key = ?", (lane.key(seq),)).fetchall()
    found = {str(id) for (id,) in rows}
    stored = select_row(db, lane, seq)
    if stored is None:
        return found
    return set() if stored.gap is not None and stored.gap.reason == CORRUPT else found | {stored.id}


def keep_ids(db: apsw.Connection, lane: LaneState, first: int, last: int) -> None:
    """Keep the ids of events that are about to be deleted and that a hub may have."""
    db.execute(
        "INSERT OR IGNORE INTO gone_ids SELECT key, CAST(id AS TEXT) FROM events "
        "WHERE key BETWEEN ? AND ? AND first IS NULL",
        lane.range(first, last),
    )


def keep_acked_id(db: apsw.Connection, lane: LaneState, through: int, id: str) -> None:
    """Keep the id of the last line that the hub has, where it is known, in place of all before it."""
    db.execute("DELETE FROM gone_ids WHERE key BETWEEN ? AND ?", lane.range(0, through))
    if id:
        db.execute("INSERT INTO gone_ids VALUES (?, ?)", (lane.key(through), id))


def _values(lane: LaneState) -> tuple[Any, ...]:
    stop = (None, None, None) if lane.stop is None else (lane.stop.code, lane.stop.acked_through, lane.stop.at_ms)
    return (
        lane.name,
        lane.next,
        lane.acked,
        lane.sent,
        lane.events,
        lane.bytes,
        lane.gaps,
        lane.dropped,
        lane.corrupt,
        *stop,
    )


def _lane_crc(values: tuple[Any, ...]) -> int:
    return zlib.crc32(repr(values).encode())


def _crc(id: bytes, at_ms: Any, body: bytes, first: Any, count: Any, reason: bytes | None) -> int:
    begun = b"%s|%r|" % (id, at_ms) if first is None else b"%s|%r|%r|%r|%r" % (id, at_ms, first, count, reason)
    return zlib.crc32(body, zlib.crc32(begun))
