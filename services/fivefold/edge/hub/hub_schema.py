"""The hub's tables, the same in SQLite and in Postgres.

Times are milliseconds since 1970 by the hub's clock. `hub_head.position` counts the events in the order in which they
are forwarded; its row is what transactions that store events take first, so that positions become visible in their
order and without holes.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from fivefold.core.errors import BundleInvalid
from fivefold.edge.hub.database import HubConnection
from fivefold.edge.hub.missing_numbers import count_stored_gaps

VERSION: Final = 1

TABLES: Final = """
CREATE TABLE IF NOT EXISTS hub_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL){strict};
CREATE TABLE IF NOT EXISTS hub_head (name TEXT PRIMARY KEY, position {integer} NOT NULL){strict};
CREATE TABLE IF NOT EXISTS hub_devices (
    id TEXT PRIMARY KEY, created {integer} NOT NULL, seen {integer}, reported {integer}, report {bytes}
){strict};
CREATE TABLE IF NOT EXISTS hub_keys (
    id TEXT PRIMARY KEY, device TEXT NOT NULL REFERENCES hub_devices, salt {bytes} NOT NULL, digest {bytes} NOT NULL,
    created {integer} NOT NULL, expires {integer}
){strict};
CREATE TABLE IF NOT EXISTS hub_watermarks (
    device TEXT NOT NULL REFERENCES hub_devices, outbox TEXT NOT NULL, lane TEXT NOT NULL,
    through {integer} NOT NULL, pruned {integer} NOT NULL, advanced {integer} NOT NULL,
    PRIMARY KEY (device, outbox, lane)
){strict};
CREATE TABLE IF NOT EXISTS hub_missing (
    device TEXT NOT NULL, outbox TEXT NOT NULL, lane TEXT NOT NULL, numbers {integer} NOT NULL,
    PRIMARY KEY (device, outbox, lane)
){strict};
CREATE TABLE IF NOT EXISTS hub_events (
    position {integer} PRIMARY KEY, device TEXT NOT NULL, outbox TEXT NOT NULL, lane TEXT NOT NULL,
    seq {integer} NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, received {integer} NOT NULL, body {bytes} NOT NULL,
    UNIQUE (device, outbox, lane, seq)
){strict};
CREATE TABLE IF NOT EXISTS hub_quarantine (
    device TEXT NOT NULL, outbox TEXT NOT NULL, lane TEXT NOT NULL, seq {integer} NOT NULL, digest TEXT NOT NULL,
    code TEXT NOT NULL, message TEXT NOT NULL, received {integer} NOT NULL, raw {bytes} NOT NULL,
    PRIMARY KEY (device, outbox, lane, seq, digest)
){strict};
CREATE TABLE IF NOT EXISTS hub_line_ids (
    device TEXT NOT NULL, outbox TEXT NOT NULL, lane TEXT NOT NULL, seq {integer} NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (device, outbox, lane)
){strict};
CREATE TABLE IF NOT EXISTS hub_copies (
    device TEXT NOT NULL, outbox TEXT NOT NULL, lane TEXT NOT NULL, through {integer} NOT NULL, at {integer} NOT NULL,
    PRIMARY KEY (device, outbox, lane)
){strict};
CREATE TABLE IF NOT EXISTS hub_releases (
    model TEXT NOT NULL, release {integer} NOT NULL, version TEXT NOT NULL, descriptor {bytes} NOT NULL,
    signature {bytes} NOT NULL, archive TEXT NOT NULL, size {integer} NOT NULL, channel TEXT NOT NULL,
    share {integer} NOT NULL, halted TEXT, published {integer} NOT NULL,
    PRIMARY KEY (model, release)
){strict};
CREATE TABLE IF NOT EXISTS hub_archives (
    sha256 TEXT NOT NULL, chunk {integer} NOT NULL, body {bytes} NOT NULL,
    PRIMARY KEY (sha256, chunk)
){strict};
CREATE TABLE IF NOT EXISTS hub_uploads (
    sha256 TEXT NOT NULL, chunk {integer} NOT NULL, body {bytes} NOT NULL, at {integer} NOT NULL,
    PRIMARY KEY (sha256, chunk)
){strict};
CREATE TABLE IF NOT EXISTS hub_trials (
    model TEXT NOT NULL, release {integer} NOT NULL, device TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
    at {integer} NOT NULL,
    PRIMARY KEY (model, release, device)
){strict};
"""


def prepare_tables(connection: HubConnection, words: Mapping[str, str], where: str) -> str:
    """Make the tables where there are none, within a transaction; gives the hub's id, of 32 hexadecimal digits.

    `words` are the store's own for `integer`, `bytes` and `strict`. Raises `BundleInvalid` for another version's.
    """
    for statement in filter(str.strip, TABLES.format_map(words).split(";")):
        connection.execute(statement)
    put = "INSERT INTO hub_facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"
    connection.execute_many(put, (("version", str(VERSION)), ("hub", secrets.token_hex(16))))
    connection.execute("INSERT INTO hub_head (name, position) VALUES ('events', 0) ON CONFLICT (name) DO NOTHING")
    facts: dict[str, str] = dict(connection.execute("SELECT name, value FROM hub_facts"))
    if facts["version"] != str(VERSION):
        raise BundleInvalid(f"a hub's store of version {facts['version']}, and this is version {VERSION}", path=where)
    if "missing" not in facts:
        count_stored_gaps(connection)
        connection.execute("INSERT INTO hub_facts (name, value) VALUES ('missing', 'counted')")
    return facts["hub"]
