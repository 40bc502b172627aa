"""The port of a store: exclusive transactions for whoever changes something, and plain reading beside them.

    with database.transaction() as connection:     # all of it, or nothing; one at a time, whoever else writes waits
        connection.execute("UPDATE hub_devices SET seen = ? WHERE id = ?", (now, device))

Statements are of the part of SQL that SQLite and Postgres share, with `?` for values. Which tables there are is
`hub_schema`'s; a store's own errors become `RunFailed` `storage_failed`, or `Unavailable` where it may mend itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

Row = tuple[Any, ...]
Value = str | bytes | int | None


class HubConnection(Protocol):
    """A connection within a transaction, for one thread."""

    def execute(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        """The rows of one statement."""
        ...

    def execute_many(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        """One statement for each row of values."""
        ...


class HubDatabase(Protocol):
    """A store, for any number of threads."""

    where: str
    """Its place as people may see it: without a password."""

    directory: Path | None
    """Where its files lie on this machine; None where they are another's."""

    hub: str
    """The hub's own id, of 32 hexadecimal digits: as long as the store lives."""

    def transaction(self) -> AbstractContextManager[HubConnection]:
        """All of a `with`, or nothing of it; nobody else writes meanwhile, in no process.

        Raises `RunFailed` `storage_failed`, and `Unavailable` `not_ready` where the store does not answer. Whether a
        transaction that fails at its very end counts is not known then.
        """
        ...

    def reading(self) -> AbstractContextManager[HubConnection]:
        """One state of the store for the length of a `with`; raises as `transaction` does."""
        ...

    def lead(self) -> bool:
        """Whether this process is the only one that forwards, from now on until it closes; True again and again."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...
