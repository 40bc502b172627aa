"""A transaction of SQLite that writes, on a connection of whichever driver: the standard library's, or apsw's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol


class SqliteConnection(Protocol):
    """What a transaction needs of a connection, which begins none by itself."""

    def execute(self, statement: str, /) -> Any: ...

    @property
    def in_transaction(self) -> bool: ...


@contextlib.contextmanager
def write_transaction(connection: SqliteConnection) -> Iterator[None]:
    """All of it, or nothing; others that write wait meanwhile. Gives SQLite's errors as they are."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors (a full disk) have rolled it back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
