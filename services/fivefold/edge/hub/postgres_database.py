"""The hub's store in Postgres, which several hubs may share: each event is still applied once.

Transactions that write take one advisory lock first, so there is one order of events, as in the directory's store. A
connection that breaks is made anew with the next question; the one that broke is answered `not_ready`, and devices ask
again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg

from fivefold.core import redact
from fivefold.core.errors import RunFailed, Unavailable, first_line
from fivefold.core.settings import SettingsError
from fivefold.edge.hub.database import HubConnection, Row, Value
from fivefold.edge.hub.hub_schema import prepare_tables

WRITE_LOCK: Final = 0x46464842_57
LEAD_LOCK: Final = 0x46464842_4C
CONNECT_SECONDS: Final = 10
STATEMENT_SECONDS: Final = 60
READERS: Final = 4
"""Connections that only read."""

_WORDS: Final = {"integer": "BIGINT", "bytes": "BYTEA", "strict": ""}
_DISK_FULL: Final = "53100"
"""https://www.postgresql.org/docs/current/errcodes-appendix.html"""


class PostgresDatabase:
    """See `fivefold.edge.hub.database.HubDatabase`."""

    def __init__(self, url: str) -> None:
        """Connect; the tables are made in the first schema of the user's search path.

        `url` is libpq's (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING). Raises
        `SettingsError`, `Unavailable` where no server answers, `RunFailed` `storage_failed`.
        """
        if not url.startswith(("postgres://", "postgresql://")):
            raise SettingsError(f"--database: expected postgres://…, got {redact.address(url)!r}")
        self._url = url
        self.where = redact.address(url)
        self.directory: Path | None = None
        self._writer = _Session(url)
        self._readers = [_Session(url) for _ in range(READERS)]
        self._turn = 0
        self._leader: psycopg.Connection[Any] | None = None
        with self.transaction() as connection:
            self.hub = prepare_tables(connection, _WORDS, self.where)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[HubConnection]:
        """See `HubDatabase.transaction`."""
        with self._failing(), self._writer.use() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (WRITE_LOCK,))
            yield _Commands(connection)

    @contextlib.contextmanager
    def reading(self) -> Iterator[HubConnection]:
        """See `HubDatabase.reading`."""
        self._turn = (self._turn + 1) % READERS
        with self._failing(), self._readers[self._turn].use() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield _Commands(connection)

    def lead(self) -> bool:
        """See `HubDatabase.lead`: a lock of a session of its own, which ends with the connection."""
        with self._failing():
            if self._leader is not None:
                try:
                    self._leader.execute("SELECT 1")
                    return True
                except psycopg.Error:
                    self._leader.close()
                    self._leader = None
            found = _connect(self._url)
            row = found.execute("SELECT pg_try_advisory_lock(%s)", (LEAD_LOCK,)).fetchone()
            if row is None or not row[0]:
                found.close()
                return False
            self._leader = found
            return True

    def close(self) -> None:
        """See `HubDatabase.close`."""
        for session in (self._writer, *self._readers):
            session.close()
        if self._leader is not None:
            self._leader.close()
            self._leader = None

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Postgres' errors as ours; none of them quotes the URL, which has a password."""
        try:
            yield
        except (psycopg.OperationalError, psycopg.InterfaceError) as err:
            if err.sqlstate == _DISK_FULL:
                raise RunFailed("storage_failed", f"Postgres is full: {first_line(err)}", path=self.where) from err
            raise Unavailable(
                "not_ready", f"Postgres does not answer: {first_line(err)}", path=self.where, retry_after=2.0
            ) from err
        except psycopg.errors.InsufficientPrivilege as err:
            raise RunFailed("storage_failed", f"Postgres refuses: {first_line(err)}", path=self.where) from err


class _Session:
    """A connection that is made when it is wanted, and again after it broke; one thread at a time uses it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None

    @contextlib.contextmanager
    def use(self) -> Iterator[psycopg.Connection[Any]]:
        with self._lock:
            if self._connection is None or self._connection.closed:
                self._connection = _connect(self._url)
            try:
                yield self._connection
            except (psycopg.OperationalError, psycopg.InterfaceError):
                self._connection.close()
                raise

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()


class _Commands:
    """See `HubConnection`."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        cursor = self._connection.execute(_spelled(statement), tuple(values))
        return cursor.fetchall() if cursor.description is not None else []

    def execute_many(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_spelled(statement), [tuple(row) for row in rows])


def _connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name="fivefold-hub",
        options=f"-c statement_timeout={STATEMENT_SECONDS * 1000}",
    )


def _spelled(statement: str) -> LiteralString:
    """A statement with psycopg's placeholders; no statement of the hub has a `?` or a `%` in its text."""
    return statement.replace("?", "%s")
