"""The hub's store in a directory: one SQLite file, that the hub and the commands beside it open.

A transaction is on the disk before it is answered (write-ahead log, full synchronisation). The SQLite is apsw's own:
some systems' is of the versions whose write-ahead log can corrupt (https://www.sqlite.org/wal.html#walresetbug). The
file must lie on a disk of this machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import apsw

from fivefold.core.errors import BundleInvalid, NotFound, RunFailed, Unavailable
from fivefold.edge.hub.database import HubConnection, Row, Value
from fivefold.edge.hub.hub_schema import prepare_tables
from fivefold.stores.sqlite_transaction import write_transaction

FILE: Final = "hub.sqlite"
LEAD_FILE: Final = "hub.lock"
BUSY_MILLISECONDS: Final = 20_000

_APPLICATION: Final = 0x46464842  # "FFHB": SQLite's header says whose file this is
_WORDS: Final = {"integer": "INTEGER", "bytes": "BLOB", "strict": " STRICT"}


class SqliteDatabase:
    """See `fivefold.edge.hub.database.HubDatabase`."""

    def __init__(self, directory: str | Path, *, create: bool = True) -> None:
        """Open the file, for this user alone where it is made.

        Raises `NotFound`, `RunFailed` `storage_failed`, `Unavailable`, and `BundleInvalid` for a file that is no hub's.
        """
        self.path = Path(directory) / FILE
        self.where = str(self.path)
        self.directory: Path | None = self.path.parent
        if not create and not self.path.exists():
            raise NotFound("not_found", f"no hub in {directory}", help=f"fivefold hub serve --data {directory}")
        self._lead: int | None = None
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._open: list[apsw.Connection] = []
        try:
            with self._failing():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                if not self.path.exists():
                    os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
                self._writer = self._connect()
                with self.transaction() as connection:
                    self._own(connection)
                    self.hub = prepare_tables(connection, _WORDS, self.where)
                self._reader = self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> apsw.Connection:
        made = apsw.Connection(str(self.path))
        self._open.append(made)
        made.set_busy_timeout(BUSY_MILLISECONDS)
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("PRAGMA synchronous=FULL")
        made.execute("PRAGMA foreign_keys=ON")
        return made

    def _own(self, connection: HubConnection) -> None:
        """Mark an empty file as a hub's; raises `BundleInvalid` for somebody else's."""
        ((mark,),) = connection.execute("PRAGMA application_id")
        if mark == _APPLICATION:
            return
        ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_schema")
        if mark or tables:
            raise BundleInvalid("a SQLite file, and no hub's", path=self.where)
        connection.execute(f"PRAGMA application_id={_APPLICATION}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[HubConnection]:
        """See `HubDatabase.transaction`."""
        with self._failing(), self._writing, write_transaction(self._writer):
            yield _Statements(self._writer)

    @contextlib.contextmanager
    def reading(self) -> Iterator[HubConnection]:
        """See `HubDatabase.reading`."""
        with self._failing(), self._reading:
            self._reader.execute("BEGIN")
            try:
                yield _Statements(self._reader)
            finally:
                if self._reader.in_transaction:
                    self._reader.execute("ROLLBACK")

    def lead(self) -> bool:
        """See `HubDatabase.lead`: a lock on a file beside the store, which ends with the process."""
        if self._lead is None:
            handle = os.open(self.path.with_name(LEAD_FILE), os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return False
            self._lead = handle
        return True

    def close(self) -> None:
        """See `HubDatabase.close`."""
        for connection in self._open:
            connection.close()
        self._open.clear()
        if self._lead is not None:
            os.close(self._lead)
            self._lead = None

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """SQLite's errors, and the disk's, as ours."""
        try:
            yield
        except apsw.NotADBError as err:
            raise BundleInvalid("no hub's store: not a SQLite file", path=self.where) from err
        except apsw.BusyError as err:
            raise Unavailable("not_ready", f"the store is busy: {err}", path=self.where, retry_after=1.0) from err
        except apsw.FullError as err:
            raise RunFailed(
                "storage_failed",
                "no space is left for the hub's store",
                path=self.where,
                help="what was acknowledged stays; make room, and devices go on by themselves",
            ) from err
        except apsw.Error as err:
            raise RunFailed("storage_failed", f"the hub's store cannot be used: {err}", path=self.where) from err
        except OSError as err:
            raise RunFailed("storage_failed", f"{err.strerror or err}", path=self.where) from err


class _Statements:
    """See `HubConnection`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        return self._connection.execute(statement, tuple(values)).fetchall()

    def execute_many(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        self._connection.executemany(statement, (tuple(row) for row in rows))
