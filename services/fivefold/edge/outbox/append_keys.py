"""Keys of appends: whoever asks again with the same key gets the numbers of before, and nothing is stored twice.

A key is a digest of all that makes an append what it is, made by the caller. The newest `MOST` are kept, in the same
transactions as the events, however long those have been at the hub.
"""

from __future__ import annotations

from typing import Any, Final

import apsw

from fivefold.edge.outbox.lane_rows import LaneState

MOST: Final = 10_000

TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS append_keys "
    "(at INTEGER PRIMARY KEY, lane INTEGER NOT NULL, key BLOB NOT NULL, first INTEGER NOT NULL, "
    "last INTEGER NOT NULL, UNIQUE (lane, key)) STRICT"
)


def find_key(db: apsw.Connection, lane: LaneState, key: bytes) -> list[int]:
    """The numbers that a key's events were given in a lane; empty where it is not known."""
    if not key:
        return []
    rows: Any = db.execute(
        "SELECT first, last FROM append_keys WHERE lane = ? AND key = ?", (lane.index, key)
    ).fetchall()
    return list(range(rows[0][0], rows[0][1] + 1)) if rows else []


def keep_key(db: apsw.Connection, lane: LaneState, key: bytes, seqs: list[int]) -> None:
    """Keep a key, in place of the oldest."""
    if not key:
        return
    db.execute(
        "INSERT OR REPLACE INTO append_keys (lane, key, first, last) VALUES (?, ?, ?, ?)",
        (lane.index, key, seqs[0], seqs[-1]),
    )
    db.execute("DELETE FROM append_keys WHERE at <= ?", (db.last_insert_rowid() - MOST,))
