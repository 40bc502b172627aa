"""From a directory or a URL to the hub's store."""

from __future__ import annotations

from fivefold.edge.hub.database import HubDatabase


def open_database(directory: str | None, url: str | None, *, create: bool = True) -> HubDatabase:
    """The store in a directory, or the one at a `postgres://` URL; its tables are made where there are none.

    Raises `NotFound` where there is no store and `create` is False, `SettingsError` for a URL that is none, and what
    the store raises.
    """
    if url:
        from fivefold.edge.hub.postgres_database import PostgresDatabase

        return PostgresDatabase(url)
    from fivefold.edge.hub.sqlite_database import SqliteDatabase

    return SqliteDatabase(directory or "", create=create)
