"""Events from outside of any topic into one, exactly once: how far the source has come is written beside them.

    log = open_forwarding(address, "a1b2…", directory="fivefold-data")
    log.position()                     # of the last event of this source that is in the log; 0 where none is
    log.append(events, 1234)           # the events, and that 1234 is reached, in one transaction

The position of each source is an event of the topic `TOPIC.progress`, with the source's name as its key: its last one
counts. So whoever comes back after a crash, or after an answer that never came, asks the log instead of remembering.
The source has an order of its own and numbers that rise; what its events are is left to it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from fivefold.core.errors import BundleInvalid, RunFailed
from fivefold.stream.events import Outgoing
from fivefold.stream.sqlite_store import PARTITIONS, SqliteStore, storage_failed

PROGRESS: Final = ".progress"
"""What the name of a topic's progress ends in."""

WINDOW: Final = 1000
"""Events of the progress that are read at first; more of them, where the source is not among those."""


class Forwarding(Protocol):
    """One topic as one source sees it; for one thread, and for one process at a time."""

    def position(self) -> int:
        """The last position that is committed, 0 where none is. Raises `FivefoldError`."""
        ...

    def append(self, outgoing: Sequence[Outgoing], position: int) -> None:
        """Write events in their order and that `position` is reached, in one transaction.

        Raises `FivefoldError`; whether the transaction counts is then told by `position`, and only by that.
        """
        ...

    def close(self) -> None:
        """Let go of the log."""
        ...


class SqliteForwarding:
    """See `Forwarding`: into the local log of a directory."""

    def __init__(self, directory: str | Path, topic: str, source: str) -> None:
        """Open the log; raises what `SqliteStore` raises."""
        self._directory, self._topic, self._source = directory, topic, source
        self._opened: tuple[SqliteStore, int, int] | None = None
        self._at: int | None = None
        """Where this one knows the source to be."""

    def position(self) -> int:
        """See `Forwarding.position`."""
        store, _, progress = self._store()
        try:
            self._at = self._reached(store, progress)
            return self._at
        except sqlite3.Error as err:
            raise self._failed(err, store) from err

    def append(self, outgoing: Sequence[Outgoing], position: int) -> None:
        """See `Forwarding.append`; raises `RunFailed` `run_conflict` where somebody else has moved the position since
        it was asked for."""
        store, topic, progress = self._store()
        try:
            with store.transaction():
                reached = self._reached(store, progress)
                if reached != self._at:
                    raise RunFailed("run_conflict", f"{self._topic!r} is at {reached}: somebody else forwards there")
                store.insert(topic, outgoing)
                key = self._source.encode()
                store.insert(progress, [Outgoing(self._topic + PROGRESS, key, str(position).encode())])
        except sqlite3.Error as err:
            raise self._failed(err, store) from err
        self._at = position

    def close(self) -> None:
        """See `Forwarding.close`."""
        if self._opened is not None:
            self._opened[0].close()
            self._opened = None

    def _store(self) -> tuple[SqliteStore, int, int]:
        """The log, opened by the thread that uses it, and the ids of both topics."""
        if self._opened is None:
            store = SqliteStore(self._directory)
            try:
                self._opened = store, store.make(self._topic, PARTITIONS), store.make(self._topic + PROGRESS, 1)
            except BaseException:
                store.close()
                raise
        return self._opened

    def _reached(self, store: SqliteStore, progress: int) -> int:
        row = store.db.execute(
            "SELECT value FROM events WHERE topic = ? AND partition = 0 AND key = ? ORDER BY offset DESC LIMIT 1",
            (progress, self._source.encode()),
        ).fetchone()
        return 0 if row is None else position_of(row[0], self._topic)

    def _failed(self, err: sqlite3.Error, store: SqliteStore) -> Exception:
        with contextlib.suppress(sqlite3.Error):
            self.close()
        return storage_failed(err, store.path)


def position_of(value: bytes | None, topic: str) -> int:
    """A position as an event of the progress has it; raises `BundleInvalid` for anything else."""
    if value is None or not (value.isdigit() and len(value) < 20):
        raise BundleInvalid("expected a position, a number", path=topic + PROGRESS)
    return int(value)
