"""The tables of an outbox's file: made where there are none, added to in files of before, checked for whose they are.

Opening and locking the file is `queue_file`'s.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

import apsw

from fivefold.core.errors import RunFailed
from fivefold.edge.outbox import append_keys
from fivefold.stores.sqlite_transaction import write_transaction

_APPLICATION: Final = 0x46464F42  # "FFOB": SQLite's header says whose file this is
_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE identity (id TEXT NOT NULL) STRICT;
CREATE TABLE lanes (
    lane INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    next INTEGER NOT NULL, acked INTEGER NOT NULL, sent INTEGER NOT NULL,
    events INTEGER NOT NULL, bytes INTEGER NOT NULL, gaps INTEGER NOT NULL,
    dropped INTEGER NOT NULL, corrupt INTEGER NOT NULL,
    stop_code TEXT, stop_acked INTEGER, stop_at_ms INTEGER, crc INTEGER NOT NULL
) STRICT;
CREATE TABLE events (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL,
    first INTEGER, count INTEGER, reason TEXT, crc INTEGER NOT NULL
) STRICT;
CREATE TABLE consents (lane INTEGER PRIMARY KEY) STRICT;
"""

# Ids of events that are gone from here and that a hub may name: the last that it has acknowledged, and sent ones that
# were given up. Files that were made before lack the table.
_GONE: Final = "CREATE TABLE IF NOT EXISTS gone_ids (key INTEGER PRIMARY KEY, id TEXT NOT NULL) STRICT"

# In the order in which they came.
_ADDED: Final = (_GONE, append_keys.TABLE)


def make(db: apsw.Connection, path: Path) -> None:
    """The tables and an id, in an empty file. Raises `RunFailed(input_broken)` for a file of somebody else's."""
    if _number(db, "application_id"):
        return
    with write_transaction(db):
        if db.execute("SELECT count(*) FROM sqlite_schema").fetchall()[0][0]:
            raise broken_file("a SQLite file, and no outbox", path)
        db.execute(_SCHEMA)
        db.execute("INSERT INTO identity VALUES (?)", (uuid.uuid4().hex,))
        db.execute(f"PRAGMA user_version={_VERSION}")
        db.execute(f"PRAGMA application_id={_APPLICATION}")


def check(db: apsw.Connection, path: Path) -> None:
    """Raise `RunFailed(input_broken)` for a file that is no outbox, or one of another version."""
    if _number(db, "application_id") != _APPLICATION:
        raise broken_file("a SQLite file, and no outbox", path)
    if (version := _number(db, "user_version")) != _VERSION:
        raise broken_file(f"an outbox of version {version}, this is version {_VERSION}", path)


def add_tables(db: apsw.Connection) -> None:
    """The tables that files of before lack; nothing where they are there."""
    for statement in _ADDED:
        db.execute(statement).fetchall()


def renew_id(db: apsw.Connection) -> None:
    """Give the outbox another id."""
    db.execute("UPDATE identity SET id = ?", (uuid.uuid4().hex,))


def broken_file(message: str, path: Path) -> RunFailed:
    """What is wrong with a file, and what to do with it."""
    return RunFailed(
        "input_broken",
        message,
        path=str(path),
        help="keep the file and move it aside: with none there, a new one is made",
    )


def _number(db: apsw.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchall()[0][0])  # type: ignore[arg-type]  # apsw: any value of SQLite's
